"""Run folders: `runs/<recipe>/<id>/`, one per training run.

With metrics.json, written last, a run is finished; with failed.txt it has failed for good; otherwise the same command
resumes it.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from recipes.errors import ConfigError, RunError
from recipes.runs.atomic_files import remove_parts, write_json
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
            raise RunError(f"cannot read {path}: {error}. Train again, or name another run") from error
        model.run = self
        return model


def read_run(folder: str | Path, config_class: type) -> Run:
    """Returns the run in a folder, finished or not.

    Raises:
        RunError: If the folder holds no run, or one of another recipe.
    """
    folder, name = Path(folder), recipe_name(config_class)
    try:
        values = json.loads((folder / "data.json").read_text())
        vocabulary = folder / "tokenizer.json"
        tokenizer = from_json(json.loads(vocabulary.read_text())) if vocabulary.exists() else None
        info = DataInfo(**{**values, "label_names": tuple(values["label_names"]), "tokenizer": tokenizer})
        metrics_file = folder / "metrics.json"
        metrics = json.loads(metrics_file.read_text()) if metrics_file.exists() else {}
        config: Any = read_config_of_run(config_class, folder / "config.json")
    except ConfigError as error:
        raise RunError(f"{folder} is not a run of {name}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} holds no readable run ({error}); expected a folder that fit made") from None
    return Run(folder, name, config, info, metrics)


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
def locked_folder(run: Run, environment: dict[str, Any], workers: Workers) -> Iterator[None]:
    """Locks a run's folder for this process, a new one with config.json, data.json and environment.json.

    Raises:
        RunError: If another process is training in it, or the folder cannot be made; on several workers, on all.
    """
    locks: list[FileLock] = []

    def lock_and_write() -> str:
        folder = run.folder if run.resumes else new_folder(run.folder / run.recipe)
        locks.append(_lock(folder))
        remove_parts(folder)
        if run.resumes:
            if is_over(folder):
                raise RunError(f"the run in {folder} has just been ended by another process; run the command again")
            first = first_environment(folder) or {}
            environment_now = {**first, "continued": [*first.get("continued", []), environment]}
        else:
            environment_now = environment
            write_json(folder / "config.json", asdict(run.config))
            write_json(folder / "data.json", run.info.to_json())
            if run.info.tokenizer:
                write_json(folder / "tokenizer.json", run.info.tokenizer.to_json())
        write_json(folder / "environment.json", environment_now)
        write_json(folder / "run.json", {"recipe": run.recipe, "number": run.number, "identity": run.identity})
        return str(folder)

    try:
        run.folder = Path(workers.chiefs(lock_and_write))
        yield
    finally:
        for lock in locks:
            lock.release()


def _lock(folder: Path) -> FileLock:
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"another process is training in {folder}, with the same settings and data; wait for it, or pass "
            "resume=False (--no-resume) to start another run beside it"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot write to {folder} to train there: {error.strerror}. Make it writable, or name another folder "
            "with runs="
        ) from None
    return lock


def earlier_runs(parent: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Returns the runs in a folder with what their run.json says, the last one first, whatever the clock says."""
    records = []
    for path in parent.glob("*/run.json"):
        try:
            record = json.loads(path.read_text())
            records.append((path.parent, {"number": int(record["number"]), "identity": dict(record["identity"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # cannot be resumed
    return sorted(records, key=lambda run: (run[1]["number"], run[0].name), reverse=True)


def first_environment(folder: Path) -> dict[str, Any] | None:
    """Returns an unfinished run's environment.json; None if the run is over, or it cannot be read."""
    if is_over(folder):
        return None
    try:
        environment = json.loads((folder / "environment.json").read_text())
        return environment if {"precision", "why"} <= environment.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def is_over(folder: Path) -> bool:
    """Returns whether a run is finished, or has failed for good."""
    return (folder / "metrics.json").exists() or (folder / "failed.txt").exists()


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
