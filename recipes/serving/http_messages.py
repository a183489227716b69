"""A request and its response, as the parts of the REST server pass them."""

from collections.abc import Mapping
from typing import NamedTuple


class Request(NamedTuple):
    """A whole request."""

    method: str  # "GET"
    target: str  # as it came: percent-encoded, with the query
    headers: Mapping[str, str]  # by lower-case name
    body: bytes = b""  # unpacked
    deadline: float | None = None  # on time.monotonic's clock


class Response(NamedTuple):
    """A whole response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
