"""Requests are joined while others run; each gets its own rows, its own errors, and alone it waits for nobody."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recipes.serving.batching import Batcher, BatchingParameters, read_batching_parameters
from recipes.serving.signatures import Signature
from recipes.serving.status import Code, ServingError, invalid

SIGNATURE = Signature("double", {"x": None}, {"y": None}, "", {})


class Engine:
    """Doubles x; stands still while its gate is closed; refuses a batch with a negative number."""

    def __init__(self):
        self.batches, self.gate = [], threading.Event()
        self.gate.set()

    def run(self, signature, inputs, outputs=(), timeout=None):
        x = inputs["x"]
        self.batches.append(len(x))
        assert self.gate.wait(10)
        if (x < 0).any():
            raise invalid(f"row {int(np.argmax(x < 0))} is negative")
        return {"y": x * 2}


def rows(*values):
    return {"x": np.array(values, np.float32)}


def ask_while_one_runs(engine, batcher, *requests):
    """Returns the answers, or errors, of requests that arrive while another one is at work."""
    engine.gate.clear()
    with ThreadPoolExecutor(len(requests) + 1) as threads:
        first = threads.submit(batcher.run, SIGNATURE, rows(0))
        while not engine.batches:
            time.sleep(0.001)
        futures = []
        for place, request in enumerate(requests):
            futures.append(threads.submit(batcher.run, SIGNATURE, request))
            while sum(len(queue.waiting) for queue in batcher._queues.values()) < place + 1:
                if futures[-1].done():
                    break
                time.sleep(0.001)
        engine.gate.set()
        first.result(10)
        return [future.exception(10) or future.result()["y"].tolist() for future in futures]


def batcher_of(engine, **parameters):
    return Batcher(engine, BatchingParameters(num_batch_threads=1, **parameters))


def test_what_waits_is_run_together():
    engine = Engine()
    answers = ask_while_one_runs(engine, batcher_of(engine), rows(1), rows(2, 3), rows(), rows(4))
    assert answers == [[2], [4, 6], [], [8]]
    assert engine.batches == [1, 4]


def test_one_client_alone_is_never_held_up():
    engine = Engine()
    batcher = batcher_of(engine, batch_timeout_micros=10_000_000)
    start = time.monotonic()
    for _ in range(3):
        batcher.run(SIGNATURE, rows(1))
    assert time.monotonic() - start < 5
    assert engine.batches == [1, 1, 1]


def test_a_wrong_request_is_its_own_affair():
    engine = Engine()
    good, bad, other = ask_while_one_runs(engine, batcher_of(engine), rows(1), rows(5, -1), rows(2))
    assert (good, other) == ([2], [4])
    assert bad.message == "row 1 is negative", "its own row, not that of the batch"


def test_batches_are_no_larger_than_allowed_and_padded_to_allowed_sizes():
    engine = Engine()
    batcher = batcher_of(engine, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    assert ask_while_one_runs(engine, batcher, rows(1, 2), rows(3), rows(4, 5, 6, 7, 8, 9)) == [
        [2, 4],
        [6],
        [8, 10, 12, 14, 16, 18],
    ]
    assert engine.batches == [2, 4, 8]


def test_a_request_that_is_too_large_is_run_in_parts_or_refused():
    engine = Engine()
    x = np.arange(5, dtype=np.float32)
    assert batcher_of(engine, max_batch_size=2).run(SIGNATURE, {"x": x})["y"].tolist() == [0, 2, 4, 6, 8]
    assert engine.batches == [2, 2, 1]
    batcher = batcher_of(engine, max_batch_size=2, enable_large_batch_splitting=False)
    with pytest.raises(ServingError, match="Task size 5 is larger than maximum input batch size 2"):
        batcher.run(SIGNATURE, {"x": x})


def test_a_full_queue_refuses():
    engine = Engine()
    batcher = batcher_of(engine, max_batch_size=1, max_enqueued_batches=2)
    *_, third = ask_while_one_runs(engine, batcher, rows(1), rows(2), rows(3))
    assert third.code == Code.UNAVAILABLE
    assert "queue to which this task was submitted is full" in third.message


def test_a_request_whose_time_is_over_leaves_the_queue():
    engine = Engine()
    batcher = batcher_of(engine)
    engine.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(batcher.run, SIGNATURE, rows(0))
        while not engine.batches:
            time.sleep(0.001)
        with pytest.raises(ServingError) as error:
            batcher.run(SIGNATURE, rows(1), timeout=0.05)
        assert error.value.code == Code.DEADLINE_EXCEEDED
        engine.gate.set()
        first.result(10)
    assert engine.batches == [1]
    assert not batcher._queues


@pytest.mark.parametrize("inputs", [{"x": np.float32(1)[...]}, {"x": np.zeros(2), "z": np.zeros(3)}])
def test_inputs_without_common_rows_cannot_be_joined(inputs):
    inputs = {name: np.asarray(value) for name, value in inputs.items()}
    with pytest.raises(ServingError, match="0th dimension"):
        batcher_of(Engine()).run(SIGNATURE, inputs)


def test_many_threads_get_their_own_answers():
    engine, threads = Engine(), ThreadPoolExecutor(16)
    batcher = Batcher(engine, BatchingParameters(max_batch_size=7, num_batch_threads=2))

    def ask(number):
        x = np.arange(number % 5, dtype=np.float32) + number
        return np.array_equal(batcher.run(SIGNATURE, {"x": x}, timeout=30)["y"], x * 2)

    with threads:
        assert all(threads.map(ask, range(2000)))
    assert not batcher._queues


def test_a_parameters_file(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text("max_batch_size { value: 4 }  # rows\nallowed_batch_sizes: 2\nallowed_batch_sizes : 4\n")
    assert read_batching_parameters(path) == BatchingParameters(max_batch_size=4, allowed_batch_sizes=(2, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: x }", "max_batch_size is 'x'"),
        ("maxbatch { value: 1 }", "'maxbatch' is no batching parameter"),
        ("thread_pool_name { value: 'a' }", "'thread_pool_name' is no batching parameter"),
        ("max_batch_size { value: 0 }", "expected 1 or more"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "the last max_batch_size, 4"),
        ("}{", "'}{' is no batching parameter"),
    ],
)
def test_a_wrong_parameters_file(tmp_path, text, message):
    path = tmp_path / "batching.txt"
    path.write_text(text)
    with pytest.raises(ServingError, match=message):
        read_batching_parameters(path)
