"""An OpenAPI 3.1 description of the REST of the models being served, made from their signatures."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from recipes.serving.http_messages import Request, Response
from recipes.serving.limits import Limits
from recipes.serving.page import describe_models, json_response, refusal

INTEGERS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}

#: Errors of every path: HTTP status -> when.
ERRORS = {
    "400": "The request is wrong: its JSON, the names, types or shapes of its tensors, the label",
    "401": "The bearer token is missing or wrong, where the server requires one",
    "404": "There is no such model or version",
    "413": "The body is too large",
    "429": "Too many requests are at work: try again later",
    "503": "The server is full or stopping: try again later",
    "504": "The request took too long",
}

SCHEMAS: dict[str, Any] = {
    "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
    "String": {
        "description": "Text in UTF-8, or any bytes in base 64",
        "oneOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"],
                "additionalProperties": False,
            },
        ],
    },
    "Feature": {"description": "A value or a list of values of one type: numbers, true or false, strings, b64"},
    "Example": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Feature"}},
    "Status": {
        "type": "object",
        "properties": {
            "model_version_status": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "version": {"type": "string"},
                        "state": {"enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                        "status": {
                            "type": "object",
                            "properties": {"error_code": {"type": "string"}, "error_message": {"type": "string"}},
                        },
                    },
                },
            }
        },
    },
    "Metadata": {
        "type": "object",
        "properties": {"model_spec": {"type": "object"}, "metadata": {"type": "object"}},
    },
}


def answer(inference: Any, limits: Limits, request: Request) -> Response | None:
    """Returns the description of `/openapi.json`; None of other paths."""
    if request.target.partition("?")[0] != "/openapi.json":
        return None
    return refusal(request) or json_response(describe_api(describe_models(inference.models), limits))


def describe_api(models: list[dict[str, Any]], limits: Limits) -> dict[str, Any]:
    """Returns the description, ready for JSON.

    Args:
        models: What `page.describe_models` returns.
        limits: The server's; its largest body and number of requests are in the text.
    """
    paths: dict[str, Any] = {}
    for model in models:
        paths |= _paths_of(model)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Models",
            "version": "1",
            "description": "The REST of TensorFlow Serving. Where a path has `/versions/{version}`, "
            "`/labels/{label}` may stand too; without either, the highest version answers. A body may have "
            f"{limits.body_bytes / 2**20:g} MiB, unpacked where it is sent with `Content-Encoding: gzip`; "
            f"{limits.requests} requests are at work at once. Numbers that are not finite are written NaN, Infinity "
            "and -Infinity.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {
                status: {"description": description, "content": _json({"$ref": "#/components/schemas/Error"})}
                for status, description in ERRORS.items()
            },
        },
    }


def _paths_of(model: dict[str, Any]) -> dict[str, Any]:
    """Returns a model's paths, and those of one version of it."""
    name, methods = model["name"], {signature["method"] for signature in model["signatures"].values()}
    paths: dict[str, Any] = {}
    for suffix, parameters in (("", []), ("/versions/{version}", [_VERSION])):
        path = f"/v1/models/{quote(name, safe='')}{suffix}"
        of_what = f"{name}, one version" if suffix else name
        shared = {"parameters": parameters} if parameters else {}
        paths[path] = shared | {"get": _operation(f"Status of {of_what}", name, "Status")}
        paths[f"{path}/metadata"] = shared | {"get": _operation(f"Signatures of {of_what}", name, "Metadata")}
        for method in ("predict", "classify", "regress"):
            if model["serving"] is not None and (method == "predict" or method in methods):
                operation = _predict(model) if method == "predict" else _examples(model, method)
                operation |= {"summary": f"{method.capitalize()} with {of_what}", "tags": [name]}
                paths[f"{path}:{method}"] = shared | {"post": operation}
    return paths


_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "format": "int64", "minimum": 0},
}


def _operation(summary: str, tag: str, schema: str) -> dict[str, Any]:
    return {"summary": summary, "tags": [tag], "responses": _responses({"$ref": f"#/components/schemas/{schema}"})}


