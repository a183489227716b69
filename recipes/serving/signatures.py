"""What a model can be asked: the signatures of a SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

#: Names in messages, as TensorFlow writes its types.
TYPE_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "float16"}

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
DEFAULT = "serving_default"


class TensorInfo(NamedTuple):
    """An input or output."""

    name: str  # in the graph: "serving_default_x:0"
    dtype: tf.DType
    shape: tuple[int | None, ...] | None  # None: of any rank

    @property
    def type_name(self) -> str:
        """The dtype as TensorFlow's messages have it: "float", "int32", "string"."""
        return TYPE_NAMES.get(self.dtype, self.dtype.name)


class Signature(NamedTuple):
    """One function of a model, from named tensors to named tensors."""

    name: str
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str
    defaults: dict[str, np.ndarray]  # of inputs that may be left out


def signatures_of(meta_graph: Any) -> dict[str, Signature]:
    """Returns a MetaGraphDef's signatures by name, but for those of sparse and ragged tensors, which none can ask."""
    signatures = {}
    for name, definition in meta_graph.signature_def.items():
        tensors = [*definition.inputs.values(), *definition.outputs.values()]
        if name.startswith("__") or any(not tensor.name for tensor in tensors):
            continue
        signatures[name] = Signature(
            name,
            {key: _tensor_info(tensor) for key, tensor in sorted(definition.inputs.items())},
            {key: _tensor_info(tensor) for key, tensor in sorted(definition.outputs.items())},
            definition.method_name,
            {key: tf.make_ndarray(value) for key, value in definition.defaults.items()},
        )
    return signatures


def in_short(tensors: Mapping[str, TensorInfo]) -> dict[str, dict[str, Any]]:
    """Returns {name: {"dtype": "float32", "shape": [None, 28, 28, 1]}}; a shape of unknown rank is None."""
    return {
        name: {"dtype": tensor.dtype.name, "shape": tensor.shape and list(tensor.shape)}
        for name, tensor in tensors.items()
    }


def _tensor_info(tensor: Any) -> TensorInfo:
    shape = None
    if not tensor.tensor_shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in tensor.tensor_shape.dim)
    return TensorInfo(tensor.name, tf.dtypes.as_dtype(tensor.dtype), shape)
