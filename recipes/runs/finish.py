"""Ends a run: saves the model, evaluates it on the test split, writes the report."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import read_model
from recipes.devices.workers import Workers
from recipes.runs.atomic_files import write_atomically, write_json
from recipes.runs.progress import duration, refuse_nan
from recipes.runs.report import write_report
from recipes.runs.run_folder import Run


def finish_run(
    model: keras.Model,
    splits: Splits,
    run: Run,
    seconds: float,
    workers: Workers,
    report: Callable[[keras.Model, Splits, Path], dict[str, str]],
    figures: Callable[[keras.Model, Splits], dict[str, float]],
) -> keras.Model:
    """Writes the model first, then the test metrics and the report; metrics.json last."""
    history = model.history
    if run.writes:
        _save(model, splits, run)
    if workers.count > 1:
        model = _without_strategy(run, workers)
        model.history = history
    test = figures(model, splits) if splits.test is not None or splits.train_step else {}
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
    write_report(run, report(model, splits, run.folder))
    write_json(run.folder / "metrics.json", run.metrics)
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in test.items())
    print(f"test on {run.info.name}{run.info.stand_in_note}: {shown or 'no test split'}   ({duration(seconds)})")
    print(f"report: {run.folder / 'report.md'}")
    print(f"next: recipes export {run.command} --run {run.folder}", flush=True)
    return model


def _without_strategy(run: Run, workers: Workers) -> keras.Model:
    """Returns a copy of the model that the chief has saved, with no strategy: any worker can use it by itself."""
    saved = workers.broadcast((run.folder / "model.keras").read_bytes() if run.writes else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(saved)
        model = read_model(path)
    model.run = run
    return model


def keep_interrupted(model: keras.Model, splits: Splits, run: Run, can_be_resumed: bool) -> None:
    """Saves what an interrupted run has learned, without calling it finished."""
    _save(model, splits, run)
    epochs = len(getattr(getattr(model, "history", None), "epoch", ()))  # there is none before the first epoch
    run.metrics = {"status": "interrupted", "epochs": epochs, "parameters": model.count_params()}
    write_report(run)
    again = "; the same command resumes it" if can_be_resumed else ""
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
