"""What is shown while a search runs: a table with a row for each trial that has ended."""

from __future__ import annotations

import time
from typing import Any

from recipes.errors import one_line
from recipes.runs.durations import duration
from recipes.tuning.trial_results import START, TrialResult, best_of

STARTED_FROM = "the settings it started from"
WIDTHS = (6, 12, 12, 7, 11, 7, 11)


class Table:
    """Prints rows: the trial, its figure, the best so far, epochs and time, how many are done, and the time left.

    Args:
        objective: The figure, and "max" or "min".
        settings: How many are tried.
        epochs: That all trials are to train together.
        done: Trials that had ended before, START among them.
    """

    def __init__(self, objective: tuple[str, str], settings: int, epochs: int, done: list[TrialResult]) -> None:
        self.name, self.direction = objective
        self.settings, self.planned, self.done = settings, epochs, list(done)
        self.began, self.before = time.monotonic(), self._trained()

    def header(self) -> None:
        """Prints the names of the columns."""
        self._print("trial", self.name, "best so far", "epochs", "time", "done", "left", "settings")

    def row(self, trial: TrialResult) -> None:
        """Prints a trial that has ended."""
        self.done.append(trial)
        best = best_of(self.done, self.direction)
        outcome = "failed" if trial.figure is None else f"{trial.figure:.4f}"
        settings = STARTED_FROM if trial.id == START else shown_settings(trial.changed or trial.values)
        notes = [f"({trial.cut})"] * bool(trial.cut) + [one_line(trial.error)] * bool(trial.error)
        tried = len({tuple(sorted(each.values.items())) for each in self.done if each.id != START})
        self._print(
            trial.id,
            outcome,
            f"{best.figure:.4f}" if best and best.figure is not None else "",
            str(trial.epochs),
            duration(trial.seconds),
            f"{tried}/{self.settings}",
            self._left(),
            "  ".join([settings, *notes]),
        )

    def _left(self) -> str:
        """Returns how long the epochs that are planned still take, at the rate of those that this process has seen."""
        trained = self._trained() - self.before
        to_do = self.planned - sum(trial.asked - trial.before for trial in self.done)
        return duration((time.monotonic() - self.began) / trained * to_do) if trained and to_do > 0 else ""

    def _trained(self) -> int:
        return sum(max(0, trial.epochs - trial.before) for trial in self.done)

    def _print(self, *cells: str) -> None:
        *columns, last = cells
        padded = [f"{cell:<{width}}" for cell, width in zip(columns, WIDTHS, strict=True)]
        print("  ".join([*padded, last]), flush=True)


def shown_settings(changed: dict[str, Any]) -> str:
    """Returns settings as they are written in Python, numbers to four digits."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in changed.items()}
    return "  ".join(f"{name}={value!r}" for name, value in rounded.items()) or STARTED_FROM
