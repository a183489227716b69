"""The REST of the Open Inference Protocol (KServe V2) under /v2, with Triton's binary tensors and repository index."""

import json
import logging
import math
import re
from itertools import chain
from typing import Any
from urllib.parse import parse_qs, unquote

import numpy as np
import orjson

from recipes.serving.http_messages import Request, Response
from recipes.serving.inference import Inference
from recipes.serving.json_tensors import parse_object
from recipes.serving.limits import Limits
from recipes.serving.models import ModelSpec
from recipes.serving.open_inference_tensors import (
    DATATYPES,
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
from recipes.serving.status import Code, ServingError, invalid

logger = logging.getLogger(__name__)

MODEL = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<verb>infer|ready))?")
SERVER_PATHS = ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index")
METHOD_NOT_ALLOWED = 405
HEADER_LENGTH = "inference-header-content-length"

#: Kind of a dtype -> the types of JSON values that it takes.
JSON_TYPES: dict[str, tuple[set[type], str]] = {
    "b": ({bool}, "true and false"),
    "i": ({int}, "integers"),
    "u": ({int}, "integers"),
    "f": ({int, float}, "numbers"),
    "V": ({int, float}, "numbers"),  # bfloat16
    "O": ({str}, "strings"),
}


def answer(inference: Inference, limits: Limits, request: Request) -> Response | None:
    """Returns the answer to a request under /v2, also to a wrong one; None if the target is none of this protocol's.

    The caller has admitted the request: nothing here takes a place in the server.
    """
    path, _, query = request.target.partition("?")
    if path != "/v2" and not path.startswith("/v2/"):
        return None
    try:
        return _route(inference, limits, request, path, query)
    except ServingError as error:
        status, message = error.code.http, str(error)
    except MemoryError:
        status, message = Code.RESOURCE_EXHAUSTED.http, "out of memory"
    except Exception as error:
        logger.exception("%s %s failed", request.method, path)
        status, message = Code.INTERNAL.http, f"the request failed: {type(error).__name__}; the server's log says where"
    return _error(message, status)


def _route(inference: Inference, limits: Limits, request: Request, path: str, query: str) -> Response:
    models, path = inference.models, path.rstrip("/")
    target = MODEL.fullmatch(path)
    if target is None and path not in SERVER_PATHS:
        raise ServingError(Code.NOT_FOUND, f"{path[:200]!r} is no path of the Open Inference Protocol")
    method = "POST" if path.endswith(("/infer", "/index")) else "GET"
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        return _error(f"{request.method[:20]} {path[:200]}: expected {method}", METHOD_NOT_ALLOWED)
    if target:
        return _of_model(inference, limits, request, target, query)
    if path == "/v2/repository/index":
        only_ready = bool(request.body) and parse_object(request.body, limits).get("ready") is True
        return _json(list(repository_index(models, only_ready)))
    if path == "/v2/health/live":
        return _json({"live": True})
    if path == "/v2/health/ready":
        return _ready({}, models.is_ready())
    return _json({"name": SERVER_NAME, "version": server_version(), "extensions": EXTENSIONS})


def _of_model(inference: Inference, limits: Limits, request: Request, target: re.Match[str], query: str) -> Response:
    models, name, verb = inference.models, _unquoted(target["name"]), target["verb"]
    spec = model_spec(name, target["version"] or "")
    if verb == "infer":
        return _infer(inference, limits, spec, request)
    if verb == "ready":
        models.statuses(name, spec.version)  # NOT_FOUND, if there is no such model or version
        return _ready({"name": name}, models.is_ready(spec))
    with models.using(spec) as served:
        signature = metadata_signature(served, parse_qs(query).get("signature_name", [""])[0])
    return _json(
        {
            "name": name,
            "versions": available_versions(models, name),
            "platform": PLATFORM,
            "inputs": tensors_metadata(signature.inputs),
            "outputs": tensors_metadata(signature.outputs),
        }
    )


def _infer(inference: Inference, limits: Limits, spec: ModelSpec, request: Request) -> Response:
    header, binary = _parts(request)
    document = parse_object(header, limits)
    parameters = _parameters(document, "the request")
    wanted = _objects(document, "outputs") if "outputs" in document else []
    names = [_text(output, "name", "an output") for output in wanted]
    answered = inference.predict(
        spec,
        _text(parameters, "signature_name", "the request's parameters", ""),
        lambda _: _read_inputs(_objects(document, "inputs"), binary, limits),
        outputs=names,
        front="REST",
        deadline=earlier(request.deadline, _integer(parameters, "timeout", "the request's parameters", 0)),
    )
    all_binary = parameters.get("binary_data_output", False)
    are_binary = {
        name: _parameters(output, f"output {name!r}").get("binary_data", all_binary)
        for name, output in zip(names, wanted)
    }
    order = names or list(answered.outputs)
    outputs, raw = [], []
    for name in order:
        array = answered.outputs[name]
        output: dict[str, Any] = {"name": name, "datatype": output_datatype(name, array), "shape": list(array.shape)}
        if are_binary.get(name, all_binary):
            raw.append(to_raw(array))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = _json_data(name, array)
        outputs.append(output)
    body = {"model_name": answered.name, "model_version": str(answered.version), "outputs": outputs}
    if "id" in document:
        body["id"] = _text(document, "id", "the request")
    written = _json(body)
    if not raw:
        return written
    return Response(
        written.status,
        b"".join([written.body, *raw]),
        "application/octet-stream",
        (("Inference-Header-Content-Length", str(len(written.body))),),
    )


