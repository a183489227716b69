"""TensorFlow Serving's REST: its routes, codes and messages, and what one request may cost."""

import gzip
import json
import threading
import time

import numpy as np
import pytest

from recipes.serving.http_messages import Response
from recipes.serving.inference import Inference
from recipes.serving.limits import Limits
from recipes.serving.rest import Rest
from recipes.serving.status import Code, ServingError
from serving.asgi import ask

RESERVED = "%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D"
M = "/v1/models/half_plus_two"


@pytest.fixture(scope="module")
def app(inference):
    rest = Rest(inference)
    yield rest
    rest.close()


@pytest.mark.parametrize(
    ("target", "body", "answer"),
    [
        (f"{M}:predict", {"instances": [2, 3, 4]}, {"predictions": [3, 3.5, 4]}),
        (f"{M}:predict", {"inputs": [2, 3, 4]}, {"outputs": [3, 3.5, 4]}),
        (f"{M}:PREDICT", {"inputs": 2}, {"outputs": 3}),
        (f"{M}/versions/000123:predict", {"inputs": {"x": [[2]]}}, {"outputs": [[3]]}),
        (f"{M}/labels/stable:predict", {"instances": [{"x": 2}]}, {"predictions": [3]}),
        (f"{M}:predict?key=1", {"instances": [2]}, {"predictions": [3]}),
        (f"{M}:predict", {"signature_name": "regress_x2_to_y3", "instances": [2]}, {"predictions": [4]}),
        (
            f"{M}:predict",
            {"signature_name": "repeat", "instances": [{"text": "é", "times": 2}, {"text": "b", "times": 1}]},
            {"predictions": [{"joined": "éé", "lengths": 4}, {"joined": "b", "lengths": 1}]},
        ),
        (
            f"{M}:classify",
            {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}, {"x": 10.0}]},
            {"results": [[["", 12]], [["", 7]]]},
        ),
        (
            f"{M}:classify",
            {"signature_name": "classify_x_to_labels", "examples": [{"x": [2.5]}]},
            {"results": [[["positive", 2.5], ["any", -2.5]]]},
        ),
        (f"{M}:regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}, {}]}, {"results": [42, 2]}),
        (
            f"{M}:regress",
            {"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{"z": "cat"}, {"x": 80.0}]},
            {"results": [3, 42]},
        ),
        ("/v1/models/counter:predict", {"signature_name": "reset_counter", "inputs": {}}, {"outputs": 0}),
    ],
)
def test_answers(app, target, body, answer):
    response = ask(app, "POST", target, body, pieces=3)
    assert (response.status, response.json) == (200, answer)
    assert response.headers["content-type"] == "application/json"


def test_what_is_not_finite_comes_and_goes(app):
    response = ask(app, "POST", f"{M}:predict", b'{"instances": [NaN, -Infinity, 1]}')
    np.testing.assert_array_equal(response.json["predictions"], [np.nan, -np.inf, 2.5])


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/foo"),
        ("PUT", "/v1/foo"),
        ("GET", "/v1/models/debug/model_name"),
        ("POST", "/v1/models"),
        ("GET", "/v1/models/foo:predict"),
        ("GET", "/v1/models/foo/version/50:predict"),
        ("POST", "/v1/models/foo/version/50:regress"),
        ("POST", "/v1/models/foo/versions/HELLO:regress"),
        ("POST", "/v1/models/foo/metadata"),
        ("POST", "/v1/models/foo/label/x:regress"),
        ("POST", "/v1/models/foo/versions/50/labels/x:regress"),
    ],
)
def test_malformed_requests(app, method, target):
    response = ask(app, method, target, b"{}")
    assert (response.status, response.error) == (400, f"Malformed request: {method} {target}")


