"""What clients do with a connection besides asking one proper question on it."""

import json
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from recipes.serving import http_connections
from recipes.serving.limits import Limits
from recipes.serving.model_config import ModelConfig
from recipes.serving.options import Options, check
from recipes.serving.server import Server
from recipes.serving.status import ServingError

ASK = b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 18\r\n\r\n" + b'{"instances": [2]}'
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"


@pytest.fixture(scope="module")
def port(half_plus_two):
    options = Options(rest_port=0, grpc_port=0, poll_seconds=0, limits=Limits(body_bytes=1 << 20))
    server = Server(lambda: [ModelConfig("m", half_plus_two)], options)
    server.start()
    yield server.rest_port
    server.stop()


@contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def answer_to(port, *parts):
    """Returns all that comes back until the server closes the connection, or is asked to."""
    with connected(port) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        return answer


def closing(request):
    return request.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1)


def test_requests_in_a_row_are_answered_in_order(port):
    answer = answer_to(port, ASK + HEALTH + closing(HEALTH.replace(b"healthz", b"nowhere")))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"predictions") < answer.index(b"ok\n") < answer.index(b"404 Not Found")


@pytest.mark.parametrize(("sent", "answered"), [(ASK, b"HTTP/1.1 200 "), (ASK[:-1], b"")])
def test_a_client_that_closes_its_half_gets_the_answer_to_what_it_has_sent(port, sent, answered):
    with connected(port) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    assert answer[: len(b"HTTP/1.1 200 ")] == answered


def test_head_has_no_body(port):
    assert answer_to(port, closing(HEALTH.replace(b"GET", b"HEAD"))).endswith(b"\r\n\r\n")


def test_a_body_in_chunks(port):
    chunks = b"".join(b"1\r\n%c\r\n" % letter for letter in b'{"instances": [2]}') + b"0\r\n\r\n"
    request = b"POST /v1/models/m:predict HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert json.loads(answer_to(port, request, chunks).rpartition(b"\r\n\r\n")[2]) == {"predictions": [3]}


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(port, head):
    assert answer_to(port, head).startswith(b"HTTP/1.1 400 ")


def test_web_sockets_are_not_spoken(port):
    upgrade = b"Upgrade: websocket\r\nConnection: close, Upgrade\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    assert answer_to(port, HEALTH[:-2] + upgrade).startswith(b"HTTP/1.1 200 ")


def test_a_body_beyond_the_limit_is_not_waited_for(port):
    answer = answer_to(port, ASK.replace(b": 18", b": 1099511627776"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"error": "the body is larger than 1,048,576 bytes"' in answer


def test_a_head_without_end_is_refused(port):
    with connected(port) as connection:
        connection.sendall(HEALTH[:-2] + b"X: ")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            connection.sendall(b"x" * (64 << 20))
    assert answer_to(port, closing(HEALTH)).endswith(b"ok\n")


def test_a_connection_that_asks_nothing_is_closed(port, monkeypatch):
    monkeypatch.setattr(http_connections, "HEAD_SECONDS", 0.3)
    for start in (b"", HEALTH[:10], HEALTH + HEALTH[:10]):
        begin = time.monotonic()
        with connected(port) as connection:
            connection.sendall(start)
            while connection.recv(1 << 16):
                pass
        assert 0.2 < time.monotonic() - begin < 5
    with connected(port) as connection:  # a body may take longer
        connection.sendall(ASK[:-5])
        time.sleep(0.5)
        connection.sendall(ASK[-5:])
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_server_that_is_full_still_tells_how_it_is(half_plus_two):
    options = Options(rest_port=0, grpc_port=0, poll_seconds=0, limits=Limits(requests=1))
    server = Server(lambda: [ModelConfig("m", half_plus_two)], options)
    server.start()
    try:
        with server.inference.admitted():
            answer = answer_to(server.rest_port, closing(ASK))
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 1\r\n" in answer.lower()
            for path in (b"healthz", b"readyz", b"v2/health/ready", b"monitoring/prometheus/metrics"):
                asked = closing(HEALTH.replace(b"healthz", path))
                assert answer_to(server.rest_port, asked).startswith(b"HTTP/1.1 200 ")
        with connected(server.rest_port) as slow:  # takes nobody's place before its body is there
            slow.sendall(ASK[:-1])
            assert answer_to(server.rest_port, closing(ASK)).startswith(b"HTTP/1.1 200 ")
            slow.sendall(ASK[-1:])
            assert slow.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    finally:
        server.stop()


def test_two_ports_are_two(port):
    with pytest.raises(ServingError, match="REST and gRPC both have the port 8599; expected two ports"):
        check(Options(rest_port=8599, grpc_port=8599))


def test_a_port_is_taken_before_the_models_are_loaded(half_plus_two):
    first = Server(lambda: [ModelConfig("m", half_plus_two)], Options(rest_port=0, grpc_port=0))
    try:
        with pytest.raises(ServingError, match="Address already in use"):
            Server(list, Options(rest_port=first.rest_port, grpc_port=0))
        with pytest.raises(ServingError, match=rf"gRPC cannot listen on 127.0.0.1:{first.grpc_port}: it is taken"):
            Server(list, Options(rest_port=0, grpc_port=first.grpc_port))
    finally:
        first.stop()


def test_a_key_that_is_locked(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the key")
    command = ["openssl", "genrsa", "-aes128", "-passout", "pass:secret", "-out", str(tmp_path / "key.pem"), "2048"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ServingError, match=r"key\.pem is locked by a pass phrase; 'openssl pkey"):
        Server(list, Options(rest_port=0, grpc_port=0, certificate=tmp_path / "c.pem", key=tmp_path / "key.pem"))


@pytest.mark.parametrize("path", ["", "openapi.json", "page/models", "v2", "healthz", "monitoring/prometheus/metrics"])
def test_every_page_is_there(port, path):
    assert answer_to(port, closing(HEALTH.replace(b"healthz", path.encode()))).startswith(b"HTTP/1.1 200 ")