def _parts(request: Request) -> tuple[bytes, memoryview]:
    """Returns the JSON of a request, and the bytes of its binary tensors behind it."""
    length = request.headers.get(HEADER_LENGTH)
    if length is None:
        return request.body, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 19 and 0 < int(length) <= len(request.body)):
        raise invalid(
            f"Inference-Header-Content-Length is {length[:40]!r}; expected the length of the JSON before the binary "
            f"tensors, 1 to {len(request.body)} bytes"
        )
    return request.body[: int(length)], memoryview(request.body)[int(length) :]


def _read_inputs(inputs: list[dict[str, Any]], binary: memoryview, limits: Limits) -> dict[str, np.ndarray]:
    reader = InputReader(limits)
    arrays: dict[str, np.ndarray] = {}
    position = 0
    for tensor in inputs:
        name = _text(tensor, "name", "an input")
        where = f"input {name!r}"
        if name in arrays:
            raise invalid(f"{where} is given twice")
        dims = tensor.get("shape")
        if type(dims) is not list or not {type(dim) for dim in dims} <= {int}:
            raise invalid(f"{where} has the shape {_shown(dims)}; expected a list of integers")
        dtype, shape = reader.dtype_and_shape(name, _text(tensor, "datatype", where), dims)
        parameters = _parameters(tensor, where)
        if "binary_data_size" not in parameters:
            arrays[name] = _from_json(where, tensor.get("data"), dtype, shape)
            continue
        size = _integer(parameters, "binary_data_size", where, 0)
        if "data" in tensor:
            raise invalid(f"{where} has both data and binary_data_size; expected one of the two")
        if not 0 <= size <= len(binary) - position:
            raise invalid(
                f"{where} has binary_data_size {size}, but {len(binary) - position} bytes of binary tensors are left"
            )
        arrays[name] = from_raw(name, binary[position : position + size], dtype, shape)
        position += size
    if position != len(binary):
        raise invalid(f"{len(binary) - position} bytes follow the binary tensors of the inputs")
    return arrays


def _from_json(where: str, data: Any, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the array of an input's "data", one flat list or lists in lists as the shape has them."""
    if type(data) is not list:
        raise invalid(f"{where} has no list in 'data', and no binary_data_size")
    flat = data
    if len(shape) > 1 and data and type(data[0]) is list:
        level: list[Any] = [data]
        for size in shape:
            if any(type(values) is not list or len(values) != size for values in level):
                raise invalid(f"the lists in 'data' of {where} are not of the shape {list(shape)}")
            level = list(chain.from_iterable(level))
        flat = level
    if len(flat) != math.prod(shape):
        raise invalid(f"{where} has {len(flat)} values in 'data'; expected {math.prod(shape)} for shape {list(shape)}")
    types, expected = JSON_TYPES[dtype.kind]
    if not set(map(type, flat)) <= types:
        wrong = next(value for value in flat if type(value) not in types)
        raise invalid(f"{where} of datatype {DATATYPES[dtype]} has {_shown(wrong)} in 'data'; expected {expected}")
    try:
        if dtype.hasobject:
            array = np.empty(len(flat), object)
            array[:] = [text.encode() for text in flat]
        elif dtype.kind in "fV":
            with np.errstate(over="ignore"):  # beyond the datatype's range is infinite, as in TF Serving's JSON
                array = np.array(flat, np.float64).astype(dtype)
        else:
            array = np.array(flat, dtype)
    except (OverflowError, UnicodeEncodeError) as error:
        raise invalid(f"{where} has a value that {DATATYPES[dtype]} cannot hold: {str(error)[:200]}") from None
    return array.reshape(shape)


def _json_data(name: str, array: np.ndarray) -> Any:
    """Returns the elements of an output in one flat list, or an array that orjson writes as one."""
    flat = array.ravel()
    if array.dtype.hasobject:
        try:
            return [text.decode() for text in flat.tolist()]
        except UnicodeDecodeError:
            raise ServingError(
                Code.INTERNAL,
                f"output {name!r} holds bytes that are no UTF-8 text, which JSON cannot hold; ask for it in binary: "
                '"parameters": {"binary_data": true}',
            ) from None
    if array.dtype.kind == "V":
        flat = flat.astype(np.float32)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        return orjson.Fragment(json.dumps(flat.tolist()))  # NaN and Infinity, where orjson would write null
    return flat


def _json(document: Any, status: int = 200) -> Response:
    return Response(status, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _error(message: str, status: int) -> Response:
    return Response(status, json.dumps({"error": message}).encode())  # orjson refuses halves of surrogate pairs


def _ready(body: dict[str, Any], is_ready: bool) -> Response:
    return _json({**body, "ready": is_ready}, 200 if is_ready else Code.UNAVAILABLE.http)


def _unquoted(name: str) -> str:
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise invalid("the model's name in the URL is no UTF-8") from None


def _text(values: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if type(value) is not str or any("\ud800" <= letter <= "\udfff" for letter in value):  # half of a surrogate pair
        raise invalid(f"{key!r} of {where} is {_shown(value)}; expected a text")
    return value


def _integer(values: dict[str, Any], key: str, where: str, default: int) -> int:
    value = values.get(key, default)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise invalid(f"{key!r} of {where} is {_shown(value)}; expected an integer of 0 or more")
    return value


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = document.get(key)
    if type(values) is not list or not set(map(type, values)) <= {dict}:
        raise invalid(f"{key!r} of the request is {_shown(values)}; expected a list of objects")
    return values


def _parameters(values: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = values.get("parameters", {})
    if type(parameters) is not dict:
        raise invalid(f"'parameters' of {where} is {_shown(parameters)}; expected an object")
    refuse_parameters(where, parameters)
    return parameters


def _shown(value: Any) -> str:
    """Returns a JSON value for a message; of lists and objects, which may be large or deep, the kind alone."""
    return "a list" if type(value) is list else "an object" if type(value) is dict else repr(value)[:80]
