"""TensorProto: all dtypes there and back as TensorFlow's own functions have them, and nothing larger than allowed."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tensorflow.core.framework import tensor_pb2, types_pb2

from recipes.serving.limits import Limits
from recipes.serving.status import Code, ServingError
from recipes.serving.tensor_protos import fill_tensor_proto, to_array, to_arrays

LIMITS = Limits(elements=10_000, rank=8)
NUMBERS = ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.one_of(
    st.sampled_from(NUMBERS).flatmap(lambda dtype: st_numpy.arrays(dtype, SHAPES)),
    st_numpy.arrays("f4", SHAPES).map(lambda array: array.astype(ml_dtypes.bfloat16)),
    st_numpy.arrays(object, SHAPES, elements=st.binary(max_size=5)),
)


def tensor_proto(array, content=False):
    proto = tensor_pb2.TensorProto()
    fill_tensor_proto(proto, array, content=content)
    return proto


def same(a, b):
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert (a == b).all() if a.dtype == object else a.tobytes() == b.tobytes()  # NaNs too, and the sign of zero


@settings(max_examples=150, deadline=None)
@given(ARRAYS, st.booleans())
def test_round_trips(array, content):
    proto = tensor_proto(array, content)
    same(to_array("x", tensor_pb2.TensorProto.FromString(proto.SerializeToString()), LIMITS), array)
    if array.dtype not in ("u4", "u8"):  # which tf.make_ndarray cannot read
        same(tf.make_ndarray(proto), array)
    same(to_array("x", tf.make_tensor_proto(array), LIMITS), array)
    if content and array.dtype != object and array.size:
        assert proto.tensor_content
    else:
        assert not proto.tensor_content


def test_answers_stand_in_the_typed_fields():
    assert tensor_proto(np.array([1.5, 2], "f4")).float_val == [1.5, 2]
    assert tensor_proto(np.array([True, False])).bool_val == [True, False]
    assert tensor_proto(np.arange(6, dtype="f4").reshape(2, 3).T).float_val == [0, 3, 1, 4, 2, 5]
    assert tensor_proto(np.array(3, "u1")).int_val == [3]
    assert tensor_proto(np.array([b"\xff"], object)).string_val == [b"\xff"]
    with pytest.raises(ServingError, match="dtype"):
        tensor_proto(np.zeros(1, "M8[s]"))


def proto_of(dtype, shape, **fields):
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add().size = size
    return proto


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (proto_of(types_pb2.DT_FLOAT, [2, 2]), np.zeros((2, 2), "f4")),
        (proto_of(types_pb2.DT_FLOAT, [3], float_val=[7]), np.full(3, 7, "f4")),
        (proto_of(types_pb2.DT_INT8, [4], int_val=[1, -2]), np.array([1, -2, -2, -2], "i1")),
        (proto_of(types_pb2.DT_STRING, [2]), np.array([b"", b""], object)),
        (proto_of(types_pb2.DT_STRING, [3], string_val=[b"a", b"b"]), np.array([b"a", b"b", b"b"], object)),
        (proto_of(types_pb2.DT_STRING, [2], tensor_content=b"\x01\x02abc"), np.array([b"a", b"bc"], object)),
        (proto_of(types_pb2.DT_COMPLEX64, [2], scomplex_val=[1, 2]), np.array([1 + 2j] * 2, "c8")),
        (proto_of(types_pb2.DT_HALF, [2], half_val=[0x3C00]), np.ones(2, "f2")),
        (proto_of(types_pb2.DT_BFLOAT16, [1], half_val=[0x3F80]), np.ones(1, ml_dtypes.bfloat16)),
        (proto_of(types_pb2.DT_INT32, [2], tensor_content=b"\1\0\0\0\2\0\0\0"), np.array([1, 2], "i4")),
    ],
)
def test_short_and_little_endian_forms(proto, expected):
    same(to_array("x", proto, LIMITS), expected)
    if not (proto.dtype == types_pb2.DT_STRING and proto.tensor_content):
        assert tf.constant(expected).dtype == proto.dtype


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(),
        proto_of(types_pb2.DT_RESOURCE, []),
        proto_of(types_pb2.DT_QINT8, []),
        proto_of(99, []),
        proto_of(types_pb2.DT_FLOAT, [-1]),
        proto_of(types_pb2.DT_FLOAT, [2**40]),  # 20 bytes that ask for 4 TiB
        proto_of(types_pb2.DT_FLOAT, [2**62, 2**62, 2**62]),
        proto_of(types_pb2.DT_FLOAT, [0, 2**62, 2**62]),
        proto_of(types_pb2.DT_FLOAT, [1] * 9),
        proto_of(types_pb2.DT_FLOAT, [2], float_val=[1, 2, 3]),
        proto_of(types_pb2.DT_FLOAT, [2], tensor_content=b"\0" * 7),
        proto_of(types_pb2.DT_FLOAT, [0], tensor_content=b"\0"),
        proto_of(types_pb2.DT_UINT8, [1], int_val=[256]),
        proto_of(types_pb2.DT_UINT8, [1], int_val=[-1]),
        proto_of(types_pb2.DT_HALF, [1], half_val=[65536]),
        proto_of(types_pb2.DT_COMPLEX64, [1], scomplex_val=[1]),
        proto_of(types_pb2.DT_BOOL, [1], tensor_content=b"\2"),
        proto_of(types_pb2.DT_STRING, [9], tensor_content=b"\1\1\1"),
        proto_of(types_pb2.DT_STRING, [2], tensor_content=b"\1\xff\xff\xff\xff\xff\xff"),
        proto_of(types_pb2.DT_STRING, [2], tensor_content=b"\1\1abc"),
    ],
    ids=repr,
)
def test_what_is_no_tensor_is_refused_by_name(proto):
    with pytest.raises(ServingError, match="^tensor parsing error: weights: .") as raised:
        to_array("weights", proto, LIMITS)
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_unknown_rank_is_refused():
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(ServingError, match="unknown is not known"):
        to_array("x", proto, LIMITS)


def test_few_values_are_not_repeated_without_end():
    proto = proto_of(types_pb2.DT_FLOAT, [(1 << 20) + 1], float_val=[1])
    with pytest.raises(ServingError, match="tensor parsing error: x: 1 values for 1048577 elements"):
        to_array("x", proto, Limits())


def test_inputs_share_the_limit_on_elements():
    short = proto_of(types_pb2.DT_FLOAT, [4_000])
    assert to_arrays({"a": short, "b": short}, LIMITS)["b"].shape == (4_000,)
    with pytest.raises(ServingError, match="tensor parsing error: c: .*left of 10000"):
        to_arrays({"a": short, "b": short, "c": short}, LIMITS)


def seeds():
    arrays = [
        np.arange(6, dtype="f4").reshape(2, 3),
        np.array([b"ab", b""], object),
        np.array([True]),
        np.ones(2, "f2"),
    ]
    return [tensor_proto(array, content).SerializeToString() for array in arrays for content in (False, True)]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(seeds()),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255)), max_size=4),
    st.binary(max_size=12),
)
@example(b"", [], b"")
def test_mutated_protos_are_read_or_refused(body, changes, tail):
    body = bytearray(body)
    for place, value in changes:
        if place < len(body):
            body[place] = value
    try:
        array = to_array("x", tensor_pb2.TensorProto.FromString(bytes(body) + tail), LIMITS)
        assert array.size <= LIMITS.elements
    except (DecodeError, ServingError):
        pass
