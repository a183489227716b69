"""The Open Inference Protocol, asked by Triton's own clients and by hand, and what is refused."""

import http.server
import json
import struct
import threading

import grpc
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from recipes.serving.grpc_services import grpc_server
from recipes.serving.http_messages import Request
from recipes.serving.limits import Limits
from recipes.serving.open_inference import _from_json, answer
from recipes.serving.open_inference_messages import MESSAGES
from recipes.serving.open_inference_tensors import DTYPES, InputReader, from_raw, tensors_metadata, to_raw
from recipes.serving.proto_definitions import message_classes
from recipes.serving.signatures import TensorInfo
from recipes.serving.status import ServingError

LIMITS = Limits(elements=10_000, rank=8)


@pytest.fixture(scope="session")
def grpc_client(inference):
    server = grpc_server(inference, LIMITS)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client
    server.stop(None).wait()


@pytest.fixture(scope="session")
def http_client(inference):
    """Triton's client before a bare HTTP server that hands every request to `answer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            response = answer(inference, LIMITS, Request(self.command, self.path, headers, body))
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            for header in response.headers:
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(response.body)

        do_GET = do_POST = handle_one  # noqa: N815 - the base class's names

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.server_port}")
    yield client
    client.close()
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["grpc", "http"])
def triton(request):
    """Each of Triton's modules with a client."""
    module = getattr(tritonclient, request.param)
    return module, request.getfixturevalue(f"{request.param}_client")


def triton_input(module, name, array, **options):
    datatype = tritonclient.utils.np_to_triton_dtype(array.dtype) or "BF16"
    tensor = module.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, **options)
    return tensor


# ---------------------------------------------------------------- Triton's clients


def test_health_and_metadata(triton):
    module, client = triton
    as_json = {"as_json": True} if module is tritonclient.grpc else {}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("half_plus_two")
    assert client.is_model_ready("half_plus_two", "123")
    assert not client.is_model_ready("half_plus_two", "9")
    assert not client.is_model_ready("no_such_model")
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "keras-recipes"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("half_plus_two", **as_json)
    assert (model["versions"], model["platform"]) == (["124", "123"], "tensorflow_savedmodel")
    [tensor] = model["inputs"]
    assert (tensor["name"], tensor["datatype"], list(map(int, tensor["shape"]))) == ("x", "FP32", [-1])
    index = client.get_model_repository_index(**as_json)
    index = index["models"] if as_json else index
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("counter", "1", "READY"),
        ("half_plus_two", "124", "READY"),
        ("half_plus_two", "123", "READY"),
    ]


def test_infer(triton):
    module, client = triton
    x = np.array([[1, 2], [3, 4]], np.float32)
    result = client.infer("half_plus_two", [triton_input(module, "x", x)], model_version="123", request_id="17")
    np.testing.assert_array_equal(result.as_numpy("y"), x / 2 + 2)
    response = result.get_response(**({"as_json": True} if module is tritonclient.grpc else {}))
    assert (response["model_name"], response["model_version"], response["id"]) == ("half_plus_two", "123", "17")


def test_infer_texts_of_another_signature(triton):
    module, client = triton
    inputs = [
        triton_input(module, "text", np.array([b"ab", "é".encode(), b""], object)),
        triton_input(module, "times", np.array([2, 3, 1])),
    ]
    result = client.infer(
        "half_plus_two",
        inputs,
        outputs=[module.InferRequestedOutput("joined")],
        parameters={"signature_name": "repeat"},
        timeout=20_000_000,
    )
    assert result.as_numpy("joined").tolist() == [b"abab", "ééé".encode(), b""]
    assert result.as_numpy("lengths") is None


