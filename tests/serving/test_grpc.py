"""TF Serving's gRPC, asked by its official client's stubs: every row of its table of answers, and what is refused."""

import logging
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from recipes.serving.grpc_calls import short
from recipes.serving.grpc_services import HEALTH, classifications, grpc_server, prediction_calls
from recipes.serving.inference import Answer
from recipes.serving.limits import Limits
from recipes.serving.status import ServingError

Status = grpc.StatusCode
LIMITS = Limits(body_bytes=1 << 20, elements=10_000)


@pytest.fixture(scope="session")
def address(inference):
    server = grpc_server(inference, LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(5).wait()


@pytest.fixture
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def model_stub(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def fill(spec, name="half_plus_two", signature_name="", version=None, label=None):
    spec.name, spec.signature_name = name, signature_name
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


def predict_request(inputs, outputs=(), **spec):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    fill(request.model_spec, **spec)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def of_examples(request, *xs, context=None, **spec):
    """Fills a request for classify, regress or multi_inference with examples of the feature x."""
    if hasattr(request, "model_spec"):
        fill(request.model_spec, **spec)
    kind = request.input.example_list if context is None else request.input.example_list_with_context
    for x in xs:
        example = kind.examples.add()
        if x is not None:
            example.features.feature["x"].float_list.value.append(x)
    if context is not None:
        kind.context.features.feature["x"].float_list.value.append(context)
    return request


def refused(code, message, call, request, **options):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=options.pop("timeout", 20), **options)
    assert raised.value.code() is code, raised.value.details()
    assert message in raised.value.details()
    assert "Traceback" not in raised.value.details()
    return raised.value


# ---------------------------------------------------------------- Predict


def test_predict_fills_the_typed_field_and_says_what_answered(stub):
    response = stub.Predict(predict_request({"x": np.float32(2)}, version=123))
    assert response.outputs["y"].float_val == [3.0]
    assert not response.outputs["y"].tensor_content
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half_plus_two", 123, "serving_default")
    assert stub.Predict(predict_request({"x": np.float32(2)})).model_spec.version.value == 124


def test_predict_with_an_output_filter(stub):
    request = predict_request({"text": ["ab", "c"], "times": np.array([2, 3])}, ["lengths"], signature_name="repeat")
    assert list(stub.Predict(request).outputs) == ["lengths"]
    request = predict_request({"text": ["ab", "c"], "times": np.array([2, 0])}, signature_name="repeat")
    outputs = stub.Predict(request).outputs
    assert outputs["joined"].string_val == [b"abab", b""]
    assert outputs["lengths"].int_val == [4, 0]


def test_a_label_is_answered_by_its_version(stub):
    spec = stub.Predict(predict_request({"x": np.float32(2)}, label="stable")).model_spec
    assert (spec.version.value, spec.version_label) == (123, "")


def test_an_input_with_a_default_may_be_left_out(inference_of, half_plus_two, tmp_path):
    shutil.copytree(half_plus_two / "124", tmp_path / "1")
    path = tmp_path / "1" / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    definition = saved_model.meta_graphs[0].signature_def["serving_default"]
    definition.defaults["x"].CopyFrom(tf.make_tensor_proto(np.float32(2)))
    path.write_bytes(saved_model.SerializeToString())
    predict = prediction_calls(inference_of({"half_plus_two": tmp_path}), LIMITS)["Predict"].answer
    assert predict(predict_request({}), None).outputs["y"].float_val == [3.0]
    assert predict(predict_request({"x": np.float32(4)}), None).outputs["y"].float_val == [4.0]


@pytest.mark.parametrize("signature_name", ["regress_x2_to_y3", "classify_x2_to_y3"])
def test_predict_on_signatures_of_other_methods(stub, signature_name):
    [output] = stub.Predict(predict_request({"inputs": np.float32(2)}, signature_name=signature_name)).outputs.values()
    assert output.float_val == [4.0]


def test_signatures_without_inputs(stub):
    def ask(name, outputs=(), **inputs):
        response = stub.Predict(predict_request(inputs, outputs, name="counter", signature_name=name))
        return response.outputs["output"].float_val[0]

    ask("reset_counter")
    assert [ask("get_counter"), ask("incr_counter"), ask("reset_counter")] == [0, 1, 0]
    assert ask("incr_counter", ["output"]) == 1
    assert ask("incr_counter_by", delta=np.float32(3)) == 4


HUGE = predict_request({})
HUGE.inputs["x"].dtype = 1
HUGE.inputs["x"].tensor_shape.dim.add().size = 1 << 40


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (predict_pb2.PredictRequest(), Status.INVALID_ARGUMENT, "Missing ModelSpec"),
        (predict_request({}, name=""), Status.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (predict_request({}, name="m"), Status.NOT_FOUND, "Servable not found for request: Latest(m)"),
        (
            predict_request({}, version=5),
            Status.NOT_FOUND,
            "Servable not found for request: Specific(half_plus_two, 5)",
        ),
        (predict_request({}, label="x"), Status.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        (predict_request({}, label=""), Status.INVALID_ARGUMENT, "Unrecognized servable version label: "),
        (
            predict_request({}, signature_name="x"),
            Status.FAILED_PRECONDITION,
            'Serving signature key "x" not found.',
        ),
        (
            predict_request({"a": 1.0, "b": 1.0}),
            Status.INVALID_ARGUMENT,
            "input size does not match signature: 2!=1 len({a,b}) != len({x}). Sent extra: {a,b}. "
            "Missing but required: {x}.",
        ),
        (predict_request({"z": 1.0}), Status.INVALID_ARGUMENT, "Signature input alias: x(feed name: "),
        (HUGE, Status.INVALID_ARGUMENT, "tensor parsing error: x"),
        (predict_request({"x": "text"}), Status.INVALID_ARGUMENT, "to be float but string is provided"),
        (
            predict_request({"inputs": ["no example"]}, signature_name="regress_x_to_y"),
            Status.INVALID_ARGUMENT,
            "Could not parse example input",
        ),
        (predict_request({"inputs": [["rank 2"]]}, signature_name="regress_x_to_y"), Status.INVALID_ARGUMENT, ""),
        (
            predict_request({"x": 1.0}, ["z"]),
            Status.INVALID_ARGUMENT,
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        (predict_request({"x": 1.0}, ["y", "y"]), Status.INVALID_ARGUMENT, "duplicate output tensor alias: y"),
    ],
)
def test_predict_refuses_as_tensorflow_serving_does(stub, request_, code, message):
    refused(code, message, stub.Predict, request_)


def test_the_clients_deadline_is_the_models(inference, monkeypatch, stub):
    deadlines = []
    predict = inference.predict

    def spy(*args, **named):
        deadlines.append(named["deadline"])
        return predict(*args, **named)

    monkeypatch.setattr(inference, "predict", spy)
    stub.Predict(predict_request({"x": np.float32(2)}), timeout=20)
    stub.Predict(predict_request({"x": np.float32(2)}))
    assert 0 < deadlines[0] - time.monotonic() < 25  # grpc rounds up
    assert deadlines[1] is None


def test_a_slow_model_is_given_up_at_the_deadline(inference, stub):
    request = predict_request({"text": ["abc"] * 5000, "times": np.full(5000, 20)}, signature_name="repeat")
    refused(Status.DEADLINE_EXCEEDED, "", stub.Predict, request, timeout=0.03)


# ---------------------------------------------------------------- Classify, Regress, MultiInference


def test_classify(stub):
    request = of_examples(classification_pb2.ClassificationRequest(), 20, 10, None, signature_name="classify_x_to_y")
    response = stub.Classify(request)
    rows = [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]
    assert rows == [[("", 12.0)], [("", 7.0)], [("", 2.0)]]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half_plus_two", 124, "classify_x_to_y")
    request.model_spec.signature_name = "classify_x_to_labels"
    rows = [[(one.label, one.score) for one in row.classes] for row in stub.Classify(request).result.classifications]
    assert rows[0] == [("positive", 20.0), ("any", -20.0)]
    assert rows[2][0] == ("other", 0.0)


def test_regress(stub):
    response = stub.Regress(of_examples(regression_pb2.RegressionRequest(), 80, 2, signature_name="regress_x_to_y"))
    assert [one.value for one in response.result.regressions] == [42.0, 3.0]
    assert (response.model_spec.signature_name, response.model_spec.version.value) == ("regress_x_to_y", 124)


def test_the_context_is_in_every_example_that_does_not_say_otherwise(stub):
    request = of_examples(regression_pb2.RegressionRequest(), 80, None, context=2, signature_name="regress_x_to_y")
    assert [one.value for one in stub.Regress(request).result.regressions] == [42.0, 3.0]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (of_examples(regression_pb2.RegressionRequest(), signature_name="regress_x_to_y"), "Input is empty"),
        (
            of_examples(regression_pb2.RegressionRequest(), 1, signature_name="s"),
            "No signature was found with the name: s",
        ),
        (of_examples(regression_pb2.RegressionRequest(), 1, signature_name="repeat"), "Expected one input Tensor."),
    ],
)
def test_regress_refuses(stub, request_, message):
    refused(Status.INVALID_ARGUMENT, message, stub.Regress, request_)


