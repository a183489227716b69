"""gRPC services from plain functions of a request and a deadline: errors become statuses, never stack traces."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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

    `answer` is called with the request and its deadline on the clock of time.monotonic(), None without one. `gate` is
    entered before the request is read, so that a full server spends no memory on it.
    """

    request: type[Message]
    answer: Callable[[Any, float | None], Message]
    gate: Callable[[], AbstractContextManager] = nullcontext


def service(name: str, calls: dict[str, Call]) -> grpc.GenericRpcHandler:
    """Returns the handler of a service with these unary calls, for `grpc.Server.add_generic_rpc_handlers`."""
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(_behavior(f"{name}/{method}", *call))
        for method, call in calls.items()
    }
    return grpc.method_handlers_generic_handler(name, handlers)


def _behavior(
    name: str,
    request_class: type[Message],
    answer: Callable[[Any, float | None], Message],
    gate: Callable[[], AbstractContextManager],
) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def behave(body: bytes, context: grpc.ServicerContext) -> bytes:
        remaining = context.time_remaining()
        deadline = None if remaining is None or remaining > FOREVER else time.monotonic() + remaining
        try:
            with gate():
                return answer(request_class.FromString(body), deadline).SerializeToString()
        except ServingError as error:
            code, message = error.code, str(error)
        except DecodeError:
            code, message = Code.INVALID_ARGUMENT, f"the request is no {request_class.DESCRIPTOR.full_name}"
        except MemoryError:
            code, message = Code.RESOURCE_EXHAUSTED, "out of memory"
        except Exception as error:
            logger.exception("%s failed", name)
            code, message = Code.INTERNAL, f"{name} failed: {type(error).__name__}; the server's log says where"
        return context.abort(STATUSES[code.value], short(message))

    return behave


def refusal(error: ServingError) -> grpc.RpcMethodHandler:
    """Returns a handler that answers any call with an error."""
    return grpc.unary_unary_rpc_method_handler(
        lambda _, context: context.abort(STATUSES[error.code.value], short(str(error)))
    )


def short(message: str) -> str:
    """Returns a message of at most 1024 bytes and the mark that TF Serving puts where it has cut one.

    >>> short("x" * 2000)[-15:]
    'xxx...TRUNCATED'
    """
    encoded = message.encode(errors="backslashreplace")
    if len(encoded) <= MESSAGE_BYTES:
        return encoded.decode()
    return encoded[:MESSAGE_BYTES].decode(errors="ignore") + "...TRUNCATED"
