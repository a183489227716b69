"""Tensors in the JSON of TensorFlow Serving's predict: rows ("instances") or columns ("inputs").

https://www.tensorflow.org/tfx/serving/api_rest. The dtype of a value comes from the signature, its shape from the JSON.
A value whose lists are regular and whose leaves are of one kind is read at once; any other is walked through by the
rules, which find what is wrong with it and where.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
import tensorflow as tf

from recipes.serving.limits import Limits
from recipes.serving.signatures import TensorInfo
from recipes.serving.status import Code, ServingError, invalid

Format = Literal["row", "columnar"]
LONGEST_ECHO = 256  # characters of a value in a message

INTEGERS = {
    tf.int8: np.int8,
    tf.uint8: np.uint8,
    tf.int16: np.int16,
    tf.uint16: np.uint16,
    tf.int32: np.int32,
    tf.uint32: np.uint32,
    tf.int64: np.int64,
    tf.uint64: np.uint64,
}
FLOATS = {tf.float32: np.float32, tf.float64: np.float64}


class PredictBody(NamedTuple):
    """The parts of a predict request's JSON."""

    signature_name: str
    format: Format
    value: Any  # of "instances" or "inputs"


def parse(body: bytes, limits: Limits) -> Any:
    """Returns the value of a JSON document; NaN, Infinity and -Infinity are numbers.

    Raises:
        ServingError: It is none, or holds too many lists.
    """
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    if (lists := body.count(b"[") + body.count(b"{")) > limits.lists:
        raise invalid(f"the document holds {lists:,} lists and objects; expected at most {limits.lists:,}")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "recursion" in str(error).lower():
            raise invalid("JSON Parse error: the document is nested too deeply") from None
    try:  # what orjson refuses: NaN and the infinities, and whole numbers of more than 64 bits
        return json.loads(body)
    except RecursionError:
        raise invalid("JSON Parse error: the document is nested too deeply") from None
    except UnicodeDecodeError:
        raise invalid("JSON Parse error: Invalid value: the document is no UTF-8") from None
    except ValueError as error:
        raise invalid(f"JSON Parse error: Invalid value: {str(error)[:LONGEST_ECHO]}") from None


def parse_object(body: bytes, limits: Limits) -> dict[str, Any]:
    """Returns a JSON document that is an object.

    Raises:
        ServingError: It is none.
    """
    document = parse(body, limits)
    if not isinstance(document, dict):
        raise invalid(f"Malformed request: the JSON document Is not object: it is {_type_of(document)}")
    return document


