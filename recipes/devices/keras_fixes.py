"""What Keras 3.15 gets wrong under MultiWorkerMirroredStrategy, set right while a model trains.

https://github.com/keras-team/keras/issues/20585: `Model.fit` (1) averages a batch over the workers to learn its shape,
which fails on their structure, and (2) averages the metrics along an axis that scalars do not have. The model is built
beforehand, so (1) has nothing to do; (2) is averaged without an axis. When Keras has mended it,
tests/devices/test_workers.py says so and this module can go.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer

#: What is wrong with `reduce_per_replica`, in Keras's own words.
BROKEN = 'strategy.reduce("MEAN", v, axis=0)'


def is_broken() -> bool:
    """Returns whether this version of Keras still has the fault."""
    return BROKEN in inspect.getsource(trainer.reduce_per_replica)


@contextmanager
def workers_can_fit(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Makes `Model.fit` and `Model.evaluate` work for several workers; does nothing elsewhere, or once Keras does."""
    if not (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and is_broken()):
        yield
        return
    original = trainer.reduce_per_replica

    def reduce_per_replica(values: Any, strategy: Any, reduction: str) -> Any:
        if reduction not in ("auto", "mean"):
            return original(values, strategy, reduction)
        return keras.tree.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    def already_built(*args: Any, **kwargs: Any) -> None:
        """Takes the place of `_maybe_symbolic_build`."""

    with (
        mock.patch.object(trainer, "reduce_per_replica", reduce_per_replica),
        mock.patch.object(trainer.TensorFlowTrainer, "_maybe_symbolic_build", already_built),
    ):
        yield


def build_all(model: keras.Model, batch_spec: Any) -> None:
    """Makes every variable that training will have: the compiled metrics' and the optimizer's too.

    `Model.fit` does so in its first step, which is too late for a checkpoint to be put back.

    Args:
        model: Compiled.
        batch_spec: The `tf.TensorSpec`s of a batch, as `Model.fit` takes one.
    """
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=batch_spec)
