"""Connections of HTTP that ask for nothing, or never end to ask, are closed: uvicorn itself waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10  # of a request's first line and headers together, about
HEAD_SECONDS = 10.0  # in which they are to arrive, and a new connection to send its first


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's, with limits to the head of each request; the limits to bodies are `rest`'s."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._waiting: asyncio.TimerHandle | None = None  # for a head, until it is there

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answers a client that has sent its whole request and closed its half of the connection; TLS has no halves."""
        cycle = self.cycle
        waits = cycle is not None and not (cycle.response_complete or cycle.more_body)
        if not waits or self.transport.get_extra_info("sslcontext"):
            return False
        cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Waits for the rest of a head, of which the first byte is there."""
        super().on_message_begin()
        if self._waiting is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Waits no more: what follows is a body."""
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Refuses a head that is too long."""
        super().data_received(data)
        if self._waiting is None:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The first line and the headers are longer than {HEAD_BYTES} bytes.")

    def _wait(self) -> None:
        self._head_bytes = 0
        self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
