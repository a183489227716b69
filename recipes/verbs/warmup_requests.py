"""Warm-up requests of an export: what TensorFlow Serving asks a version before it makes it available.

They are predict requests, one of each signature, in TensorFlow Serving's own file: a TFRecord of its message
PredictionLog. The package tensorflow-serving-api, which defines it, is not needed: a message of messages is written
below, and each tensor writes itself.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

FILE = "tf_serving_warmup_requests"  # in assets.extra
ROWS = 2  # of a request, where they are small
MOST_BYTES = 30_000  # of a request of numbers


def small_request(inputs: Mapping[str, np.ndarray]) -> dict[str, TensorProto]:
    """Returns the first rows of a signature's inputs, as many of ROWS as take at most MOST_BYTES, and at least one.

    Where a row of numbers is larger, all of them are as the first: a TensorProto of a single number holds as many as
    its shape says.
    """
    for count in range(ROWS, 0, -1):
        request = {name: tf.make_tensor_proto(values[:count]) for name, values in inputs.items()}
        if sum(tensor.ByteSize() for tensor in request.values()) <= MOST_BYTES:
            return request
    return {
        name: tf.make_tensor_proto(values[:1])
        if values.dtype == object  # a text or a file cannot be made shorter
        else tf.make_tensor_proto(values.ravel()[:1], shape=values[:1].shape)
        for name, values in inputs.items()
    }


def write_requests(folder: Path, model: str, requests: Mapping[str, Mapping[str, TensorProto]]) -> None:
    """Writes requests to `<folder>/tf_serving_warmup_requests`.

    Args:
        folder: assets.extra of a SavedModel.
        model: Its name.
        requests: By signature.
    """
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for signature, inputs in requests.items():
            writer.write(prediction_log(model, signature, inputs))


def prediction_log(model: str, signature: str, inputs: Mapping[str, TensorProto]) -> bytes:
    """Returns a serialized PredictionLog{predict: {request: {model_spec, inputs}}}.

    Args:
        model: The model's name.
        signature: The signature's.
        inputs: By name.
    """
    model_spec = field(1, model.encode()) + field(3, signature.encode())
    entries = [field(1, name.encode()) + field(2, tensor.SerializeToString()) for name, tensor in inputs.items()]
    request = field(1, model_spec) + b"".join(field(2, entry) for entry in entries)  # a map is a list of entries
    return field(6, field(1, request))


def field(number: int, contents: bytes) -> bytes:
    r"""Returns a field of a protocol buffer that is text, bytes or a message: its number, its length, its contents.

    >>> field(1, b"ab")
    b'\n\x02ab'
    """
    return varint(number << 3 | 2) + varint(len(contents)) + contents


def varint(value: int) -> bytes:
    r"""Returns a whole number of 0 or more in groups of seven bits, the lowest first.

    >>> varint(300)
    b'\xac\x02'
    """
    groups = [value >> shift & 0x7F for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
