"""Functions in processes of their own, which start fast: a server has imported TensorFlow, and forks for each.

The server never uses TensorFlow's runtime, whose threads a fork would lose. Where forking is not safe (macOS), each
function gets a server of its own, which runs it itself. What goes between the processes are pickles over a socket that
they inherit, of functions by their name.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from recipes.errors import RecipeError

FORKS = sys.platform == "linux"
#: Seconds that a process has to end after SIGTERM: a step of training, and a checkpoint.
GRACE = 120.0
#: Whether functions can run elsewhere: the sockets here are those of Unix.
AVAILABLE = os.name == "posix"


class ProcessEndedError(Exception):
    """A process ended and has returned nothing; `status` is its exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class CannotBeSentError(Exception):
    """What a function should get cannot be pickled."""


class Processes:
    """Runs functions in processes of their own, from any thread; a context manager that ends those that still run.

    Args:
        modules: Imported before anything runs. They must not use TensorFlow's runtime as they are imported.
        files: Open files that the processes inherit: environment variable that has its number there -> number.
    """

    def __init__(self, modules: Sequence[str], files: Mapping[str, int] = MappingProxyType({})) -> None:
        self.modules, self.files = tuple(modules), dict(files)
        self._lock = threading.Lock()
        self._servers: list[_Server] = []
        self.closed = False

    def run(self, function: Callable[..., Any], *arguments: Any, log: Path, on_message: Callable[[Any], Any]) -> Any:
        """Returns what `function(*arguments, send)` returns in another process.

        Args:
            function: Of a module. `send(message)` there returns what `on_message(message)` returns here.
            arguments: Anything that can be pickled.
            log: What the process prints is appended to this file.
            on_message: See above.

        Raises:
            CannotBeSentError: If an argument cannot be pickled.
            ProcessEndedError: If the process ends before it has returned anything, or `close` was called.
            RecipeError: As the function raises.
        """
        try:
            job = pickle.dumps((function, arguments))
        except Exception as error:  # whatever the classes of a user's data raise
            raise CannotBeSentError(str(error)) from error
        mine, theirs = socket.socketpair()
        with contextlib.closing(Connection(mine.detach())) as channel:
            with theirs, log.open("ab") as file:
                server, process = self._start(theirs.fileno(), file.fileno())
            try:
                channel.send_bytes(job)
                while (answer := channel.recv())[0] == "message":
                    channel.send(on_message(answer[1]))
            except (EOFError, ConnectionError):  # which an answer may raise, too: the process waits for it then
                raise ProcessEndedError(server.wait(process, end=True)) from None
            except BaseException:
                server.wait(process, end=True)
                raise
            server.wait(process)
        kind, content = answer
        if kind == "error":
            raise content
        return content

    def close(self) -> None:
        """Ends what runs, by SIGTERM, and waits until it has."""
        with self._lock:
            self.closed = True
            servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self, channel: int, log: int) -> tuple[_Server, int]:
        with self._lock:
            if self.closed:
                raise ProcessEndedError(-signal.SIGTERM)
            if not self._servers or not FORKS or self._servers[-1].process.poll() is not None:  # it was killed
                self._servers.append(_Server(self.modules, self.files))
            server = self._servers[-1]
        return server, server.start(channel, log)


class _Server:
    """The server's process, as seen from the process that has started it."""

    def __init__(self, modules: Sequence[str], files: Mapping[str, int]) -> None:
        self.orders, theirs = socket.socketpair()
        code = "from recipes.tuning.processes import serve; serve()"
        command = [sys.executable, "-c", code, str(theirs.fileno()), str(int(FORKS)), *modules]
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": paths}
        environment |= {name: str(number) for name, number in files.items()}
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno(), *files.values()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._lock = threading.Lock()

    def start(self, channel: int, log: int) -> int:
        """Starts a process with a channel and a file to print to; returns its number."""
        return self._ask(b"start", [channel, log])

    def wait(self, process: int, end: bool = False) -> int:
        """Returns the exit status of a process once it has ended; `end` sends it SIGTERM first."""
        if FORKS:
            return self._ask(b"%s %d" % (b"end" if end else b"wait", process), [])
        if end:
            self._hang_up()
        status = self.process.wait()
        self.orders.close()
        return status

    def close(self) -> None:
        """Has the server end what it has started, and itself."""
        self._hang_up()
        self.process.wait()
        with self._lock:
            self.orders.close()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.orders.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for an answer, too

    def _ask(self, order: bytes, files: list[int]) -> int:
        try:
            with self._lock:
                socket.send_fds(self.orders, [order], files)
                answer = self.orders.recv(32)
        except OSError:
            answer = b""
        return int(answer or -signal.SIGTERM)  # none of a server that was closed


# ---------------------------------------------------------------- in the server's process


def serve() -> NoReturn:
    """Starts and ends processes as a socket orders, until that is closed; then ends those that still run."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    forks = bool(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all that a terminal runs; who asked for us decides
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # one that comes early waits until `_run` is ready
    for module in sys.argv[3:]:
        with contextlib.suppress(Exception, SystemExit):  # shown where the function needs it, in its log
            importlib.import_module(module)
    sys.argv = sys.argv[:1]
    running: set[int] = set()
    with contextlib.suppress(OSError):  # the other side is gone
        while order := _receive(orders):
            (what, *number), files = order
            if what == b"start":
                if not forks:
                    orders.send(b"%d" % os.getpid())
                    threading.Thread(target=_end_with, args=[orders], daemon=True).start()
                    _run(*files)
                if not (process := os.fork()):
                    orders.close()
                    _run(*files)
                for file in files:
                    os.close(file)
                running.add(process)
                orders.send(b"%d" % process)
                continue
            process = int(number[0])
            if what == b"end":
                os.kill(process, signal.SIGTERM)
            orders.send(b"%d" % _wait(process))
            running.discard(process)
    for process in running:
        os.kill(process, signal.SIGTERM)
    for process in running:
        _wait(process)
    os._exit(0)


def _wait(process: int) -> int:
    """Returns the exit status of a process that is about to end; one that does not, in time, is killed."""
    give_up = time.monotonic() + GRACE
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > give_up:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1])


def _receive(orders: socket.socket) -> tuple[list[bytes], list[int]] | None:
    """Returns the words of an order and the files that came with it; None when there will be no more."""
    order, files, _, _ = socket.recv_fds(orders, 64, 2)
    return (order.split(), files) if order else None


def _end_with(orders: socket.socket) -> None:
    """Sends this process SIGTERM once who has started it wants it to end, or is gone."""
    with contextlib.suppress(OSError):
        orders.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _run(channel: int, log: int) -> NoReturn:
    """Runs the function that comes over a channel, and exits."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # what was printed is in the log, however the process ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    messages = Connection(channel)

    def send(message: Any) -> Any:
        messages.send(("message", message))
        return messages.recv()

    status = 1
    try:
        function, arguments = pickle.loads(messages.recv_bytes())
        messages.send(("result", function(*arguments, send)))
        status = 0
    except RecipeError as error:
        messages.send(("error", error))
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # a disk may be full, and nothing of the server's own code is to run here
            os._exit(status)
