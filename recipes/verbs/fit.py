"""`fit`: Keras' own loop, with a run folder around it, exact resuming and clear errors."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import DataInfo, Sizes, Splits, few_steps_note
from recipes.devices.environment import environment
from recipes.devices.keras_fixes import build_all, has_rate_schedule, workers_can_fit
from recipes.devices.precision import choose_precision, deterministic_ops
from recipes.devices.strategies import describe_strategy, training_scope
from recipes.devices.workers import Workers, lost_workers_explained
from recipes.errors import ConfigError, DataError, NotFiniteError, printable
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import write_atomically
from recipes.runs.checkpoint_callback import CheckpointCallback, ClearPartialEpoch, signals_to
from recipes.runs.exhibits import Report
from recipes.runs.finish import finish_run, keep_interrupted
from recipes.runs.open_run import open_run
from recipes.runs.progress import Progress, StopOnNaN, numbers
from recipes.runs.report import HistoryFile
from recipes.runs.run_folder import Run, locked_folder
from recipes.runs.signals import ended_by_sigterm
from recipes.settings import WithoutEffectError, with_changes
from recipes.verbs.evaluate import compiled_metrics
from recipes.verbs.resume import unfinished_run
from recipes.verbs.training_settings import apply_training_settings, averaged_weights, early_stopping, in_order

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def fit_recipe(
    recipe: Recipe,
    config: Any,
    data: Any,
    callbacks: Any,
    runs: str | Path,
    resume: bool | str | Path,
) -> keras.Model:
    """Returns a recipe's trained model; see `Recipe.fit`."""
    callbacks = checked_callbacks(callbacks)
    resumed = None if isinstance(resume, bool) else unfinished_run(recipe, resume, data, runs)
    config = resumed.config if resumed else config
    nothing = "nothing is trained or saved yet; run the same command again"
    with ended_by_sigterm(nothing) as reason, caller_random_state():
        with training_scope(config):  # first: several machines must meet before TensorFlow does anything else
            splits = resumed.load(recipe) if resumed else recipe.load_data(config, data)
            config = follow_stand_in(config, splits.info)
            # a new run, or an unfinished one; its precision
            run = open_run(config, splits, runs, resumed.run.folder if resumed else bool(resume))
            keras.utils.set_random_seed(config.seed)
            model = recipe.build(config, splits.info.sizes(recipe.sizes))
            apply_training_settings(model, config, splits, recipe.objective_on(splits.info))
            refuse_to_change_a_schedule(callbacks, model, run)
        every = [*callbacks, *recipe.callbacks(splits)]
        model = fit_model(model, splits, run, every, recipe.reports, recipe.figures, recipe.objective_on(splits.info))
        reason[0] = "the run is finished"
        return model


def checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Returns a user's callbacks as a list; a single one needs none.

    Raises:
        ConfigError: If there is anything else among them.
    """
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise ConfigError(f"callbacks is a {type(callbacks).__name__}; expected a list of Keras callbacks")
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback):
            name = callback.__name__
            raise ConfigError(f"callbacks holds the class {name}; expected {name}(), one that is made of it")
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(f"callbacks holds a {type(callback).__name__}; expected Keras callbacks")
    return callbacks


def refuse_to_change_a_schedule(callbacks: list[keras.callbacks.Callback], model: keras.Model, run: Run) -> None:
    """Refuses callbacks that set the learning rate where a schedule does, before Keras does so in some later epoch."""
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    for callback in callbacks:
        if isinstance(callback, setters) and has_rate_schedule(model.optimizer):
            raise ConfigError(
                f"{type(callback).__name__} changes the learning rate, and {run.recipe} has a schedule that does; "
                "expected callbacks that leave it alone. Or pass constant_rate=True (--constant-rate): the rate is "
                f"learning_rate={run.config.learning_rate:g} then, until a callback changes it"
            )


@contextmanager
def caller_random_state() -> Iterator[None]:
    """Leaves the caller's random generators of Python and NumPy as they were: a run has states of its own."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


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
    reports: Sequence[Report] = (),
    figures: Callable[..., dict[str, float]] = compiled_metrics,
    objective: tuple[str, str] = ("val_loss", "min"),
) -> keras.Model:
    """Trains a compiled model, evaluates it on the test split, and writes everything to the run's folder.

    An unfinished run is resumed at the step where its newest whole checkpoint was written. On several workers, all
    train and the chief writes.

    Args:
        model: Compiled, built under `training_scope(config)` after `open_run`.
        splits: The data.
        run: What `open_run` returned; of its config, reads `epochs`, `batch_size`, `deterministic`, `checkpoint_...`,
            `early_stopping`, `average_weights` and `accumulate_steps`.
        callbacks: Your own Keras callbacks, called before ours. Their plain attributes are part of a checkpoint.
        reports: (model, splits) -> (title, file name, function that makes its figure or text) of what is shown.
        figures: (model, splits) -> its figures on the test split.
        objective: The figure that early stopping looks at, and "max" or "min".

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
            return _train(model, splits, run, list(callbacks), reports, figures, objective, workers, where)


def _train(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: list[keras.callbacks.Callback],
    reports: Sequence[Report],
    figures: Callable[..., dict[str, float]],
    objective: tuple[str, str],
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
    averaged, stopping = averaged_weights(run.config), early_stopping(run.config, objective)
    judges = [callback for callback in (averaged, stopping) if callback]
    history, curves = keras.callbacks.History(), HistoryFile(run.folder / "history.csv", run.writes)
    steps = splits.steps_per_epoch if splits.can_be_resumed else None
    saving = CheckpointCallback(
        run.folder / "checkpoints", [*callbacks, history, curves, *judges], steps or 1, run.config, workers
    )
    if run.resumes:
        saving.read()
    position = (saving.epoch, saving.step)
    progress = Progress(position, saving.seconds_before)
    last = [history, curves]
    if run.writes:
        _announce(run, where, position)
        if note := few_steps_note(splits, run.config.batch_size):
            print(note, flush=True)
        last += [Board(str(run.folder / "tensorboard"), write_graph=False), progress]
    else:
        print(f"worker {workers.index} of {workers.count} trains along; the chief reports", flush=True)
    with signals_to(saving):
        try:
            epochs = saving.epoch if saving.stopped else run.config.epochs
            every = in_order([*callbacks, *last], averaged, stopping)
            everyone = [ClearPartialEpoch(saving), StopOnNaN(position), *every, *([saving] if steps else [])]
            data = _share(splits, workers, model.distribute_strategy, saving.first_step)
            run_epochs(model, replace(splits, train=data), epochs, everyone, position)
            return finish_run(model, splits, run, curves, stopping, saving.seconds_in_all, workers, reports, figures)
        except KeyboardInterrupt:
            progress.close()
            if averaged:
                averaged.put()
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
            figures = model.evaluate(splits.validation, return_dict=True, verbose=0, callbacks=every)
            logs |= {f"val_{name}": float(value) for name, value in figures.items()}
        every.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    every.on_train_end()
    return model.history


class Board(keras.callbacks.TensorBoard):
    """Keras' own, of the numbers alone: a user's callback may log texts and arrays, too."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        super().on_epoch_end(epoch, numbers(logs))


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
    print(printable(f"{run.recipe} on {run.info}"))
    print(f"strategy: {where['strategy']}   precision: {where['precision']} ({where['why']})")
    print(f"run folder: {run.folder}", flush=True)
    if run.resumes:
        epochs, steps = position
        print(
            f"resuming the unfinished run there, after {epochs} whole epochs and {steps} steps "
            "(resume=False, --no-resume, starts over)",
            flush=True,
        )
