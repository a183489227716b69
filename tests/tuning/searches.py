"""Searches for tests, invented."""

import keras_tuner
import numpy as np

from recipes.tuning.trial_results import START, SearchResult, TrialResult, best_of


def space(names=("rate", "dropout")):
    hp = keras_tuner.HyperParameters()
    for name in names:
        hp.Float(name, 0.0, 1.0)
    return hp.space


def trial(number, figure, **changes):
    """Returns a trial with random values, trained for four epochs."""
    values = dict(zip(("rate", "dropout"), map(float, np.random.default_rng(number).random(2))))
    figures = () if figure is None else tuple(figure - 0.1 * left for left in (3, 2, 1, 0))
    return TrialResult(
        f"{number:02}", **{"values": values, "figures": figures, "figure": figure, "seconds": 60} | changes
    )


def search(trials, start=0.8, **changes):
    """Returns a search; `start`: the figure of the settings that it started from, or a TrialResult, or None."""
    if isinstance(start, float):
        start = TrialResult(START, figures=(0.5, 0.6, 0.7, start), figure=start, seconds=60)
    values = {
        "recipe": "mnist_dense",
        "command": "mnist_dense",
        "tuner": "bayesian",
        "objective": "val_accuracy",
        "direction": "max",
        "data": "mnist 3.0.1 (55,000 train, 5,000 validation examples)",
        "stand_in_for": "",
        "trials": tuple(trials),
        "start": start,
        "space": space(),
        "fit_line": "fit(learning_rate=0.1)",
        "fit_command": "recipes fit mnist_dense --learning-rate 0.1",
        "seconds": 100,
        "workers": 2,
    } | changes
    values.setdefault("best", best_of(trials, values["direction"]) or start)
    return SearchResult(**values)
