"""gRPC services from plain functions of a request and a deadline: errors become statuses, never stack traces."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError, Message

from recipes.serving.status import Code, ServingError

logger = logging.getLogger(__name__)

STATUSES = {status.value[0]: status for status in grpc.StatusCode}
FOREVER = 1e9  # seconds: of calls without a deadline, grpc says that billions of them remain
MESSAGE_BYTES = 1024  # of an error: it travels in a header, whose size clients limit


class Call(NamedTuple):
    """One call of a service: how its request is read and answered.

    `answer` is called with the request and its deadline on the clock of time.monotonic(), None without one. `gate`
    takes a place in the server, or refuses; without one, the call is quick and asks no model.
    """

    request: type[Message]
    answer: Callable[[Any, float | None], Message]
    gate: Callable[[], AbstractContextManager[None]] | None = None


class Services:
    """Makes the handlers of services. Every call takes a place before its request is received, or is refused at once.

    grpc's threads wait for requests that are under way, for as long as a client likes. So the places are fewer than the
    threads, and a request that has not arrived in time is given up as soon as another call comes.

    Args:
        quick_places: Calls without a gate that may be at work at once; they answer without asking a model.
        arrival_seconds: How long a request may take to arrive.
    """

    def __init__(self, quick_places: int, arrival_seconds: float) -> None:
        self._quick = threading.BoundedSemaphore(quick_places)
        self._arrival_seconds = arrival_seconds
        self._arriving: dict[grpc.ServicerContext, float] = {}  # since when
        self._lock = threading.Lock()

    def handler(self, name: str, calls: dict[str, Call]) -> grpc.GenericRpcHandler:
        """Returns the handler of a service with these calls, for `grpc.Server.add_generic_rpc_handlers`."""
        handlers = {method: _handler(partial(self._behave, f"{name}/{method}", call)) for method, call in calls.items()}
        return grpc.method_handlers_generic_handler(name, handlers)

    def _behave(self, name: str, call: Call, bodies: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        deadline = None if remaining is None or remaining > FOREVER else time.monotonic() + remaining
        self._give_up_late_ones()
        try:
            with (call.gate or self._quick_place)():
                request = call.request.FromString(self._received(bodies, context))
                return call.answer(request, deadline).SerializeToString()
        except ServingError as error:
            code, message = error.code, str(error)
        except DecodeError:
            code, message = Code.INVALID_ARGUMENT, f"the request is no {call.request.DESCRIPTOR.full_name}"
        except MemoryError:
            code, message = Code.RESOURCE_EXHAUSTED, "out of memory"
        except Exception as error:
            logger.exception("%s failed", name)
            code, message = Code.INTERNAL, f"{name} failed: {type(error).__name__}; the server's log says where"
        return context.abort(STATUSES[code.value], short(message))

    def _received(self, bodies: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self._arriving[context] = time.monotonic()
        try:
            return next(bodies)
        except (StopIteration, grpc.RpcError):
            raise ServingError(
                Code.CANCELLED, "the call ended, or its time was over, before its request arrived"
            ) from None
        finally:
            with self._lock:
                del self._arriving[context]

    def _give_up_late_ones(self) -> None:
        latest = time.monotonic() - self._arrival_seconds
        with self._lock:
            late = [context for context, since in self._arriving.items() if since < latest]
        for context in late:
            context.cancel()

    @contextmanager
    def _quick_place(self) -> Iterator[None]:
        if not self._quick.acquire(blocking=False):
            raise ServingError(Code.UNAVAILABLE, "the server has too many calls at once; ask again later")
        try:
            yield
        finally:
            self._quick.release()


def _handler(behavior: Callable[[Iterator[bytes], grpc.ServicerContext], bytes]) -> grpc.RpcMethodHandler:
    # Of a stream of requests, which is the same on the wire: so that the behavior itself waits for the one that comes.
    return grpc.stream_unary_rpc_method_handler(behavior)


def refusal(error: ServingError) -> grpc.RpcMethodHandler:
    """Returns a handler that answers any call with an error."""
    return _handler(lambda _, context: context.abort(STATUSES[error.code.value], short(str(error))))


def short(message: str) -> str:
    """Returns a message of at most 1024 bytes and the mark that TF Serving puts where it has cut one.

    >>> short("x" * 2000)[-15:]
    'xxx...TRUNCATED'
    """
    encoded = message.encode(errors="backslashreplace")
    if len(encoded) <= MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:MESSAGE_BYTES].decode(errors="ignore") + "...TRUNCATED"
