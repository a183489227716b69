"""Runs as things to handle: which there are and how each stands, one by its id, and how it is deleted.

Reads small files alone and loads no TensorFlow. A file that is damaged makes its run "damaged", never an error.
"""

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from filelock import FileLock, Timeout

from recipes.errors import RunError, did_you_mean
from recipes.runs.atomic_files import read_json
from recipes.runs.history import read_history

SEARCH = "tune-"  # the name of a search's folder begins with it
DELETED = ".deleted-"  # that of one which is being deleted

#: Where a run has these, it has been begun; the first is written last.
RECORDS = ("run.json", "config.json", "data.json", "environment.json")


@dataclass(frozen=True)
class RunSummary:
    """How a run stands, or a search.

    `state` is "finished", "training now", "unfinished", "interrupted" (by Ctrl-C: its model so far can be read),
    "without its report" (killed as that was written), "failed" (for good) or "damaged: FILE, ..."; of a search
    "training now", "unfinished", "finished" or "failed" (all trials), and "ended" where it is older than version 0.6.
    """

    id: str
    recipe: str
    folder: Path
    search: bool
    state: str
    data: str = ""  # the data set's name, or a folder
    stand_in_for: str = ""  # the data set that was asked for, where it is a stand-in
    figures: dict[str, float] = field(default_factory=dict)  # on the test split; of a search its best trial's
    epochs: int = 0  # that are done; of a search trials
    epochs_asked: int | None = None  # by the settings; None: unknown
    seconds: float | None = None  # of training; None: unknown, as of a run that is not finished
    size: int = 0  # bytes on disk

    @property
    def figure(self) -> tuple[str, float] | None:
        """The main figure: the first that is no loss, or the first; None where there is none yet."""
        named = [(name, value) for name, value in self.figures.items() if name != "loss"] or list(self.figures.items())
        return named[0] if named else None


def list_runs(runs: str | Path = "runs", recipe: str | None = None) -> list[RunSummary]:
    """Returns every run and search in a runs folder, the oldest first; those of one recipe if it is named."""
    folders = [folder for folder in _folders(Path(runs)) if recipe in (None, folder.parent.name)]
    return [summary(folder) for folder in sorted(folders, key=lambda folder: folder.name.removeprefix(SEARCH))]


def summary(folder: Path) -> RunSummary:
    """Returns how the run or the search in a folder stands."""
    if _is_search(folder):
        return _summary_of_search(folder)
    damaged: list[str] = []
    record, config, data, metrics, _ = (
        _read(folder / name, damaged) for name in (*RECORDS[:3], "metrics.json", RECORDS[3])
    )
    if record is not None:  # then the others were written before it
        _check(isinstance(record.get("identity"), dict) and _is_whole(record.get("number")), "run.json", damaged)
        damaged += [name for name in RECORDS[1:3] if not (folder / name).exists()]
    figures = (metrics or {}).get("test", {})
    _check(isinstance(figures, dict) and all(map(_is_number, figures.values())), "metrics.json", damaged)
    epochs, asked = (metrics or {}).get("epochs"), (config or {}).get("epochs")
    if epochs is None or not _is_whole(epochs):
        epochs = len(read_history(folder / "history.csv").get("epoch", ()))
    seconds = (metrics or {}).get("seconds")
    return RunSummary(
        id=folder.name,
        recipe=folder.parent.name if record is None else str(record.get("recipe", folder.parent.name)),
        folder=folder,
        search=False,
        state=f"damaged: {', '.join(dict.fromkeys(damaged))}" if damaged else _state(folder),
        data=str((data or {}).get("name", "")),
        stand_in_for=str((data or {}).get("stand_in_for", "")),
        figures={} if "metrics.json" in damaged else figures,
        epochs=epochs,
        epochs_asked=asked if _is_whole(asked) else None,
        seconds=seconds if _is_number(seconds) else None,
        size=_size(folder),
    )


def find_run(name: str | Path, runs: str | Path = "runs", recipe: str | None = None) -> Path:
    """Returns the folder of a run or a search, by its path, its id, or "recipe/id".

    Args:
        name: Of which.
        runs: Where ids are looked up.
        recipe: Whose runs are meant; None: any recipe's.

    Raises:
        RunError: If there is none, or an id is that of several.
    """
    if not str(name):
        raise RunError("the name of a run is empty; expected its id, as recipes runs lists it, or its folder")
    if is_run_folder(Path(name)):
        return Path(name)
    known = [folder for folder in _folders(Path(runs)) if recipe in (None, folder.parent.name)]
    named = [folder for folder in known if str(name) in (folder.name, f"{folder.parent.name}/{folder.name}")]
    if len(named) == 1:
        return named[0]
    if named:
        raise RunError(f"{len(named)} runs have the id {name}: {', '.join(map(str, named))}. Name one of these folders")
    if Path(name).is_dir():
        raise RunError(f"{name} is no run's folder; expected one that fit or tune has made")
    near = did_you_mean(str(name), [folder.name for folder in known])
    raise RunError(f"there is no run {name} in {runs}{near}; recipes runs lists those that there are")


