"""NumPy arrays from TensorProto, and back: what a request may ask for is checked before any memory is taken for it."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from recipes.serving.limits import Limits
from recipes.serving.status import invalid

#: dtype of a TensorProto -> the field with its values, and what one of them is on the wire.
FIELDS = {
    types_pb2.DT_FLOAT: ("float_val", np.float32),
    types_pb2.DT_DOUBLE: ("double_val", np.float64),
    types_pb2.DT_INT8: ("int_val", np.int32),
    types_pb2.DT_INT16: ("int_val", np.int32),
    types_pb2.DT_INT32: ("int_val", np.int32),
    types_pb2.DT_INT64: ("int64_val", np.int64),
    types_pb2.DT_UINT8: ("int_val", np.int32),
    types_pb2.DT_UINT16: ("int_val", np.int32),
    types_pb2.DT_UINT32: ("uint32_val", np.uint32),
    types_pb2.DT_UINT64: ("uint64_val", np.uint64),
    types_pb2.DT_BOOL: ("bool_val", np.bool_),
    types_pb2.DT_HALF: ("half_val", np.int32),
    types_pb2.DT_BFLOAT16: ("half_val", np.int32),
    types_pb2.DT_COMPLEX64: ("scomplex_val", np.float32),
    types_pb2.DT_COMPLEX128: ("dcomplex_val", np.float64),
    types_pb2.DT_STRING: ("string_val", np.object_),
}
NUMPY_DTYPES = {number: np.dtype(tf.as_dtype(number).as_numpy_dtype) for number in FIELDS}
TENSOR_DTYPES = {dtype: number for number, dtype in NUMPY_DTYPES.items()}
BITS = {types_pb2.DT_HALF, types_pb2.DT_BFLOAT16}  # each value is the 16 bits of a number
COMPLEX = {types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128}  # each value is half a number

#: Most elements of a tensor that holds fewer values: else a few bytes ask for as much memory as the largest request.
REPEATED_ELEMENTS = 1 << 20

#: Fields whose packed values on the wire are the array's own bytes, little endian -> their tag: number * 8 + 2.
PACKED_TAGS = {
    "float_val": b"\x2a",
    "double_val": b"\x32",
    "scomplex_val": b"\x4a",
    "bool_val": b"\x5a",
    "dcomplex_val": b"\x62",
}


def to_arrays(protos: Mapping[str, tensor_pb2.TensorProto], limits: Limits) -> dict[str, np.ndarray]:
    """Returns the arrays of the named inputs of a request, which share one limit on elements.

    Raises:
        ServingError: INVALID_ARGUMENT, naming the tensor, as `to_array` does.
    """
    arrays, elements = {}, limits.elements
    for name in sorted(protos):
        arrays[name] = to_array(name, protos[name], limits, elements)
        elements -= arrays[name].size
    return arrays


def to_array(name: str, proto: tensor_pb2.TensorProto, limits: Limits, elements: int | None = None) -> np.ndarray:
    """Returns the array that a TensorProto holds; strings as an object array of bytes. It may be read-only.

    Values stand in the typed field or, little endian, in `tensor_content`. In the typed field the last value is
    repeated up to the number of elements, at most 2^20; without any, all are zero, False or empty.

    Args:
        name: Of the tensor, for messages.
        proto: Anything that parses as a TensorProto.
        limits: `rank` and `elements` that are allowed.
        elements: How many elements are allowed, where it is fewer.

    Raises:
        ServingError: INVALID_ARGUMENT if dtype, shape or values make no tensor, or a larger one than is allowed.
    """
    try:
        shape = checked_shape(
            [dim.size for dim in proto.tensor_shape.dim], limits, elements, unknown=proto.tensor_shape.unknown_rank
        )
        if proto.dtype not in FIELDS:
            raise ValueError(f"dtype {_dtype_name(proto.dtype)} is not supported")
        read = _content if proto.tensor_content else _typed_values
        return read(proto, math.prod(shape)).reshape(shape)
    except ValueError as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from None


def checked_shape(
    dims: list[int], limits: Limits, elements: int | None = None, *, unknown: bool = False
) -> tuple[int, ...]:
    """Returns the shape with these dimensions.

    Raises:
        ValueError: A dimension is negative, or there are more dimensions or elements than allowed. Dimensions of 0
            count as 1, so that the others of an empty tensor are limited too.
    """
    if unknown or min(dims, default=0) < 0:
        raise ValueError(f"shape {'unknown' if unknown else dims[:40]} is not known; expected dimensions of 0 or more")
    if len(dims) > limits.rank:
        raise ValueError(f"{len(dims)} dimensions; expected at most {limits.rank}")
    allowed = limits.elements if elements is None else elements
    if math.prod(dims if 0 not in dims else [dim or 1 for dim in dims]) > max(allowed, 1):
        raise ValueError(f"shape {dims} has more elements than the {allowed} left of {limits.elements} in a request")
    return tuple(dims)


def _typed_values(proto: tensor_pb2.TensorProto, elements: int) -> np.ndarray:
    field, wire_dtype = FIELDS[proto.dtype]
    dtype = NUMPY_DTYPES[proto.dtype]
    values = getattr(proto, field)
    if proto.dtype in COMPLEX and len(values) % 2:
        raise ValueError(f"{len(values)} values in {field}; expected pairs of real and imaginary part")
    if len(values) > elements * (2 if proto.dtype in COMPLEX else 1):
        raise ValueError(f"{len(values)} values in {field} for {elements} elements")
    if dtype.hasobject:
        array = np.empty(len(values), object)  # not np.array(values), which would look into the strings
        array[:] = values
    else:
        array = np.array(values, wire_dtype)
    if proto.dtype in COMPLEX:
        array = array.view(dtype)
    elif array.dtype != dtype and array.size:
        bounds = np.iinfo(np.uint16 if proto.dtype in BITS else dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise ValueError(f"a value in {field} is out of range; expected {bounds.min} to {bounds.max}")
    if proto.dtype in BITS:
        array = array.astype(np.uint16).view(dtype)
    if array.size == elements:
        return array.astype(dtype, copy=False)
    if elements > REPEATED_ELEMENTS:
        raise ValueError(
            f"{array.size} values for {elements} elements; expected all if there are more than {REPEATED_ELEMENTS}"
        )
    padded = np.full(elements, b"", object) if dtype.hasobject else np.zeros(elements, dtype)
    if array.size:
        padded[: array.size], padded[array.size :] = array, array[-1]
    return padded


def _content(proto: tensor_pb2.TensorProto, elements: int) -> np.ndarray:
    content, dtype = proto.tensor_content, NUMPY_DTYPES[proto.dtype]
    if dtype.hasobject:
        return _content_strings(content, elements)
    if len(content) != elements * dtype.itemsize:
        raise ValueError(
            f"{len(content)} bytes of tensor_content; expected {elements} elements of {dtype.itemsize} bytes"
        )
    return little_endian_array(content, dtype)


def little_endian_array(content: bytes | memoryview, dtype: np.dtype) -> np.ndarray:
    """Returns the flat array of some bytes, whose length is a multiple of the dtype's.

    Raises:
        ValueError: A byte of a bool is neither 0 nor 1.
    """
    if dtype == np.bool_ and len(content) and np.frombuffer(content, np.uint8).max() > 1:
        raise ValueError("a byte of a bool is neither 0 nor 1")
    if dtype.kind == "V":  # bfloat16: NumPy knows no byte order of it
        return np.frombuffer(content, "<u2").astype(np.uint16, copy=False).view(dtype)
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False)


def _content_strings(content: bytes, elements: int) -> np.ndarray:
    """Reads strings as TensorFlow's C++ writes them into `tensor_content`: all lengths as varints, then all strings."""
    lengths, position = [], 0
    if elements > len(content):
        raise ValueError(f"{len(content)} bytes of tensor_content; expected {elements} strings")
    for _ in range(elements):
        length = shift = 0
        while True:
            if position == len(content) or shift > 28:
                raise ValueError("tensor_content holds no list of strings")
            byte = content[position]
            length |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if len(content) - position != sum(lengths):
        raise ValueError(f"{len(content) - position} bytes of strings in tensor_content; expected {sum(lengths)}")
    array = np.empty(elements, object)
    for place, length in enumerate(lengths):
        array[place], position = content[position : position + length], position + length
    return array


