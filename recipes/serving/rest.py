"""TensorFlow Serving's REST over ASGI, with the pages of the other protocols beside it.

https://www.tensorflow.org/tfx/serving/api_rest. Requests are read here, and answered in threads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from recipes.serving import json_examples, json_tensors
from recipes.serving.http_messages import Request, Response
from recipes.serving.inference import Inference
from recipes.serving.limits import Limits
from recipes.serving.models import ModelSpec
from recipes.serving.status import Code, ServingError, invalid
from recipes.serving.tokens import check_token

log = logging.getLogger(__name__)

Page = Callable[[Inference, Limits, Request], Response | None]  # None: a target of another page
Message = MutableMapping[str, Any]

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
ASK = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
LOOK = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
METRICS = "/monitoring/prometheus/metrics"
#: What anyone may see: whether the server is well, and the page, which asks for a token itself.
OPEN = re.compile(r"/|/healthz|/readyz|/v2/health/(live|ready)|/page/[\w.-]+\.(css|js|svg)")

NOT_FOUND = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>"


class BodyLimitError(Exception):
    """A body beyond the limit: 413, which is no status of gRPC's."""


class Rest:
    """The ASGI application.

    Args:
        inference: Asks the models.
        pages: What answers the targets outside of /v1/, each in turn.
        tokens: Bearer tokens, one of which every request must carry; none: anyone may ask.
        cross_origin: Whether pages of other sites may ask (CORS).
    """

    def __init__(
        self,
        inference: Inference,
        *,
        pages: Sequence[Page] = (),
        tokens: Iterable[str] = (),
        cross_origin: bool = False,
    ) -> None:
        self._inference, self._limits = inference, inference.limits
        self._pages, self._tokens, self._cross_origin = pages, frozenset(tokens), cross_origin
        self._threads = ThreadPoolExecutor(inference.limits.requests, "rest")
        self._lock, self._held = threading.Lock(), 0  # bytes of bodies
        self.is_closing = False  # connections are closed after their next answer

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        response = await self._respond(scope, receive)
        headers = [("content-type", response.content_type), ("content-length", str(len(response.body)))]
        headers += response.headers
        if self._cross_origin:
            headers += [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "POST, GET"),
                ("access-control-allow-headers", "Content-Type, Authorization"),
            ]
        if self.is_closing or response.status == 413:
            headers.append(("connection", "close"))
        start = {"type": "http.response.start", "status": response.status}
        await send(start | {"headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]})
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: Message, receive: Callable[[], Awaitable[Message]]) -> Response:
        deadline = time.monotonic() + self._limits.timeout
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], path + (f"?{query}" if query else ""), headers, b"", deadline)
        is_open = OPEN.fullmatch(path)
        try:
            if not is_open:
                check_token(headers.get("authorization"), self._tokens)
            if is_open or path == METRICS:  # quick, and asked of a server that is full, too
                return self._answer(request, path)
            with self._inference.admitted():
                pass  # a full server reads no body
        except ServingError as error:
            return _refusal(error)
        work: Future[Response] | None = None
        held, has_place = [0], False  # bytes of its body
        try:
            async with asyncio.timeout(self._limits.timeout):
                body = await self._read_body(headers, receive, held)
            self._inference.admit()  # now: a client that sends slowly takes nobody's place
            has_place = True
            request = request._replace(body=body)
            work = self._threads.submit(self._answer, request, path)
            async with asyncio.timeout(max(0.001, deadline - time.monotonic())):
                return await asyncio.wrap_future(work)
        except BodyLimitError:
            return self._too_large()
        except ServingError as error:
            return _refusal(error)
        except TimeoutError:
            if work is None:
                return _error(408, f"the request did not arrive within {self._limits.timeout:g} s")
            return _error(504, f"the request was not answered within {self._limits.timeout:g} s")
        finally:  # a thread that is still at work keeps its place

            def leave(_: object = None) -> None:
                self._hold(-held[0])
                if has_place:
                    self._inference.release()

            if work is None:
                leave()
            else:
                work.add_done_callback(leave)

    async def _read_body(
        self, headers: dict[str, str], receive: Callable[[], Awaitable[Message]], held: list[int]
    ) -> bytes:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise BodyLimitError
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if held[0] + len(parts[-1]) > self._limits.body_bytes:
                raise BodyLimitError
            self._hold(len(parts[-1]))
            held[0] += len(parts[-1])
            if not message.get("more_body", False):
                return b"".join(parts)

    def _hold(self, size: int) -> None:
        """Counts bytes of bodies, all requests together; refuses more than the limit."""
        with self._lock:
            if size > 0 and self._held + size > self._limits.all_body_bytes:
                raise ServingError(Code.RESOURCE_EXHAUSTED, "the server is at work on large requests; ask again later")
            self._held += size

    def _answer(self, request: Request, path: str) -> Response:
        """Returns the response to a request, whatever happens."""
        unpacked = 0
        try:
            if request.headers.get("content-encoding", "").strip().lower() == "gzip":
                body = _unpacked(request.body, self._limits.body_bytes)
                self._hold(len(body))
                unpacked = len(body)
                request = request._replace(body=body)
            return self._route(request, path)
        except ServingError as error:
            return _error(error.code.http, error.message)
        except BodyLimitError:
            return self._too_large()
        except Exception:
            log.exception("%s %s failed", request.method, path)
            return _error(500, "the server failed; its log says how")
        finally:
            self._hold(-unpacked)

    def _route(self, request: Request, path: str) -> Response:
        if path.startswith("/v1/"):
            return self._options(request) if request.method == "OPTIONS" else self._serving(request, path)
        if request.method in ("GET", "HEAD"):
            if path == "/healthz":
                return Response(200, b"ok\n", "text/plain; charset=utf-8")
            if path == "/readyz":
                return self._readiness()
            if path == METRICS:
                return Response(200, self._inference.metrics.page().encode(), "text/plain; charset=utf-8")
        for page in self._pages:
            if response := page(self._inference, self._limits, request):
                return response
        return Response(404, NOT_FOUND, "text/html; charset=utf-8")

    def _options(self, request: Request) -> Response:
        is_web = request.headers.get("origin", "").startswith(("http://", "https://"))
        return Response(200, b"") if is_web else _error(400, f"Malformed request: OPTIONS {request.target}")

    def _readiness(self) -> Response:
        models = self._inference.models
        waits = [name for name in models.names() if not models.is_ready(ModelSpec(name))]
        if models.is_ready():
            return Response(200, b"ready\n", "text/plain; charset=utf-8")
        reason = f"not ready: {', '.join(waits) or 'no models, or on the way out'}\n"
        return Response(503, reason.encode(), "text/plain; charset=utf-8")

    def _serving(self, request: Request, path: str) -> Response:
        if request.method == "POST" and (match := ASK.fullmatch(path)):
            return self._ask(match["method"].lower(), _spec_of(match), request)
        if request.method == "GET":
            if path.rstrip("/") == "/v1/models":
                raise invalid("Missing model name in request.")
            if match := LOOK.fullmatch(path):
                return self._metadata(_spec_of(match)) if match["metadata"] else self._status(_spec_of(match))
        raise invalid(f"Malformed request: {request.method} {request.target}")

    def _ask(self, method: str, spec: ModelSpec, request: Request) -> Response:
        inference, deadline = self._inference, request.deadline
        if method == "predict":
            predict = json_tensors.parse_predict(request.body, self._limits)
            answer = inference.predict(
                spec,
                predict.signature_name,
                lambda signature: json_tensors.decode(predict, signature.inputs, self._limits),
                front="REST",
                deadline=deadline,
            )
            return Response(200, json_tensors.encode(answer.outputs, predict.format))
        document = json_tensors.parse_object(request.body, self._limits)
        name = json_tensors.signature_name_of(document)
        examples = json_examples.decode_examples(document, method)
        if method == "classify":
            answer = inference.classify(spec, name, examples, front="REST", deadline=deadline)
            return Response(200, json_examples.encode_classes(answer.outputs))
        answer = inference.regress(spec, name, examples, front="REST", deadline=deadline)
        return Response(200, json_examples.encode_values(answer.outputs))

    def _status(self, spec: ModelSpec) -> Response:
        models, version = self._inference.models, spec.version
        if spec.label is not None:
            labels = models.labels(spec.name)
            if spec.label not in labels:
                raise invalid(f"Unrecognized servable version label: {spec.label}")
            version = labels[spec.label]
        statuses = [
            {
                "version": str(one.version),
                "state": one.state,
                "status": {"error_code": one.code.name, "error_message": one.message},
            }
            for one in models.statuses(spec.name, version)
        ]
        return Response(200, json.dumps({"model_version_status": statuses}, indent=1).encode())

    def _metadata(self, spec: ModelSpec) -> Response:
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

        with self._inference.models.using(spec) as served:
            model = model_pb2.ModelSpec(name=served.name)
            model.version.value = served.version
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in served.engine.signature_defs.items():
                signatures.signature_def[name].CopyFrom(definition)
                signatures.signature_def[name].ClearField("defaults")
        options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        document = {
            "model_spec": json_format.MessageToDict(model, **options),
            "metadata": {"signature_def": json_format.MessageToDict(signatures, **options)},
        }
        return Response(200, json.dumps(document, indent=1).encode())

    def _too_large(self) -> Response:
        return _error(413, f"the body is larger than {self._limits.body_bytes:,} bytes")

    def close(self) -> None:
        """Waits for the threads."""
        self._threads.shutdown()


