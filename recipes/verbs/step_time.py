"""How long a training step of a recipe's own model takes, by which its precision is chosen."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.devices.precision import OwnStep

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

STEPS = (3, 20)  # that are timed: at least, and at most
SECONDS = 1.0  # after which no further ones are


def own_step(recipe: Recipe, config: Any, splits: Splits) -> OwnStep | None:
    """Returns how to measure the step of the model that a config makes for some data.

    None where the model makes its own data, and for several replicas, which would all have to measure.
    """
    if splits.train is None or tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return None

    def build() -> keras.Model:
        return recipe.build(config, splits.info.sizes(recipe.sizes))

    def key() -> str:
        weights = [(tuple(weight.shape), weight.dtype) for weight in build().weights]
        batch = tf.nest.flatten(splits.train.element_spec)
        text = f"{recipe.config_class.__module__} {weights} {batch}"
        return hashlib.sha256(text.encode()).hexdigest()

    def milliseconds(policy: str) -> float:
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(policy)
            model, clock = build(), Clock()
            batch = next(iter(splits.train))
            repeated = tf.data.Dataset.from_tensors(batch).repeat()
            model.fit(repeated, steps_per_epoch=STEPS[1], callbacks=[clock], verbose=0, shuffle=False)
        finally:
            keras.config.set_dtype_policy(before)
        return 1000 * min(clock.seconds)

    return OwnStep(key, milliseconds)


class Clock(keras.callbacks.Callback):
    """Takes the processor time of each step but the first two, and ends the training when there are enough of them.

    Processor time, for other programs change how long a step takes, and hardly the work it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self._start = time.process_time()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        if batch >= 2:  # the first traces, and the second may still be slower
            self.seconds.append(time.process_time() - self._start)
        if len(self.seconds) >= STEPS[0] and sum(self.seconds) >= SECONDS:
            self.model.stop_training = True
