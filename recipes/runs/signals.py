"""SIGTERM, as a machine sends it before it is taken away: what is half written is cleared, and the truth is said."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

#: Exit status of what SIGTERM has ended: the same command, run again, does or resumes it.
ENDED_BY_SIGTERM = 75

#: SIGTERMs that have come: what a handler raises is swallowed where it runs in a destructor, or a library's callback.
RECEIVED: list[int] = []


def end(why: str) -> NoReturn:
    """Ends the process as SIGTERM asks, and says what has become of its work."""
    print(f"ended by SIGTERM: {why}", file=sys.stderr, flush=True)
    raise SystemExit(ENDED_BY_SIGTERM)


@contextmanager
def ended_by_sigterm(why: str) -> Iterator[list[str]]:
    """Has SIGTERM raise SystemExit, so that what is half written is cleared away; only a main thread can.

    Args:
        why: What is said then. The list that is yielded holds it, to be changed as the work goes on.
    """
    reason = [why]
    if threading.current_thread() is not threading.main_thread():
        yield reason
        return

    def handle(number: int, frame: object) -> None:
        RECEIVED.append(number)
        end(reason[0])

    RECEIVED.clear()
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield reason
    finally:
        signal.signal(signal.SIGTERM, before)
