"""`average_weights`: the exponential moving average of the weights, which is what is validated and saved."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class AveragedWeights(keras.callbacks.Callback):
    """Averages the weights after each update, and puts the average into the model wherever that is judged.

    After update n, from 1 on, and with w what the model has then:

        average += (1 - m) (w - average),   m = min(momentum, n / (9 + n))

    The average begins at the first weights; while there are few updates m is small, so that these are soon forgotten.
    All floating-point weights are averaged, the moving averages of batch normalisation among them: the trained ones
    would be those of other weights. (Tan and Le's EfficientNet does so, https://arxiv.org/abs/1905.11946.)

    From the beginning of a validation to the end of its epoch the model has the average, so that every callback which
    looks at it then sees that; `back` puts the trained weights back. At the end of training the average stays. A
    checkpoint may be taken whenever the model has the trained weights.

    Polyak and Juditsky (1992), https://doi.org/10.1137/0330046.

    Args:
        momentum: In (0, 1), such as 0.999, which averages over some 1,000 updates.
        accumulate_steps: Batches that make an update.
    """

    def __init__(self, momentum: float, accumulate_steps: int = 1) -> None:
        super().__init__()
        self.momentum, self.accumulate_steps = momentum, accumulate_steps
        self.batches = 0  # that were trained on
        self.averages: list[tf.Variable] = []
        self.trained: list[np.ndarray] | None = None  # the weights that training goes on with, while they are out
        self.back = TrainedWeightsBack(self)

    def on_train_begin(self, logs: dict | None = None) -> None:  # noqa: D102
        self.averages = [tf.Variable(value, trainable=False) for value in self._values()]

        @tf.function
        def update(share: tf.Tensor) -> None:
            for average, weight in zip(self.averages, self._weights(), strict=True):
                difference = tf.convert_to_tensor(weight.value) - average  # 0 of one that stays: it keeps its bits
                average.assign_add(tf.cast(share, average.dtype) * difference)

        self._update = update

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.batches += 1
        updates, rest = divmod(self.batches, self.accumulate_steps)
        if not rest:
            with self.model.distribute_strategy.scope():
                self._update(tf.constant(1 - min(self.momentum, updates / (9 + updates)), tf.float32))

    def on_test_begin(self, logs: dict | None = None) -> None:  # noqa: D102
        self.put()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.put()  # where nothing was validated

    def on_train_end(self, logs: dict | None = None) -> None:  # noqa: D102
        self.put()

    def put(self) -> None:
        """Puts the average into the model; does nothing where it is there already, or training has not begun."""
        if self.trained is None and self.averages:
            self.trained = self._values()
            self._assign([average.numpy() for average in self.averages])

    def take_out(self) -> None:
        """Puts the trained weights back."""
        if self.trained is not None:
            self._assign(self.trained)
            self.trained = None

    def get_state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"batches": self.batches, "averages": [average.numpy() for average in self.averages]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what `get_state` returned."""
        self.batches = state["batches"]
        for average, value in zip(self.averages, state["averages"], strict=True):
            average.assign(value)

    def _weights(self) -> list[keras.Variable]:
        return [weight for weight in self.model.weights if keras.backend.is_float_dtype(weight.dtype)]

    def _values(self) -> list[np.ndarray]:
        with self.model.distribute_strategy.scope():
            return [np.array(weight.value.numpy()) for weight in self._weights()]

    def _assign(self, values: list[np.ndarray]) -> None:
        with self.model.distribute_strategy.scope():
            for weight, value in zip(self._weights(), values, strict=True):
                weight.assign(value)


class TrainedWeightsBack(keras.callbacks.Callback):
    """Puts the trained weights back at an epoch's end, when all who judge the model have seen the average."""

    def __init__(self, averaged: AveragedWeights) -> None:
        super().__init__()
        self._averaged = averaged

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self._averaged.take_out()