def fill_tensor_proto(proto: tensor_pb2.TensorProto, array: np.ndarray, *, content: bool = False) -> None:
    """Fills an empty TensorProto with an array: in the typed field, as TF Serving answers.

    `tf.make_tensor_proto` writes arrays into `tensor_content`, where clients that read `float_val` find nothing.

    Args:
        proto: Is filled; one in a map of a response can be.
        array: Of numbers, or an object array of bytes.
        content: Whether the values go into `tensor_content`, where there is such a form: half the work of a client.

    Raises:
        ServingError: INVALID_ARGUMENT, if the dtype has no TensorProto.
    """
    number = TENSOR_DTYPES.get(array.dtype)
    if number is None:
        raise invalid(f"Failed to write a tensor of dtype {array.dtype}")
    field, _ = FIELDS[number]
    start = _dtype_and_shape(number, array.shape)
    if content and not array.dtype.hasobject:
        proto.MergeFromString(start)
        proto.tensor_content = little_endian_bytes(array)
    elif field in PACKED_TAGS:  # ten times as fast as extend() for thousands of values
        values = little_endian_bytes(array)
        proto.MergeFromString(start + PACKED_TAGS[field] + _varint(len(values)) + values)
    else:
        proto.MergeFromString(start)
        flat = array.ravel()
        getattr(proto, field).extend((flat.view(np.uint16) if number in BITS else flat).tolist())


@lru_cache(1024)
def _dtype_and_shape(number: int, shape: tuple[int, ...]) -> bytes:
    """Returns a TensorProto without values on the wire; most answers of a model have one of a few shapes."""
    proto = tensor_pb2.TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto.SerializeToString()


def little_endian_bytes(array: np.ndarray) -> bytes:
    """Returns the elements of an array of numbers in row-major order."""
    if array.dtype.kind == "V":
        array = np.ascontiguousarray(array).view(np.uint16)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _dtype_name(number: int) -> str:
    return types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else str(number)
