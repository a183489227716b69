"""Runs side by side: the settings that differ, the figures, and the curves in one picture. Loads no TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure  # not pyplot: no display, no state
from matplotlib.ticker import MaxNLocator

from recipes.errors import RunError
from recipes.runs.atomic_files import read_json
from recipes.runs.history import read_history
from recipes.runs.run_list import RunSummary, summary

FEW_EPOCHS = 30  # are marked by a dot each


class Comparison(NamedTuple):
    """Runs side by side: name -> a value for each run, None where a run has none."""

    names: list[str]  # of the runs: their ids, or their folders where two have the same
    settings: dict[str, list[Any]]  # and data, precision, ...: those that differ alone
    figures: dict[str, list[Any]]
    curves: list[dict[str, list[float]]]  # of each run: the columns of history.csv


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Returns two runs or more side by side.

    Raises:
        RunError: If one is a search, or its config.json or data.json cannot be read.
    """
    runs = [summary(folder) for folder in folders]
    for run in runs:
        if run.search:
            raise RunError(f"{run.folder} is a search; expected runs of fit. Its trials.csv compares its trials")
        if run.state.startswith("damaged"):
            raise RunError(f"the run in {run.folder} is {run.state}; name another")
    ids = [run.id for run in runs]
    settings = _by_name([_settings(run) for run in runs])
    return Comparison(
        names=ids if len(set(ids)) == len(ids) else [str(run.folder) for run in runs],
        settings={name: values for name, values in settings.items() if any(value != values[0] for value in values)},
        figures=_by_name([_figures(run) for run in runs]),
        curves=[curves if "epoch" in (curves := read_history(run.folder / "history.csv")) else {} for run in runs],
    )


def draw_comparison(comparison: Comparison) -> Figure:
    """Draws each metric of the runs over the epochs, in one panel: validation as lines, training dashed.

    Raises:
        RunError: If no run has done a whole epoch.
    """
    every = dict.fromkeys(name for curves in comparison.curves for name in curves if name != "epoch")
    names = list(dict.fromkeys(name.removeprefix("val_") for name in every))
    if not names:
        raise RunError("none of these runs has done a whole epoch; there are no curves to draw")
    wide = min(3, len(names))
    figure = Figure(figsize=(5 * wide, 3.6 * -(-len(names) // wide) + 0.4), layout="constrained")
    lines: dict[str, Any] = {}
    for number, name in enumerate(names, start=1):
        axes = figure.add_subplot(-(-len(names) // wide), wide, number)
        for place, (run, curves) in enumerate(zip(comparison.names, comparison.curves, strict=True)):
            validated = f"val_{name}" in curves
            for column, style in ((name, "--" if validated else "-"), (f"val_{name}", "-")):
                if column in curves:
                    [line] = axes.plot(curves["epoch"], curves[column], style)
                    line.set(marker="o" if len(curves["epoch"]) <= FEW_EPOCHS else "", markersize=3)
                    line.set(color=f"C{place % 10}", alpha=0.5 if style == "--" else 1.0)
                    lines.setdefault(run, line)
                    if style == "-":
                        lines[run] = line
        axes.set_xlabel("epoch")
        axes.set_ylabel(name, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        axes.grid(alpha=0.3)
    legend = figure.legend(list(lines.values()), list(lines), loc="outside upper center", fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)  # a folder may have dollars in its name
    if any(name.startswith("val_") for name in every):
        figure.supxlabel("solid: validation; dashed: training", fontsize="small")
    return figure


def _settings(run: RunSummary) -> dict[str, Any]:
    """Returns what was decided before a run: its settings, data, and what it was trained on and with."""
    values: dict[str, Any] = {"recipe": run.recipe, "data": run.data, "stand_in_for": run.stand_in_for}
    values |= _read(run.folder / "config.json")
    for file, names in (
        ("data.json", ("version", "examples", "fingerprint")),
        ("environment.json", ("precision", "strategy", "processor", "packages")),
    ):
        recorded = _read(run.folder / file)
        values |= {name if name not in values else f"{file}: {name}": recorded.get(name) for name in names}
    packages = values.pop("packages", None)
    return values | {f"{name} (package)": number for name, number in (packages or {}).items()}


def _figures(run: RunSummary) -> dict[str, Any]:
    """Returns what came of a run."""
    metrics = _read(run.folder / "metrics.json")
    figures: dict[str, Any] = {"state": run.state, "epochs": run.epochs, "seconds": run.seconds}
    figures["parameters"] = metrics.get("parameters")
    for split in ("test", "validation", "train"):
        values = metrics.get(split)
        figures |= {f"{split} {name}": value for name, value in values.items()} if isinstance(values, dict) else {}
    return figures


def _read(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file of a run; {} where there is no such file."""
    return read_json(path) if path.exists() else {}


def _by_name(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Returns name -> the value of each row, None where it has none."""
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