@pytest.mark.parametrize("binary_input", [False, True])
@pytest.mark.parametrize("binary_output", [False, True])
def test_infer_in_json_and_binary(http_client, binary_input, binary_output):
    module = tritonclient.http
    inputs = [
        triton_input(module, "text", np.array([b"ab", b"c"], object), binary_data=binary_input),
        triton_input(module, "times", np.array([2, 3]), binary_data=not binary_input),
    ]
    outputs = [
        module.InferRequestedOutput("lengths", binary_data=not binary_output),
        module.InferRequestedOutput("joined", binary_data=binary_output),
    ]
    result = http_client.infer("half_plus_two", inputs, outputs=outputs, parameters={"signature_name": "repeat"})
    # In JSON the client returns texts as str.
    assert [text if binary_output else text.encode() for text in result.as_numpy("joined")] == [b"abab", b"ccc"]
    assert result.as_numpy("lengths").tolist() == [4, 3]


def test_what_is_not_finite_is_answered(http_client):
    x = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    for binary in (False, True):
        outputs = [tritonclient.http.InferRequestedOutput("y", binary_data=binary)]
        result = http_client.infer(
            "half_plus_two", [triton_input(tritonclient.http, "x", x, binary_data=binary)], outputs=outputs
        )
        np.testing.assert_array_equal(result.as_numpy("y"), x / 2 + 2)


def test_errors_reach_the_clients(triton):
    module, client = triton
    x = [triton_input(module, "x", np.ones(1, np.float32))]
    with pytest.raises(InferenceServerException, match="Servable not found for request: Latest"):
        client.infer("no_such_model", x)
    with pytest.raises(InferenceServerException, match='"other" not found'):
        client.infer("half_plus_two", x, parameters={"signature_name": "other"})
    with pytest.raises(InferenceServerException, match="to be float but int64 is provided"):
        client.infer("half_plus_two", [triton_input(module, "x", np.ones(1, np.int64))])
    with pytest.raises(InferenceServerException, match="output tensor alias not found in signature: z"):
        client.infer("half_plus_two", x, outputs=[module.InferRequestedOutput("z")])
    with pytest.raises(InferenceServerException, match="classification"):
        client.infer("half_plus_two", x, outputs=[module.InferRequestedOutput("y", class_count=3)])
    with pytest.raises(InferenceServerException, match="sequence_id"):
        client.infer("half_plus_two", x, sequence_id=5)


def test_metadata_of_another_signature(http_client, grpc_client):
    model = http_client.get_model_metadata("half_plus_two", query_params={"signature_name": "repeat"})
    assert [(one["name"], one["datatype"]) for one in model["inputs"]] == [("text", "BYTES"), ("times", "INT64")]
    for client in (http_client, grpc_client):
        with pytest.raises(InferenceServerException, match="incr_counter"):  # the names of those that it has
            client.get_model_metadata("counter")


# ---------------------------------------------------------------- messages


def fields(descriptor):
    """Returns what is on the wire: number, name, type and label of the fields of a message, and of those inside it."""
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    mine = [(one.number, one.name, one.type, one.label, one.type_name) for one in proto.field]
    oneofs = [(one.name, [field.name for field in one.fields]) for one in descriptor.oneofs]
    return mine, oneofs, descriptor.GetOptions().map_entry, {one.name: fields(one) for one in descriptor.nested_types}


@pytest.mark.parametrize("name", [name for name in MESSAGES if "." not in name])
def test_messages_are_those_of_triton(name):
    assert fields(MESSAGES[name].DESCRIPTOR) == fields(service_pb2.DESCRIPTOR.message_types_by_name[name])


def test_texts_that_define_no_messages():
    for text in ("service S {}", "message M { repeated string name; }", "message M { Other field = 1; }"):
        with pytest.raises((ValueError, TypeError)):
            message_classes("p", text)


# ---------------------------------------------------------------- REST by hand


def ask(inference, target, body=None, method=None, headers=None):
    body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    request = Request(method or ("POST" if body else "GET"), target, headers or {}, body)
    response = answer(inference, LIMITS, request)
    length = dict(response.headers).get("Inference-Header-Content-Length", len(response.body))
    return response.status, json.loads(response.body[: int(length)])