def delete_run(folder: Path) -> None:
    """Deletes a run's or a search's folder: at once for whoever looks, then its files.

    Raises:
        RunError: If it is no run's folder, a link to one, is being trained in, or cannot be deleted.
    """
    if folder.is_symlink():
        raise RunError(f"{folder} is a link to {folder.readlink()}, which stays; expected a run's own folder")
    if not is_run_folder(folder):
        raise RunError(f"{folder} is no run's folder; expected one that fit or tune has made")
    folder = folder.resolve()  # its parent may be reached through links; "." has no name
    trash = folder.with_name(f"{DELETED}{os.getpid()}-{folder.name}")
    try:
        with FileLock(folder / ".lock", blocking=False):
            folder.rename(trash)
    except Timeout:
        raise RunError(f"{folder} is being trained in; end that process first") from None
    except OSError as error:
        raise RunError(f"cannot delete {folder}: {error.strerror}; it is as it was") from None
    try:
        shutil.rmtree(trash)  # removes links, and never follows them
    except OSError as error:
        raise RunError(f"{folder} is deleted but for what is left in {trash}: {error.strerror}") from None
    for left in folder.parent.glob(f"{DELETED}*"):  # by a process that was killed here
        shutil.rmtree(left, ignore_errors=True)


def is_run_folder(folder: Path) -> bool:
    """Returns whether `fit` or `tune` has made a folder, whatever state its files are in."""
    there = [name for name in RECORDS if (folder / name).is_file()]
    lock = (folder / ".lock").is_file()
    return "run.json" in there or len(there) > 1 or bool(there and lock) or _is_search(folder)


def is_trained_now(folder: Path) -> bool:
    """Returns whether a process holds the lock of a run's folder."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", blocking=False):
            return False
    except Timeout:
        return True
    except OSError:  # of another user: who trains there cannot be seen
        return False


def _folders(runs: Path) -> Iterator[Path]:
    """Yields the folders of runs and searches: <runs>/<recipe>/<id>."""
    for recipe in _subfolders(runs):
        yield from (folder for folder in _subfolders(recipe) if is_run_folder(folder))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def _state(folder: Path) -> str:
    evaluated = (folder / "metrics.json").exists()
    if evaluated and not (folder / "checkpoints").exists():
        return "finished"
    if (folder / "failed.txt").exists():
        return "failed"
    if is_trained_now(folder):
        return "training now"
    if evaluated:
        return "without its report"
    return "interrupted" if (folder / "model.keras").exists() and (folder / "report.md").exists() else "unfinished"


def _is_search(folder: Path) -> bool:
    files = ("search.json", "best.json", "trials.csv", ".lock")
    return folder.name.startswith(SEARCH) and any((folder / name).exists() for name in files)


def _summary_of_search(folder: Path) -> RunSummary:
    damaged: list[str] = []
    best = _read(folder / "best.json", damaged) or {}
    data, figure = best.get("data"), best.get("figure")
    data = data if isinstance(data, dict) else {}
    record, rows = _read(folder / "search.json", damaged), read_history(folder / "trials.csv")
    trials = len(rows.get("epochs", ())) or max(map(len, rows.values()), default=0)
    asked = (record or {}).get("trials")
    if is_trained_now(folder):
        state = "training now"
    elif record is None:
        state = "failed" if trials and not best else "ended"
    else:
        state = "failed" if record.get("failed") else "finished" if record.get("ended") else "unfinished"
    return RunSummary(
        id=folder.name,
        recipe=folder.parent.name,
        folder=folder,
        search=True,
        state=f"damaged: {', '.join(damaged)}" if damaged else state,
        data=str(data.get("name", "")),
        stand_in_for=str(data.get("stand_in_for", "")),
        figures={str(best.get("objective", "")): float(figure)} if _is_number(figure) else {},
        epochs=trials if record is None else max(0, trials - 1),  # without the settings that it started from
        epochs_asked=asked if _is_whole(asked) else None,
        size=_size(folder),
    )


def _read(path: Path, damaged: list[str]) -> dict[str, Any] | None:
    """Returns the JSON object in a file, None if there is no file; one that holds none is named in `damaged`."""
    if not path.exists():
        return None
    try:
        return read_json(path)
    except RunError:
        damaged.append(path.name)
        return None


def _check(good: bool, name: str, damaged: list[str]) -> None:
    if not good:
        damaged.append(name)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value == int(value)


def _size(folder: Path) -> int:
    """Returns the bytes of the files in a folder; those that links lead to are not in it."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - many files
            except OSError:  # deleted since
                continue
    return total
