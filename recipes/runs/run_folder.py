"""Run folders: `runs/<recipe>/<id>/`, one per training run.

With metrics.json a run is finished, with failed.txt it has failed for good; while it still has checkpoints beside
metrics.json its report is missing. Otherwise the same command resumes it.
"""

import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from filelock import FileLock, Timeout

import recipes
from recipes.data.splits import DataInfo
from recipes.data.tokenizers import Tokenizer, from_json
from recipes.devices.keras_fixes import read_model
from recipes.devices.precision import Precision
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, RunError, printable
from recipes.runs.atomic_files import damaged, read_json, remove_parts, write_json
from recipes.settings import read_config_of_run


@dataclass
class Run:
    """One training run and its folder."""

    folder: Path
    recipe: str
    config: Any
    info: DataInfo
    metrics: dict[str, Any] = field(default_factory=dict)  # what metrics.json holds; empty while unfinished
    precision: Precision | None = None  # what it is trained in, and why; None for a run that is read back
    number: int = 0  # counts the runs in a folder, whatever the clock says
    identity: dict[str, Any] = field(default_factory=dict)  # settings and data, to know the same run by
    resumes: bool = False  # whether it was begun before
    writes: bool = True  # whether this process writes its folder; the chief of several workers alone does

    @property
    def command(self) -> str:
        """How the command line names the recipe: one of the package's by its name, a file of your own by its path."""
        return command_name(self.config)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, by index; () where there are none."""
        return self.info.label_names

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What the model's token ids stand for; None where it reads no text."""
        return self.info.tokenizer

    def examples(self, count: int = 32) -> np.ndarray:
        """Returns the first test images of the run's data, kept in its folder; at most 32."""
        path = self.folder / "examples.npy"
        try:
            return np.load(path)[:count]
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}. Train again, or name another run") from error

    def load_model(self) -> keras.Model:
        """Returns the trained model.

        Raises:
            RunError: If the file is missing or damaged.
        """
        path = self.folder / "model.keras"
        try:
            model = read_model(path)
        except Exception as error:  # Keras raises what zipfile, h5py and json do
            why = _why_unreadable(path, error)
            raise RunError(f"cannot read {path}: {why}. Train again, or name another run") from error
        model.run = self
        return model


def read_run(folder: str | Path, config_class: type) -> Run:
    """Returns the run in a folder, finished or not.

    Raises:
        RunError: If the folder holds no run, or one of another recipe.
    """
    folder, name = Path(folder), recipe_name(config_class)
    if not (folder / "config.json").exists():
        raise RunError(f"{folder} holds no run: it has no config.json; expected a folder that fit made")
    values = read_json(folder / "data.json")
    vocabulary, metrics = folder / "tokenizer.json", folder / "metrics.json"
    try:
        tokenizer = from_json(read_json(vocabulary)) if vocabulary.exists() else None
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged(vocabulary, f"it describes no tokenizer ({error})") from None
    try:
        info = DataInfo(**{**values, "label_names": tuple(values["label_names"]), "tokenizer": tokenizer})
    except (KeyError, TypeError) as error:
        raise damaged(folder / "data.json", f"it describes no data ({error})") from None
    try:
        config: Any = read_config_of_run(config_class, folder / "config.json")
    except ConfigError as error:
        raise RunError(f"{folder} is not a run of {name}: {error}") from None
    return Run(folder, name, config, info, read_json(metrics) if metrics.exists() else {})


def _why_unreadable(path: Path, error: Exception) -> str:
    """Returns in a sentence why a model.keras cannot be read, where Keras says a page, or that there is none."""
    if not path.exists():
        return "there is none"
    if not zipfile.is_zipfile(path):
        return f"it is damaged: {path.stat().st_size:,} bytes that are no whole zip archive"
    unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", str(error))
    if unknown:
        return f"it has a {unknown[1]} that this recipe does not know; it was saved by another recipe or version"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def recipe_name(config: Any) -> str:
    """Returns the name of the recipe that a config belongs to: its module's, or its file's where that is run itself."""
    module = config.__module__  # of a Config or of its class
    if module == "__main__":
        return Path(getattr(sys.modules["__main__"], "__file__", None) or "notebook").stem
    return module.rpartition(".")[2]


def command_name(config: Any) -> str:
    """Returns how the command line names the recipe of a config: by its name, or a file of your own by its path."""
    name = recipe_name(config)
    file = getattr(sys.modules[config.__module__], "__file__", None)
    return name if name in recipes.RECIPES or file is None else os.path.relpath(file)


