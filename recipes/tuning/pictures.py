"""Pictures of a search: which hyperparameters mattered, which values each trial had, and how the trials went."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot: no display, no state
from matplotlib.ticker import MaxNLocator

from recipes.runs.curves import axis_label, largest_shown
from recipes.runs.figure_text import shortened, wrapped
from recipes.tuning.importance import figure_of
from recipes.tuning.ranges import position, ticks
from recipes.tuning.trial_results import SearchResult
from recipes.tuning.trial_styles import (
    BEST,
    STARTED_FROM,
    FigureScale,
    comparable,
    end_style,
    line_style,
    succeeded,
    trained_start,
    write_legend,
    write_title,
)

MOST_AXES = 10  # of hyperparameters; more are no picture


def draw_importances(search: SearchResult, shares: Mapping[str, float]) -> Figure:
    """Draws each hyperparameter's share of the differences as a bar, the largest on top."""
    names = list(shares)[:20]
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(range(len(names)), [shares[name] for name in names], color="C0", height=0.6)
    axes.bar_label(bars, [as_percent(shares[name]) for name in names], padding=3)
    axes.set_yticks(range(len(names)), [shortened(name, 32) for name in names])
    axes.set(xlim=(0, 1.12 * max(shares.values(), default=1)), xlabel="share of the differences", xticks=[])
    axes.invert_yaxis()
    left_out = f"; {len(shares) - len(names)} more are left out" if len(shares) > len(names) else ""
    write_title(figure, f"What the {search.objective} of {len(succeeded(search))} trials depends on{left_out}", 7)
    return figure


