"""What the pictures of a search share: which trials are compared, the scale of their figures, and how each looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no display, no state
from matplotlib.ticker import MaxNLocator

from recipes.runs.figure_text import shortened, wrapped
from recipes.tuning.importance import fences, figure_of
from recipes.tuning.ranges import as_text
from recipes.tuning.table import STARTED_FROM
from recipes.tuning.trial_results import START, SearchResult, TrialResult

BEST = "C3"


def comparable(search: SearchResult) -> list[TrialResult]:
    """Returns the trials that were trained to their end; where there is none, those that came furthest."""
    done = succeeded(search)
    furthest = max((trial.epochs for trial in done), default=0)
    return [trial for trial in done if not trial.cut] or [trial for trial in done if trial.epochs == furthest]


class FigureScale:
    """The figures from the worst, at 0, to the best, at 1; those far worse than the others are at 0, too."""

    def __init__(self, search: SearchResult) -> None:
        trials = [*comparable(search), *trained_start(search)]
        self.low, self.high = fences(np.array([figure_of(trial) for trial in trials]), search.direction)
        self._is_max = search.direction == "max"

    def height(self, trial: TrialResult) -> float:
        """Returns where a trial's figure lies; 0.5 where all are alike."""
        return self._height(figure_of(trial))

    def ticks(self) -> list[tuple[float, str]]:
        """Returns (height, number) of the ends and of the round numbers between them that have room."""
        if self.low == self.high:
            return [(0.5, as_text(self.low))]
        numbers = [(self._height(float(number)), number) for number in MaxNLocator(5).tick_values(self.low, self.high)]
        between = [(height, as_text(float(number))) for height, number in numbers if 0.08 < height < 0.92]
        return [(self._height(end), as_text(end)) for end in (self.low, self.high)] + between

    def _height(self, figure: float) -> float:
        if self.low == self.high:
            return 0.5
        share = min(1.0, max(0.0, (figure - self.low) / (self.high - self.low)))
        return share if self._is_max else 1 - share


def succeeded(search: SearchResult) -> list[TrialResult]:
    """Returns the trials that have a figure."""
    return [trial for trial in search.trials if not trial.error and math.isfinite(figure_of(trial))]


def trained_start(search: SearchResult) -> list[TrialResult]:
    """Returns the training with the settings that the search started from, where it succeeded."""
    return [each for each in [search.start] if each and not each.error and math.isfinite(figure_of(each))]


def line_style(trial: TrialResult, search: SearchResult, scale: FigureScale) -> dict[str, Any]:
    """Returns how a trial's line looks: the best thick, the start dashed, others the darker, the better."""
    if trial.id == search.best.id:
        label = f"best: trial {shortened(trial.id, 12)}, {as_text(figure_of(trial))}"
        return {"color": BEST, "linewidth": 3, "zorder": 5, "label": label}
    if trial.id == START:
        return {"color": "black", "linewidth": 1.5, "linestyle": "--", "zorder": 4, "label": STARTED_FROM}
    if trial not in comparable(search):
        return {"color": "0.75", "linewidth": 1, "zorder": 2, "label": None if trial.error else "cut short"}
    return {"color": colormaps["viridis"](0.92 * (1 - scale.height(trial))), "linewidth": 1.2, "zorder": 3}


def end_style(trial: TrialResult) -> dict[str, Any]:
    """Returns the colour and the label of the cross at the end of a trial that failed or was cut."""
    return {"color": BEST, "label": "failed"} if trial.error else {"color": "0.45", "label": "cut short"}


def write_legend(figure: Figure, *panels: Axes) -> None:
    """Writes each label once, below the panels."""
    by_label = {str(line.get_label()): line for axes in panels for line in axes.lines}
    labels = [label for label in by_label if not label.startswith("_")]  # as Matplotlib calls those without a label
    handles = [by_label[label] for label in labels]
    columns = int(figure.get_figwidth() / 2.7)  # inches that the longest label takes
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def write_title(figure: Figure, text: str, inches: float) -> None:
    """Writes a title in small letters, in as many lines as it takes."""
    figure.suptitle(wrapped(text, inches), fontsize="small")
