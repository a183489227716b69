"""Ends a run: saves the model, evaluates it on the test split, writes the report."""

import math
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import read_model
from recipes.devices.workers import Workers
from recipes.errors import printable
from recipes.runs.atomic_files import write_atomically, write_json
from recipes.runs.early_stopping import StopEarly
from recipes.runs.exhibits import Report, write_exhibits
from recipes.runs.progress import duration, refuse_nan
from recipes.runs.report import HistoryFile, write_report
from recipes.runs.run_folder import Run

DIVERGED = 1.5  # times the loss of the first batch


def finish_run(
    model: keras.Model,
    splits: Splits,
    run: Run,
    history: HistoryFile,
    stopping: StopEarly | None,
    seconds: float,
    workers: Workers,
    reports: Sequence[Report],
    figures: Callable[[keras.Model, Splits], dict[str, float]],
) -> keras.Model:
    """Writes the model first, then the figures on the test split, then the report.

    The checkpoints go last: a run that is killed before is resumed, and only what is missing is done again.
    """
    curves = model.history
    if run.writes:
        save_model(model, splits, run)
    if workers.count > 1:
        model = _without_strategy(run, workers)
        model.history = curves
    test = figures(model, splits) if splits.test is not None or splits.train_step else {}
    refuse_nan(test, "on the test split")
    logs = history.last(stopping.epoch if stopping else None)
    first = history.first_loss
    if first is not None:  # wherever the first batch lies, after a head was solved: what knowing nothing reaches
        classes = run.info.follows.get("num_classes", 1)
        first = max(first, {"regression": 1.0, "classification": math.log(classes or 1)}.get(run.info.task, 0.0))
    notes = diverged(first, {"training": logs.get("loss"), "test": test.get("loss")})
    if stopping:
        notes.append(stopping.note(len(history.rows)))
    run.metrics = {
        "status": "finished",
        "data": run.info.to_json(),
        "epochs": len(history.rows),
        "seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "test": test,
        "train": {name: value for name, value in logs.items() if not name.startswith("val_")},
        "validation": {name[4:]: value for name, value in logs.items() if name.startswith("val_")},
        "notes": notes,
        **({"early_stopping": stopping.figures()} if stopping else {}),
    }
    if not run.writes:
        return model
    write_json(run.folder / "metrics.json", run.metrics)
    write_report_of(model, splits, run, reports)
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    shown_figures = "  ".join(f"{name} {value:.4f}" for name, value in test.items())
    for note in run.metrics["notes"]:
        print(f"note: {note}")
    data = printable(f"{run.info.name}{run.info.stand_in_note}")
    print(f"test on {data}: {shown_figures or 'no test split'}   ({duration(seconds)})")
    print(f"report: {run.folder / 'report.md'}")
    print(f"next: recipes export {shlex.quote(run.command)} --run {shlex.quote(str(run.folder))}", flush=True)
    return model


def write_report_of(model: keras.Model, splits: Splits, run: Run, reports: Sequence[Report]) -> None:
    """Writes the report of a run and what it shows, from its metrics."""
    exhibits: dict[str, str] = {}
    notes = list(run.metrics.get("notes", ()))
    for report in reports:
        shown, failures = write_exhibits(partial(report, model, splits), run.folder)
        exhibits |= shown
        notes += failures
    write_report(run, exhibits, notes)


def diverged(first_loss: float | None, losses: dict[str, float | None]) -> list[str]:
    """Returns the sentence that a run has diverged, where a loss at its end is well above that of its first batch.

    >>> diverged(2.3, {"training": 0.1, "test": 970.0})
    ['DIVERGED: the test loss is 970 at the end, and was 2.3 before anything was learned; try a smaller learning_rate']
    """
    if first_loss is None or not first_loss > 0:
        return []
    for split, loss in losses.items():
        if loss is not None and loss > DIVERGED * first_loss:
            return [
                f"DIVERGED: the {split} loss is {loss:.4g} at the end, and was {first_loss:.4g} before anything was "
                "learned; try a smaller learning_rate"
            ]
    return []


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
    save_model(model, splits, run)
    epochs = len(getattr(getattr(model, "history", None), "epoch", ()))  # there is none before the first epoch
    run.metrics = {"status": "interrupted", "epochs": epochs, "parameters": model.count_params()}
    write_report(run)
    again = "; the same command resumes it" if can_be_resumed else ""
    print(
        f"\ninterrupted after {epochs} whole epochs. The model so far is in {run.folder / 'model.keras'}; "
        f"evaluate({str(run.folder)!r}) reads it{again}",
        file=sys.stderr,
    )


def save_model(model: keras.Model, splits: Splits, run: Run) -> None:
    """Writes the model and a few examples to check an export with, each in one step."""
    write_atomically(run.folder / "model.keras", lambda part: model.save(part))
    write_atomically(run.folder / "examples.npy", lambda part: _save_array(part, splits.examples()))


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
