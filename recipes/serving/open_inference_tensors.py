"""Tensors and metadata of the Open Inference Protocol (KServe V2), for its REST and its gRPC alike."""

import importlib.metadata
import math
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.serving.limits import Limits
from recipes.serving.models import Models, ModelSpec, Served
from recipes.serving.signatures import DEFAULT, Signature, TensorInfo
from recipes.serving.status import Code, ServingError, invalid
from recipes.serving.tensor_protos import checked_shape, little_endian_array, little_endian_bytes

PLATFORM = "tensorflow_savedmodel"
SERVER_NAME = "keras-recipes"
EXTENSIONS = ("binary_tensor_data", "model_repository", "parameters")

#: Name in the protocol -> NumPy's dtype; BYTES are object arrays of bytes.
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(tf.bfloat16.as_numpy_dtype),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}

#: State of a version -> that of Triton's repository index.
INDEX_STATES = {"AVAILABLE": "READY", "LOADING": "LOADING", "UNLOADING": "UNLOADING"}


class InputReader:
    """Checks the inputs of one request, which share one limit on elements."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._elements = limits.elements

    def dtype_and_shape(self, name: str, datatype: str, dims: Sequence[int]) -> tuple[np.dtype, tuple[int, ...]]:
        """Returns NumPy's dtype and shape of an input.

        Raises:
            ServingError: INVALID_ARGUMENT, if the datatype is unknown, or the shape negative or too large.
        """
        if datatype not in DTYPES:
            raise invalid(f"input {name!r} has datatype {datatype!r:.80}; expected one of {', '.join(DTYPES)}")
        try:
            shape = checked_shape(list(dims), self._limits, self._elements)
        except ValueError as error:
            raise invalid(f"input {name!r}: {error}") from None
        self._elements -= math.prod(shape)
        return DTYPES[datatype], shape


def from_raw(name: str, raw: bytes | memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the array of an input's bytes: row-major, little endian, each of BYTES after its length in 4 bytes.

    Raises:
        ServingError: INVALID_ARGUMENT, if there are more or fewer bytes than the shape needs.
    """
    elements = math.prod(shape)
    if dtype.hasobject:
        return _raw_strings(name, raw, elements).reshape(shape)
    if len(raw) != elements * dtype.itemsize:
        raise invalid(
            f"input {name!r} has {len(raw)} bytes; expected {elements * dtype.itemsize} for shape {list(shape)} and "
            f"datatype {DATATYPES[dtype]}"
        )
    try:
        return little_endian_array(raw, dtype).reshape(shape)
    except ValueError as error:
        raise invalid(f"input {name!r}: {error}") from None


def _raw_strings(name: str, raw: bytes | memoryview, elements: int) -> np.ndarray:
    if elements * 4 > len(raw):
        raise invalid(f"input {name!r} has {len(raw)} bytes; expected at least 4 for each of {elements} BYTES")
    array, position = np.empty(elements, object), 0
    for place in range(elements):
        start = position + 4
        if start > len(raw):
            raise invalid(f"input {name!r} ends after {place} of {elements} BYTES")
        position = start + struct.unpack_from("<I", raw, position)[0]
        array[place] = bytes(raw[start:position])
    if position != len(raw):  # also where the last one claims to be longer than what is left
        raise invalid(
            f"input {name!r} has {len(raw)} bytes; expected {position} by the lengths of its {elements} BYTES"
        )
    return array


def to_raw(array: np.ndarray) -> bytes:
    """Returns the bytes of an output, as `from_raw` reads them."""
    if not array.dtype.hasobject:
        return little_endian_bytes(array)
    strings = array.ravel().tolist()
    return b"".join(part for string in strings for part in (struct.pack("<I", len(string)), string))


def output_datatype(name: str, array: np.ndarray) -> str:
    """Returns the protocol's name for the dtype of an output.

    Raises:
        ServingError: INVALID_ARGUMENT, if it has none: complex numbers.
    """
    if array.dtype not in DATATYPES:
        raise invalid(f"output {name!r} has dtype {array.dtype}, which the Open Inference Protocol has no datatype for")
    return DATATYPES[array.dtype]


def model_spec(name: str, version: str) -> ModelSpec:
    """Returns the model of a request; an empty version is the latest.

    Raises:
        ServingError: INVALID_ARGUMENT, if the name is empty or the version no number.
    """
    if not name:
        raise invalid("the request names no model")
    if version and not (version.isascii() and version.isdigit() and int(version) < 2**63):
        raise invalid(f"model version {version[:80]!r}; expected a number below 2^63, or nothing for the latest")
    return ModelSpec(name, version=int(version) if version else None)


def server_version() -> str:
    """Returns the version of this package, or "unknown" where it runs without being installed."""
    try:
        return importlib.metadata.version(SERVER_NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def metadata_signature(served: Served, name: str) -> Signature:
    """Returns the signature whose inputs and outputs a model's metadata shows; "" is serving_default.

    Raises:
        ServingError: FAILED_PRECONDITION, if the model has no such signature.
    """
    signatures = served.engine.signatures
    name = name or DEFAULT
    if name not in signatures:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f'Serving signature key "{name}" not found. Known: {", ".join(signatures)}: ask for one with the parameter '
            "signature_name",
        )
    return signatures[name]


def tensors_metadata(tensors: dict[str, TensorInfo]) -> list[dict[str, Any]]:
    """Returns name, datatype and shape of tensors; sizes that vary are -1, and a shape of unknown rank is [-1]."""
    return [
        {
            "name": name,
            "datatype": DATATYPES.get(np.dtype(tensor.dtype.as_numpy_dtype), tensor.dtype.name),
            "shape": [-1] if tensor.shape is None else [-1 if size is None else size for size in tensor.shape],
        }
        for name, tensor in sorted(tensors.items())
    ]


def available_versions(models: Models, name: str) -> list[str]:
    """Returns the versions of a model that can be asked, newest first."""
    return [str(version) for version in models.available(name)]


def repository_index(models: Models, only_ready: bool) -> Iterable[dict[str, str]]:
    """Yields name, version, state and reason of each version of each model, as Triton lists its repository."""
    for name in models.names():
        for status in models.statuses(name):
            state = INDEX_STATES.get(status.state, "UNAVAILABLE")
            if state == "READY" or not only_ready:
                yield {"name": name, "version": str(status.version), "state": state, "reason": status.message}


def refuse_parameters(where: str, names: Iterable[str]) -> None:
    """Refuses parameters of Triton's extensions that change the answer and that this server does not have.

    Raises:
        ServingError: UNIMPLEMENTED.
    """
    for name in names:
        if name in ("classification", "sequence_id") or name.startswith("shared_memory_"):
            raise ServingError(
                Code.UNIMPLEMENTED, f"{where} has the parameter {name!r}, which this server does not support"
            )


def earlier(deadline: float | None, microseconds: int) -> float | None:
    """Returns the earlier of a deadline and that of Triton's parameter `timeout`; 0 is none."""
    own = time.monotonic() + microseconds / 1e6 if microseconds > 0 else None
    return min((end for end in (deadline, own) if end is not None), default=None)
