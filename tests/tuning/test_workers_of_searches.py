"""Workers of a search, in this process and over gRPC, with trials that train nothing."""

import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_trials import OBJECTIVE, figure_of, oracle_in, rates
from keras_tuner import HyperParameters

from recipes.errors import ConfigError, RunError
from recipes.tuning import search_workers
from recipes.tuning.processes import ProcessEndedError
from recipes.tuning.recorded_oracle import STATE
from recipes.tuning.search_workers import (
    IDENTITY,
    SEARCH,
    Address,
    OracleServer,
    find_chief,
    lost_chief_explained,
    remote_oracle,
    work,
)
from recipes.tuning.trial_results import START

MARKS = {SEARCH: "tune-1", IDENTITY: "abc"}
VARIABLES = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID")


@pytest.fixture(autouse=True)
def address(monkeypatch):
    """Where nobody listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", str(probe.getsockname()[1]), "chief")
    for name, value in zip(VARIABLES, address):
        monkeypatch.setenv(name, value)
    impatient(monkeypatch)
    return address


def impatient(monkeypatch, and_then=lambda: None):
    """Has workers and chiefs look again at once, where they would wait a little."""

    def sleep(seconds):
        time.sleep(0.001)
        and_then()

    monkeypatch.setattr(search_workers, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


def train(trial, tell, fails=lambda trial: ""):
    """Returns how a trial ended, as `train_trial` does."""
    hyperparameters = HyperParameters.from_config(trial.hyperparameters.get_config())
    if trial.trial_id != START:
        rates(hyperparameters)
    tell({1: figure_of(trial, 1)})
    tell({2: 0.25, 3: 0.75})
    error = fails(trial)
    config = {"learning_rate": 0.5} if trial.trial_id != START else {}
    return {"config": config, "hyperparameters": hyperparameters.get_config(), "cut": "", "error": error}


def in_threads(*functions):
    """Runs functions side by side; raises what the first of them that fails raises."""
    failures = []

    def one(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one, args=[function], daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_a_search_by_two_workers_elsewhere_and_one_here(address, tuner):
    oracle, ended = oracle_in(Path(), tuner, trials=6)
    marked, by = [], {"a": [], "b": [], "chief": []}
    both = threading.Barrier(3)  # the others have a trial each before this one begins

    def elsewhere(name):
        def remember(trial, tell):
            marked.append({key: trial.hyperparameters.values.get(key) for key in MARKS})
            by[name].append(trial.trial_id)
            if len(by[name]) == 1:
                both.wait(40)
            return train(trial, tell, lambda trial: "nan" if trial.trial_id in ("3", "0003") else "")

        work(remote_oracle(OBJECTIVE), name, remember, lambda: False)

    def here():
        with OracleServer(oracle, address, MARKS):
            both.wait(40)
            work(oracle, "chief", lambda trial, tell: by["chief"].append(trial.trial_id) or train(trial, tell), bool)

    in_threads(here, lambda: elsewhere("a"), lambda: elsewhere("b"))
    trained = [*by["a"], *by["b"], *by["chief"]]
    assert sorted(trained) == sorted({START, *oracle.trials})
    assert ended == dict.fromkeys(trained, 1)
    assert marked == [MARKS] * len(marked)
    assert "tune-1" not in Path(STATE).read_text()
    for result in oracle.results():
        assert result.figures[1:] == (0.25, 0.75)
        assert result.changed == {"learning_rate": 0.5}
        is_theirs = result.id in ("3", "0003") and result.id not in by["chief"]
        assert (result.error, result.figure) == (("nan", None) if is_theirs else ("", 0.75))
        assert not any(name.startswith("tuner/") for name in result.values)


def test_a_worker_that_asks_again_gets_its_own_trial(address):
    oracle, _ = oracle_in(Path())
    with OracleServer(oracle, address, MARKS) as server:
        remote = remote_oracle(OBJECTIVE)
        ids = [remote.create_trial(name).trial_id for name in ("a", "b", "a", "b", "c", "b")]
        assert ids == [START, "0", START, "0", "1", "0"]
        server.oracle = SimpleNamespace(ongoing_trials={}, start_trained_by="", tuner_ids=set())  # waits for none


def test_the_chief_waits_for_a_start_that_another_trains(address, monkeypatch):
    oracle, ended = oracle_in(Path(), trials=1)
    begun, waits = threading.Event(), threading.Event()
    impatient(monkeypatch, waits.set)

    def elsewhere():
        def last(trial, tell):
            assert trial.trial_id == START
            begun.set()
            assert waits.wait(40)
            return train(trial, tell)

        work(remote_oracle(OBJECTIVE), "a", last, lambda: False)

    def here():
        with OracleServer(oracle, address, MARKS):
            assert begun.wait(40)
            work(oracle, "chief", train, lambda: False)

    in_threads(here, elsewhere)
    assert ended == {START: 1, "0": 1}


def test_a_trial_of_a_worker_has_a_score_when_others_see_it_completed():
    """What the oracle holds is changed by the oracle alone, under its lock."""
    oracle, _ = oracle_in(Path(), "hyperband", trials=4)
    seen = []
    end_trial = oracle.end_trial

    def watched(trial):
        seen.extend(each.status for each in oracle.trials.values() if each.trial_id == trial.trial_id)
        end_trial(trial)

    oracle.end_trial = watched
    work(oracle, "a", train, lambda: False)
    assert set(seen) == {"RUNNING"}


@pytest.mark.parametrize(
    ("status", "why"),
    [(-9, "killed .SIGKILL.: most often the machine was out of memory"), (-11, "by signal 11"), (3, "with status 3")],
)
def test_a_process_that_died_is_a_failed_trial(status, why):
    oracle, _ = oracle_in(Path(), trials=2)

    def dies(trial, tell):
        if trial.trial_id == "1":
            raise ProcessEndedError(status)
        return train(trial, tell)

    work(oracle, "a", dies, lambda: False)
    [good, bad] = oracle.results()
    assert not good.error
    assert bad.figure is None
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(bad.error)


@pytest.mark.parametrize("status", [-15, 75])
@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_that_sigterm_has_ended_alone_is_tried_once_more(status, times):
    """The search may not have heard yet that it is to end, too."""
    oracle, ended = oracle_in(Path(), trials=2)
    asked = []

    def interrupted(trial, tell):
        asked.append(trial.trial_id)
        if trial.trial_id in (START, "1") and asked.count(trial.trial_id) <= times:
            raise ProcessEndedError(status)
        return train(trial, tell)

    work(oracle, "a", interrupted, lambda: False)
    assert asked == [START, START, "0", "1", "1"]
    assert ended == {START: 1, "0": 1, "1": 1}
    assert [bool(oracle.result(name).error) for name in (START, "0", "1")] == [times == 2, False, times == 2]


def test_a_trial_that_was_ended_with_its_search_is_not_told():
    oracle, ended = oracle_in(Path(), trials=2)
    over = threading.Event()

    def interrupted(trial, tell):
        over.set()
        raise ProcessEndedError(75)

    work(oracle, "a", interrupted, over.is_set)
    assert not ended
    assert oracle_in(Path(), trials=2)[0].create_trial("b").trial_id == START


def test_a_chief_that_is_gone_is_named(address, monkeypatch):
    monkeypatch.setattr(search_workers, "PATIENCE", 0.2)
    message = rf"the chief of the search at 127.0.0.1:{address.port} does not answer \(DEADLINE_EXCEEDED\); start it"
    with pytest.raises(RunError, match=message), lost_chief_explained(address):
        work(remote_oracle(OBJECTIVE), "a", train, lambda: False)


def test_an_error_of_the_chief_while_others_ask_does_not_lock_it(address, monkeypatch):
    oracle, _ = oracle_in(Path())
    with OracleServer(oracle, address, MARKS) as server:
        remote = remote_oracle(OBJECTIVE)
        with monkeypatch.context() as patch:
            patch.setattr(oracle, "save", lambda: json.loads("no disk"))
            oracle.start_trained_by = "another"
            with pytest.raises(RunError, match="UNKNOWN"), lost_chief_explained(address):
                remote.create_trial("a")
        in_threads(lambda: oracle.create_trial("b"))
        server.oracle = SimpleNamespace(ongoing_trials={}, start_trained_by="", tuner_ids=set())


def test_two_chiefs_cannot_have_one_port(address):
    oracle, _ = oracle_in(Path())
    with OracleServer(oracle, address, MARKS):
        with pytest.raises(ConfigError, match=f"cannot serve the search at 127.0.0.1:{address.port} .*a free port"):
            OracleServer(oracle, address, MARKS).__enter__()


@pytest.mark.parametrize("missing", VARIABLES)
def test_some_variables_without_the_others_are_refused(monkeypatch, missing):
    monkeypatch.delenv(missing)
    with pytest.raises(ConfigError, match=f"^of Keras Tuner's variables {missing} is not set; expected all of"):
        find_chief()


def test_the_variables_say_who_is_the_chief(monkeypatch, address):
    assert find_chief() == address
    assert find_chief().is_chief
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "tuner0")
    assert not find_chief().is_chief
    for name in VARIABLES:
        monkeypatch.delenv(name)
    assert find_chief() is None
