"""Run folders: `runs/<recipe>/<id>/`, one per training run.

With metrics.json, written last, a run is finished; with failed.txt it has failed for good; else the same line goes on
with it.
"""

import hashlib
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
import tensorflow as tf
from filelock import FileLock, Timeout

import recipes
from recipes.data.splits import DataInfo, Splits
from recipes.devices.hardware import Precision, choose_precision
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, RunError
from recipes.training.config import write_config
from recipes.training.files import write_json


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
    identity: dict[str, Any] = field(default_factory=dict)  # settings and data, to know the same line by
    continues: bool = False  # whether it was begun before
    writes: bool = True  # whether this process writes its folder; the chief of several workers alone does

    @property
    def command(self) -> str:
        """How the command line names the recipe: one of the package's by its name, a file of your own by its path."""
        return command_name(self.config)

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
            model = keras.models.load_model(path)
        except Exception as error:  # Keras raises what zipfile, h5py and json do
            raise RunError(f"cannot read {path}: {error}. Train again, or name another run") from error
        model.run = self
        return model


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


def open_run(config: Any, splits: Splits, runs: str | Path = "runs", resume: bool = True) -> Run:
    """Returns the run that a line stands for: its unfinished one, to continue, or a new one that is not on disk yet.

    Sets Keras's dtype policy to the run's, which a run that continues keeps. On several workers the chief decides.

    Args:
        config: The settings, those that follow the data included.
        splits: The data.
        runs: Where run folders are.
        resume: Whether to continue an unfinished run of the same settings, data and source of the recipe.

    Raises:
        ConfigError: If workers were started with different settings or data.
    """
    recipe, identity = recipe_name(config), _identity(config, splits.info)
    workers = Workers(tf.distribute.get_strategy())
    plan: dict[str, Any] = {}
    if workers.is_chief:
        earlier = earlier_runs(Path(runs) / recipe)
        same = next((folder for folder, known in earlier if known["identity"] == identity), None)
        if same and resume and splits.train_from and not _is_over(same):
            environment = json.loads((same / "environment.json").read_text())
            plan = {"folder": str(same), "precision": [environment["precision"], environment["why"]]}
        else:
            _note_unfinished(earlier, identity, resume)
            plan = {"folder": None, "precision": choose_precision(config.precision)}
        plan["number"] = 1 + max((known["number"] for _, known in earlier), default=0)
    plan, chiefs = workers.tell([plan, identity])
    _agree(workers, identity, chiefs)
    precision = Precision(*plan["precision"])
    keras.config.set_dtype_policy(precision.policy)
    return Run(
        folder=Path(plan["folder"] or runs),
        recipe=recipe,
        config=config,
        info=splits.info,
        precision=precision,
        number=plan["number"],
        identity=identity,
        continues=plan["folder"] is not None,
        writes=workers.is_chief,
    )


@contextmanager
def begun(run: Run, environment: dict[str, Any], workers: Workers) -> Iterator[None]:
    """Keeps a run's folder for this process: a new one is made, with config.json, data.json and environment.json.

    Raises:
        RunError: If another process is training in it, or the folder cannot be made.
    """
    if workers.is_chief and not run.continues:
        run.folder = new_folder(run.folder / run.recipe)
        write_config(run.config, run.folder / "config.json")
        write_json(run.folder / "data.json", run.info.to_json())
        write_json(run.folder / "environment.json", environment)
        write_json(run.folder / "run.json", {"number": run.number, "identity": run.identity})
    run.folder = Path(workers.tell(str(run.folder)))
    if not workers.is_chief:
        yield
        return
    lock = FileLock(run.folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(
            f"another process is training in {run.folder}, with the same settings and data; wait for it, or pass "
            "resume=False (--no-resume) to start another run beside it"
        ) from None
    except OSError as error:
        raise RunError(
            f"cannot write to {run.folder} to continue the run there: {error.strerror}. Make it writable, or name "
            "another folder with runs="
        ) from None
    try:
        if run.continues and _is_over(run.folder):
            raise RunError(f"the run in {run.folder} has just been ended by another process; run the line again")
        yield
    finally:
        lock.release()


def _identity(config: Any, info: DataInfo) -> dict[str, Any]:
    """Returns what makes two lines the same: settings, data and the recipe's source, as JSON gives them back."""
    settings = {name: value for name, value in asdict(config).items() if not name.startswith("checkpoint_")}
    file = getattr(sys.modules[config.__module__], "__file__", None)
    source = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""
    values = {**settings, "data": [info.name, info.version, info.fingerprint], "source": source}
    return json.loads(json.dumps(values))


def earlier_runs(parent: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Returns the runs in a folder with what their run.json says, the last one first, whatever the clock says."""
    found = []
    for path in parent.glob("*/run.json"):
        try:
            known = json.loads(path.read_text())
            found.append((path.parent, {"number": int(known["number"]), "identity": dict(known["identity"])}))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # of no use for continuing
    return sorted(found, key=lambda run: (run[1]["number"], run[0].name), reverse=True)


def _is_over(folder: Path) -> bool:
    return (folder / "metrics.json").exists() or (folder / "failed.txt").exists()


def _note_unfinished(earlier: list[tuple[Path, dict[str, Any]]], identity: dict[str, Any], resume: bool) -> None:
    """Says why the last run, where it is unfinished, is not continued."""
    if not earlier or _is_over(earlier[0][0]):
        return
    folder, known = earlier[0]
    names = [name for name in {**identity, **known["identity"]} if identity.get(name) != known["identity"].get(name)]
    differ = ", ".join(f"{name} {known['identity'].get(name)!r} there, {identity.get(name)!r} here" for name in names)
    why = f"it differs ({differ})" if names else "resume=False" if not resume else "its data cannot be entered midway"
    print(f"note: the unfinished run in {folder} is not continued: {why}. This is a new run")


def _agree(workers: Workers, own: dict[str, Any], chiefs: dict[str, Any]) -> None:
    """Refuses workers of different settings or data, on every one of them."""
    differ = [name for name in {**own, **chiefs} if own.get(name) != chiefs.get(name)]
    if not workers.sum([len(differ)])[0]:
        return
    if differ:
        shown = ", ".join(f"{name} {chiefs.get(name)!r} there, {own.get(name)!r} here" for name in differ)
        raise ConfigError(f"worker {workers.index} differs from the chief: {shown}. Start all with the same line")
    raise ConfigError("another worker has other settings or data than the chief; its own message says which")


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
