"""`fit_model` and `evaluate_model`: Keras's own loop, with a run folder around it and clear errors."""

import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from recipes.data.splits import Splits
from recipes.errors import DataError
from recipes.training.config import ConfigT, change
from recipes.training.devices import choose_precision, describe_strategy, environment
from recipes.training.failures import clear_errors
from recipes.training.files import write_atomically, write_json
from recipes.training.progress import Progress, StopOnNaN, duration, refuse_nan
from recipes.training.report import write_report
from recipes.training.runs import Run, start_run


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
    precision = choose_precision(config.precision)
    strategy = describe_strategy(model.distribute_strategy)
    where = {"strategy": strategy, "precision": precision.policy, "why": precision.reason}
    with clear_errors(config.batch_size, runs):
        run = start_run(config, splits.info, {**where, "command": sys.argv, **environment()}, runs)
        print(f"{run.recipe} on {splits.info}")
        print(f"strategy: {strategy}   precision: {precision.policy} ({precision.reason})")
        print(f"run folder: {run.folder}")
        model.run = run
        progress, started = Progress(), time.time()
        logs = [
            keras.callbacks.CSVLogger(str(run.folder / "history.csv")),
            keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False),
        ]
        try:
            run_epochs(model, splits, config.epochs, [*callbacks, StopOnNaN(), *logs, progress])
            _finish(model, splits, run, seconds=time.time() - started)
        except KeyboardInterrupt:
            progress.close()
            _keep_interrupted(model, splits, run)
            raise
        finally:
            progress.close()
    return model


def run_epochs(
    model: keras.Model, splits: Splits, epochs: int, callbacks: list[keras.callbacks.Callback]
) -> keras.callbacks.History:
    """Returns the curves of `Model.fit` on the training split, validated after each epoch, in silence."""
    return model.fit(
        splits.train,
        epochs=epochs,
        steps_per_epoch=splits.steps_per_epoch,
        validation_data=splits.validation,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,  # the split is shuffled already, and Keras warns where it is told to
    )


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


def _finish(model: keras.Model, splits: Splits, run: Run, seconds: float) -> None:
    """Writes the model first, then the test metrics and the report; metrics.json last."""
    _save(model, splits, run)
    test = evaluate_model(model, splits) if splits.test is not None else {}
    refuse_nan(test, "on the test split")
    logs = model.history.history
    metrics = {
        "status": "finished",
        "data": run.info.to_json(),
        "epochs": len(model.history.epoch),
        "seconds": round(seconds, 1),
        "parameters": model.count_params(),
        "test": test,
        "train": {name: values[-1] for name, values in logs.items() if not name.startswith("val_")},
        "validation": {name[4:]: values[-1] for name, values in logs.items() if name.startswith("val_")},
    }
    run.metrics = metrics
    write_report(run)
    write_json(run.folder / "metrics.json", metrics)
    shown = "  ".join(f"{name} {value:.4f}" for name, value in test.items())
    print(f"test on {run.info.name}{run.info.stand_in_note}: {shown or 'no test split'}   ({duration(seconds)})")
    print(f"report: {run.folder / 'report.md'}")
    print(f"next: recipes export {run.command} --run {run.folder}")


def _keep_interrupted(model: keras.Model, splits: Splits, run: Run) -> None:
    """Saves what an interrupted run has learned, without calling it finished."""
    _save(model, splits, run)
    epochs = len(getattr(model.history, "epoch", ()))  # there is none before the first epoch
    run.metrics = {"status": "interrupted", "epochs": epochs, "parameters": model.count_params()}
    write_report(run)
    print(
        f"\ninterrupted after {epochs} whole epochs. The model so far is in {run.folder / 'model.keras'}; "
        f"evaluate({str(run.folder)!r}) reads it",
        file=sys.stderr,
    )


def _save(model: keras.Model, splits: Splits, run: Run) -> None:
    """Writes the model and a few examples to check an export with, each in one step."""
    write_atomically(run.folder / "model.keras", lambda part: model.save(part))
    write_atomically(run.folder / "examples.npy", lambda part: _save_array(part, splits.examples()))


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)
