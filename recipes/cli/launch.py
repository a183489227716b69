"""`recipes launch`: several workers on this machine that train one model, each a process of its own."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from recipes.errors import ConfigError

USAGE = """usage: recipes launch --workers N fit NAME [options of fit]

Starts N workers on this machine, each with its share of every batch, and shows what they say. When one fails, all are
ended. On several machines, run `recipes fit NAME` on each, with TF_CONFIG set, or under srun."""

GRACE = 30.0  # seconds that workers have to save and end, after the first has failed or a signal came


def launch(arguments: list[str]) -> int:
    """Runs the workers and returns 0, or the exit status of the first that failed."""
    if arguments in ([], ["-h"], ["--help"]):
        print(USAGE, file=sys.stderr if not arguments else sys.stdout)
        return 2 if not arguments else 0
    if len(arguments) < 4 or arguments[0] != "--workers" or arguments[2] != "fit":
        print(f"recipes: got launch {' '.join(arguments)}\n{USAGE}", file=sys.stderr)
        return 2
    try:
        count = int(arguments[1])
    except ValueError:
        count = 0
    if not 1 <= count <= 64:
        raise ConfigError(f"--workers {arguments[1]!r}; expected a whole number from 1 to 64")
    return run_workers([sys.executable, "-m", "recipes", *arguments[2:]], count)


def run_workers(command: Sequence[str], count: int) -> int:
    """Runs a command as the workers of one cluster; see `launch`."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers: list[subprocess.Popen] = []
    passed_on: list[int] = []

    def pass_on(number: int, frame: object = None) -> None:
        passed_on.append(number)
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    readers = []
    try:
        for index in range(count):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            workers.append(_start(command, cluster))
            readers.append(threading.Thread(target=_show, args=(index, workers[-1]), daemon=True))
            readers[-1].start()
        index, status = _wait(workers)
        if passed_on:  # they end by themselves, with what they have saved
            _wait_for_all(workers, GRACE)
        elif status:
            how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"ended with status {status}"
            print(f"recipes: worker {index} {how}; ending the others", file=sys.stderr, flush=True)
        return 128 - status if status < 0 else status
    finally:
        _end(workers)
        for reader in readers:
            reader.join(5)
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], cluster: dict) -> subprocess.Popen:
    """Starts a worker that ends with this process, however that ends, where the system can see to it."""
    return subprocess.Popen(
        command,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C reaches them through this process, once
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )


def _end_with_parent() -> None:
    PR_SET_PDEATHSIG = 1  # noqa: N806 - its name in prctl(2)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Returns ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _wait(workers: list[subprocess.Popen]) -> tuple[int, int]:
    """Returns (worker, its status) of the first that failed, or (0, 0) when all are done."""
    while True:
        statuses = [worker.poll() for worker in workers]
        failed = [(index, status) for index, status in enumerate(statuses) if status]
        if failed:  # one that was killed outright is the cause, where others have noticed it by now
            return min(failed, key=lambda item: item[1])
        if all(status == 0 for status in statuses):
            return 0, 0
        time.sleep(0.05)


def _wait_for_all(workers: list[subprocess.Popen], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.0, deadline - time.monotonic()))


def _end(workers: list[subprocess.Popen]) -> None:
    """Ends the workers that still run: politely, and after a while for good."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    _wait_for_all(workers, GRACE)
    for worker in workers:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _show(index: int, worker: subprocess.Popen) -> None:
    """Prints a worker's lines with its number in front, as they come."""
    assert worker.stdout is not None
    for line in worker.stdout:
        print(f"[worker {index}] {line}", end="", flush=True)
