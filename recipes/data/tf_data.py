"""tf.data streams whose batches follow from the number of their step, and functions of Python inside of them."""

import atexit
import threading
import time
from collections.abc import Callable, Sequence
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


class _Calls:
    """How many calls of Python are under way in tf.data's threads, and whether Python is about to end.

    What a stream reads ahead, it reads in threads of its own, and an interpreter that ends waits for them while they
    wait for it. So before it ends, calls are refused, which fills what is read ahead, and those under way are awaited.
    """

    def __init__(self) -> None:
        self.lock, self.under_way, self.ending = threading.Lock(), 0, False
        atexit.register(self.end)

    def make(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """Returns a function's answer."""
        with self.lock:
            self.under_way += 1
        try:
            if self.ending:
                raise RuntimeError("Python is about to end")
            return function(*arguments)
        finally:
            with self.lock:
                self.under_way -= 1

    def end(self) -> None:
        """Returns when no call is under way any more, nor comes."""
        self.ending = True
        still, deadline = 0, time.monotonic() + 10
        while still < 10 and time.monotonic() < deadline:  # 10 times in a row: one ends, the next begins
            time.sleep(0.005)
            still = 0 if self.under_way else still + 1


_calls = _Calls()


def in_python(function: Callable[..., Any], inputs: Sequence[Any], dtypes: Any) -> Any:
    """Returns what a function of NumPy arrays answers, in a graph of tf.data; see `tf.numpy_function`."""
    return tf.numpy_function(lambda *arrays: _calls.make(function, arrays), inputs, dtypes, stateful=False)


def rows_on_disk(array: np.ndarray) -> tf.data.Dataset:
    """Returns the rows of an array that is read from a disk, one by one: from_tensor_slices would read it whole."""

    def read(row: tf.Tensor) -> tf.Tensor:
        value = in_python(lambda row: np.array(array[row]), [row], array.dtype)
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