@pytest.mark.parametrize(
    ("target", "body", "status", "message"),
    [
        ("/v1/models/foo:predict", {"inputs": 1}, 404, "Servable not found for request: Latest(foo)"),
        ("/v1/models/foo/versions/50:predict", {"inputs": 1}, 404, "Servable not found for request: Specific(foo, 50)"),
        (f"/v1/models/{RESERVED}:predict", {"inputs": 1}, 404, "Latest(!#$%&'()*+,/:;=?@[])"),
        (f"{M}/labels/{RESERVED}:predict", {"inputs": 1}, 400, "version label: !#$%&'()*+,/:;=?@[]"),
        (f"{M}/versions/18446744073709551615:regress", {}, 400, "Failed to convert version: 18446744073709551615"),
        (
            f"{M}:predict",
            {"signature_name": "x", "inputs": 1},
            400,
            'Serving signature name: "x" not found in signature def',
        ),
        (f"{M}:classify", {"signature_name": "x", "examples": [{}]}, 400, "No signature was found with the name: x"),
        (f"{M}:classify", {}, 400, "When method is classify, key 'examples' is expected and was not found"),
        (f"{M}:regress", {}, 400, "When method is regress, key 'examples' is expected and was not found"),
        (f"{M}:regress", {"examples": {}}, 400, "Expecting 'examples' value to be an list/array"),
        (f"{M}:regress", {"examples": []}, 400, "'examples' value is an empty array"),
        (f"{M}:regress", {"examples": [[]]}, 400, "Example must be JSON object but got JSON Array"),
        (f"{M}:regress", {"context": [], "examples": [{}]}, 400, "Example must be JSON object but got JSON Array"),
        (f"{M}:regress", {"examples": [{"f": None}]}, 400, "Feature: f has element with unexpected JSON type: Null"),
        (f"{M}:regress", {"examples": [{"f": [[]]}]}, 400, "Feature: f has element with unexpected JSON type: Array"),
        (
            f"{M}:regress",
            {"examples": [{"f": [10, 10.0]}]},
            400,
            "Unexpected element type in feature: f expecting type: int64",
        ),
        (f"{M}:regress", {"examples": [{"f": 1 << 63}]}, 400, "uint64_t element. Only int64_t is supported"),
        (f"{M}:regress", {"examples": [{"x": "text"}]}, 400, "Data types don't match"),
        (f"{M}:regress", {"signature_name": 5, "examples": [{}]}, 400, "'signature_name' key must be a string value"),
        (f"{M}:classify", {"signature_name": "regress_x_to_y", "examples": [{}]}, 400, "keyed classes or scores"),
        (f"{M}:regress", {"signature_name": "classify_x_to_y", "examples": [{}]}, 400, "one regression output"),
        (f"{M}:regress", {"signature_name": "serving_default", "examples": [{}]}, 400, "inputs found in SignatureDef"),
    ],
)
def test_errors(app, target, body, status, message):
    if message == "Data types don't match":
        body = body | {"signature_name": "regress_x_to_y"}
    response = ask(app, "POST", target, body)
    assert response.status == status
    assert message in response.error
    assert "Traceback" not in response.error