def _predict(model: dict[str, Any]) -> dict[str, Any]:
    requests, responses = [], []
    for name, signature in model["signatures"].items():
        inputs, outputs = signature["inputs"], signature["outputs"]
        if inputs and all(map(_may_be_rows, [*inputs.values(), *outputs.values()])):
            row = _one_or_named({key: _schema(value, skip=1) for key, value in inputs.items()})
            requests.append(_request(name, "by rows", "instances", {"type": "array", "minItems": 1, "items": row}))
            predictions = _named_unless_one({key: _schema(value, skip=1) for key, value in outputs.items()})
            responses.append(_object({"predictions": {"type": "array", "items": predictions}}, f"{name}, by rows"))
        columns = _one_or_named({key: _schema(value) for key, value in inputs.items()})
        requests.append(_request(name, "by columns", "inputs", columns))
        answers = _named_unless_one({key: _schema(value) for key, value in outputs.items()})
        responses.append(_object({"outputs": answers}, f"{name}, by columns"))
    return {
        "requestBody": {"required": True, "content": _json({"anyOf": requests})},
        "responses": _responses({"anyOf": responses}),
    }


def _examples(model: dict[str, Any], method: str) -> dict[str, Any]:
    """Returns the operation of the signatures that take tf.Examples."""
    names = [name for name, signature in model["signatures"].items() if signature["method"] == method]
    example = {"$ref": "#/components/schemas/Example"}
    body = _object({"examples": {"type": "array", "minItems": 1, "items": example}})
    body["properties"] |= {"signature_name": {"enum": names}, "context": example}
    if "serving_default" not in names:
        body["required"].append("signature_name")
    pair = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 2, "maxItems": 2}
    result = {"type": "array", "items": pair} if method == "classify" else {"type": "number"}
    return {
        "requestBody": {"required": True, "content": _json(body)},
        "responses": _responses(_object({"results": {"type": "array", "items": result}})),
    }


def _request(signature_name: str, how: str, key: str, schema: dict[str, Any]) -> dict[str, Any]:
    body = _object({key: schema}, f"{signature_name}, {how}")
    body["properties"]["signature_name"] = {"const": signature_name}
    if signature_name != "serving_default":
        body["required"].append("signature_name")
    return body


def _object(properties: dict[str, Any], title: str = "") -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"title": title, **schema} if title else schema


def _one_or_named(schemas: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of inputs by name; the value of an only input may stand alone."""
    named = _object(schemas)
    return {"anyOf": [named, *schemas.values()]} if len(schemas) == 1 else named


def _named_unless_one(schemas: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of outputs: that of an only one, else an object."""
    return next(iter(schemas.values())) if len(schemas) == 1 else _object(schemas)


def _may_be_rows(tensor: dict[str, Any]) -> bool:
    """Returns whether a tensor's first dimension is open, or not known."""
    return tensor["shape"] is None or (bool(tensor["shape"]) and tensor["shape"][0] is None)


def _schema(tensor: dict[str, Any], skip: int = 0) -> dict[str, Any]:
    """Returns the schema of a tensor's JSON, without its first `skip` dimensions."""
    value = _value(tensor["dtype"])
    if tensor["shape"] is None:
        return {"description": f"{tensor['dtype']} of any shape: a value, or lists of lists of them"}
    for size in reversed(tensor["shape"][skip:]):
        sizes = {} if size is None else {"minItems": size, "maxItems": size}
        value = {"type": "array", "items": value, **sizes}
    return value


def _value(dtype: str) -> dict[str, Any]:
    """Returns the schema of one number, string or truth value."""
    if dtype in INTEGERS:
        bits, is_unsigned = INTEGERS[dtype], dtype.startswith("u")
        least, bound = (0, 2**bits) if is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return {"type": "integer", "minimum": least, "maximum": bound - 1}
    if dtype == "string":
        return {"$ref": "#/components/schemas/String"}
    if dtype == "bool":
        return {"type": "boolean"}
    formats = {"float32": "float", "float64": "double"}
    return {"type": "number", **({"format": formats[dtype]} if dtype in formats else {"description": dtype})}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _responses(schema: dict[str, Any]) -> dict[str, Any]:
    errors = {status: {"$ref": f"#/components/responses/{status}"} for status in ERRORS}
    return {"200": {"description": "The answer", "content": _json(schema)}, **errors}
