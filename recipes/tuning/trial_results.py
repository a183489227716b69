"""What is known of the trials of a search, and which of them is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The id of the training with the settings that a search starts from, beside the trials.
START = "start"


@dataclass(frozen=True)
class TrialResult:
    """How a trial has ended."""

    id: str  # "00", "01", ...; or START
    values: dict[str, Any] = field(default_factory=dict)  # of the hyperparameters that it uses
    changed: dict[str, Any] = field(default_factory=dict)  # settings that differ from those the search starts from
    figures: tuple[float, ...] = ()  # the objective after each epoch, from the first on
    figure: float | None = None  # that counts: of the last epoch, or of the best where early stopping restores it
    before: int = 0  # epochs of these that were trained as the trial that this one continues
    asked: int = 0  # epochs that it was to be trained for, these among them
    cut: str = ""  # why it was ended before its epochs were through: "budget", "pruned"; "": it was not
    seconds: float = 0.0  # of training; of one that was promoted, since then
    error: str = ""  # why it has failed

    @property
    def epochs(self) -> int:
        """How many it was trained for."""
        return len(self.figures)


class Best(tuple):
    """The best settings of a search and their figure: `config, figure = tune()`; `objective` and `folder` besides."""

    objective: str  # which figure: "val_accuracy"
    folder: Path  # of the search

    def __new__(cls, config: Any, figure: float, objective: str, folder: Path) -> Best:
        """Returns the pair."""
        pair = super().__new__(cls, (config, figure))
        pair.objective, pair.folder = objective, folder
        return pair


@dataclass(frozen=True)
class SearchResult:
    """A search that has ended, for its report."""

    recipe: str
    command: str  # what the command line calls the recipe
    tuner: str  # "random", "bayesian", "hyperband", "optuna"
    objective: str  # "val_accuracy"
    direction: str  # "max" or "min"
    data: str  # the data set and how many examples, in words
    stand_in_for: str  # the data set that was asked for, where the search ran on its stand-in; ""
    trials: tuple[TrialResult, ...]  # in the order of their beginnings, failed ones too
    start: TrialResult | None  # None: not trained
    space: Sequence[Any]  # Keras Tuner's hyperparameters: `name`, `value_to_prob(value)` in [0, 1], `default`
    best: TrialResult
    fit_line: str  # "fit(units=(512,), dropout=0.1)", what trains the best in Python
    fit_command: str  # likewise for a shell; "" where the data was in memory
    seconds: float
    workers: int
    validation_examples: int = 0  # that the figures are of; 0: not known


def best_of(trials: Iterable[TrialResult], direction: str) -> TrialResult | None:
    """Returns the best trial that was trained to its end; where there is none, the best of those that came furthest.

    A figure in the middle of a schedule says little beside one at its end. None where all have failed.
    """
    done = [each for each in trials if each.figure is not None and math.isfinite(each.figure) and not each.error]
    whole = [trial for trial in done if not trial.cut]
    furthest = max((trial.epochs for trial in done), default=0)
    comparable = whole or [trial for trial in done if trial.epochs == furthest]
    sign = 1 if direction == "max" else -1
    return max(comparable, key=lambda trial: sign * (trial.figure or 0.0), default=None)