INFER = "/v2/models/half_plus_two/infer"


def tensor(name="x", shape=(2, 1), datatype="FP32", **rest):
    return {"name": name, "shape": list(shape), "datatype": datatype, **rest}


def test_other_targets_are_not_this_protocols(inference):
    assert answer(inference, LIMITS, Request("GET", "/v1/models/m", {})) is None
    assert answer(inference, LIMITS, Request("GET", "/v22", {})) is None


@pytest.mark.parametrize("data", [[1, 2.0], [[1], [2]]])
def test_data_is_flat_or_nested(inference, data):
    status, body = ask(inference, INFER, {"id": "a", "inputs": [tensor(data=data)]})
    assert status == 200
    assert body == {
        "model_name": "half_plus_two",
        "model_version": "124",
        "id": "a",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [2.5, 3.0]}],
    }


def test_targets(inference):
    assert ask(inference, "/v2/")[0] == 200
    assert ask(inference, "/v2/health/live") == (200, {"live": True})
    assert ask(inference, "/v2/health/ready") == (200, {"ready": True})
    assert ask(inference, "/v2/models/half%5Fplus_two/versions/123/ready") == (
        200,
        {"name": "half_plus_two", "ready": True},
    )
    assert ask(inference, "/v2/models/none/ready")[0] == 404
    assert ask(inference, "/v2/models/none")[0] == 404
    assert ask(inference, "/v2/other")[0] == 404
    assert ask(inference, "/v2/models/half_plus_two/versions/one")[0] == 400
    assert ask(inference, "/v2/models/%ff")[0] == 400
    assert ask(inference, INFER, method="GET")[0] == 405
    assert ask(inference, "/v2/health/ready", method="HEAD")[0] == 200
    status, body = ask(inference, "/v2/repository/index", {"ready": True})
    assert (status, len(body)) == (200, 3)
    status, body = ask(
        inference, "/v2/models/counter/infer", {"inputs": [], "parameters": {"signature_name": "get_counter"}}
    )
    assert (status, body["outputs"][0]["shape"]) == (200, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "Is not object"),
        (b"{", "JSON Parse error"),
        (b"[" * 100_000, "nested too deeply"),
        ({}, "'inputs' of the request is None"),
        ({"inputs": [1]}, "expected a list of objects"),
        ({"inputs": [{}]}, "'name' of an input is None"),
        ({"inputs": [{"name": "x"}]}, "input 'x' has the shape None"),
        ({"inputs": [tensor(shape=[True])]}, "input 'x' has the shape a list"),
        ({"inputs": [tensor(shape=[-1])]}, "shape [-1] is not known"),
        ({"inputs": [tensor(shape=[1 << 62, 1 << 62])]}, "more elements"),
        ({"inputs": [tensor(shape=[1] * 9)]}, "9 dimensions"),
        ({"inputs": [tensor(datatype="FP8", data=[1, 2])]}, "input 'x' has datatype 'FP8'"),
        ({"inputs": [tensor()]}, "has no list in 'data'"),
        ({"inputs": [tensor(data=[1])]}, "has 1 values in 'data'; expected 2"),
        ({"inputs": [tensor(data=[[1, 2]])]}, "not of the shape [2, 1]"),
        ({"inputs": [tensor(data=[[1], 2])]}, "not of the shape [2, 1]"),
        ({"inputs": [tensor(data=[1, [2]])]}, "has a list in 'data'; expected numbers"),
        ({"inputs": [tensor(data=[1, None])]}, "has None in 'data'"),
        ({"inputs": [tensor(data=[1, True])]}, "has True in 'data'"),
        ({"inputs": [tensor(data=[1, "2"])]}, "has '2' in 'data'"),
        ({"inputs": [tensor(data=[1, 10**400])]}, "cannot hold"),
        ({"inputs": [tensor(datatype="UINT8", data=[1, 256])]}, "cannot hold"),
        ({"inputs": [tensor(datatype="INT32", data=[1, 1.0])]}, "expected integers"),
        ({"inputs": [tensor(datatype="BOOL", data=[True, 1])]}, "expected true and false"),
        ({"inputs": [tensor(datatype="BYTES", data=["a", 1])]}, "expected strings"),
        ({"inputs": [tensor(datatype="BYTES", data=["a", "\ud800"])]}, "cannot hold"),
        ({"inputs": [tensor(name="\ud800", data=[1, 2])]}, "expected a text"),
        ({"inputs": [tensor(data=[1, 2])] * 2}, "input 'x' is given twice"),
        ({"inputs": [tensor(data=[1, 2], parameters=[])]}, "'parameters' of input 'x' is a list"),
        ({"inputs": [tensor(data=[1, 2])], "outputs": {}}, "'outputs' of the request is an object"),
        ({"inputs": [tensor(parameters={"binary_data_size": 8})]}, "0 bytes of binary tensors are left"),
        ({"inputs": [tensor(parameters={"binary_data_size": 8}, data=[1, 2])]}, "both data and binary_data_size"),
        ({"inputs": [tensor(parameters={"binary_data_size": -1})]}, "expected an integer of 0 or more"),
        ({"inputs": [tensor(data=[1, 2])], "parameters": {"timeout": "soon"}}, "'timeout' of the request's parameters"),
        ({"inputs": [tensor("z", data=[1, 2])]}, "Signature input alias: x"),
    ],
)
def test_wrong_bodies_are_refused(inference, body, message):
    status, answered = ask(inference, INFER, body)
    assert status == 400
    assert message in answered["error"]


