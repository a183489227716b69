"""The server: models, REST and gRPC on their ports, and a quiet end.

`serve` returns after SIGTERM or Ctrl-C: the server is then no longer ready, answers what it has accepted, and closes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from recipes.serving import open_inference, openapi, page
from recipes.serving.engine import Engine
from recipes.serving.grpc_services import grpc_server
from recipes.serving.http_connections import Connection
from recipes.serving.inference import Inference
from recipes.serving.metrics import Metrics
from recipes.serving.model_config import ModelConfig
from recipes.serving.models import Models
from recipes.serving.options import Options, check
from recipes.serving.rest import Rest
from recipes.serving.saved_model_files import check_files, check_links
from recipes.serving.status import Code, ServingError, invalid
from recipes.serving.warmup import warm_up

log = logging.getLogger(__name__)

KEPT_OPEN_SECONDS = 75  # that a connection waits for its next request: longer than load balancers do
SLOW_SECONDS = 3.0  # that a client may take to read its last answer, or to say goodbye in TLS
FAREWELL_SECONDS = 0.5  # in which connections that are there already get their last answer


class Server:
    """Models and their fronts, listening from the start on.

    Args:
        source: Returns the models that are wanted; see `Models`.
        options: How to serve.

    Raises:
        ServingError: An address is taken, a certificate cannot be read, a label names no version that is served.
    """

    def __init__(self, source: Callable[[], Sequence[ModelConfig] | None], options: Options) -> None:
        check(options)
        self._options, metrics = options, Metrics()
        self.host, self.is_secure = options.host, options.certificate is not None
        self.models = Models(
            source,
            lambda config, path: _load(config, path, options, metrics),
            batching=options.batching,
            poll_seconds=options.poll_seconds,
        )
        self.inference = Inference(self.models, options.limits, metrics)
        pages = (open_inference.answer, page.answer, openapi.answer)
        self._rest = Rest(self.inference, pages=pages, tokens=options.tokens, cross_origin=options.cross_origin)
        self._uvicorn = uvicorn.Server(_uvicorn_config(self._rest, options))
        credentials = _grpc_credentials(options)
        self._grpc = grpc_server(
            self.inference, options.limits, tokens=options.tokens, allow_reload=options.allow_reload
        )
        self.grpc_port = self._bind_grpc(credentials)
        self._socket = _listening(options.host, options.rest_port)
        self.rest_port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve_rest, name="rest")

    def _refuse_connections(self) -> None:
        for listener in self._uvicorn.servers:
            listener.close()

    def _bind_grpc(self, credentials: Any) -> int:
        options = self._options
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = place = f"{host}:{options.grpc_port}"
        try:
            if options.grpc_socket:
                place = f"unix:{options.grpc_socket}"
                self._grpc.add_insecure_port(place)
                place = address
            if credentials is None:
                return self._grpc.add_insecure_port(address)
            return self._grpc.add_secure_port(address, credentials)
        except RuntimeError:  # whose message says no more
            raise ServingError(
                Code.UNAVAILABLE,
                f"gRPC cannot listen on {place}: it is taken, or not this machine's; pass another --host, --grpc-port "
                "or --grpc-socket",
            ) from None

    def start(self) -> None:
        """Loads the models and listens; is not ready before they answer."""
        self._thread.start()
        self._grpc.start()
        self.models.start()

    def _serve_rest(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._uvicorn.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Answers what has been accepted, and closes everything."""
        self.models.stop()
        self._rest.is_closing = self.inference.is_closing = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._refuse_connections)
            time.sleep(FAREWELL_SECONDS)
        stopped = self._grpc.stop(self._options.limits.timeout)
        self._uvicorn.should_exit = True
        if self._thread.ident:
            while self._uvicorn.server_state.tasks:
                time.sleep(0.01)
            self._thread.join(SLOW_SECONDS)
            self._uvicorn.force_exit = True
            self._thread.join()
        stopped.wait()
        self._rest.close()
        self.models.close()
        self._socket.close()
        if self._options.grpc_socket:
            self._options.grpc_socket.unlink(missing_ok=True)


def serve(
    source: Callable[[], Sequence[ModelConfig] | None], options: Options, announce: Callable[[Server], None]
) -> int:
    """Serves until SIGTERM or Ctrl-C, and returns how many requests the models have answered.

    Args:
        source: Returns the models that are wanted; see `Models`.
        options: How to serve.
        announce: Is called once the models are loaded.

    Raises:
        ServingError: As of `Server`.
    """
    ended = threading.Event()
    server: Server | None = None

    def end(*_: Any) -> None:
        ended.set()
        if server is not None:  # it may still be loading models
            server.models.stop()

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        server = Server(source, options)
        try:
            server.start()
            gc.collect()
            gc.freeze()  # what is loaded stays: looking through it again would hold up large requests
            gc.set_threshold(100_000, 50, 100)  # the lists of a large JSON body are read in a quarter of the time
            if not ended.is_set():
                announce(server)
            ended.wait()
        finally:
            server.stop()
        return server.inference.metrics.total("request_count")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _load(config: ModelConfig, path: Path, options: Options, metrics: Metrics) -> Engine:
    """Returns the engine of a version, checked and warmed up."""
    if not options.allow_links:
        check_links(path, config.base_path)
    if options.verify:
        check_files(path)
    engine = Engine(path, allow_any_operation=options.allow_any_operation)
    try:
        warm_up(engine, options.limits, metrics)
    except BaseException:
        engine.close()
        raise
    return engine


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, or asyncio does not set TCP_NODELAY, and every answer waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # at once: until then another server may take the same port
    except OSError as error:
        listening.close()
        raise ServingError(
            Code.UNAVAILABLE, f"cannot listen on {host}:{port}: {error.strerror}; pass another --host or --rest-port"
        ) from None
    return listening


def _uvicorn_config(app: Any, options: Options) -> uvicorn.Config:
    try:
        if options.key is not None and b"ENCRYPTED" in options.key.read_bytes():
            raise invalid(f"{options.key} is locked by a pass phrase; 'openssl pkey -in FILE -out NEW' takes it off")
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=options.limits.connections,
            timeout_keep_alive=KEPT_OPEN_SECONDS,
            timeout_graceful_shutdown=int(options.limits.timeout) + 1,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.key,
        )
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise invalid(f"the TLS files {options.certificate} and {options.key} cannot be used: {error}") from None
    return config


def _grpc_credentials(options: Options) -> Any:
    import grpc

    if options.certificate is None or options.key is None:
        return None
    return grpc.ssl_server_credentials([(options.key.read_bytes(), options.certificate.read_bytes())])