def test_labels_that_are_no_text():
    with pytest.raises(ServingError, match="UTF-8"):
        classifications(Answer("m", 1, "s", {"classes": np.array([[b"\xff"]], object)}))


def multi(*tasks, xs=(2,)):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature_name, method in tasks:
        fill(request.tasks.add(method_name=f"tensorflow/serving/{method}").model_spec, name, signature_name)
    return of_examples(request, *xs)


def test_multi_inference(stub):
    response = stub.MultiInference(
        multi(("half_plus_two", "regress_x_to_y", "regress"), ("half_plus_two", "classify_x_to_y", "classify"))
    )
    regress, classify = response.results
    assert regress.regression_result.regressions[0].value == 3.0
    assert classify.classification_result.classifications[0].classes[0].score == 3.0
    assert [one.model_spec.signature_name for one in response.results] == ["regress_x_to_y", "classify_x_to_y"]
    assert {one.model_spec.version.value for one in response.results} == {124}


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            multi(("half_plus_two", "regress_x_to_y", "regress"), ("counter", "regress_x_to_y2", "regress")),
            Status.INVALID_ARGUMENT,
            "must access the same model name",
        ),
        (
            multi(*[("half_plus_two", "regress_x_to_y", "regress")] * 2),
            Status.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            multi(("half_plus_two", "s", "regress")),
            Status.INVALID_ARGUMENT,
            "Requested signature not found in model graph: s",
        ),
        (
            multi(("half_plus_two", "regress_x_to_y", "predict")),
            Status.UNIMPLEMENTED,
            "Unsupported signature method_name",
        ),
        (multi(("half_plus_two", "regress_x_to_y", "regress"), xs=()), Status.INVALID_ARGUMENT, "Input is empty"),
        (multi(("", "s", "regress")), Status.INVALID_ARGUMENT, "Found ModelSpec with an empty model name."),
    ],
)
def test_multi_inference_refuses(stub, request_, code, message):
    refused(code, message, stub.MultiInference, request_)


