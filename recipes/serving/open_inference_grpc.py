"""The gRPC of the Open Inference Protocol (KServe V2): inference.GRPCInferenceService, as Triton's client calls it."""

import math
from typing import Any

import numpy as np

from recipes.serving.grpc_calls import Call
from recipes.serving.inference import Inference
from recipes.serving.limits import Limits
from recipes.serving.open_inference_messages import MESSAGES, SERVICE
from recipes.serving.open_inference_tensors import (
    EXTENSIONS,
    PLATFORM,
    SERVER_NAME,
    InputReader,
    available_versions,
    earlier,
    from_raw,
    metadata_signature,
    model_spec,
    output_datatype,
    refuse_parameters,
    repository_index,
    server_version,
    tensors_metadata,
    to_raw,
)
from recipes.serving.signatures import Signature
from recipes.serving.status import invalid

__all__ = ["SERVICE", "calls"]

#: Datatype -> the field of InferTensorContents with its values; FP16 and BF16 have none.
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
WIRE_DTYPES = {"int_contents": np.dtype(np.int32), "uint_contents": np.dtype(np.uint32)}


def calls(inference: Inference, limits: Limits) -> dict[str, Call]:
    """Returns the calls of inference.GRPCInferenceService."""
    models = inference.models

    def server_live(request: Any, deadline: float | None) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    def server_ready(request: Any, deadline: float | None) -> Any:
        return MESSAGES["ServerReadyResponse"](ready=models.is_ready())

    def model_ready(request: Any, deadline: float | None) -> Any:
        return MESSAGES["ModelReadyResponse"](ready=models.is_ready(model_spec(request.name, request.version)))

    def server_metadata(request: Any, deadline: float | None) -> Any:
        return MESSAGES["ServerMetadataResponse"](name=SERVER_NAME, version=server_version(), extensions=EXTENSIONS)

    def model_metadata(request: Any, deadline: float | None) -> Any:
        with models.using(model_spec(request.name, request.version)) as served:
            signature = metadata_signature(served, "")
        return MESSAGES["ModelMetadataResponse"](
            name=request.name,
            versions=available_versions(models, request.name),
            platform=PLATFORM,
            inputs=tensors_metadata(signature.inputs),
            outputs=tensors_metadata(signature.outputs),
        )

    def model_infer(request: Any, deadline: float | None) -> Any:
        spec = model_spec(request.model_name, request.model_version)
        refuse_parameters("the request", request.parameters)
        for output in request.outputs:
            refuse_parameters(f"output {output.name!r}", output.parameters)
        answer = inference.predict(
            spec,
            request.parameters["signature_name"].string_param if "signature_name" in request.parameters else "",
            lambda signature: read_inputs(request, signature, limits),
            outputs=tuple(output.name for output in request.outputs),
            front="GRPC",
            deadline=earlier(
                deadline, request.parameters["timeout"].int64_param if "timeout" in request.parameters else 0
            ),
        )
        response = MESSAGES["ModelInferResponse"](
            model_name=answer.name, model_version=str(answer.version), id=request.id
        )
        for name, array in answer.outputs.items():
            response.outputs.add(name=name, datatype=output_datatype(name, array), shape=array.shape)
            response.raw_output_contents.append(to_raw(array))
        return response

    def index(request: Any, deadline: float | None) -> Any:
        return MESSAGES["RepositoryIndexResponse"](models=repository_index(models, request.ready))

    answers = {
        "ServerLive": server_live,
        "ServerReady": server_ready,
        "ModelReady": model_ready,
        "ServerMetadata": server_metadata,
        "ModelMetadata": model_metadata,
        "RepositoryIndex": index,
    }
    return {name: Call(MESSAGES[f"{name}Request"], answer) for name, answer in answers.items()} | {
        "ModelInfer": Call(MESSAGES["ModelInferRequest"], model_infer, inference.admitted_call)
    }


def read_inputs(request: Any, signature: Signature, limits: Limits) -> dict[str, np.ndarray]:
    """Returns the arrays of a ModelInferRequest: all in `raw_input_contents`, or each in its typed `contents`.

    Raises:
        ServingError: INVALID_ARGUMENT, naming the input that is none.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs; expected one of each, or none")
    reader = InputReader(limits)
    arrays: dict[str, np.ndarray] = {}
    for place, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise invalid(f"input {tensor.name!r} is given twice")
        refuse_parameters(f"input {tensor.name!r}", tensor.parameters)
        dtype, shape = reader.dtype_and_shape(tensor.name, tensor.datatype, tensor.shape)
        if raw:
            if tensor.HasField("contents"):
                raise invalid(f"input {tensor.name!r} has contents beside raw_input_contents; expected one of the two")
            arrays[tensor.name] = from_raw(tensor.name, raw[place], dtype, shape)
        else:
            arrays[tensor.name] = _from_contents(tensor, dtype, shape)
    return arrays


def _from_contents(tensor: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise invalid(f"input {tensor.name!r} of datatype {tensor.datatype} needs raw_input_contents")
    filled = [other.name for other, _ in tensor.contents.ListFields()]
    if filled not in ([field], []):
        raise invalid(f"input {tensor.name!r} of datatype {tensor.datatype} has {', '.join(filled)}; expected {field}")
    values = getattr(tensor.contents, field)
    elements = math.prod(shape)
    if len(values) != elements:
        raise invalid(
            f"input {tensor.name!r} has {len(values)} values in {field}; expected {elements} for shape {list(shape)}"
        )
    if dtype.hasobject:
        array = np.empty(len(values), object)
        array[:] = values
        return array.reshape(shape)
    array = np.array(values, WIRE_DTYPES.get(field, dtype))
    if array.dtype != dtype and array.size:
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise invalid(
                f"input {tensor.name!r} has a value out of the range of {tensor.datatype}: {bounds.min} to {bounds.max}"
            )
    return array.astype(dtype, copy=False).reshape(shape)
