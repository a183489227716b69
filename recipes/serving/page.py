"""The page for people at "/": its files, and what it shows of the models."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from recipes.serving.http_messages import Request, Response
from recipes.serving.limits import Limits
from recipes.serving.models import ModelSpec
from recipes.serving.signatures import CLASSIFY, DEFAULT, REGRESS, Signature, in_short
from recipes.serving.status import ServingError

#: Path -> the file in the folder page, and its type. These hold nothing of the models: they need no token.
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/page/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "form", "fields", "drawing", "answers", "elements", "server")
    },
}
MODELS = "/page/models"

HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",  # no text can become markup, not even by mistake
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),
)


def answer(inference: Any, limits: Limits, request: Request) -> Response | None:
    """Returns the page, one of its files, or, of `/page/models`, what it shows of the models; None of other paths."""
    path = request.target.partition("?")[0]
    if path in FILES:
        name, content_type = FILES[path]
        return refusal(request) or Response(200, read_file(name), content_type, HEADERS)
    if path == MODELS:
        return refusal(request) or json_response(describe_models(inference.models))
    return None


def refusal(request: Request) -> Response | None:
    """Returns the answer to a request that is no GET."""
    if request.method in ("GET", "HEAD"):
        return None
    error = {"error": f"Method not allowed: {request.method} {request.target}; expected GET"}
    return Response(405, json.dumps(error).encode(), headers=(*HEADERS, ("Allow", "GET, HEAD")))


def json_response(content: Any) -> Response:
    """Returns the answer that holds some JSON."""
    return Response(200, json.dumps(content).encode(), headers=HEADERS)


@cache
def read_file(name: str) -> bytes:
    """Returns a file of the page."""
    return files("recipes.serving").joinpath("page", name).read_bytes()


def describe_models(models: Any) -> list[dict[str, Any]]:
    """Returns what is known of each model, ready for JSON.

    Each is {"name", "labels": {label: version}, "versions": [{"version", "state", "message"}], highest first,
    "serving": the version that answers or None, "signatures": of that version, the default first, "manifest": its
    recipe.json without the checksums, or None}. A signature is {"method": "predict", "classify" or "regress", "inputs"
    and "outputs": {name: {"dtype", "shape"}}}.
    """
    return [_describe_model(models, name) for name in models.names()]


def _describe_model(models: Any, name: str) -> dict[str, Any]:
    try:
        statuses = models.statuses(name)
    except ServingError:  # no version was seen yet
        statuses = []
    description: dict[str, Any] = {
        "name": name,
        "labels": models.labels(name),
        "versions": [{"version": one.version, "state": one.state, "message": one.message} for one in statuses],
        "serving": None,
        "signatures": {},
        "manifest": None,
    }
    try:
        with models.using(ModelSpec(name)) as served:
            signatures, manifest = served.engine.signatures, served.manifest
            description["serving"] = served.version
    except ServingError:  # none is AVAILABLE
        return description
    names = sorted(signatures, key=lambda key: (key != DEFAULT, key))
    description["signatures"] = {key: _describe_signature(signatures[key]) for key in names}
    if manifest is not None:
        description["manifest"] = {key: value for key, value in manifest.items() if key != "sha256"}
    return description


def _describe_signature(signature: Signature) -> dict[str, Any]:
    return {
        "method": method_of(signature),
        "inputs": in_short(signature.inputs),
        "outputs": in_short(signature.outputs),
    }


def method_of(signature: Signature) -> str:
    """Returns what a signature is asked with: "classify" and "regress" take tf.Examples, "predict" tensors.

    Keras writes "predict" as the method of every signature; those whose names are a classifier's or a regressor's are
    taken as such.
    """
    takes_examples = list(signature.inputs) == ["inputs"] and signature.inputs["inputs"].dtype.name == "string"
    outputs = set(signature.outputs)
    if signature.method_name == CLASSIFY or (takes_examples and outputs and outputs <= {"classes", "scores"}):
        return "classify"
    return "regress" if signature.method_name == REGRESS or (takes_examples and outputs == {"outputs"}) else "predict"
