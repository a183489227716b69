"""`fit`: Keras' own loop, with a run folder around it, exact resuming and clear errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from recipes.data.splits import DataInfo, Sizes, Splits, few_steps_note
from recipes.devices.environment import environment
from recipes.devices.keras_fixes import build_all, workers_can_fit
from recipes.devices.precision import choose_precision, deterministic_ops
from recipes.devices.strategies import describe_strategy, training_scope
from recipes.devices.workers import Workers, lost_workers_explained
from recipes.errors import ConfigError, DataError, NotFiniteError
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import write_atomically
from recipes.runs.checkpoint_callback import CheckpointCallback, ClearPartialEpoch, signals_to
from recipes.runs.finish import finish_run, keep_interrupted
from recipes.runs.open_run import open_run
from recipes.runs.progress import Progress, StopOnNaN
from recipes.runs.report import HistoryFile
from recipes.runs.run_folder import Run, locked_folder
from recipes.settings import WithoutEffectError, with_changes
from recipes.verbs.evaluate import compiled_metrics

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe, Report


def fit_recipe(
    recipe: Recipe,
    config: Any,
    data: Any,
    callbacks: Iterable[keras.callbacks.Callback],
    runs: str | Path,
    resume: bool,
) -> keras.Model:
    """Returns a recipe's trained model; see `Recipe.fit`."""
    with training_scope(config):  # the strategy first: several machines must meet before TensorFlow does anything else
        splits = recipe.load_data(config, data)
        config = follow_stand_in(config, splits.info)
        run = open_run(config, splits, runs, resume)  # a new run, or an unfinished one; its precision
        keras.utils.set_random_seed(config.seed)
        model = recipe.build(config, splits.info.sizes(recipe.sizes))
    return fit_model(model, splits, run, [*callbacks, *recipe.callbacks(splits)], recipe.report, recipe.figures)


def follow_stand_in(config: Any, info: DataInfo) -> Any:
    """Returns the config with the settings that the data decides: generated scenes have an encoder of their own."""
    names = {field.name for field in fields(config)} - {field.name for field in fields(Sizes)}
    changes = {name: value for name, value in info.follows.items() if name in names}
    while True:
        try:
            return with_changes(config, **changes)
        except WithoutEffectError as error:  # a setting of what the data has no use for
            changes[error.name] = getattr(type(config)(), error.name)


def fit_model(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    report: Report = lambda model, splits, folder: {},
    figures: Callable[..., dict[str, float]] = compiled_metrics,
) -> keras.Model:
    """Trains a compiled model, evaluates it on the test split, and writes everything to the run's folder.

    An unfinished run is resumed at the step where its newest whole checkpoint was written. On several workers, all
    train and the chief writes.

    Args:
        model: Compiled, built under `training_scope(config)` after `open_run`.
        splits: The data.
        run: What `open_run` returned; of its config, reads `epochs`, `batch_size`, `deterministic` and
            `checkpoint_...`.
        callbacks: Your own Keras callbacks, called before ours. Their plain attributes are part of a checkpoint.
        report: (model, splits, folder) -> title -> name of the file that it wrote there, for the report.
        figures: (model, splits) -> its figures on the test split.

    Returns:
        The model, trained; on several workers a copy of it that needs none of the others. Its `run` tells the folder
        and the metrics, its `history` the curves.

    Raises:
        TrainingError: Out of memory, disk full, a lost worker, or a loss that is no number. The run stays unfinished.
        RunError: If another process is training in the run's folder.
        KeyboardInterrupt: As pressed; what was learned by then is saved first.
        SystemExit: With status 75 after SIGTERM; what was learned by then is saved first.
    """
    strategy = model.distribute_strategy
    workers, precision = Workers(strategy), run.precision or choose_precision(run.config.precision)
    where = {
        "strategy": describe_strategy(strategy),
        "precision": precision.policy,
        "why": precision.reason,
        "workers": workers.count,
        "command": sys.argv,
        **environment(),
    }
    with (
        clear_errors(run.config.batch_size, run.folder),
        lost_workers_explained(strategy),
        locked_folder(run, where, workers),
    ):
        model.run = run
        with deterministic_ops(run.config.deterministic):
            return _train(model, splits, run, list(callbacks), report, figures, workers, where)


def _train(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: list[keras.callbacks.Callback],
    report: Report,
    figures: Callable[..., dict[str, float]],
    workers: Workers,
    where: dict[str, Any],
) -> keras.Model:
    """Trains from the run's last checkpoint, or the beginning, to its end."""
    if splits.train is not None:
        build_all(model, splits.train.element_spec)
    elif workers.count > 1:
        raise ConfigError(f"{run.recipe} makes its own data as it trains, on one machine; expected strategy='single'")
    else:
        model.optimizer.build(model.trainable_variables)
        callbacks = [EpochMeans(), *callbacks]
    history = keras.callbacks.History()
    steps = splits.steps_per_epoch if splits.can_be_resumed else None
    saving = CheckpointCallback(run.folder / "checkpoints", [*callbacks, history], steps or 1, run.config, workers)
    if run.resumes:
        saving.read()
    position = (saving.epoch, saving.step)
    progress = Progress(position, saving.seconds_before)
    last = [history, StopOnNaN(position)]
    if run.writes:
        _announce(run, where, position)
        if note := few_steps_note(splits, run.config.batch_size):
            print(note, flush=True)
        board = keras.callbacks.TensorBoard(str(run.folder / "tensorboard"), write_graph=False)
        last += [HistoryFile(history, run.folder / "history.csv"), board, progress]
    else:
        print(f"worker {workers.index} of {workers.count} trains along; the chief reports", flush=True)
    if steps:
        last.append(saving)
    with signals_to(saving):
        try:
            epochs = saving.epoch if saving.stopped else run.config.epochs
            everyone = [ClearPartialEpoch(saving), *callbacks, *last]
            data = _share(splits, workers, model.distribute_strategy, saving.first_step)
            run_epochs(model, replace(splits, train=data), epochs, everyone, position)
            return finish_run(model, splits, run, saving.seconds_in_all, workers, report, figures)
        except KeyboardInterrupt:
            progress.close()
            if run.writes and not run.metrics:  # else it was pressed when all was done but the last words
                keep_interrupted(model, splits, run, steps is not None)
            raise
        except NotFiniteError as error:  # a run that is resumed from the checkpoint would end there again
            if run.writes:
                message = str(error)
                write_atomically(run.folder / "failed.txt", lambda part: part.write_text(message + "\n"))
            raise
        finally:
            progress.close()


