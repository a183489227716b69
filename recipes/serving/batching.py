"""Requests that wait for one model are answered together, in one run.

As in TensorFlow Serving, requests join when they ask the same outputs of the same signature and their rows have the
same shapes. What differs: no request waits for others while a thread is free, so one client alone pays nothing; those
that arrive while all `num_batch_threads` are at work are run together as soon as one is done.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes.serving.status import Code, ServingError, invalid

if TYPE_CHECKING:
    from recipes.serving.engine import Engine
    from recipes.serving.signatures import Signature

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays, float | None], Arrays]  # (inputs, timeout) -> outputs


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are joined; the names are TensorFlow Serving's."""

    max_batch_size: int = 1000  # rows of one run
    batch_timeout_micros: int = 0  # how long a run that is not full waits, once more than one request is at work
    max_enqueued_batches: int = 10  # full batches that may wait; more is refused
    num_batch_threads: int = 2  # runs at once
    allowed_batch_sizes: tuple[int, ...] = ()  # ascending, the last is max_batch_size; smaller batches are padded
    enable_large_batch_splitting: bool = True  # a request of more rows than max_batch_size is run in parts

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise invalid(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.batch_timeout_micros < 0:
            raise invalid(f"batch_timeout_micros is {self.batch_timeout_micros}; expected 0 or more")
        sizes = self.allowed_batch_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            raise invalid(
                f"allowed_batch_sizes are {list(sizes)}; expected them ascending, the last max_batch_size, "
                f"{self.max_batch_size}"
            )

    def padded(self, rows: int) -> int:
        """Returns the batch size that so many rows are run in."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Returns the parameters of a file as TensorFlow Serving reads it: `max_batch_size { value: 128 }` ...

    Raises:
        ServingError: It cannot be read, or holds an unknown name.
    """
    import re

    try:
        text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"{path} cannot be read: {error}") from None
    known = BatchingParameters.__dataclass_fields__
    values: dict[str, Any] = {}
    entry = re.compile(r"\s*(\w+)\s*(?::?\s*\{\s*value\s*:\s*(-?\w+)\s*;?\s*\}|:\s*(-?\w+))\s*[,;]?")
    place = 0
    while text[place:].strip():
        match = entry.match(text, place)
        if match is None or match[1] not in known:
            what = match[1] if match else text[place:].split()[0]
            raise invalid(f"{path}: {what!r} is no batching parameter; expected {', '.join(known)}")
        name, value = match[1], match[2] or match[3]
        try:
            if name == "allowed_batch_sizes":
                values[name] = (*values.get(name, ()), int(value))
            elif name == "enable_large_batch_splitting":
                values[name] = {"true": True, "false": False}[value]
            else:
                values[name] = int(value)
        except (ValueError, KeyError):
            raise invalid(f"{path}: {name} is {value!r}; expected a whole number, or true or false") from None
        place = match.end()
    return BatchingParameters(**values)


@dataclass(eq=False)
class _Task:
    inputs: Arrays
    rows: int
    deadline: float | None
    woken: threading.Event = field(default_factory=threading.Event)  # done, or to lead
    leads: bool = False  # this task's thread does the running
    answer: Arrays | None = None
    error: ServingError | None = None

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.error is not None


@dataclass(eq=False)
class _Queue:
    waiting: deque[_Task] = field(default_factory=deque)
    running: int = 0


