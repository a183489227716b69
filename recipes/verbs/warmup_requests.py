"""Warm-up requests of an export: what TensorFlow Serving asks a version before it makes it available.

They are predict requests, one of each signature, in TensorFlow Serving's own file: a TFRecord of its message
PredictionLog. The package tensorflow-serving-api, which defines it, is not needed: a message of messages is written
below, and each tensor writes itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

FILE = "tf_serving_warmup_requests"  # in assets.extra
ROWS = 2  # of a request, where they are small
MOST_BYTES = 8_000  # of an input's rows; of more, all numbers of the request are the first


def write_warmup_requests(folder: Path, model: str, questions: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the requests to `<folder>/tf_serving_warmup_requests`.

    Args:
        folder: assets.extra of a SavedModel.
        model: Its name.
        questions: Signature -> example values of its inputs, arrays (B, ...).
    """
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, inputs in questions.items():
            writer.write(prediction_log(model, signature, {name: small_tensor(rows) for name, rows in inputs.items()}))


def small_tensor(rows: Any) -> bytes:
    """Returns the first rows of an array as a serialized TensorProto, of at most about MOST_BYTES.

    Where a row is larger, its numbers are all the first: a TensorProto of a single number holds as many as its shape
    says.
    """
    rows = np.asarray(rows)
    for count in range(min(ROWS, len(rows)), 0, -1):
        proto = tf.make_tensor_proto(rows[:count])
        if proto.ByteSize() <= MOST_BYTES:
            return proto.SerializeToString()
    if rows.dtype.kind in "OSU":  # a text or a file cannot be shortened
        return tf.make_tensor_proto(rows[:1]).SerializeToString()
    first = tf.make_tensor_proto(rows.ravel()[:1], shape=rows[:1].shape)
    return first.SerializeToString()


def prediction_log(model: str, signature: str, inputs: Mapping[str, bytes]) -> bytes:
    """Returns a serialized PredictionLog{predict: {request: {model_spec, inputs}}}.

    Args:
        model: The model's name.
        signature: The signature's.
        inputs: Name -> a serialized TensorProto.
    """
    model_spec = field(1, model.encode()) + field(3, signature.encode())
    entries = [field(1, name.encode()) + field(2, tensor) for name, tensor in inputs.items()]
    request = field(1, model_spec) + b"".join(field(2, entry) for entry in entries)  # a map is a list of entries
    return field(6, field(1, request))


def field(number: int, contents: bytes) -> bytes:
    """Returns a field of a protocol buffer that is text, bytes or a message: its number, its length, its contents.

    >>> field(1, b"ab")
    b'\\n\\x02ab'
    """
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def varint(value: int) -> bytes:
    r"""Returns a whole number of 0 or more in groups of seven bits, the lowest first.

    >>> varint(300)
    b'\xac\x02'
    """
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
