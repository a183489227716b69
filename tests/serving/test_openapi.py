"""The OpenAPI description is valid, and its schemas take the requests and answers that the server's REST does."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from recipes.serving import openapi
from recipes.serving.http_messages import Request
from recipes.serving.limits import Limits
from serving.canned_server import HOSTILE, INFERENCE


@pytest.fixture(scope="module")
def description():
    response = openapi.answer(INFERENCE, Limits(), Request("GET", "/openapi.json", {}))
    assert response.status == 200
    return json.loads(response.body)


def accepts(description, path, body, is_answer=False):
    operation = description["paths"][path]["post"]
    content = operation["responses"]["200"] if is_answer else operation["requestBody"]
    schema = copy.deepcopy(content["content"]["application/json"]["schema"])
    return Draft202012Validator({**schema, "components": description["components"]}).is_valid(body)


def test_it_is_openapi(description):
    validate(description)
    assert description["openapi"].startswith("3.1")


def test_other_paths_and_methods():
    assert openapi.answer(INFERENCE, Limits(), Request("GET", "/openapi.yaml", {})) is None
    assert openapi.answer(INFERENCE, Limits(), Request("POST", "/openapi.json", {})).status == 405


def test_each_model_has_its_paths(description):
    paths = description["paths"]
    for suffix in ("", "/metadata", ":predict", "/versions/{version}", "/versions/{version}:predict", ":classify"):
        assert f"/v1/models/digits{suffix}" in paths
    assert "/v1/models/reviews:classify" not in paths  # no signature of it takes examples
    assert "/v1/models/broken" in paths  # its status can be asked
    assert "/v1/models/broken:predict" not in paths
    assert [path for path in paths if HOSTILE in path] == []  # percent-encoded


@pytest.mark.parametrize(
    ("path", "body", "is_valid"),
    [
        ("reviews:predict", {"instances": ["Not dull at all!"]}, True),
        ("reviews:predict", {"instances": [{"text": "Not dull at all!"}, {"text": {"b64": "AA=="}}]}, True),
        ("reviews:predict", {"inputs": ["Not dull at all!"]}, True),
        ("reviews:predict", {"inputs": {"text": ["Not dull at all!"]}}, True),
        ("reviews:predict", {"signature_name": "serving_default", "instances": ["a"]}, True),
        ("reviews:predict", {"signature_name": "other", "instances": ["a"]}, False),
        ("reviews:predict", {"instances": []}, False),
        ("reviews:predict", {"instances": [5]}, False),
        ("reviews:predict", {}, False),
        ("plays:predict", {"signature_name": "generate", "instances": [{"prompt": "a"}]}, False),  # lacks the others
        ("digits:predict", {"signature_name": "image", "instances": [[[[0.0]] * 28] * 28]}, True),
        ("digits:predict", {"signature_name": "image", "instances": [[[[0.0]] * 27] * 28]}, False),
        ("faces:predict", {"instances": [{"seed": 2**63 - 1}]}, True),
        ("faces:predict", {"instances": [{"seed": 2**63}]}, False),
        ("half_plus_two:predict", {"inputs": {"x": [[1.0]]}}, True),
        ("half_plus_two:predict", {"instances": [1.0, 2.0]}, True),
        ("digits:classify", {"signature_name": "classify", "examples": [{"x": [1.5]}]}, True),
        ("digits:classify", {"examples": [{"x": [1.5]}]}, False),  # serving_default does not classify
    ],
)
def test_requests(description, path, body, is_valid):
    assert accepts(description, f"/v1/models/{path}", body) == is_valid


def test_answers(description):
    row = {"label": "a", "probability": 0.9, "probabilities": [0.1] * 10, "known_words": 3}
    path = "/v1/models/reviews:predict"
    assert accepts(description, path, {"predictions": [row]}, is_answer=True)
    assert accepts(description, path, {"outputs": {name: [value] for name, value in row.items()}}, is_answer=True)
    assert not accepts(description, path, {"predictions": [{"label": "a"}]}, is_answer=True)
    assert accepts(description, "/v1/models/digits:classify", {"results": [[["a", 0.5]]]}, is_answer=True)