def run_epochs(
    model: keras.Model,
    splits: Splits,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    position: tuple[int, int] = (0, 0),
) -> keras.callbacks.History:
    """Returns the curves of `Model.fit` on the training split, validated after each epoch, in silence.

    Args:
        model: Compiled.
        splits: The data; with a `train_step`, that trains in place of `Model.fit`.
        epochs: In all.
        callbacks: Keras callbacks.
        position: (epochs, steps of the next) that an earlier part of the run has done; `splits.train` starts there.
    """
    if splits.train_step:
        return run_own_loop(model, splits, epochs, callbacks, position)
    with workers_can_fit(model.distribute_strategy):
        return model.fit(
            splits.train,
            epochs=epochs,
            initial_epoch=position[0],
            steps_per_epoch=splits.steps_per_epoch,
            validation_data=splits.validation,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,  # the split is shuffled already, and Keras warns about True
        )


def run_own_loop(
    model: keras.Model,
    splits: Splits,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    position: tuple[int, int] = (0, 0),
) -> keras.callbacks.History:
    """Returns the curves of a recipe that makes its own data: `splits.train_step` in place of `Model.fit`.

    Callbacks see what they see of `Model.fit`: batches, epochs, and the means of an epoch's logs, with the figures of
    the validation split where there is one.

    Args:
        model: Compiled.
        splits: With a `train_step`, (model, step) -> logs, and `steps_per_epoch`.
        epochs: Of `steps_per_epoch` steps each.
        callbacks: Keras callbacks; an `EpochMeans` that a checkpoint holds may be among them.
        position: (epochs, steps of the next) that an earlier part of the run has done.
    """
    steps = splits.steps_per_epoch
    means = next((callback for callback in callbacks if isinstance(callback, EpochMeans)), None)
    if means is None:
        means = EpochMeans()
        callbacks = [means, *callbacks]
    assert splits.train_step is not None
    if steps is None:
        raise DataError("Splits with a train_step need steps_per_epoch, which says where an epoch ends")
    every = keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, epochs=epochs, steps=steps, verbose=0
    )
    model.stop_training = False
    every.on_train_begin()
    first_epoch, first_step = position
    for epoch in range(first_epoch, epochs):
        every.on_epoch_begin(epoch)
        for number, step in enumerate(range(first_step if epoch == first_epoch else 0, steps)):
            every.on_train_batch_begin(number)
            logs = {name: float(value) for name, value in splits.train_step(model, epoch * steps + step).items()}
            every.on_train_batch_end(number, logs)
            if model.stop_training:
                break
        logs = means.result()
        if splits.validation is not None:
            figures = model.evaluate(splits.validation, return_dict=True, verbose=0)
            logs |= {f"val_{name}": float(value) for name, value in figures.items()}
        every.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    every.on_train_end()
    return model.history


class EpochMeans(keras.callbacks.Callback):
    """Means of an epoch's logs. Its attributes are part of a checkpoint, so a resumed epoch has the same means."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.sums, self.counts = {}, {}

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        for name, value in (logs or {}).items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def result(self) -> dict[str, float]:
        """Returns the mean of each name that was logged in the epoch so far."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


def _share(splits: Splits, workers: Workers, strategy: tf.distribute.Strategy, first_step: int) -> Any:
    """Returns the training data from a step on; on several workers, the part of each batch that is this one's."""
    train_from = splits.train_from
    if train_from is None or splits.train is None:
        return splits.train  # a user's own: one worker, or shared out by TensorFlow
    if workers.count == 1:
        return train_from(first_step, 0, 1)
    replicas = strategy.num_replicas_in_sync // workers.count

    def mine(context: tf.distribute.InputContext) -> tf.data.Dataset:
        data = train_from(first_step, context.input_pipeline_id, context.num_input_pipelines)
        if replicas == 1:
            return data
        return data.rebatch(data.element_spec[0].shape[0] // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(mine)


def _announce(run: Run, where: dict[str, Any], position: tuple[int, int]) -> None:
    print(f"{run.recipe} on {run.info}")
    print(f"strategy: {where['strategy']}   precision: {where['precision']} ({where['why']})")
    print(f"run folder: {run.folder}", flush=True)
    if run.resumes:
        epochs, steps = position
        print(
            f"resuming the unfinished run there, after {epochs} whole epochs and {steps} steps "
            "(resume=False, --no-resume, starts over)",
            flush=True,
        )
