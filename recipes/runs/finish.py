"""What a run comes to: the model, its figures on the test split, the report."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from recipes.data.splits import Splits
from recipes.devices.workers import Workers
from recipes.errors import DataError
from recipes.runs.atomic_files import write_atomically, write_json
from recipes.runs.progress import duration, refuse_nan
from recipes.runs.report import write_report
from recipes.runs.run_folder import Run

#: (model, splits, run folder) -> title -> file name of the pictures that it wrote there
Pictures = Callable[[keras.Model, Splits, Path], dict[str, str]]

#: (model, splits) -> its figures on the test split
Figures = Callable[[keras.Model, Splits], dict[str, float]]


def no_pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Draws nothing."""
    return {}


def evaluate_model(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the compiled loss and metrics on the test split.

    Raises:
        DataError: If there is no test split, or its inputs do not fit the model.
    """
    if splits.test is None:
        raise DataError(f"{splits.info.name} has no test split; pass Splits with one as data=")
    first = model.input_shape[0] if isinstance(model.input_shape, list) else model.input_shape
    got, expected = keras.tree.flatten(splits.test.element_spec[0])[0].shape[1:], first[1:]
    if not got.is_compatible_with(expected):
        raise DataError(f"the inputs of {splits.info.name} are {tuple(got)}; this model expects {tuple(expected)}")
    values = model.evaluate(splits.test, return_dict=True, verbose=0)
    return {name: float(value) for name, value in values.items()}


def finish_run(
    model: keras.Model,
    splits: Splits,
    run: Run,
    seconds: float,
    workers: Workers,
    pictures: Pictures,
    figures: Figures,
) -> keras.Model:
    """Writes the model first, then the test metrics and the report; metrics.json last."""
    history = model.history
    if run.writes:
        _save(model, splits, run)
    if workers.count > 1:
        model = _alone(run, workers)
        model.history = history
    test = figures(model, splits) if splits.test is not None else {}
    refuse_nan(test, "on the test split")
    logs = history.history
    run.metrics = {
        "status": "finished",
        "data": run.info.to_json(),
        "epochs": len(history.epoch),
        "seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "test": test,
        "train": {name: values[-1] for name, values in logs.items() if not name.startswith("val_")},
        "validation": {name[4:]: values[-1] for name, values in logs.items() if name.startswith("val_")},
    }
    if not run.writes:
        return model
    write_report(run, pictures(model, splits, run.folder))
    write_json(run.folder / "metrics.json", run.metrics)
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in test.items())
    print(f"test on {run.info.name}{run.info.stand_in_note}: {shown or 'no test split'}   ({duration(seconds)})")
    print(f"report: {run.folder / 'report.md'}")
    print(f"next: recipes export {run.command} --run {run.folder}", flush=True)
    return model


def _alone(run: Run, workers: Workers) -> keras.Model:
    """Returns a copy of the model that the chief has saved, with no strategy: any worker can use it by itself."""
    saved = workers.broadcast((run.folder / "model.keras").read_bytes() if run.writes else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(saved)
        model = keras.models.load_model(path)
    model.run = run
    return model


def keep_interrupted(model: keras.Model, splits: Splits, run: Run, can_go_on: bool) -> None:
    """Saves what an interrupted run has learned, without calling it finished."""
    _save(model, splits, run)
    epochs = len(getattr(getattr(model, "history", None), "epoch", ()))  # there is none before the first epoch
    run.metrics = {"status": "interrupted", "epochs": epochs, "parameters": model.count_params()}
    write_report(run)
    again = "; the same line continues it" if can_go_on else ""
    print(
        f"\ninterrupted after {epochs} whole epochs. The model so far is in {run.folder / 'model.keras'}; "
        f"evaluate({str(run.folder)!r}) reads it{again}",
        file=sys.stderr,
    )


def _save(model: keras.Model, splits: Splits, run: Run) -> None:
    """Writes the model and a few examples to check an export with, each in one step."""
    write_atomically(run.folder / "model.keras", lambda part: model.save(part))
    write_atomically(run.folder / "examples.npy", lambda part: _save_array(part, splits.examples()))


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
