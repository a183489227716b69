"""The loop of `fit` and of a trial: Keras' own, or a recipe's, from a checkpoint to some epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import build_all, workers_can_fit
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, DataError
from recipes.runs.checkpoint_callback import CheckpointCallback, ClearPartialEpoch
from recipes.runs.progress import StopOnNaN, numbers
from recipes.runs.report import HistoryFile
from recipes.settings import Settings
from recipes.verbs.training_settings import averaged_weights, early_stopping, in_order


class TrainingLoop:
    """A compiled model's training, with its checkpoints and what they keep.

    Read its last checkpoint with `saving.read()`, and then `run` it.

    Args:
        model: Compiled, built under the strategy that trains it.
        splits: The data.
        folder: Checkpoints go to `<folder>/checkpoints`, the curves to `<folder>/history.csv`.
        config: The settings.
        callbacks: Keras callbacks whose state is part of a checkpoint.
        objective: The figure that early stopping looks at, and "max" or "min".
        workers: On which it is trained; the chief writes.
    """

    def __init__(
        self,
        model: keras.Model,
        splits: Splits,
        folder: Path,
        config: Settings,
        callbacks: Sequence[keras.callbacks.Callback],
        objective: tuple[str, str],
        workers: Workers,
    ) -> None:
        if splits.train is not None:
            build_all(model, splits.train.element_spec)
        elif workers.count > 1:
            raise ConfigError(
                f"{model.name} makes its own data as it trains, on one machine; expected strategy='single'"
            )
        else:
            model.optimizer.build(model.trainable_variables)
            callbacks = [EpochMeans(), *callbacks]
        self.model, self.splits, self.folder = model, splits, folder
        self.workers, self.callbacks = workers, list(callbacks)
        self.averaged, self.stopping = averaged_weights(config), early_stopping(config, objective)
        self.history = keras.callbacks.History()
        self.curves = HistoryFile(folder / "history.csv", workers.is_chief)
        steps = splits.steps_per_epoch if splits.can_be_resumed else None
        self.can_be_resumed = steps is not None
        judges = [callback for callback in (self.averaged, self.stopping) if callback]
        stateful = [*self.callbacks, self.history, self.curves, *judges]
        self.saving = CheckpointCallback(folder / "checkpoints", stateful, steps or 1, config, workers)

    @property
    def position(self) -> tuple[int, int]:
        """(whole epochs, steps of the next) that an earlier part of the training has done."""
        return self.saving.epoch, self.saving.step

    def run(self, epochs: int, shown: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Trains to the end of some epoch, from 1 on; no further where a callback has ended it before.

        Args:
            epochs: After how many to end, those before the checkpoint included.
            shown: Callbacks that show what happens; they see what all others log, and a checkpoint holds none of them.
        """
        position = self.position
        every = in_order([*self.callbacks, self.history, self.curves, *shown], self.averaged, self.stopping)
        last = [self.saving] if self.can_be_resumed else []
        data = _share(self.splits, self.workers, self.model.distribute_strategy, self.saving.first_step)
        run_epochs(
            self.model,
            replace(self.splits, train=data),
            self.saving.epoch if self.saving.stopped else epochs,
            [ClearPartialEpoch(self.saving), StopOnNaN(position), *every, *last],
            position,
        )


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