def draw_parallel_coordinates(search: SearchResult, shares: Mapping[str, float]) -> Figure:
    """Draws each trial as a line through its values, an axis per hyperparameter and the figure as the last: up is good.

    Failed trials are left out. The line of a trial that was cut is grey and has no figure, which would say nothing
    beside the others'. A line is dotted across what its trial does not use. Of many hyperparameters those with the
    largest shares are drawn. A figure far worse than the others is at the end of its axis.
    """
    by_name = {each.name: each for each in search.space if len(list(each.values)) > 1}
    ranked = sorted(by_name, key=lambda name: -shares.get(name, 0))[:MOST_AXES]
    shown = [each for name, each in by_name.items() if name in ranked]
    whole = comparable(search)
    scale = FigureScale(search)
    cut = [trial for trial in succeeded(search) if trial not in whole]
    lines = [*cut, *sorted(whole, key=scale.height), *trained_start(search)]  # the good ones on top
    figure = Figure(figsize=(max(7.0, 1.5 * (len(shown) + 1) + 1), 4.8), layout="constrained")
    axes = figure.add_subplot()
    for trial in lines:
        heights = [position(each, trial.values.get(each.name, math.nan)) for each in shown]
        heights.append(math.nan if trial in cut else scale.height(trial))
        known = [place for place, height in enumerate(heights) if math.isfinite(height)]
        if len(known) < 2:  # nothing of the space is known of the settings it started from
            continue
        style = line_style(trial, search, scale)
        dotted = style | {"linestyle": ":", "label": None}
        axes.plot(known, [heights[place] for place in known], clip_on=False, **dotted)
        axes.plot(range(len(heights)), heights, marker="o", markersize=4, clip_on=False, **style)
    for place, labels in enumerate([*map(ticks, shown), scale.ticks()]):
        axes.axvline(place, color="0.3", linewidth=0.8, zorder=1)
        is_last = place == len(shown)
        for height, text in labels:
            axes.annotate(
                shortened(text, 16),
                (place, height),
                (7 if is_last else -7, 0),
                textcoords="offset points",
                horizontalalignment="left" if is_last else "right",
                verticalalignment="center",
                fontsize="small",
                zorder=6,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
            )
        name = wrapped(shortened(search.objective if is_last else shown[place].name, 45), 1.3)
        axes.annotate(name, (place, 0), (0, -16), textcoords="offset points", ha="center", va="top")
    axes.set(ylim=(-0.02, 1.02), xlim=(-0.55, len(shown) + 0.55), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    write_legend(figure, axes)
    beyond = sum(not scale.low <= figure_of(trial) <= scale.high for trial in whole)
    remarks = [f"{len(whole)} trials, the darker the better"]
    remarks += [f"{beyond} far worse at the end of the last axis"] if beyond else []
    if any(each.name not in trial.values for each in shown for trial in whole):
        remarks.append("dotted: not used")
    if len(by_name) > len(shown):
        remarks.append(f"the {len(shown)} most important of {len(by_name)} hyperparameters")
    write_title(figure, "; ".join(remarks), figure.get_figwidth())
    return figure


def draw_trials(search: SearchResult) -> Figure:
    """Draws the objective after each epoch of all trials, and beside it the figures in the order of the trials.

    The curve of a trial that was cut is grey and ends with a cross.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = left, right = figure.subplots(1, 2)
    scale = FigureScale(search)
    _draw_curves(left, search, scale)
    _draw_history(right, search, scale)
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        each.set_ylabel(axis_label(search.objective.removeprefix("val_"), [search.objective]))
        each.grid(alpha=0.3)
    write_legend(figure, *axes)
    write_title(figure, f"{search.recipe} on {search.data}: {search.objective} of {len(search.trials)} trials", 11)
    return figure


def _draw_curves(axes: Axes, search: SearchResult, scale: FigureScale) -> None:
    """Draws the objective over the epochs; what is far beyond the others leaves a gap in its line."""
    trials = [trial for trial in (*search.trials, *trained_start(search)) if trial.figures]
    most = largest_shown([np.array(trial.figures, float) for trial in trials]) if trials else math.inf
    for trial in trials:
        values = np.array(trial.figures, float)
        values = np.where(np.abs(values) <= most, values, np.nan)
        epochs = np.arange(1, len(values) + 1)
        style = line_style(trial, search, scale)
        axes.plot(epochs, values, marker="o" if len(values) == 1 else None, markersize=4, **style)
        if trial.cut or trial.error:
            axes.plot(epochs[-1:], values[-1:], "x", zorder=3, **end_style(trial))
    axes.set(xlabel="epoch")
    if max((trial.epochs for trial in trials), default=1) == 1:
        axes.set_xlim(0.5, 1.5)


def _draw_history(axes: Axes, search: SearchResult, scale: FigureScale) -> None:
    """Draws the figure of each trial in the order of their beginnings, and the best so far."""
    whole = comparable(search)
    figures = np.array([figure_of(trial) if trial in whole else math.nan for trial in search.trials])
    numbers = np.arange(1, len(figures) + 1)
    best = (np.fmax if search.direction == "max" else np.fmin).accumulate(figures)
    axes.step(numbers, best, where="post", color="C0", linewidth=1.2, label="best so far")
    shown = np.clip(figures, scale.low, scale.high)
    is_far = np.isfinite(figures) & (figures != shown)
    dots: dict[str, Any] = {"color": "0.45", "markersize": 5}
    axes.plot(numbers[~is_far], shown[~is_far], "o", label="a trial's figure", **dots)
    if is_far.any():
        axes.plot(numbers[is_far], shown[is_far], "v" if search.direction == "max" else "^", label="far worse", **dots)
    for number, trial in zip(numbers, search.trials):
        if trial not in whole:  # at the edge: its figure says nothing beside the others'
            axes.plot([number], [0.03], "x", transform=axes.get_xaxis_transform(), **end_style(trial))
        if trial.id == search.best.id:
            axes.plot([number], [figure_of(trial)], "o", color=BEST, markersize=9, zorder=4)
    for start in trained_start(search):
        if scale.low <= figure_of(start) <= scale.high:
            axes.axhline(figure_of(start), color="black", linestyle="--", label=STARTED_FROM)
    margin = 0.1 * (axes.get_ylim()[1] - axes.get_ylim()[0])
    axes.set_ylim(axes.get_ylim()[0] - margin)
    axes.set(xlabel="trial, in the order of their beginnings", xlim=(0.5, len(numbers) + 0.5))


def as_percent(share: float) -> str:
    """Returns "12%", or "< 1%"."""
    return f"{share:.0%}" if share >= 0.01 else "< 1%"