def test_wrong_binary_parts_are_refused(inference):
    document = json.dumps({"inputs": [tensor(parameters={"binary_data_size": 8})]}).encode()
    assert refusal_of(inference, document, b"\0" * 8) is None
    assert "1 bytes follow" in refusal_of(inference, document, b"\0" * 9)
    assert "7 bytes of binary tensors are left" in refusal_of(inference, document, b"\0" * 7)
    assert "expected 8 for shape" in refusal_of(inference, document.replace(b": 8", b": 4"), b"\0" * 4)
    for length in ("", "0", "-1", "9999999", "²", "1" * 5000):
        assert "expected the length of the JSON" in refusal_of(inference, document, b"\0" * 8, length)


def refusal_of(inference, document, binary, length=None):
    headers = {"inference-header-content-length": str(len(document)) if length is None else length}
    return ask(inference, INFER, document + binary, headers=headers)[1].get("error")


def test_a_text_that_is_no_utf8_is_answered_in_binary_only(inference):
    raw = to_raw(np.array([b"\xff"], object))
    inputs = [
        tensor("text", [1], "BYTES", parameters={"binary_data_size": len(raw)}),
        tensor("times", [1], "INT64", data=[2]),
    ]
    body = {"inputs": inputs, "parameters": {"signature_name": "repeat"}, "outputs": [{"name": "joined"}]}
    document = json.dumps(body).encode()
    assert '"binary_data": true' in refusal_of(inference, document, raw)
    document = json.dumps(body | {"outputs": [{"name": "joined", "parameters": {"binary_data": True}}]}).encode()
    headers = {"inference-header-content-length": str(len(document))}
    response = answer(inference, LIMITS, Request("POST", INFER, headers, document + raw))
    assert response.body.endswith(struct.pack("<I", 2) + b"\xff\xff")


def test_a_fault_of_the_server_shows_no_secrets(inference, monkeypatch):
    monkeypatch.setattr(inference.models, "names", lambda: 1 / 0)
    status, body = ask(inference, "/v2/repository/index", {})
    assert (status, body) == (500, {"error": "the request failed: ZeroDivisionError; the server's log says where"})


# ---------------------------------------------------------------- tensors