def signature_name_of(document: Mapping[str, Any]) -> str:
    """Returns the "signature_name" of a request, "" where it has none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    return name


def parse_predict(body: bytes, limits: Limits) -> PredictBody:
    """Returns the parts of a predict request.

    Raises:
        ServingError: It is no JSON object with one of "instances" and "inputs".
    """
    document = parse_object(body, limits)
    name = signature_name_of(document)
    if "instances" in document and "inputs" in document:
        raise invalid("Not formatted correctly: expected only one of 'instances' and 'inputs' keys")
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid("Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid("No values in 'instances' array")
        return PredictBody(name, "row", rows)
    if "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    return PredictBody(name, "columnar", document["inputs"])


def decode(request: PredictBody, inputs: Mapping[str, TensorInfo], limits: Limits) -> dict[str, np.ndarray]:
    """Returns the tensors of a request, by the name of a signature's input; texts are object arrays of bytes.

    Raises:
        ServingError: They are not as the signature has them; the message tells the value and the place.
    """
    for name, info in inputs.items():
        if info.dtype not in INTEGERS and info.dtype not in FLOATS and info.dtype not in (tf.bool, tf.string):
            message = f"Conversion of JSON Value of {name!r} to type: {info.type_name} is not possible"
            raise ServingError(Code.UNIMPLEMENTED, message)
    if request.format == "row":
        return _decode_rows(request.value, inputs, limits)
    return _decode_columns(request.value, inputs, limits)


def _decode_columns(value: Any, inputs: Mapping[str, TensorInfo], limits: Limits) -> dict[str, np.ndarray]:
    if not isinstance(value, dict) or _is_b64(value):
        if len(inputs) != 1:
            raise invalid(f"inputs is a plain value/list, but expecting an object as multiple inputs: {_names(inputs)}")
        value = dict.fromkeys(inputs, value)
    tensors = {}
    for name, info in inputs.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _tensor(value[name], info, limits)
    return tensors


def _decode_rows(rows: list[Any], inputs: Mapping[str, TensorInfo], limits: Limits) -> dict[str, np.ndarray]:
    is_named = isinstance(rows[0], dict) and not _is_b64(rows[0])
    if not is_named:
        if len(inputs) != 1:
            raise invalid(
                f"instances is a plain list, but expecting list of objects as multiple inputs: {_names(inputs)}"
            )
        [(name, info)] = inputs.items()
        for place, row in enumerate(rows):
            if isinstance(row, dict) and not _is_b64(row):
                raise invalid(f"Expecting value/list but got object at item {place} of input list")
        return {name: _stacked(rows, name, info, limits)}
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or _is_b64(row):
            raise invalid(f"Expecting object but got list at item {place} of input list")
        if row.keys() != inputs.keys():
            if unknown := sorted(set(row) - set(inputs)):
                raise invalid(
                    f"Failed to process element: {place} of 'instances' list. JSON object: does not have named input: "
                    f"{unknown[0]}; keys must be equal to: {_names(inputs)}"
                )
            raise invalid(
                f"Failed to process element: {place} of 'instances' list. JSON object: keys must be equal to: "
                f"{_names(inputs)}"
            )
    return {name: _stacked([row[name] for row in rows], name, info, limits) for name, info in inputs.items()}


def _stacked(values: list[Any], name: str, info: TensorInfo, limits: Limits) -> np.ndarray:
    """Returns the values of an input in each row as one tensor."""
    tensor = _read_at_once(values, info, limits)
    if tensor is not None:
        return tensor
    parts: list[np.ndarray] = []
    for place, value in enumerate(values):
        try:
            part = _walk(value, info, limits)
            _check_rank(part.ndim + 1, limits)
            if parts and part.size != parts[0].size:
                raise invalid(f"Expecting tensor size: {parts[0].size} but got: {part.size}")
            if parts and part.shape != parts[0].shape:
                raise invalid(f"Expecting shape {list(parts[0].shape)} but got: {list(part.shape)}")
        except ServingError as error:
            where = f"Failed to process element: {place} key: {name} of 'instances' list."
            raise ServingError(error.code, f"{where} Error: {error.code.name}: {error.message}") from None
        parts.append(part)
        _check_size(len(parts) * parts[0].size, limits)
    return np.stack(parts)


def _tensor(value: Any, info: TensorInfo, limits: Limits) -> np.ndarray:
    tensor = _read_at_once(value, info, limits)
    return _walk(value, info, limits) if tensor is None else tensor


def _read_at_once(value: Any, info: TensorInfo, limits: Limits) -> np.ndarray | None:
    """Returns a value of regular lists whose leaves are of the kind that the dtype wants; None of any other."""
    shape: list[int] = []
    level = [value]
    while type(level[0]) is list:
        if set(map(type, level)) != {list}:
            return None
        lengths = set(map(len, level))
        if len(lengths) != 1 or len(shape) == limits.rank:
            return None
        shape += lengths
        _check_size(len(level) * shape[-1], limits)
        level = list(chain.from_iterable(level))
        if not level:
            break
    kinds = set(map(type, level))
    if info.dtype in FLOATS:
        fits = kinds <= {int, float}
    elif info.dtype in INTEGERS:
        fits = kinds <= {int}
    elif info.dtype == tf.bool:
        fits = kinds <= {bool}
    else:
        fits = kinds <= {str, dict}
    if not fits:
        return None
    if info.dtype == tf.string:
        texts = [_bytes_of(leaf) for leaf in level]
        flat = np.empty(len(texts), object)
        flat[:] = texts
        return flat.reshape(shape)
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite
            dtype = np.float64 if info.dtype in FLOATS else info.dtype.as_numpy_dtype
            flat = np.fromiter(level, dtype, len(level))
            return flat.astype(info.dtype.as_numpy_dtype, copy=False).reshape(shape)
    except OverflowError:
        return None


def _walk(value: Any, info: TensorInfo, limits: Limits) -> np.ndarray:
    """Returns a value as a tensor by the rules: the first elements tell the shape, and every other must agree."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        _check_rank(len(shape), limits)
        if not first:
            break
        first = first[0]
    _check_size(int(np.prod(shape, dtype=object)), limits)
    leaves: list[Any] = []

    def fill(value: Any, level: int) -> None:
        if not isinstance(value, list):
            if level != len(shape):
                raise invalid(f"JSON Value: {_echo(value)} found at incorrect level: {level}; expected: {len(shape)}")
            leaves.append(_leaf(value, info))
            return
        if level >= len(shape):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
            )
        for one in value:
            fill(one, level + 1)

    fill(value, 0)
    if info.dtype == tf.string:
        flat = np.empty(len(leaves), object)
        flat[:] = leaves
    else:
        flat = np.array(leaves, info.dtype.as_numpy_dtype)
    return flat.reshape(shape)


