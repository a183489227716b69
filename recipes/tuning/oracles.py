"""Keras Tuner's oracles, which propose hyperparameters, with a state that is one file and survives a kill."""

from __future__ import annotations

import functools
import json
import math
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import base_tuner
from keras_tuner.engine.hyperparameters import Float
from keras_tuner.engine.trial import Trial
from keras_tuner.src.engine import oracle as oracle_module
from sklearn.exceptions import ConvergenceWarning

from recipes.errors import ConfigError, did_you_mean
from recipes.runs.atomic_files import damaged, read_json, write_json
from recipes.tuning.trials import START, TrialResult, best_of

TUNERS = ("bayesian", "random", "hyperband", "optuna")
STATE = "oracle.json"
#: Value of a trial in which a worker says how it has ended, as JSON; it goes to the chief with the others.
ENDED = "tuner/ended"


def synchronized(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a method that no two threads are in at once, as Keras Tuner's own, which keeps its lock after an error.

    Then all others would wait for ever, where a disk is full or Ctrl-C comes.
    """
    locked = keras_tuner.synchronized(method)

    @functools.wraps(method)
    def released(self: Any, *arguments: Any, **named: Any) -> Any:
        name = threading.current_thread().name
        is_inner = oracle_module.THREADS[self] == name
        try:
            return locked(self, *arguments, **named)
        finally:
            if not is_inner and oracle_module.THREADS[self] == name:  # what it raises has left it locked
                oracle_module.THREADS[self] = None
                oracle_module.LOCKS[self].release()

    return released


class Recorded(keras_tuner.Oracle):
    """Mixed into an oracle: all that is known of a search is in one file, written whole after every change.

    Beside its trials it has the settings that the search starts from trained, as START, so that a search can tell
    whether it has found better ones.
    """

    def begin(self, folder: Path, epochs: int, early_stopping: bool, on_end: Callable[[TrialResult], None]) -> None:
        """Reads the state of a search that is continued, or begins.

        Args:
            folder: Of the search.
            epochs: Of a trial that is trained to its end.
            early_stopping: Whether a trial's figure is that of its best epoch, not of its last.
            on_end: Called with every trial that has ended.
        """
        self.path, self.epochs, self.early_stopping, self.on_end = folder / STATE, epochs, early_stopping, on_end
        self.figures: dict[str, dict[str, float]] = {}  # trial -> epoch, from "1" on -> the objective
        self.ended: dict[str, dict[str, Any]] = {}  # trial -> what `train_trial` returned, and its seconds
        self.start_trained_by = ""  # a worker
        self.verbose = 0
        self.began, self.seconds_before = time.monotonic(), 0.0
        if self.path.exists():
            self.reload()

    @synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """Returns the next trial; the one that a worker has begun already, where it asks again."""
        if START not in self.ended and self.start_trained_by in ("", tuner_id):
            self.start_trained_by = tuner_id
            self.tuner_ids.add(tuner_id)
            return Trial(keras_tuner.HyperParameters(), trial_id=START, status="RUNNING")
        return super().create_trial(tuner_id)

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Keeps the objective after an epoch; what is known of it already stays."""
        epochs = self.figures.setdefault(trial_id, {})
        known = str(step) in epochs
        epochs.setdefault(str(step), metrics[self.objective.name])
        if trial_id == START:
            self.save()
            return Trial(keras_tuner.HyperParameters(), trial_id=START, status="RUNNING")
        trial = self.trials[trial_id] if known else super().update_trial(trial_id, metrics, step)
        self.save()
        return trial

    @synchronized
    def end_trial(self, trial: Any) -> None:
        """Keeps how a trial has ended.

        One that has ended before is of a worker that outlived its chief: the next one has given it to another, too.
        """
        self._forget(trial.trial_id)
        if trial.trial_id in self.ended:
            return
        ended = self.ended[trial.trial_id] = json.loads(trial.hyperparameters.values.pop(ENDED))
        trial.message = ended["cut"] or ended["error"]
        if trial.trial_id == START:
            self.start_trained_by = ""
            self.save()
        else:
            super().end_trial(trial)
        self.on_end(self.result(trial.trial_id))

    def _forget(self, trial_id: str) -> None:
        """Takes a trial that has ended from those that are being trained, or are to be."""
        others = {name: each for name, each in self.ongoing_trials.items() if each.trial_id != trial_id}
        self.ongoing_trials: dict[str, Any] = others
        self._retry_queue: list[str] = [each for each in self._retry_queue if each != trial_id]

    def score_trial(self, trial: Any) -> None:
        """Sets the figure that counts."""
        figures = self.figures[trial.trial_id]
        trial.score, trial.best_step = self.figure(trial.trial_id), max(map(int, figures))

    def figure(self, trial_id: str) -> float | None:
        """Returns a trial's figure that counts; None where it has none."""
        figures = list(self.figures.get(trial_id, {}).values())
        if not figures:
            return None
        best = max if self.objective.direction == "max" else min
        return best(figures) if self.early_stopping else figures[-1]

    def result(self, trial_id: str) -> TrialResult:
        """Returns how a trial has ended."""
        ended, trial = self.ended[trial_id], self.trials.get(trial_id)
        values = trial.hyperparameters.values if trial else {}
        return TrialResult(
            id=trial_id,
            values={name: value for name, value in values.items() if not name.startswith("tuner/")},
            changed={name: tuple(it) if isinstance(it, list) else it for name, it in ended["config"].items()},
            figures=tuple(self.figures.get(trial_id, {}).values()),
            figure=None if ended["error"] else self.figure(trial_id),
            before=values.get("tuner/initial_epoch", 0),
            asked=values.get("tuner/epochs", self.epochs),
            cut=ended["cut"],
            seconds=ended["seconds"],
            error=ended["error"],
        )

    def results(self) -> list[TrialResult]:
        """Returns the trials that have ended, in the order of their beginnings, without START."""
        return [self.result(trial_id) for trial_id in self.start_order if trial_id in self.ended]

    @synchronized
    def get_best_trials(self, num_trials: int = 1) -> list[Any]:
        """Returns the best trial so far, whatever the number; [] where there is none."""
        best = best_of(self.results(), self.objective.direction)
        return [self.trials[best.id]] if best else []

    def planned_epochs(self) -> int:
        """Returns how many epochs all trials and START are to train together."""
        return self.epochs * (self.max_trials + 1)

    @property
    def seconds(self) -> float:
        """How long the search has taken, before it was continued and since."""
        return self.seconds_before + time.monotonic() - self.began

    # ---------------------------------------------------------------- the file

    def save(self) -> None:
        """Writes all in one step."""
        trials = {trial_id: trial.get_state() for trial_id, trial in self.trials.items()}
        own = {"trials": trials, "figures": self.figures, "ended": self.ended, "seconds": self.seconds}
        write_json(self.path, {**self.get_state(), **own})

    def _save_trial(self, trial: Any) -> None:
        """Does nothing: `save` follows, or has been."""

    def reload(self) -> None:
        """Reads all; trials that were being trained are handed out again first, and resume from their checkpoints."""
        state = read_json(self.path)
        try:
            self.figures, self.ended, self.seconds_before = state["figures"], state["ended"], state["seconds"]
            self.trials = {trial_id: Trial.from_state(values) for trial_id, values in state["trials"].items()}
            self.set_state(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(self.path, f"it is not what this version writes of a search ({error!r})") from None
        interrupted = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._retry_queue = sorted(interrupted.union(self._retry_queue), reverse=True)  # the last comes first
        self.ongoing_trials = {}


class RandomOracle(Recorded, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random."""


class BayesianOracle(Recorded, keras_tuner.oracles.BayesianOptimizationOracle):
    """Models the objective by a Gaussian process, of the first third of all trials, which are drawn at random.

    At least 3 of them, and no more than 3 for each hyperparameter, as Keras Tuner would draw whatever the number of
    trials is.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes a trial: of one history always the same, whether or not the search was interrupted."""
        self.num_initial_points = max(3, min(3 * len(self.hyperparameters.space), self.max_trials // 3))
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        with warnings.catch_warnings():  # about length scales at their bounds, which a few trials do not tell
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().populate_space(trial_id)


class HyperbandOracle(Recorded, keras_tuner.oracles.HyperbandOracle):
    """Hyperband (Li et al. 2018, https://arxiv.org/abs/1603.06560), of as many settings as are asked for.

    Keras Tuner's sizes of brackets follow from the number of epochs. Here they are in the same proportions, and
    together `settings`; and a trial that fails counts as the worst of its round, where Keras Tuner's would leave its
    bracket waiting for a result for ever.

    Args:
        settings: How many different ones are tried, each of them in one or more trials.
        epochs: Of a trial that is trained to its end.
        how: What the oracle of Keras Tuner takes besides.
    """

    def __init__(self, settings: int, epochs: int, **how: Any) -> None:
        self.sizes: list[int] = []
        super().__init__(max_epochs=epochs, **how)
        brackets = self._get_num_brackets()
        if settings < brackets:
            raise ConfigError(
                f"trials={settings}, and hyperband has {brackets} brackets for epochs={epochs}; expected {brackets} or "
                "more, or tuner='random'"
            )
        usual = [keras_tuner.oracles.HyperbandOracle._get_size(self, bracket, 0) for bracket in range(brackets)]
        shares = [1 + (settings - brackets) * size / sum(usual) for size in usual]
        self.sizes = [math.floor(share) for share in shares]
        by_rest = sorted(range(brackets), key=lambda bracket: self.sizes[bracket] - shares[bracket])
        for bracket in by_rest[: settings - sum(self.sizes)]:
            self.sizes[bracket] += 1
        numbers = reversed(range(brackets))
        self._brackets: list[dict[str, Any]] = [
            {"bracket_num": number, "rounds": [[] for _ in range(number + 1)]} for number in numbers
        ]

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        return math.ceil(self.sizes[bracket_num] / self.factor**round_num)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Promotes a trial that is certain to be among the best of its round, or else proposes new settings."""
        for bracket in self._brackets:
            for number in range(1, len(bracket["rounds"])):
                if (best := self._to_be_promoted(bracket, number)) is not None:
                    bracket["rounds"][number].append({"past_id": best.trial_id, "id": trial_id})
                    values = {**best.hyperparameters.values, "tuner/trial_id": best.trial_id}
                    return {"status": "RUNNING", "values": values | self._budget(bracket["bracket_num"], number)}
        unfilled = [each for each in self._brackets if len(each["rounds"][0]) < self.sizes[each["bracket_num"]]]
        for bracket in unfilled:
            if values := self._random_values():
                bracket["rounds"][0].append({"past_id": None, "id": trial_id})
                return {"status": "RUNNING", "values": values | self._budget(bracket["bracket_num"], 0)}
            self.sizes[bracket["bracket_num"]] = len(bracket["rounds"][0])  # the space is exhausted
        if unfilled:
            return self.populate_space(trial_id)
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}

    def _to_be_promoted(self, bracket: dict[str, Any], number: int) -> Any:
        """Returns the best trial of the round before that was not promoted yet, if it is sure to be; else None."""
        waiting = self._waiting(bracket, number)
        places = self._get_size(bracket["bracket_num"], number) - len(bracket["rounds"][number])
        if not waiting or self._to_come(bracket, number - 1) >= places:
            return None
        sign = 1 if self.objective.direction == "max" else -1
        return max(waiting, key=lambda trial: sign * trial.score)

    def _waiting(self, bracket: dict[str, Any], number: int) -> list[Any]:
        """Returns the trials that could be promoted to a round."""
        done = {each["past_id"] for each in bracket["rounds"][number]}
        before = [self.trials[each["id"]] for each in bracket["rounds"][number - 1] if each["id"] not in done]
        return [trial for trial in before if trial.status == "COMPLETED"]

    def _to_come(self, bracket: dict[str, Any], number: int) -> int:
        """Returns how many results a round may still have, of trials that will be promoted to it, too."""
        begun = bracket["rounds"][number]
        more = self._get_size(bracket["bracket_num"], number) - len(begun)
        if number:  # where trials have failed there are fewer to be promoted
            more = min(more, len(self._waiting(bracket, number)) + self._to_come(bracket, number - 1))
        return more + sum(each["id"] not in self.ended for each in begun)

    def _record_values(self, trial: Any) -> None:
        """Keeps a promoted trial's values as they are; Keras Tuner draws one for what has come up in others since."""
        values = dict(trial.hyperparameters.values)
        super()._record_values(trial)
        if "tuner/trial_id" in values:
            trial.hyperparameters.values = values

    def get_state(self) -> dict[str, Any]:
        """Returns what is saved."""
        return {**super().get_state(), "sizes": self.sizes}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what was saved."""
        super().set_state(state)
        self.sizes = state["sizes"]

    def _budget(self, bracket: int, number: int) -> dict[str, int]:
        before = self._get_epochs(bracket, number - 1) if number else 0
        return {"tuner/epochs": self._get_epochs(bracket, number), "tuner/initial_epoch": before}

    def planned_epochs(self) -> int:
        """Returns how many epochs all trials and START are to train together."""
        rounds = [(bracket, number) for bracket in range(len(self.sizes)) for number in range(bracket + 1)]
        budgets = [(self._get_size(*each), self._budget(*each)) for each in rounds]
        return self.epochs + sum(
            size * (budget["tuner/epochs"] - budget["tuner/initial_epoch"]) for size, budget in budgets
        )


def check_tuner(tuner: str) -> None:
    """Refuses an unknown tuner."""
    if tuner not in TUNERS:
        near = did_you_mean(str(tuner), TUNERS)
        raise ConfigError(f"tuner={tuner!r} is unknown{near}; expected one of {', '.join(TUNERS)}")


def make_oracle(tuner: str, objective: tuple[str, str], trials: int, seed: int, epochs: int, space: Any) -> Any:
    """Returns the oracle of a name, which knows the whole space.

    Args:
        tuner: One of TUNERS.
        objective: The figure, and "max" or "min".
        trials: How many settings to try.
        seed: Of the search: the same seed, the same proposals for the same results.
        epochs: Of a trial that is trained to its end.
        space: hyperparameters -> anything; declares those that there are.
    """
    how = {
        "objective": keras_tuner.Objective(*objective),
        "seed": seed + 1,  # Keras Tuner takes 0 for none
        # Keras Tuner gives up after three failures in a row; a few bad corners should not end a search.
        "max_consecutive_failed_trials": 10 * trials,
    }
    if tuner == "hyperband":
        oracle: Any = HyperbandOracle(trials, epochs, **how)
    elif tuner == "optuna":
        from recipes.tuning.optuna_oracle import OptunaOracle

        oracle = type("OptunaOracle", (Recorded, OptunaOracle), {})(max_trials=trials, **how)
    else:
        oracle = {"random": RandomOracle, "bayesian": BayesianOracle}[tuner](max_trials=trials, **how)
    with tempfile.TemporaryDirectory() as folder:  # which a tuner wants to exist
        base_tuner.BaseTuner(oracle, space, directory=folder)
    for each in oracle.hyperparameters.space:
        if isinstance(each, Float) and each.step and each.sampling == "linear":
            each.max_value += 1e-6 * each.step  # without it, 0 to 0.5 in steps of 0.1 has no 0.5
    return oracle
