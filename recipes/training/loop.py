"""`fit_model` and `evaluate_model`: Keras's own loop, with a run folder around it and clear errors."""

import errno
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.errors import DataError, TrainingError
from recipes.training.config import ConfigT, change
from recipes.training.devices import choose_precision, choose_strategy, describe_strategy, environment
from recipes.training.progress import Progress, StopOnNaN, duration
from recipes.training.report import write_report
from recipes.training.runs import Run, start_run, write_atomically, write_json


def follow_data(config: ConfigT, splits: Splits) -> ConfigT:
    """Returns the config with the fields that the data decides: image_shape, num_classes, train_examples.

    A field that the config does not have is left out.
    """
    names = {field.name for field in fields(config)}  # type: ignore[arg-type]
    return change(config, **{name: value for name, value in splits.info.follows.items() if name in names})


def fit_model(
    model: keras.Model,
    splits: Splits,
    config: Any,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    runs: str | Path = "runs",
) -> keras.Model:
    """Trains a compiled model, evaluates it on the test split, and writes everything to a run folder.

    Args:
        model: Compiled, built under `training_scope(config)`.
        splits: The data.
        config: The recipe's config; reads `epochs`, `strategy` and `precision`.
        callbacks: Your own Keras callbacks, called before ours.
        runs: The run folder is `<runs>/<recipe>/<id>`.

    Returns:
        The model, trained. Its `run` tells the folder and the metrics, its `history` the curves.

    Raises:
        TrainingError: Out of memory, disk full, or a loss that is no number. The run stays unfinished.
        KeyboardInterrupt: As pressed; what was learned by then is saved first.
    """
    strategy, precision = choose_strategy(config.strategy), choose_precision(config.precision)
    where = {"strategy": describe_strategy(strategy), "precision": precision.policy, "why": precision.reason}
    run = start_run(config, splits.info, {**where, "command": sys.argv, **environment()}, runs)
    print(f"{run.recipe} on {splits.info}")
    print(f"strategy: {where['strategy']}   precision: {precision.policy} ({precision.reason})")
    print(f"run folder: {run.folder}")
    model.run = run
    progress, started = Progress(), time.time()
    logs = [
        keras.callbacks.CSVLogger(str(run.folder / "history.csv")),
        keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False),
    ]
    with clear_errors(config, run):
        try:
            model.fit(
                splits.train,
                epochs=config.epochs,
                steps_per_epoch=splits.steps_per_epoch,
                validation_data=splits.validation,
                callbacks=[*callbacks, StopOnNaN(), *logs, progress],
                verbose=0,
                shuffle=False,
            )
        except KeyboardInterrupt:
            progress.close()
            _keep_interrupted(model, run)
            raise
        finally:
            progress.close()
        return _finish(model, splits, run, seconds=time.time() - started)


def evaluate_model(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the compiled loss and metrics on the test split.

    Raises:
        DataError: If there is no test split, or its images do not fit the model.
    """
    if splits.test is None:
        raise DataError(f"{splits.info.name} has no test split; pass Splits with one as data=")
    got, expected = tuple(splits.test.element_spec[0].shape[1:]), tuple(model.input_shape[1:])
    if got != expected:
        raise DataError(f"the images of {splits.info.name} are {got}; this model expects {expected}")
    values = model.evaluate(splits.test, return_dict=True, verbose=0)
    return {name: float(value) for name, value in values.items()}


@contextmanager
def clear_errors(config: Any, run: Run) -> Iterator[None]:
    """Turns out of memory and disk full into a TrainingError that says what to do."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.UnknownError, MemoryError, OSError) as error:
        text = str(error)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
            raise TrainingError(
                f"the disk of {run.folder} is full; the run is not finished and its model not saved. Make space, or "
                "name another folder with runs="
            ) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise TrainingError(
                f"out of memory with batch_size={config.batch_size}; try batch_size={max(1, config.batch_size // 2)} "
                f"or a smaller model. The run in {run.folder} is not finished"
            ) from error
        raise


def _finish(model: keras.Model, splits: Splits, run: Run, seconds: float) -> keras.Model:
    """Writes the model, the test metrics and the report; metrics.json last."""
    test = evaluate_model(model, splits) if splits.test is not None else {}
    logs = model.history.history
    metrics = {
        "status": "finished",
        "epochs": len(model.history.epoch),
        "seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "test": test,
        "train": {name: values[-1] for name, values in logs.items() if not name.startswith("val_")},
        "validation": {name[4:]: values[-1] for name, values in logs.items() if name.startswith("val_")},
    }
    save_model(model, run.folder / "model.keras")
    write_atomically(run.folder / "examples.npy", lambda part: _save_array(part, splits.examples()))
    run.metrics = metrics
    write_report(run)
    write_json(run.folder / "metrics.json", metrics)
    stand_in = f", the stand-in for {run.info.stand_in_for}" if run.info.stand_in_for else ""
    shown = "  ".join(f"{name} {value:.4f}" for name, value in test.items())
    print(f"test on {run.info.name}{stand_in}: {shown or 'no test split'}   ({duration(seconds)})")
    print(f"report: {run.folder / 'report.md'}")
    print(f"next: recipes export {run.command}")
    return model


def _keep_interrupted(model: keras.Model, run: Run) -> None:
    """Saves what an interrupted run has learned, without calling it finished."""
    save_model(model, run.folder / "model.keras")
    epochs = len(model.history.epoch) if getattr(model, "history", None) else 0
    run.metrics = {"status": "interrupted", "epochs": epochs, "parameters": model.count_params()}
    write_report(run)
    print(
        f"\ninterrupted after {epochs} whole epochs. The model so far is in {run.folder / 'model.keras'}; "
        f"evaluate({str(run.folder)!r}) reads it",
        file=sys.stderr,
    )


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file in one step."""
    write_atomically(path, lambda part: model.save(part))


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