def _leaf(value: Any, info: TensorInfo) -> Any:
    dtype = info.dtype
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if dtype == tf.string and isinstance(value, (str, dict)):
        return _bytes_of(value)
    if dtype == tf.bool and isinstance(value, bool):
        return value
    if dtype in FLOATS and is_number:
        try:
            with np.errstate(over="ignore"):
                return FLOATS[dtype](value)
        except OverflowError:  # a whole number beyond the greatest float64
            return FLOATS[dtype]("inf" if value > 0 else "-inf")
    if dtype in INTEGERS and is_number and isinstance(value, int):
        limits: Any = np.iinfo(INTEGERS[dtype])
        if limits.min <= value <= limits.max:
            return value
    raise invalid(f"JSON Value: {_echo(value)} Type: {_type_of(value)} is not of expected type: {info.type_name}")


def _bytes_of(value: Any) -> bytes:
    """Returns the bytes of a text, in UTF-8, or of {"b64": text}."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise invalid(f"JSON Value: {_echo(value)} holds half of a surrogate pair and is no text") from None
    if not _is_b64(value):
        raise invalid(f"JSON Value: {_echo(value)} not formatted correctly for base64 data")
    return bytes_of_base64(value["b64"])


def bytes_of_base64(text: str) -> bytes:
    """Returns what a text in base64 stands for; its padding may be left out.

    >>> bytes_of_base64("aGk")
    b'hi'
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"Unable to base64 decode: {_echo(text)}") from None


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _check_rank(rank: int, limits: Limits) -> None:
    if rank > limits.rank:
        raise invalid(f"Expected a tensor of at most {limits.rank} dimensions; got {rank} or more")


def _check_size(elements: int, limits: Limits) -> None:
    if elements > limits.elements:
        raise invalid(f"Expected at most {limits.elements:,} elements in a tensor; got {elements:,}")


def _names(inputs: Mapping[str, TensorInfo]) -> str:
    return ",".join(sorted(inputs))


def _type_of(value: Any) -> str:
    """Returns the kind of a JSON value, as TensorFlow Serving's messages name it."""
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    kinds: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return kinds.get(type(value), "Number")


def _echo(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (ValueError, RecursionError):
        text = "..."
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "..."


# ---------------------------------------------------------------- answers


def encode(outputs: Mapping[str, np.ndarray], format: Format) -> bytes:
    """Returns the JSON of a model's outputs: {"predictions": [...]} of rows, {"outputs": ...} of columns.

    Texts are JSON strings; those of an output whose name ends in "_bytes" are {"b64": text}. What is not finite is
    written NaN, Infinity or -Infinity.

    Raises:
        ServingError: Outputs are of a dtype that JSON cannot hold, have no common number of rows, or hold what is no
            UTF-8.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    values = {name: _writable(name, value) for name, value in outputs.items()}
    if format == "columnar":
        return _dumps({"outputs": next(iter(values.values())) if len(values) == 1 else values}, outputs)
    rows = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if rows is not None and len(array) != rows:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}")
        rows = len(array)
    if not rows:
        return b'{"predictions": []}'
    if len(values) == 1:
        return _dumps({"predictions": next(iter(values.values()))}, outputs)
    return _dumps(
        {"predictions": [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]}, outputs
    )


def _writable(name: str, value: np.ndarray) -> Any:
    """Returns a tensor as orjson takes it: an array of numbers, or lists of texts."""
    if value.dtype == object:
        return _texts(name, value)
    if value.dtype.kind not in "fiub" or value.dtype == np.float16:
        raise invalid(f"Failed to write JSON value for tensor type: {value.dtype} of {name!r}")
    return np.array(value, order="C", copy=None) if value.ndim else value[()]


def _texts(name: str, value: np.ndarray) -> Any:
    write = _b64 if name.endswith("_bytes") else _utf8
    try:
        flat = np.empty(value.size, object)
        flat[:] = [write(text) for text in value.flat]
        return flat.reshape(value.shape).tolist()
    except UnicodeDecodeError:
        raise ServingError(
            Code.INTERNAL,
            f"output {name!r} holds bytes that are no UTF-8 text; the model should name it {name + '_bytes'!r}, and "
            "they are then written in base64",
        ) from None


def _utf8(text: bytes) -> str:
    return text.decode()


def _b64(text: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(text).decode()}


def _dumps(document: Any, outputs: Mapping[str, np.ndarray]) -> bytes:
    if all(value.dtype.kind != "f" or np.isfinite(value).all() for value in outputs.values()):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document, default=_plain).encode()  # orjson would write null


def _plain(value: np.ndarray) -> Any:
    """Returns an array as lists; a float32 as the shortest number that it is, not as the float64 nearest to it."""
    return (value.astype(str).astype(np.float64) if value.dtype == np.float32 else value).tolist()
