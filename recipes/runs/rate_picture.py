"""The picture of a learning-rate range test."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # not pyplot: no display, no state

from recipes.errors import one_line
from recipes.runs.figure_text import wrapped


def draw_rates(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, suggested: Mapping[str, float], info: Any
) -> Figure:
    """Draws the losses of steps over their rates, which grow by the same factor each step.

    Args:
        rates: (N,)
        losses: (N,), of each step's batch.
        smoothed: (N,), the same averaged.
        suggested: What it is called -> a rate to mark.
        info: The data.
    """
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, ".", color="0.75", markersize=4, label="each step")
    axes.plot(rates, smoothed, color="C0", label="smoothed")
    for number, (name, rate) in enumerate(suggested.items(), start=1):
        loss = np.interp(np.log(rate), np.log(rates), smoothed)
        axes.plot([rate], [loss], "o", color=f"C{number}", label=f"{name}: {rate:.2g}")
        axes.axvline(rate, color=f"C{number}", alpha=0.3)
    low, high = float(losses.min()), float(smoothed[: smoothed.argmin() + 1].max())
    margin = 0.2 * (high - low) or 1.0
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss of a step")
    axes.set_ylim(low - margin, high + margin)  # where it explodes it leaves the picture
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.suptitle(wrapped(one_line(str(info)), 7), fontsize="small")
    return figure