# ---------------------------------------------------------------- metadata, status, reload, health


def metadata_request(fields=("signature_def",), **spec):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    fill(request.model_spec, **spec)
    return request


def test_model_metadata(stub):
    response = stub.GetModelMetadata(metadata_request(version=123))
    assert (response.model_spec.name, response.model_spec.version.value) == ("half_plus_two", 123)
    [packed] = response.metadata.values()
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == tf.float32
    assert "__saved_model_init_op" in signatures.signature_def


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), Status.INVALID_ARGUMENT, "Missing ModelSpec"),
        (metadata_request(()), Status.INVALID_ARGUMENT, "must specify at least one metadata_field"),
        (metadata_request(["size"]), Status.INVALID_ARGUMENT, "Metadata field size is not supported"),
        (metadata_request(name="m"), Status.NOT_FOUND, "Servable not found for request: Latest(m)"),
    ],
)
def test_model_metadata_refuses(stub, request_, code, message):
    refused(code, message, stub.GetModelMetadata, request_)


def status_request(**spec):
    request = get_model_status_pb2.GetModelStatusRequest()
    fill(request.model_spec, **spec)
    return request


def test_model_status(model_stub):
    def versions(**spec):
        statuses = model_stub.GetModelStatus(status_request(**spec)).model_version_status
        assert all(status.state == 30 and status.status.error_code == 0 for status in statuses)
        return [status.version for status in statuses]

    assert versions() == [124, 123]
    assert versions(version=123) == [123]
    assert versions(label="no such label") == [124, 123]
    call, missing = model_stub.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()
    refused(Status.INVALID_ARGUMENT, "Missing ModelSpec", call, missing)
    refused(Status.NOT_FOUND, "Could not find any versions of model m", call, status_request(name="m"))
    refused(Status.NOT_FOUND, "Could not find version 9 of model half_plus_two", call, status_request(version=9))


