"""tf.data streams whose batches follow from the number of their step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.errors import DataError


def endless(batch: Callable[[tf.Tensor], Any], start: int) -> tf.data.Dataset:
    """Returns the batches of the steps `start`, `start + 1` and so on.

    Args:
        batch: Step, a scalar int64, -> its batch.
        start: The first step.
    """
    return steps_from(start).map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def steps_from(start: int) -> tf.data.Dataset:
    """Returns `start`, `start + 1` and so on, scalar int64."""
    return tf.data.Dataset.range(start, np.iinfo(np.int64).max).with_options(without_autotuner())


def rows_on_disk(array: np.ndarray) -> tf.data.Dataset:
    """Returns the rows of an array that is read from a disk, one by one: from_tensor_slices would read it whole."""

    def read(row: tf.Tensor) -> tf.Tensor:
        value = tf.numpy_function(lambda row: np.array(array[row]), [row], array.dtype, stateful=False)
        return tf.ensure_shape(value, array.shape[1:])

    return tf.data.Dataset.range(len(array)).map(read)


def without_autotuner() -> tf.data.Options:
    """Returns options without tf.data's autotuner: a map uses all cores, and a dropped iterator is gone at once.

    The autotuner's thread at times sleeps through the end of its iterator, by then for up to a minute, and `Model.fit`
    waits for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def evaluation_options() -> tf.data.Options:
    """Returns options for data that is looked at once: several workers take turns, and each example is seen once."""
    options = without_autotuner()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def shared_evenly(examples: int, batch_size: int) -> int:
    """Returns the batch size for so many examples: no larger than they are, where replicas share the first batch.

    Raises:
        DataError: If there are fewer examples than replicas.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if examples < replicas:
        raise DataError(f"{examples} examples are too few to validate on {replicas} replicas; expected {replicas}")
    return batch_size if examples >= batch_size else examples // replicas * replicas
