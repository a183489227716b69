"""Functions in processes of their own: what they return, how they end, and that none is left."""

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import functions_elsewhere as elsewhere
import psutil
import pytest

from recipes.errors import ConfigError
from recipes.tuning import processes as module
from recipes.tuning.processes import CannotBeSentError, ProcessEndedError, Processes


@pytest.fixture(params=[True, False], ids=["forked", "started"])
def forks(request, monkeypatch):
    if request.param and not module.FORKS:
        pytest.skip("this system does not fork")
    monkeypatch.setattr(module, "FORKS", request.param)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return request.param


@pytest.fixture
def processes(forks):
    before = set(psutil.Process().children(recursive=True))
    with Processes([]) as processes:
        yield processes
    assert set(psutil.Process().children(recursive=True)) <= before  # zombies are children, too


def run(processes, function, *arguments, on_message=None, log=Path("log.txt")):
    return processes.run(function, *arguments, log=log, on_message=on_message)


def test_a_function_returns_its_value_from_another_process(processes, forks):
    assert run(processes, elsewhere.add, [1], [2]) == [1, 2]
    process, parent = run(processes, elsewhere.where_it_is)
    assert process != os.getpid()
    assert (parent == os.getpid()) != forks  # else the server is between


def test_messages_are_answered(processes):
    assert run(processes, elsewhere.ask, [1, None, "x" * 100_000], on_message=lambda it: [it]) == [
        [1],
        [None],
        ["x" * 100_000],
    ]


def test_an_error_of_ours_comes_through_and_others_are_in_the_log(processes):
    with pytest.raises(ConfigError, match="^units=0; expected 1 or more$"):
        run(processes, elsewhere.refuse)
    with pytest.raises(ProcessEndedError) as ended:
        run(processes, elsewhere.break_down)
    assert ended.value.status == 1
    assert "ValueError: a fault of a recipe" in Path("log.txt").read_text()


@pytest.mark.parametrize(
    ("function", "arguments", "status"),
    [
        (elsewhere.kill_itself, (), -signal.SIGKILL),
        (elsewhere.exit_at_once, (3,), 3),
        (elsewhere.exit_at_once, (0,), 0),
        (elsewhere.exit_as_after_sigterm, (), 75),
    ],
)
def test_a_process_that_ends_says_how(processes, function, arguments, status):
    with pytest.raises(ProcessEndedError) as ended:
        run(processes, function, *arguments)
    assert ended.value.status == status
    assert run(processes, elsewhere.add, 1, 2) == 3  # the next is not touched


def test_what_cannot_be_pickled_is_refused(processes):
    with pytest.raises(CannotBeSentError, match="lambda"):
        run(processes, elsewhere.add, lambda: 1, 2)
    with pytest.raises(CannotBeSentError):
        run(processes, elsewhere.add, threading.Lock(), 2)


def test_what_is_printed_is_appended_to_the_log(processes):
    Path("log.txt").write_text("before\n")
    run(processes, elsewhere.print_all_ways, "ä")
    assert sorted(Path("log.txt").read_text(encoding="utf-8").split()) == ["before", "ä", "ä", "ä"]


def test_what_is_printed_before_a_process_dies_is_in_the_log(processes):
    with pytest.raises(ProcessEndedError):
        run(processes, elsewhere.print_and_die, "the last words")
    assert Path("log.txt").read_text() == "the last words\n"


def test_several_threads_run_functions_at_once(processes):
    """Each waits until all have asked."""
    barrier = threading.Barrier(3)

    def on_message(number):
        barrier.wait(60)
        return number * 2

    def one(number):
        return run(processes, elsewhere.ask, [number], on_message=on_message, log=Path(f"log-{number}.txt"))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, range(3))) == [[0], [2], [4]]


def test_close_ends_what_runs_by_sigterm_and_wakes_who_waits(processes):
    waiting = [threading.Event(), threading.Event()]
    files = [Path("0.txt").absolute(), Path("1.txt").absolute()]

    def one(number):
        with pytest.raises(ProcessEndedError) as ended:
            run(processes, elsewhere.note_sigterm, files[number], on_message=lambda process: waiting[number].set())
        return ended.value.status

    with ThreadPoolExecutor(2) as pool:
        statuses = [pool.submit(one, number) for number in range(2)]
        for event in waiting:
            assert event.wait(60)
        processes.close()
        assert [file.read_text() for file in files] == ["saved", "saved"]
        assert {status.result(60) for status in statuses} <= {75, -signal.SIGTERM}  # the server may be gone first
    with pytest.raises(ProcessEndedError):
        run(processes, elsewhere.add, 1, 2)


def test_a_sigterm_that_comes_before_the_function_has_begun_is_not_lost(processes, forks):
    for _ in range(20 if forks else 2):
        mine, theirs = socket.socketpair()
        with mine, theirs, Path("log.txt").open("ab") as log:
            server, process = processes._start(theirs.fileno(), log.fileno())
            assert server.wait(process, end=True) == -signal.SIGTERM


def test_an_error_in_an_answer_ends_the_function(processes):
    file = Path("saved.txt").absolute()
    for error in (OSError("disk full"), KeyboardInterrupt()):

        def fail(message, error=error):
            raise error

        with pytest.raises(type(error)):
            run(processes, elsewhere.note_sigterm, file, on_message=fail)
        assert file.read_text() == "saved"
        file.unlink()


def test_an_answer_that_fails_as_a_lost_connection_does_ends_the_function_too(processes):
    """The process waits for the answer: whoever waited for the process would wait for ever."""

    def fail(message):
        raise BrokenPipeError

    with pytest.raises(ProcessEndedError) as ended:
        run(processes, elsewhere.ask, [1], on_message=fail)
    assert ended.value.status == -signal.SIGTERM


def test_a_full_disk_under_one_log_does_not_end_the_others(processes):
    waits, answer = threading.Event(), threading.Event()

    def on_message(message):
        waits.set()
        answer.wait(60)
        return message

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run, processes, elsewhere.ask, [7], on_message=on_message)
        assert waits.wait(60)
        assert run(processes, elsewhere.fill_the_disk) == "done"
        answer.set()
        assert other.result(60) == [7]


def test_ctrl_c_does_not_reach_a_function(processes):
    assert run(processes, elsewhere.interrupt_itself) == "not interrupted"


def test_no_file_is_left_open(processes, forks):
    run(processes, elsewhere.add, 1, 2)
    before, files = elsewhere.open_files(None), run(processes, elsewhere.open_files)
    for _ in range(20 if forks else 3):
        run(processes, elsewhere.add, 1, 2)
    assert elsewhere.open_files(None) == before
    assert run(processes, elsewhere.open_files) == files


def test_a_module_that_cannot_be_imported_leaves_a_server_that_works(forks):
    Path("broken_page.py").write_text("raise ImportError('no such backbone')")
    with Processes(["broken_page"]) as processes:
        assert run(processes, elsewhere.add, 1, 2) == 3


def test_the_functions_of_a_process_that_is_killed_end_by_sigterm(forks, tmp_path):
    code = (
        "import functions_elsewhere, pathlib, recipes.tuning.processes as module\n"
        f"module.FORKS = {forks}\n"
        f"functions_elsewhere.search(pathlib.Path({str(tmp_path)!r}), 2)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) == 2 + forks
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert [(tmp_path / f"{number}.txt").read_text() for number in range(2)] == ["saved", "saved"]
