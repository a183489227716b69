"""An oracle of Keras Tuner with a state that is one file and survives a kill, and errors that leave no lock behind."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial
from keras_tuner.src.engine import oracle as oracle_module

from recipes.runs.atomic_files import damaged, read_json, write_json
from recipes.tuning.trial_results import START, TrialResult, best_of

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


def _start() -> Any:
    """Returns START as a trial of Keras Tuner's."""
    return Trial(keras_tuner.HyperParameters(), trial_id=START, status="RUNNING")


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
        self.failure: Exception | None = None  # in keeping or showing a trial's result: the search cannot go on
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
            return _start()
        return super().create_trial(tuner_id)

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Keeps the objective after an epoch; what is known of it already stays."""
        epochs = self.figures.setdefault(trial_id, {})
        if str(step) in epochs:
            return _start() if trial_id == START else self.trials[trial_id]
        epochs[str(step)] = metrics[self.objective.name]
        trial = _start() if trial_id == START else super().update_trial(trial_id, metrics, step)
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
        try:
            self.on_end(self.result(trial.trial_id))
        except Exception as failure:  # that of another machine's worker would not be seen here
            self.failure = failure
            raise

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