def test_status_and_metadata(app, inference):
    [first, second] = ask(app, "GET", M).json["model_version_status"]
    ok = {"error_code": "OK", "error_message": ""}
    assert first == {"version": "124", "state": "AVAILABLE", "status": ok}
    assert second["version"] == "123"
    assert ask(app, "GET", f"{M}/versions/123").json["model_version_status"] == [second]
    assert ask(app, "GET", f"{M}/labels/stable").json["model_version_status"] == [second]
    assert ask(app, "GET", "/v1/models/x").status == 404
    assert ask(app, "GET", "/v1/models").error == "Missing model name in request."
    metadata = ask(app, "GET", f"{M}/metadata").json
    assert metadata["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "124"}
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["defaults"] == {}
    shape = {"dim": [], "unknown_rank": True}
    name = inference.models._models["half_plus_two"].versions[124].served.engine.signatures["serving_default"]
    assert definition["inputs"]["x"] == {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": name.inputs["x"].name}


def test_health_readiness_and_metrics(app):
    assert ask(app, "GET", "/healthz").status == 200
    assert ask(app, "GET", "/readyz").status == 200
    ask(app, "POST", f"{M}:predict", {"inputs": 2})
    page = ask(app, "GET", "/monitoring/prometheus/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert ':tensorflow:serving:request_count{model_name="half_plus_two",status="OK"}' in page.body.decode()
    assert 'request_latency_bucket{model_name="half_plus_two",API="predict",entrypoint="REST",le="+Inf"}' in (
        page.body.decode()
    )
    response = ask(app, "GET", "/nowhere")
    assert (response.status, response.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_packed_bodies(app):
    packed = [("content-encoding", "gzip")]
    body = gzip.compress(json.dumps({"inputs": [2]}).encode())
    assert ask(app, "POST", f"{M}:predict", body, packed).json == {"outputs": [3]}
    assert ask(app, "POST", f"{M}:predict", gzip.compress(b'{"inputs"') + gzip.compress(b": 2}"), packed).status == 200
    assert "no gzip" in ask(app, "POST", f"{M}:predict", b"text", packed).error
    assert "before its end" in ask(app, "POST", f"{M}:predict", body[:-9], packed).error


def with_limits(inference, **limits):
    return Inference(inference.models, Limits(**limits))


def test_large_bodies_are_refused_packed_or_not(inference):
    app = Rest(with_limits(inference, body_bytes=1000))
    large = b'{"inputs": [' + b" " * 1000 + b"]}"
    assert ask(app, "POST", f"{M}:predict", large).status == 413
    assert ask(app, "POST", f"{M}:predict", b"", [("content-length", "99999999999")]).status == 413
    response = ask(app, "POST", f"{M}:predict", gzip.compress(large), [("content-encoding", "gzip")])
    assert (response.status, response.error) == (413, "the body is larger than 1,000 bytes")
    app.close()


def test_all_bodies_together_are_held_within_a_limit(inference):
    app = Rest(with_limits(inference, all_body_bytes=1000))
    large = b'{"inputs": [' + b" " * 1000 + b"]}"
    for body, headers in ((large, ()), (gzip.compress(large), [("content-encoding", "gzip")])):
        response = ask(app, "POST", f"{M}:predict", body, headers, pieces=5)
        assert response.status == 429
        assert "at work on large requests" in response.error
    assert app._held == 0
    assert ask(app, "POST", f"{M}:predict", {"inputs": 2}).status == 200
    app.close()


def test_a_server_that_has_enough_to_do_says_so_at_once(inference):
    gate = threading.Event()

    def slow(inference, limits, request):
        gate.wait(10)
        return Response(200, b"{}")

    limited = with_limits(inference, requests=2)
    app = Rest(limited, pages=[slow])
    waiting = [threading.Thread(target=ask, args=(app, "GET", "/slow")) for _ in range(2)]
    for thread in waiting:
        thread.start()
    while limited._free._value:
        time.sleep(0.001)
    response = ask(app, "POST", f"{M}:predict", {"inputs": 2})
    assert response.status == 429
    assert "takes no more" in response.error
    assert ask(app, "GET", "/healthz").status == 200, "whoever restarts it for this makes it worse"
    gate.set()
    for thread in waiting:
        thread.join()
    assert ask(app, "POST", f"{M}:predict", {"inputs": 2}).status == 200
    app.close()


def test_a_request_that_takes_too_long_is_given_up_and_holds_its_place_until_it_ends(inference):
    gate = threading.Event()
    limited = with_limits(inference, timeout=0.1)
    app = Rest(limited, pages=[lambda *_: gate.wait(10) and Response(200, b"{}")])
    response = ask(app, "GET", "/slow")
    assert (response.status, response.error) == (504, "the request was not answered within 0.1 s")
    assert limited._free._value == limited.limits.requests - 1
    gate.set()
    app.close()
    assert limited._free._value == limited.limits.requests


def test_who_has_no_token_sees_only_whether_it_is_well(inference):
    app = Rest(inference, tokens={"a token that is long"})
    assert ask(app, "GET", "/healthz").status == 200
    for authorization in ((), [("authorization", "Bearer wrong")], [("authorization", "Basic a token that is long")]):
        response = ask(app, "POST", f"{M}:predict", {"inputs": 2}, authorization)
        assert response.status == 401
        assert "Authorization: Bearer TOKEN" in response.error
    right = [("authorization", "bearer a token that is long")]
    assert ask(app, "POST", f"{M}:predict", {"inputs": 2}, right).status == 200
    app.close()


def test_other_sites_may_ask_only_where_that_is_allowed(inference, app):
    origin = [("origin", "https://example.org")]
    assert "access-control-allow-origin" not in ask(app, "OPTIONS", f"{M}:predict", b"", origin).headers
    assert ask(app, "OPTIONS", f"{M}:predict").status == 400
    open_to_all = Rest(inference, cross_origin=True)
    assert ask(open_to_all, "OPTIONS", f"{M}:predict", b"", origin).headers["access-control-allow-origin"] == "*"
    open_to_all.close()


def test_a_fault_of_the_server_is_logged_and_tells_nothing(inference, caplog):
    app = Rest(inference, pages=[lambda *_: 1 / 0])
    response = ask(app, "GET", "/fault")
    assert (response.status, response.error) == (500, "the server failed; its log says how")
    assert "ZeroDivisionError" in caplog.text
    app.close()


def test_every_code_has_its_http_status():
    assert [ServingError(code, "").code.http for code in Code][:4] == [200, 499, 500, 400]
    assert all(code.http >= 400 for code in Code if code)
