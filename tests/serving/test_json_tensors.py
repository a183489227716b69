"""The JSON of predict: TensorFlow Serving's own cases, and the quick reading against the walk by the rules."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from recipes.serving.json_tensors import _read_at_once, _walk, decode, encode, parse_predict
from recipes.serving.limits import Limits
from recipes.serving.signatures import TensorInfo
from recipes.serving.status import ServingError

CASES = json.loads((Path(__file__).parent / "codec_cases.json").read_text())
LIMITS = Limits()


def decoded(body, limits=LIMITS, **dtypes):
    inputs = {name: TensorInfo(f"{name}:0", tf.dtypes.as_dtype(dtype), None) for name, dtype in dtypes.items()}
    request = parse_predict(body if isinstance(body, bytes) else body.encode(), limits)
    return decode(request, inputs, limits), request.format


@pytest.mark.parametrize("case", CASES["decode"], ids=lambda case: case["id"])
def test_requests_are_read_as_tensorflow_serving_reads_them(case):
    count = case.get("repeat", 0)
    body, expected = case["body"].replace("<[*n]*n>", "[" * count + "]" * count), case["expect"]
    if "tensors" not in expected:
        with pytest.raises(ServingError) as error:
            decoded(body, **case["inputs"])
        assert any(part in str(error.value) for part in expected.get("error_any", [expected.get("error")]))
        assert error.value.code.http == expected.get("code", 400)
        return
    tensors, format_ = decoded(body, **case["inputs"])
    assert format_ == expected["format"]
    assert tensors.keys() == expected["tensors"].keys()
    for name, wanted in expected["tensors"].items():
        assert list(tensors[name].shape) == wanted["shape"]
        if "strings" in wanted:
            assert list(tensors[name].flat) == [text.encode() for text in wanted["strings"]]
            continue
        values = wanted["values"]
        values = [float(one) for one in values.split(",")] if isinstance(values, str) else values
        assert tensors[name].dtype == case["inputs"][name]
        np.testing.assert_array_equal(tensors[name].ravel(), np.array(values, tensors[name].dtype))


def outputs_of(case):
    for name, one in case["outputs"].items():
        if "strings" in one:
            yield name, np.vectorize(str.encode, otypes=[object])(np.array(one["strings"], object))
        elif "special" in one:
            yield name, np.array([float(text) for text in one["special"]], one["dtype"])
        elif "shape" in one:
            yield name, np.zeros(one["shape"], one["dtype"])
        else:
            yield name, np.array(one["value"], one["dtype"])


@pytest.mark.parametrize("case", CASES["encode"], ids=lambda case: case["id"])
def test_answers_are_written_as_tensorflow_serving_writes_them(case):
    outputs = dict(outputs_of(case))
    if "error" in case:
        with pytest.raises(ServingError, match=case["error"]):
            encode(outputs, case["format"])
        return
    written = encode(outputs, case["format"])
    if "text" in case:
        assert written.decode() == case["text"]
    else:
        assert json.loads(written) == json.loads(case["json"])


def test_numbers_beyond_float32_are_infinite_or_zero():
    tensors, _ = decoded('{"instances": [1e39, -1e39, 1e-60, 123456789012345678901234567890]}', x="float32")
    np.testing.assert_array_equal(tensors["x"], np.array([np.inf, -np.inf, 0, 123456789012345678901234567890], "f4"))


def test_a_number_out_of_a_small_type_is_refused_and_not_wrapped():
    with pytest.raises(ServingError, match="JSON Value: 300 Type: Number is not of expected type: uint8"):
        decoded('{"instances": [1, 300]}', x="uint8")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"instances": [[[[1]]]]}', "at most 3 dimensions; got 4"),
        ('{"instances": [1, 2, 3, 4, 5, 6, 7, 8, 9]}', "at most 8 elements"),
        ('{"inputs": [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0]]}', "at most 8 elements"),
        ('{"inputs": [[],[],[],[],[],[],[],[],[],[]]}', "holds 12 lists and objects; expected at most 10"),
    ],
)
def test_what_is_too_large_is_refused(body, message):
    with pytest.raises(ServingError, match=message):
        decoded(body, Limits(elements=8, rank=3, lists=10), x="int32")


def test_bytes_that_are_no_text_are_named():
    outputs = {"image": np.array([b"\xff\x00"], object)}
    with pytest.raises(ServingError, match="the model should name it 'image_bytes'") as error:
        encode(outputs, "row")
    assert error.value.code.http == 500
    assert json.loads(encode({"image_bytes": outputs["image"]}, "row")) == {"predictions": [{"b64": "/wA="}]}


def test_float32_is_written_as_short_as_it_can_be():
    assert encode({"y": np.array([0.1, 2], np.float32)}, "columnar") == b'{"outputs":[0.1,2.0]}'
    texts = encode({"y": np.array([0.1, np.nan], np.float32)}, "columnar")
    assert texts == b'{"outputs": [0.1, NaN]}'


leaves = st.one_of(st.integers(-300, 300), st.floats(width=32), st.booleans(), st.text(max_size=3), st.none())
nested = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=12)


@given(nested, st.sampled_from([tf.float32, tf.int32, tf.uint8, tf.bool, tf.string]))
def test_the_quick_reading_and_the_walk_agree(value, dtype):
    info = TensorInfo("x:0", dtype, None)
    quick = _read_at_once(value, info, LIMITS)
    if quick is None:
        return
    walked = _walk(value, info, LIMITS)
    assert (quick.shape, quick.dtype) == (walked.shape, walked.dtype)
    np.testing.assert_array_equal(quick, walked)


@given(nested, st.sampled_from(["float32", "int32", "uint8", "bool", "string", "float64"]), st.booleans())
def test_any_json_is_read_or_refused(value, dtype, as_rows):
    body = json.dumps({"instances": [value]} if as_rows else {"inputs": value})
    try:
        tensors, format_ = decoded(body, x=dtype)
    except ServingError:
        return
    assert tensors["x"].ndim >= as_rows
    encode({"x_bytes": tensors["x"]}, format_)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body):
    with pytest.raises(ServingError):
        decoded(body, x="string")
