"""The whole server: ports, TLS and tokens, reload under load, the end on SIGTERM, and the command line."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from recipes.serving.client import is_loopback
from recipes.serving.model_config import models_in
from recipes.serving.options import Options, check
from recipes.serving.server import Server
from recipes.serving.status import ServingError

TOKEN = "a-token-for-tests-only"


def served(root, **options):
    server = Server(lambda: models_in(root), Options(rest_port=0, grpc_port=0, poll_seconds=0.05, **options))
    server.start()
    return server


@pytest.fixture
def root(half_plus_two, tmp_path):
    """A folder with version 123 of one model."""
    shutil.copytree(half_plus_two / "00000123", tmp_path / "models" / "m" / "123")
    return tmp_path / "models"


def post(port, body=b'{"instances": [2]}', *, scheme="http", path="/v1/models/m:predict", context=None, **headers):
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=20, context=context) as response:
        return json.load(response)


def predict_request(name="m"):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([2.0]))
    return request


def test_both_fronts_and_a_unix_socket(root, tmp_path):
    server = served(root, grpc_socket=tmp_path / "socket")
    try:
        assert post(server.rest_port) == {"predictions": [3]}
        for address in (f"127.0.0.1:{server.grpc_port}", f"unix:{tmp_path / 'socket'}"):
            with grpc.insecure_channel(address) as channel:
                answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(predict_request())
                assert list(answer.outputs["y"].float_val) == [3]
        with pytest.raises(
            ServingError, match=rf"cannot listen on 127.0.0.1:{server.rest_port}: Address already in use"
        ):
            Server(lambda: [], Options(rest_port=server.rest_port, grpc_port=0))
        with pytest.raises(ServingError, match="pass another --host, --grpc-port"):
            Server(lambda: [], Options(rest_port=0, grpc_port=server.grpc_port))
    finally:
        server.stop()
    assert not (tmp_path / "socket").exists()


def test_no_request_fails_while_versions_change(root, half_plus_two):
    server, failures, asked = served(root, batching=None), [], [0] * 4
    ended = threading.Event()

    def ask(place):
        while not ended.is_set():
            try:
                assert post(server.rest_port) == {"predictions": [3]}
                asked[place] += 1
            except Exception as error:
                failures.append(error)

    try:
        with ThreadPoolExecutor(4) as threads:
            futures = [threads.submit(ask, place) for place in range(4)]
            for version in (124, 125, 126):
                before = sum(asked)
                shutil.copytree(half_plus_two / "124", root / "m" / f".part-{version}")
                (root / "m" / f".part-{version}").rename(root / "m" / str(version))
                while server.models.available("m") != [version] or sum(asked) < before + 20:
                    time.sleep(0.01)
                shutil.rmtree(root / "m" / str(version - 1))
            ended.set()
            for future in futures:
                future.result()
    finally:
        ended.set()
        server.stop()
    assert not failures
    assert min(asked) > 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


def test_tls_and_tokens_on_both_fronts(root, certificate):
    options = {"certificate": certificate / "certificate.pem", "key": certificate / "key.pem"}
    server = served(root, host="0.0.0.0", tokens=frozenset({TOKEN}), **options)
    try:
        context = ssl.create_default_context(cafile=certificate / "certificate.pem")
        ask = {"scheme": "https", "context": context}
        assert post(server.rest_port, **ask, Authorization=f"Bearer {TOKEN}") == {"predictions": [3]}
        with pytest.raises(urllib.error.HTTPError) as error:
            post(server.rest_port, **ask)
        assert error.value.code == 401
        with pytest.raises(OSError, match=r"closed|reset|disconnected"):
            post(server.rest_port)
        trusted = grpc.ssl_channel_credentials((certificate / "certificate.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc_port}", trusted) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            metadata = [("authorization", f"Bearer {TOKEN}")]
            assert stub.Predict(predict_request(), metadata=metadata).outputs["y"].float_val[0] == 3
            with pytest.raises(grpc.RpcError) as refused:
                stub.Predict(predict_request())
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, "no TLS and no bearer tokens"),
        ({"host": "::", "tokens": frozenset({TOKEN})}, "has no TLS; pass"),
        ({"certificate": Path("c"), "key": Path("k"), "host": "example.org"}, "has no bearer tokens; pass"),
        ({"certificate": Path("c")}, "needs both"),
    ],
)
def test_nobody_beyond_this_machine_is_served_without_protection(options, message):
    with pytest.raises(ServingError, match=message):
        check(Options(**options))


def test_whoever_says_so_may_serve_a_private_network():
    check(Options(host="0.0.0.0", insecure=True))
    assert [is_loopback(host) for host in ("localhost", "::1", "127.3.3.3", "10.0.0.1", "")] == [True] * 3 + [False] * 2


def test_wrong_tls_files(tmp_path, certificate):
    (tmp_path / "c.pem").write_text("nonsense")
    for path in (tmp_path / "c.pem", tmp_path / "nowhere"):
        with pytest.raises(ServingError, match="TLS files .* cannot be used"):
            Server(lambda: [], Options(rest_port=0, grpc_port=0, certificate=path, key=certificate / "key.pem"))


# ---------------------------------------------------------------- the command


def start(*arguments, **options):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "recipes", "serve", "--rest-port", "0", "--grpc-port", "0", *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_the_command_serves_until_sigterm_and_loses_no_request(root):
    process = start("--root", root, "--poll-seconds", "0.1")
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0] == "m: version 123\n"
    port = int(lines[1].split("127.0.0.1:")[1].split("/")[0])
    results, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            try:
                results.append(post(port))
            except urllib.error.URLError as error:
                if isinstance(error.reason, ConnectionRefusedError):  # nobody listens any more
                    return
                results.append(error)
            except OSError as error:
                results.append(error)

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(ask) for _ in range(4)]
        while len(results) < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
        ended.set()
        for future in futures:
            future.result()
    answers = [result for result in results if not isinstance(result, OSError)]
    assert all(answer == {"predictions": [3]} for answer in answers)
    # Whatever the server has read is answered; a connection that it had not looked at yet may have been reset.
    assert (process.returncode, output) == (0, f"stopped after {len(answers):,} requests\n")
    assert all(isinstance(result, ConnectionResetError) for result in results if result not in answers)
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["nothing"], "there is no models/nothing/<version>/saved_model.pb; models there: m", 1),
        (["cifar_convnet"], "recipes fit cifar_convnet trains it", 1),
        (["a=nowhere"], "expected NAME=FOLDER, with a folder that is there", 1),
        (["a=models/m/123"], "models/m/123 is one version; expected the folder that holds it: a=/", 1),
        (
            ["--root", "models/m"],
            "models/m holds the versions of one model; 'recipes serve NAME=models/m' serves them",
            1,
        ),
        (["--root", "models/m/123/saved_model.pb"], "saved_model.pb is no folder", 1),
        (["m", "--host", "0.0.0.0"], "no TLS and no bearer tokens", 1),
        (["m", "--model-config-file", "x"], "leave out the names", 2),
        (["--model-config-file", "x"], "x cannot be read", 1),
        (["m", "--rest-port", "70000"], "--rest-port is 70000; expected 0 to 65535", 2),
        (["m", "--timeout", "inf"], "--timeout is inf; expected 0.001 to 86400", 2),
        (["m", "m=models/m"], "the model m is named twice", 2),
        (["../models/m"], "../models/m is no name of a model in models; NAME=../models/m serves that folder", 2),
        (["m", "--timeout", "0"], "--timeout is 0", 2),
        (["m", "--batching-parameters-file", "x"], "x cannot be read", 1),
        (["m", "--tokens", "x"], "the tokens in x cannot be read", 1),
    ],
)
def test_what_the_command_refuses(root, arguments, message, status, capsys, monkeypatch):
    from recipes.cli import main

    monkeypatch.chdir(root.parent)
    assert main(["serve", "--root", "models", *arguments]) == status
    assert message in capsys.readouterr().err


def test_a_root_that_is_away_for_a_moment_changes_nothing(root):
    from recipes.cli.serve import Serve, _source

    wanted = _source(Serve(root=root))
    assert [config.name for config in wanted()] == ["m"]
    root.rename(root.with_name("away"))
    assert wanted() is None
    assert [config.name for config in _source(Serve(names=("m",), root=root))()] == ["m"]
