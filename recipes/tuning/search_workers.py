"""Workers of a search: each asks the oracle for trials, one after the other, has them trained, and tells how they end.

Keras Tuner's protocol: the chief holds the oracle; workers of other machines reach it by gRPC.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

import grpc
import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from recipes.errors import ConfigError, RunError
from recipes.runs.signals import ENDED_BY_SIGTERM
from recipes.tuning.processes import ProcessEndedError
from recipes.tuning.recorded_oracle import ENDED

#: Values of a trial in which the chief says which search it is of; they go to workers of other machines with it.
SEARCH, IDENTITY = "tuner/search", "tuner/identity"

PATIENCE = 600  # seconds that a worker waits for a chief that does not answer


class Address(NamedTuple):
    """Where the chief of a search is reached, and what this process is called."""

    host: str
    port: str
    name: str

    @property
    def is_chief(self) -> bool:
        """Whether this process holds the oracle."""
        return "chief" in self.name


def find_chief() -> Address | None:
    """Returns what Keras Tuner's environment variables say; None where they are not set.

    Raises:
        ConfigError: If some of them are set, and others not.
    """
    names = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")
    values = [os.environ.get(name, "") for name in names]
    if not any(values):
        return None
    if not all(values):
        missing = ", ".join(name for name, value in zip(names, values, strict=True) if not value)
        raise ConfigError(
            f"of Keras Tuner's variables {missing} is not set; expected all of {', '.join(names)} on each machine, the "
            "last 'chief' on one of them, or none"
        )
    return Address(*values)


#: (trial, tell) -> how it ended, as `train_trial` returns it; `tell` takes {epoch: objective}, and says whether to end
Train = Callable[[Any, Callable[[dict[int, float]], bool]], dict[str, Any]]


def work(oracle: Any, name: str, train: Train, is_over: Callable[[], bool]) -> None:
    """Trains one trial after the other until the search ends, or `is_over` says so.

    Args:
        oracle: Of the search, or the client of one that is elsewhere.
        name: Of this worker.
        train: See `Train`.
        is_over: Whether to give up; how the trial that is being trained ended is not reported then.
    """
    objective, interrupted = oracle.objective.name, ""
    while not is_over():
        trial = oracle.create_trial(name)
        if trial.status == "STOPPED":
            return
        if trial.status == "IDLE":  # the others' results decide what comes next
            time.sleep(0.2)
            continue

        def tell(figures: dict[int, float], trial: Any = trial) -> bool:
            answers = [oracle.update_trial(trial.trial_id, {objective: figures[epoch]}, epoch) for epoch in figures]
            return any(answer.status == "STOPPED" for answer in answers)

        began = time.monotonic()
        try:
            ended = train(trial, tell)
        except ProcessEndedError as error:
            if is_over():
                return
            # SIGTERM goes to all processes of a job, and this one may be the last to hear of it. Asked for again, the
            # trial is the same one, and resumes.
            if error.status in (-signal.SIGTERM, ENDED_BY_SIGTERM) and trial.trial_id != interrupted:
                interrupted = trial.trial_id
                continue
            ended = {"config": {}, "hyperparameters": {}, "cut": "", "error": _why(error.status)}
        # The trial is the oracle's own, which may be looking at it: as over gRPC, it gets a copy.
        values = ended["hyperparameters"] or trial.hyperparameters.get_config()
        hyperparameters = keras_tuner.HyperParameters.from_config(values)
        report = {name: ended[name] for name in ("config", "cut", "error")}
        hyperparameters.values[ENDED] = json.dumps({**report, "seconds": round(time.monotonic() - began, 1)})
        oracle.end_trial(Trial(hyperparameters, trial.trial_id, "FAILED" if ended["error"] else "COMPLETED"))


def _why(status: int) -> str:
    """Returns in words why a process has ended."""
    if status == -signal.SIGKILL:
        return "its process was killed (SIGKILL): most often the machine was out of memory; see its log.txt"
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    return f"its process ended {how}; see its log.txt"


class OracleServer:
    """Serves an oracle to workers of other machines while its context is entered.

    Args:
        oracle: What create_trial, update_trial and end_trial are asked of.
        address: Where.
        marks: Values that each trial carries to them.
    """

    def __init__(self, oracle: Any, address: Address, marks: dict[str, str]) -> None:
        self.oracle, self.address, self.marks = oracle, address, marks
        # Without the option two chiefs could listen on one port, and each would get some of the workers' words.
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])

    def __enter__(self) -> OracleServer:
        servicer = oracle_chief.OracleServicer(_Marked(self.oracle, self.marks))
        protos.get_service_grpc().add_OracleServicer_to_server(servicer, self.server)
        where = f"{self.address.host}:{self.address.port}"
        try:
            self.server.add_insecure_port(where)
        except RuntimeError as error:
            raise ConfigError(
                f"cannot serve the search at {where} ({error}); expected an address of this machine and a free port in "
                "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT"
            ) from None
        self.server.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._wait_for_the_others()
        self.server.stop(grace=1)

    def _wait_for_the_others(self) -> None:
        """Waits for trials that others train, and a little for them to hear that there are no more."""
        named: set[str] = set()
        while busy := {*self.oracle.ongoing_trials, self.oracle.start_trained_by} - {""}:
            if busy != named:
                print(f"waiting for the last trials of {', '.join(sorted(busy))}", flush=True)
                named = busy
            time.sleep(0.5)
        give_up = time.monotonic() + 10
        while self.oracle.tuner_ids and time.monotonic() < give_up:
            time.sleep(0.2)
        time.sleep(1)  # the last of them asks for the best trial


class _Marked:
    """An oracle whose trials carry marks; copies, so that what it keeps has none."""

    def __init__(self, oracle: Any, marks: dict[str, str]) -> None:
        self.oracle, self.marks = oracle, marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.oracle, name)

    def create_trial(self, tuner_id: str) -> Any:
        trial = Trial.from_proto(self.oracle.create_trial(tuner_id).to_proto())
        trial.hyperparameters.values.update(self.marks)
        return trial

    def end_trial(self, trial: Any) -> None:
        for name in self.marks:
            trial.hyperparameters.values.pop(name, None)
        self.oracle.end_trial(trial)


def remote_oracle(objective: tuple[str, str]) -> Any:
    """Returns the client of the oracle that the environment variables lead to; only trials can be asked of it."""
    oracle_client.TIMEOUT = PATIENCE
    return oracle_client.OracleClient(SimpleNamespace(objective=keras_tuner.Objective(*objective)))


@contextmanager
def lost_chief_explained(address: Address | None) -> Iterator[None]:
    """Turns gRPC's words for a chief that is gone into a RunError."""
    try:
        yield
    except grpc.RpcError as error:
        assert address is not None
        raise RunError(
            f"the chief of the search at {address.host}:{address.port} does not answer ({error.code().name}); start it "
            "with KERASTUNER_TUNER_ID=chief, and this worker again"
        ) from None