def reload_request(**models):
    request = model_management_pb2.ReloadConfigRequest()
    for name, path in models.items():
        request.config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    return request


def test_reload_is_off_unless_switched_on(model_stub):
    refused(Status.PERMISSION_DENIED, "switched off", model_stub.HandleReloadConfigRequest, reload_request())


def test_reload_replaces_the_models_over_a_unix_socket(inference_of, half_plus_two, counter_model, tmp_path):
    inference = inference_of({"counter": counter_model})
    server = grpc_server(inference, LIMITS, allow_reload=True)
    server.add_insecure_port(f"unix:{tmp_path}/grpc.sock")
    server.start()
    with grpc.insecure_channel(f"unix:{tmp_path}/grpc.sock") as channel:
        reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        assert reload(reload_request(half_plus_two=half_plus_two)).status.error_code == 0
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(predict_request({"x": np.float32(2)})).outputs["y"].float_val == [3.0]
        refused(Status.NOT_FOUND, "Latest(counter)", stub.Predict, predict_request({}, name="counter"))
        other = model_management_pb2.ReloadConfigRequest()
        other.config.custom_model_config.SetInParent()
        refused(Status.INVALID_ARGUMENT, "model_config_list", reload, other)
    server.stop(None).wait()


def check_health(channel, service="", **options):
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=HEALTH["HealthCheckResponse"].FromString,
    )
    return call(HEALTH["HealthCheckRequest"](service=service), **options).status


def test_health(channel, inference, monkeypatch):
    assert check_health(channel) == check_health(channel, "PredictionService") == 1
    with pytest.raises(grpc.RpcError) as raised:
        check_health(channel, "other")
    assert raised.value.code() is Status.NOT_FOUND
    monkeypatch.setattr(inference.models, "is_ready", lambda spec=None: False)
    assert check_health(channel, "ModelService") == 2


# ---------------------------------------------------------------- limits, tokens, faults


def test_tokens(inference):
    server = grpc_server(inference, LIMITS, tokens=frozenset({"a-token-of-some-length", "another-token-as-long"}))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        request = predict_request({"x": np.float32(2)})
        for metadata in [(), [("authorization", "Bearer a-token")], [("authorization", "a-token-of-some-length")]]:
            refused(Status.UNAUTHENTICATED, "Bearer", predict, request, metadata=metadata)
        response = predict(request, metadata=[("authorization", "Bearer another-token-as-long")])
        assert response.outputs["y"].float_val == [3.0]
        assert check_health(channel) == 1
    server.stop(None).wait()


