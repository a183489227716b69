"""tf.Examples in the JSON of TensorFlow Serving's classify and regress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.serving.json_tensors import bytes_of_base64
from recipes.serving.status import Code, ServingError, invalid


def decode_examples(document: Mapping[str, Any], method: str) -> list[bytes]:
    """Returns the "examples" of a request as serialized tf.Examples, the features of "context" before each one's own.

    Texts and {"b64": text} are bytes, numbers with a point or an exponent floats, whole numbers and true and false
    int64; a value by itself is a list of one.

    Args:
        document: The request's JSON.
        method: "classify" or "regress", for messages.

    Raises:
        ServingError: There are none, or a feature is none of these, or of several kinds.
    """
    context = b""
    if "context" in document:
        context = _example(document["context"])
    if "examples" not in document:
        raise invalid(f"When method is {method}, key 'examples' is expected and was not found.")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid("Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid("'examples' value is an empty array")
    return [context + _example(example) for example in examples]


def _example(value: Any) -> bytes:
    if not isinstance(value, dict):
        kinds: dict[type, str] = {list: "Array", str: "String", type(None): "Null", bool: "Bool"}
        raise invalid(f"Example must be JSON object but got JSON {kinds.get(type(value), 'Number')}")
    features = {name: _feature(name, one) for name, one in value.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _feature(name: str, value: Any) -> tf.train.Feature:
    values = value if isinstance(value, list) else [value]
    kind, elements = "", []
    for one in values:
        of_one, element = _element(name, one)
        if kind and of_one != kind:
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {kind}")
        kind = of_one
        elements.append(element)
    if kind == "bytes":
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=elements))
    if kind == "float":
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite
            floats = np.array(elements, np.float64).astype(np.float32)
        return tf.train.Feature(float_list=tf.train.FloatList(value=floats))
    if kind == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=elements))
    return tf.train.Feature()


def _element(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, str):
        return "bytes", value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str):
        return "bytes", bytes_of_base64(value["b64"])
    if isinstance(value, float):
        return "float", value
    if isinstance(value, int):  # true and false too
        if value >= 1 << 63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        if value < -(1 << 63):
            raise invalid(f"Feature: {name} has the element {value}. Only int64_t is supported.")
        return "int64", int(value)
    kinds: dict[type, str] = {type(None): "Null", list: "Array", dict: "Object"}
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {kinds[type(value)]}")


def encode_classes(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns {"results": [[[label, score], ...] for each example]}; labels that are not there are "", scores 0.0."""
    classes, scores = outputs.get("classes"), outputs.get("scores")
    shape = (classes if classes is not None else scores).shape  # type: ignore[union-attr]
    try:
        labels = [[text.decode() for text in row] for row in classes] if classes is not None else None
    except UnicodeDecodeError:
        message = "the output 'classes' holds bytes that are no UTF-8 text, which JSON cannot hold; ask by gRPC"
        raise ServingError(Code.INTERNAL, message) from None
    numbers = scores.tolist() if scores is not None else np.zeros(shape).tolist()
    labels = labels if labels is not None else [[""] * shape[1]] * shape[0]
    pairs = [list(map(list, zip(*row, strict=True))) for row in zip(labels, numbers, strict=True)]
    return json.dumps({"results": pairs}).encode()


def encode_values(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns {"results": [number for each example]}."""
    return json.dumps({"results": outputs["outputs"].tolist()}).encode()