@contextmanager
def locked_folder(run: Run, environment: dict[str, Any], workers: Workers, prefix: str = "") -> Iterator[None]:
    """Locks a run's folder for this process, a new one with config.json, data.json and environment.json.

    Args:
        run: Of whose folder, or the one that the new one goes to, by the name of its recipe.
        environment: What environment.json holds.
        workers: The chief makes and writes it.
        prefix: The id of a new one begins with it.

    Raises:
        RunError: If another process is training in it, or the folder cannot be made; on several workers, on all.
    """
    locks: list[FileLock] = []

    def lock_and_write() -> str:
        folder = run.folder if run.resumes else new_folder(run.folder / run.recipe, prefix)
        try:
            locks.append(lock_folder(folder, "training", "run"))
            remove_parts(folder)
            _write_record(run, folder, environment)
        except BaseException:
            if not run.resumes:  # a signal, a full disk: nothing has been trained in it
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return str(folder)

    try:
        run.folder = Path(workers.chiefs(lock_and_write))
        yield
    finally:
        for lock in locks:
            lock.release()


def _write_record(run: Run, folder: Path, environment: dict[str, Any]) -> None:
    """Writes what a run is; of a resumed one anew, so that a file that was damaged meanwhile is whole again."""
    if run.resumes:
        if is_over(folder):
            raise RunError(f"the run in {folder} has just been ended by another process; run the command again")
        first = first_environment(folder) or environment
        environment = {**first, "continued": [*first.get("continued", []), environment]}
    write_json(folder / "config.json", asdict(run.config))
    write_json(folder / "data.json", run.info.to_json())
    if run.info.tokenizer:
        write_json(folder / "tokenizer.json", run.info.tokenizer.to_json())
    write_json(folder / "environment.json", environment)
    record = {"recipe": run.recipe, "number": run.number, "identity": run.identity, "precision": run.precision}
    write_json(folder / "run.json", record)


def lock_folder(folder: Path, doing: str, what: str) -> FileLock:
    """Returns the lock of a folder, which this process holds now.

    Args:
        folder: Of a run or a search.
        doing: "training" or "searching".
        what: "run" or "search".

    Raises:
        RunError: If another process holds it, or the folder cannot be written to.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"another process is {doing} in {folder}, with the same settings and data; wait for it, or pass "
            f"resume=False (--no-resume) to start another {what} beside it"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot write to {folder} to train there: {error.strerror}. Make it writable, or name another folder "
            "with runs="
        ) from None
    return lock


def earlier_runs(parent: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Returns the runs in a folder with what their run.json says, the last one first, whatever the clock says.

    One whose run.json is damaged is no run that can be resumed; it is named, and left.
    """
    records = []
    for path in parent.glob("*/run.json"):
        try:
            record = read_json(path)
            number, identity = int(record["number"]), dict(record["identity"])
        except (RunError, ValueError, KeyError, TypeError, OverflowError) as error:
            why = "" if isinstance(error, RunError) else f"{path} is damaged: it describes no run; "
            print(printable(f"note: {why or str(error) + '; '}that run cannot be resumed"), flush=True)
            continue
        records.append((path.parent, {"number": number, "identity": identity, "precision": record.get("precision")}))
    return sorted(records, key=lambda run: (run[1]["number"], run[0].name), reverse=True)


def next_number(earlier: list[tuple[Path, dict[str, Any]]]) -> int:
    """Returns the number of a new run, or search, beside those that `earlier_runs` has found."""
    return 1 + max((record["number"] for _, record in earlier), default=0)


def first_environment(folder: Path) -> dict[str, Any] | None:
    """Returns the environment.json of a run; None where it cannot be read."""
    with suppress(RunError):
        environment = read_json(folder / "environment.json")
        if {"precision", "why", "cores", "processor", "strategy"} <= environment.keys():
            return environment
    return None


def precision_of(folder: Path, record: dict[str, Any]) -> Precision | None:
    """Returns what an unfinished run is trained in, of whichever of its files is whole; None where none is."""
    if (environment := first_environment(folder)) is not None:
        return Precision(environment["precision"], environment["why"])
    kept = record.get("precision")
    return Precision(*kept) if isinstance(kept, list) and len(kept) == 2 else None


def is_over(folder: Path) -> bool:
    """Returns whether a run is finished, its report too, or has failed for good."""
    finished = (folder / "metrics.json").exists() and not (folder / "checkpoints").exists()
    return finished or (folder / "failed.txt").exists()


def new_folder(parent: Path, prefix: str = "") -> Path:
    """Makes and returns a folder named after the time; two runs of one second get different names.

    Raises:
        RunError: If it cannot be made, as in a read-only folder.
    """
    stamp = prefix + time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        folder = parent / (f"{stamp}-{attempt}" if attempt else stamp)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise RunError(f"cannot make {folder}: {parent} is a file. Name another folder with runs=") from None
        except OSError as error:
            raise RunError(f"cannot make {folder}: {error.strerror}. Name another folder with runs=") from None
        else:
            return folder
    raise RunError(f"cannot make a new folder in {parent}: {attempt + 1} of the name {stamp} exist")