def _spec_of(match: re.Match[str]) -> ModelSpec:
    name, label, digits = unquote(match["name"]), match["label"], match["version"]
    if digits is None:
        return ModelSpec(name, None, None if label is None else unquote(label))
    if len(digits) > 40 or int(digits) >= 1 << 63:
        raise invalid(f"Failed to convert version: {digits[:40]} to numeric.")
    return ModelSpec(name, int(digits))


def _error(status: int, message: str) -> Response:
    return Response(status, json.dumps({"error": message}, indent=1).encode())


def _refusal(error: ServingError) -> Response:
    """Returns the response to a request that is not looked at."""
    if error.code != Code.UNAVAILABLE:
        return _error(error.code.http, error.message)
    # TensorFlow Serving's clients know 503 as "no such model yet"; 429 says that there is too much to do.
    return _error(429, error.message)._replace(headers=(("Retry-After", "1"),))


def _unpacked(body: bytes, most: int) -> bytes:
    """Returns a gzip body unpacked, and never more than `most` bytes of it."""
    unpacked = b""
    while body:  # a gzip file may be several, one after another
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked += unpacker.decompress(body, most + 1 - len(unpacked))
        except zlib.error as error:
            raise invalid(f"the body is no gzip, as its Content-Encoding says: {error}") from None
        if len(unpacked) > most:
            raise BodyLimitError
        if not unpacker.eof:
            raise invalid("the gzip body ends before its end")
        body = unpacker.unused_data
    return unpacked
