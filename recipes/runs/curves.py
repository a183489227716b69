"""Curves of a run: each metric over the epochs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # not pyplot: no display, no state
from matplotlib.ticker import MaxNLocator

from recipes.errors import one_line
from recipes.runs.figure_text import wrapped


def draw_curves(curves: dict[str, list[float]], title: str) -> Figure:
    """Draws each metric over the epochs, from 1, training and validation in one panel.

    A value far beyond the others, as of a step that diverged, is a triangle at the edge, and named in the legend.
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves if name != "epoch"))
    columns = max(1, min(3, len(names)))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(5 * columns, 3.6 * max(1, rows) + 0.3), layout="constrained")
    epochs = np.arange(1, len(curves["epoch"]) + 1)
    for number, name in enumerate(names, start=1):
        axes = figure.add_subplot(rows, columns, number)
        by_split = {"training": name, "validation": f"val_{name}"}
        series = {label: as_numbers(curves[column]) for label, column in by_split.items() if column in curves}
        most = largest_shown(list(series.values()))
        for label, values in series.items():
            colour = "C0" if label == "training" else "C1"
            is_number, is_beyond = ~np.isnan(values), np.abs(values) > most
            shown = np.where(is_beyond, np.nan, values)  # the line breaks at what is beyond, not at what is missing
            axes.plot(epochs[is_number], shown[is_number], "o-", color=colour, markersize=3, label=label)
            if is_beyond.any():
                farthest = values[is_beyond][np.abs(values[is_beyond]).argmax()]
                edge, marker = (0, "v") if farthest < 0 else (1, "^")
                axes.plot(
                    epochs[is_beyond],
                    np.full(is_beyond.sum(), edge),
                    marker,
                    color=colour,
                    transform=axes.get_xaxis_transform(),
                    clip_on=False,
                    zorder=10,  # above the legend
                    label=f"{label}, off the scale: {farthest:.4g}",
                )
        axes.set(xlabel="epoch", ylabel=axis_label(name, names))
        if len(epochs) == 1:
            axes.set_xlim(0.5, 1.5)
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        if f"val_{name}" in curves or len(axes.lines) > 1:  # norms, logged once an epoch, are of no training split
            axes.legend()
    figure.suptitle(wrapped(one_line(title), 5 * columns), fontsize="small")
    return figure


#: Metric -> its unit, and which way is good.
UNITS = {
    "accuracy": "share; higher is better",
    "bleu": "0 to 100; higher is better",
    "discriminator_loss": "nats; balance is good",
    "distance": "to real images; lower is better",
    "diversity": "of two samples; near 0: collapsed",
    "kl": "nats",
    "learning_rate": "per step",
    "loss": "nats; lower is better",
    "perplexity": "tokens; lower is better",
    "reconstruction": "nats; lower is better",
    "told_apart": "share; 0.5: samples pass for real",
}


def axis_label(name: str, names: Sequence[str]) -> str:
    """Returns a metric's name with its unit and which way is good, where that is known; `names` are all metrics."""
    is_game = name == "loss" and "discriminator_loss" in names
    unit = "of the generator, in nats; balance is good" if is_game else UNITS.get(name)
    return f"{name}\n{unit}" if unit else name


def as_numbers(values: Sequence[Any]) -> np.ndarray:
    """Returns values as float64; what is no number is NaN."""
    numbers = []
    for value in values:
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            numbers.append(math.nan)
    return np.array(numbers)


def largest_shown(series: Sequence[np.ndarray]) -> float:
    """Returns the largest size of a value that a panel shows; `series` are its curves, that of training first.

    It is ten times the upper quartile of the sizes, or what the training's second epoch has (a loss that falls fast is
    far above the quartile then), where that is more; and 1 at least, which no share is above.
    """
    sizes = [np.abs(values[np.isfinite(values)]) for values in series]
    upper = np.quantile(np.concatenate(sizes) if any(map(len, sizes)) else [0], 0.75, method="lower")
    return max(1.0, 10 * max(float(upper), float(min(sizes[0][:2], default=0))))
