"""Batches in a served graph: an error names its row, an empty batch has an answer, signatures share their parts."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def check_rows(is_right: Any, message: str, *values: Any) -> Any:
    """Returns the operation that stops a graph where a row of a batch is wrong, and names the first that is.

    In TensorFlow operations alone. Other operations wait for it in `tf.control_dependencies`.

    Args:
        is_right: (B,) bool.
        message: With a {} for the number of the row, counted from 0, and one for each of `values`.
        *values: (B,) numbers or strings, of which the message shows those of that row.

    Raises:
        tf.errors.InvalidArgumentError: When the operation runs.
    """
    is_right = tf.convert_to_tensor(is_right)
    first = tf.where(~is_right)[:1, 0]  # (1,), or (0,) where all rows are right
    start, *parts = message.split("{}")
    of_row = (first, *(tf.gather(value, first) for value in values))
    shown = [tf.strings.reduce_join(tf.strings.as_string(value)) for value in of_row]
    pieces = [piece for pair in zip(shown, parts, strict=True) for piece in pair]
    return tf.debugging.Assert(tf.reduce_all(is_right), [tf.strings.join([start, *pieces])])


def with_one_if_empty(function: Callable[..., dict[str, Any]], *batch: Any) -> dict[str, Any]:
    """Returns what a function answers to a batch; to an empty one, nothing, where kernels and loops would fail on it.

    In TensorFlow operations alone: an empty batch is made one row of zeros, or of empty strings, whose answers are cut
    off.

    Args:
        function: Tensors (B, ...) -> outputs (B, ...) by name.
        *batch: What it takes.
    """
    count = tf.shape(batch[0])[0]
    missing = tf.cast(count == 0, tf.int32)[tf.newaxis]
    padded = [
        tf.concat([values, tf.zeros(tf.concat([missing, tf.shape(values)[1:]], 0), values.dtype)], 0)
        for values in map(tf.convert_to_tensor, batch)
    ]
    return {name: answer[:count] for name, answer in function(*padded).items()}


def graph_of(function: Callable[..., Any], *specs: tf.TensorSpec) -> Callable[..., Any]:
    """Returns a function as one graph, which all signatures that call it share: it is made, and saved, once.

    Args:
        function: Tensors -> tensors, in TensorFlow operations.
        *specs: What it takes.
    """
    return tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
