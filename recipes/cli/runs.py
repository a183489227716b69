"""`recipes runs`: lists runs, compares them, deletes them. Loads no TensorFlow."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

import recipes
from recipes.cli.options import Switch
from recipes.cli.output import print_json, print_table
from recipes.errors import RunError, UsageError, did_you_mean, one_line
from recipes.runs.durations import duration
from recipes.runs.run_list import RunSummary, delete_run, find_run, list_runs, summary

USAGE = """usage: recipes runs [list] [NAME]           the runs and searches there are, of a recipe if it is named
       recipes runs compare RUN RUN...      the settings that differ, the figures, and the curves in one picture
       recipes runs delete RUN... [--yes]   asks first

RUN is an id, as the list shows it, RECIPE/ID, or a folder. `recipes runs list --help`, `compare --help` and
`delete --help` have the options. An unfinished run is continued by: recipes fit NAME --run ID"""

HEADER = ["id", "recipe", "data", "figure", "epochs", "time", "state", "size"]


Runs = Annotated[
    tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN...", help="ids, RECIPE/ID, or folders")
]


@dataclass(frozen=True)
class List:
    """List runs, the newest last, and searches (tune-...)."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]", help="a recipe; none: all")] = ""
    runs: Path = Path("runs")  # where run folders are
    json: Switch = False  # print JSON instead


@dataclass(frozen=True)
class Compare:
    """Print the settings that differ and the figures of runs, and draw their curves in one picture."""

    names: Runs = ()
    runs: Path = Path("runs")  # where run folders are
    picture: Path = Path("compare.png")  # where the curves are drawn
    json: Switch = False  # print JSON instead


@dataclass(frozen=True)
class Delete:
    """Delete runs and searches; one that is being trained is refused."""

    names: Runs = ()
    runs: Path = Path("runs")  # where run folders are
    yes: Switch = False  # do not ask; needed where there is no terminal to ask on


COMMANDS = {"list": List, "compare": Compare, "delete": Delete}


def runs(arguments: list[str]) -> int:
    """Runs `recipes runs ...`; returns 0."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    command, *rest = arguments if arguments and arguments[0] in COMMANDS else ["list", *arguments]
    options: Any = tyro.cli(COMMANDS[command], args=rest, prog=f"recipes runs {command}")
    if isinstance(options, List):
        _list(options)
    elif isinstance(options, Compare):
        _compare(options)
    else:
        _delete(options)
    return 0


def _list(options: List) -> None:
    every, name = list_runs(options.runs), Path(options.name).stem  # a recipe of your own is named by its file, too
    known = dict.fromkeys([run.folder.parent.name for run in every] + list(recipes.RECIPES))
    if name and name not in known:
        near = did_you_mean(name, [*known, *COMMANDS])
        raise UsageError(f"unknown recipe {name!r}{near}; expected one of: {', '.join(known)}")
    listed = [run for run in every if name in ("", run.folder.parent.name)]
    if options.json:
        print_json([_as_json(run) for run in listed])
    elif listed:
        print_table([HEADER, *map(_row, listed)])
    else:
        print(f"no runs{f' of {name}' if name else ''} in {options.runs}; recipes fit NAME makes one", file=sys.stderr)


def _compare(options: Compare) -> None:
    from recipes.runs.atomic_files import save_picture
    from recipes.runs.compare import compare_runs, draw_comparison

    if len(options.names) < 2:
        raise UsageError(
            f"compare got {len(options.names)} runs; expected two or more: recipes runs compare RUN RUN..."
        )
    comparison = compare_runs([find_run(name, options.runs) for name in options.names])
    picture: Path | None = None
    if any(comparison.curves):
        picture = options.picture
        try:
            save_picture(draw_comparison(comparison), picture)
        except OSError as error:
            raise RunError(f"cannot write {picture}: {error.strerror}; name another file with --picture") from None
    if options.json:
        print_json(
            {
                "runs": comparison.names,
                "settings": comparison.settings,
                "figures": comparison.figures,
                "picture": picture,
            }
        )
        return
    for title, values in (("differs", comparison.settings), ("figures", comparison.figures)):
        print_table([[title, *comparison.names], *([name, *map(_cell, row)] for name, row in values.items())])
        print()
    print(f"curves: {picture}" if picture else "no curves: none of these runs has done a whole epoch")


def _delete(options: Delete) -> None:
    if not options.names:
        raise UsageError("delete got no runs; expected their ids, as recipes runs lists them, or their folders")
    folders = list(dict.fromkeys(find_run(name, options.runs) for name in options.names))
    for folder in folders:
        run = summary(folder)
        print(one_line(f"{folder}  {run.data}  {_size(run.size)}  {run.state}"))
    if not options.yes and not _agreed(len(folders)):
        print("nothing is deleted")
        return
    for folder in folders:
        delete_run(folder)
        print(one_line(f"deleted {folder}"), flush=True)


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("delete asks before it deletes, and there is no terminal to ask on; pass --yes")
    print(f"delete {'this' if count == 1 else f'these {count}'} for good? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# ---------------------------------------------------------------- how it is shown


def _row(run: RunSummary) -> list[str]:
    figure = "" if run.figure is None else f"{run.figure[0]} {run.figure[1]:.4f}"
    epochs = f"{run.epochs}/{run.epochs_asked}" if run.epochs < (run.epochs_asked or 0) else f"{run.epochs}"
    epochs += " trials" * run.search
    data = f"{run.data} (stand-in for {run.stand_in_for})" if run.stand_in_for else run.data
    time = "" if run.seconds is None else duration(run.seconds)
    return [run.id, run.recipe, data, figure, epochs, time, run.state, _size(run.size)]


def _as_json(run: RunSummary) -> dict[str, Any]:
    values = {each.name: getattr(run, each.name) for each in fields(run)}
    return {**values, "figure": run.figure and {"name": run.figure[0], "value": run.figure[1]}}


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value)) or "()"
    return str(value)


def _size(count: int) -> str:
    """Returns a number of bytes as "812 kB" or "1.2 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