class Batcher:
    """Asks one engine, joining what waits. The arguments of `run` are those of `Engine.run`."""

    def __init__(self, engine: Engine, parameters: BatchingParameters) -> None:
        self._engine, self._parameters = engine, parameters
        self._lock = threading.Lock()
        self._queues: dict[Any, _Queue] = {}

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Iterable[str] = (),
        timeout: float | None = None,
    ) -> Arrays:
        """Returns the outputs by name, of this request's rows alone.

        Raises:
            ServingError: As of `Engine.run`; UNAVAILABLE where too many wait; FAILED_PRECONDITION where the model's
                inputs and outputs have no common first dimension.
        """
        if not signature.inputs:
            return self._engine.run(signature, inputs, outputs, timeout)
        rows = _rows_of(inputs)
        most = self._parameters.max_batch_size
        if rows > most:
            if not self._parameters.enable_large_batch_splitting:
                raise invalid(f"Task size {rows} is larger than maximum input batch size {most}")
            return self._run_in_parts(signature, inputs, tuple(outputs), timeout, rows)
        wanted = tuple(sorted(outputs)) or tuple(signature.outputs)
        shapes = tuple((name, value.dtype.str, value.shape[1:]) for name, value in sorted(inputs.items()))
        task = _Task(dict(inputs), rows, None if timeout is None else time.monotonic() + timeout)
        run = functools.partial(self._engine.run, signature, outputs=wanted)
        self._join((signature.name, wanted, shapes), task, lambda joined, left: run(joined, timeout=left))
        if task.error:
            raise task.error
        assert task.answer is not None
        return task.answer

    def _run_in_parts(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        timeout: float | None,
        rows: int,
    ) -> Arrays:
        most, end = self._parameters.max_batch_size, None if timeout is None else time.monotonic() + timeout
        parts = []
        for start in range(0, rows, most):
            left = None if end is None else max(0.001, end - time.monotonic())
            part = {name: value[start : start + most] for name, value in inputs.items()}
            parts.append(self.run(signature, part, outputs, left))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _join(self, key: Any, task: _Task, run: Run) -> None:
        """Runs a task, with others or by another thread; returns when it has its answer or its error."""
        parameters = self._parameters
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            if sum(one.rows for one in queue.waiting) >= parameters.max_batch_size * parameters.max_enqueued_batches:
                raise ServingError(
                    Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full"
                )
            queue.waiting.append(task)
            task.leads = queue.running < parameters.num_batch_threads
            queue.running += task.leads
        if not task.leads:
            in_time = task.woken.wait(None if task.deadline is None else task.deadline - time.monotonic())
            with self._lock:
                if not (in_time or task.leads or task.is_done):
                    queue.waiting.remove(task)
                    raise ServingError(Code.DEADLINE_EXCEEDED, "the request waited for a batch until its time was over")
        if task.leads:
            task.woken.clear()
            while not task.is_done:
                if batch := self._next_batch(queue):
                    _run_batch(batch, parameters, run)
                else:  # another thread has this task in its batch
                    task.woken.wait()
            self._hand_over(key, queue)

    def _next_batch(self, queue: _Queue) -> list[_Task]:
        """Returns the tasks to run together: what waits, up to the size of a batch."""
        if wait := self._parameters.batch_timeout_micros / 1e6:
            with self._lock:
                is_alone = queue.running == 1 and len(queue.waiting) == 1
            if not is_alone:
                time.sleep(wait)
        batch: list[_Task] = []
        with self._lock:
            rows = 0
            while queue.waiting and rows + queue.waiting[0].rows <= self._parameters.max_batch_size:
                batch.append(queue.waiting.popleft())
                rows += batch[-1].rows
        return batch

    def _hand_over(self, key: Any, queue: _Queue) -> None:
        """Lets the next thread that waits do the running, so that this one can answer."""
        with self._lock:
            if queue.waiting and not queue.waiting[0].leads:
                queue.waiting[0].leads = True
                queue.waiting[0].woken.set()
                return
            queue.running -= 1
            if not queue.running and not queue.waiting:
                self._queues.pop(key, None)


def _run_batch(batch: list[_Task], parameters: BatchingParameters, run: Run) -> None:
    """Runs tasks together and gives each its rows; where that fails, each by itself, so that one's fault is its own."""
    try:
        for task, answer in zip(batch, _answers(batch, parameters, run), strict=True):
            task.answer = answer
    except ServingError as error:
        if len(batch) == 1 or error.code == Code.DEADLINE_EXCEEDED:
            for task in batch:
                task.error = error
        else:
            for task in batch:
                _run_batch([task], parameters, run)
    except Exception as error:
        for task in batch:
            task.error = ServingError(Code.INTERNAL, f"the batch could not be run: {error}")
    for task in batch:
        task.woken.set()


def _answers(batch: list[_Task], parameters: BatchingParameters, run: Run) -> list[Arrays]:
    rows = sum(task.rows for task in batch)
    padding = parameters.padded(rows) - rows if rows else 0
    joined = {}
    for name, first in batch[0].inputs.items():
        parts = [task.inputs[name] for task in batch]
        if padding:
            last = next(part for part in reversed(parts) if len(part))
            parts.append(np.repeat(last[-1:], padding, axis=0))
        joined[name] = np.concatenate(parts) if len(parts) > 1 else first
    deadlines = [task.deadline for task in batch]
    last_deadline = None if None in deadlines else max(deadlines)  # type: ignore[type-var]
    outputs = run(joined, None if last_deadline is None else max(0.001, last_deadline - time.monotonic()))
    for name, value in outputs.items():
        if value.ndim == 0 or len(value) != rows + padding:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                f"tensors: {name!r} has the shape {list(value.shape)}, of {rows + padding} rows",
            )
    answers, start = [], 0
    for task in batch:
        answers.append({name: value[start : start + task.rows] for name, value in outputs.items()})
        start += task.rows
    return answers


def _rows_of(inputs: Mapping[str, np.ndarray]) -> int:
    counts = {value.shape[0] if value.ndim else None for value in inputs.values()}
    if len(counts) != 1 or None in counts:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise ServingError(
            Code.FAILED_PRECONDITION, f"Batching input tensors need one common 0th dimension; got {shapes}"
        )
    [rows] = counts
    assert rows is not None
    return rows