ARRAYS = {
    name: np.array([b"a", b"", b"\xff\0"], object) if name == "BYTES" else np.array([0, 1, 1]).astype(dtype)
    for name, dtype in DTYPES.items()
}


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype(datatype):
    array, raw = ARRAYS[datatype], to_raw(ARRAYS[datatype])
    dtype, shape = InputReader(LIMITS).dtype_and_shape("x", datatype, [3])
    assert from_raw("x", raw, dtype, shape).tolist() == array.tolist()
    assert from_raw("x", raw, dtype, shape).dtype == array.dtype
    for wrong in (raw[:-1], raw + b"\0"):
        with pytest.raises(ServingError, match="'x'"):
            from_raw("x", wrong, dtype, shape)
    data = ["a", "", "é"] if datatype == "BYTES" else [False, True, True] if datatype == "BOOL" else [0, 1, 1]
    assert _from_json("x", data, dtype, (3,)).dtype == dtype
    assert [{"name": "x", "datatype": datatype, "shape": [-1, 3]}] == tensors_metadata(
        {"x": TensorInfo("x:0", _tf_dtype(dtype), (None, 3))}
    )


def _tf_dtype(dtype):
    import tensorflow as tf

    return tf.string if dtype.hasobject else tf.as_dtype(dtype)


def test_bytes_of_bfloat16_are_as_triton_has_them():
    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    assert to_raw(array) == array.tobytes() == b"\xc0\x3f\x00\xc0"


def infer_request(**tensor_fields):
    request = MESSAGES["ModelInferRequest"](model_name="half_plus_two")
    request.inputs.add(name="x", datatype="FP32", shape=[2])
    for name, value in tensor_fields.items():
        if name == "raw":
            request.raw_input_contents.extend(value)
        else:
            getattr(request.inputs[0].contents, name).extend(value)
    return request


@pytest.fixture
def infer(grpc_client):
    return grpc_client._client_stub.ModelInfer


def as_triton(request):
    return service_pb2.ModelInferRequest.FromString(request.SerializeToString())


def test_typed_contents(infer):
    response = infer(as_triton(infer_request(fp32_contents=[1, 2])))
    assert np.frombuffer(response.raw_output_contents[0], "<f4").tolist() == [2.5, 3.0]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (infer_request(), "0 values in fp32_contents"),
        (infer_request(fp32_contents=[1]), "1 values in fp32_contents; expected 2"),
        (infer_request(int_contents=[1, 2]), "has int_contents; expected fp32_contents"),
        (infer_request(raw=[b"12345678", b""]), "2 raw_input_contents for 1 inputs"),
        (infer_request(raw=[b"12345678"], fp32_contents=[1, 2]), "has contents beside raw_input_contents"),
        (infer_request(raw=[b"1234567"]), "has 7 bytes; expected 8"),
    ],
)
def test_wrong_contents_are_refused(infer, request_, message):
    with pytest.raises(grpc.RpcError, match=message) as raised:
        infer(as_triton(request_))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# ---------------------------------------------------------------- hostile bodies


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["x", "text"]) | VALUES,
                    "shape": st.lists(st.integers(-1, 3), max_size=3) | VALUES,
                    "datatype": st.sampled_from([*DTYPES, "FP8"]) | VALUES,
                    "data": VALUES,
                    "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "other"]), VALUES) | VALUES,
                },
            ),
            max_size=2,
        )
        | VALUES
    },
    optional={
        "parameters": st.dictionaries(st.sampled_from(["timeout", "signature_name", "binary_data_output"]), VALUES),
        "outputs": st.lists(st.dictionaries(st.sampled_from(["name", "parameters"]), VALUES), max_size=2) | VALUES,
        "id": VALUES,
    },
)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.binary(max_size=9), st.booleans())
def test_any_document_is_answered_or_refused(inference, document, tail, binary):
    body = json.dumps(document).encode()
    headers = {"inference-header-content-length": str(len(body))} if binary else {}
    assert ask(inference, INFER, body + tail, headers=headers)[0] in (200, 400, 501)