def test_messages_that_are_too_large_are_refused_also_compressed(stub):
    request = predict_request({"x": np.zeros(500_000, np.float32)})
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        refused(Status.RESOURCE_EXHAUSTED, "", stub.Predict, request, compression=compression)
    large = predict_request({"x": np.zeros(11_000, np.float32)})
    refused(Status.INVALID_ARGUMENT, "tensor parsing error: x", stub.Predict, large)


def test_bytes_that_are_no_request(channel):
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    refused(Status.INVALID_ARGUMENT, "the request is no tensorflow.serving.PredictRequest", predict, b"\xff" * 9)
    refused(Status.UNIMPLEMENTED, "", channel.unary_unary("/tensorflow.serving.PredictionService/Other"), b"")


def test_a_fault_of_the_server_shows_no_secrets(stub, inference, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError("/a/secret/path")

    monkeypatch.setattr(inference, "regress", fail)
    with caplog.at_level(logging.ERROR):
        error = refused(Status.INTERNAL, "log", stub.Regress, of_examples(regression_pb2.RegressionRequest(), 1))
    assert "secret" not in error.details()
    assert "\n" not in error.details()
    assert "/a/secret/path" in caplog.text


def test_long_messages_are_cut():
    assert short("é" * 2000).encode() == "é".encode() * 512 + b"...TRUNCATED"
    assert short("é" * 512) == "é" * 512
    assert short("\ud800") == "\\ud800"


class Held:
    """Makes predict wait, and counts those that do."""

    def __init__(self, inference, monkeypatch):
        self.waiting, self.go_on, predict = threading.Semaphore(0), threading.Event(), inference.predict

        def wait(*args, **named):
            self.waiting.release()
            assert self.go_on.wait(20)
            return predict(*args, **named)

        monkeypatch.setattr(inference, "predict", wait)


def test_a_full_server_refuses_at_once_and_a_stopping_one_finishes(inference_of, half_plus_two, monkeypatch):
    inference = inference_of({"half_plus_two": half_plus_two}, limits=Limits(requests=3))
    held = Held(inference, monkeypatch)
    server = grpc_server(inference, inference.limits)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    request = predict_request({"x": np.float32(2)})
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(3) as clients:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        accepted = [clients.submit(stub.Predict, request) for _ in range(3)]
        for _ in range(3):
            assert held.waiting.acquire(timeout=20)
        for call in [stub.Predict.future(request) for _ in range(40)]:
            assert call.code() is Status.UNAVAILABLE
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status_request())
        assert len(status.model_version_status) == 2
        stopped = server.stop(20)
        held.go_on.set()
        assert [one.result().outputs["y"].float_val for one in accepted] == [[3.0]] * 3
    assert stopped.wait(20)


def test_calls_whose_request_does_not_arrive_hold_their_places_for_a_time(inference_of, half_plus_two):
    inference = inference_of({"half_plus_two": half_plus_two}, limits=Limits(requests=2, timeout=1))
    server = grpc_server(inference, inference.limits)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    request, end = predict_request({"x": np.float32(2)}), threading.Event()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        half = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        halves = [half.future(iter(end.wait, True)) for _ in range(60)]  # more than there are threads
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        refused(Status.UNAVAILABLE, "", stub.Predict, request)
        assert (
            len(model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status_request()).model_version_status)
            == 2
        )
        time.sleep(1)
        for _ in range(100):
            try:
                response = stub.Predict(request, timeout=20)
                break
            except grpc.RpcError:
                time.sleep(0.05)
        assert response.outputs["y"].float_val == [3.0]
        assert {call.code() for call in halves} == {Status.UNAVAILABLE, Status.CANCELLED}
        end.set()
    server.stop(None).wait()
