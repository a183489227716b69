"""How much of the differences between the trials of a search each hyperparameter explains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from recipes.tuning.ranges import position
from recipes.tuning.trial_results import TrialResult

FEWEST = 6  # trials that a forest is grown on
EXPLAINED = 0.1  # of the variance that the budget leaves, at least: of pure noise a forest "explains" less


def importances(trials: Iterable[TrialResult], space: Sequence[Any], direction: str) -> dict[str, float]:
    """Returns hyperparameter -> its share of the differences in the figures, the largest first; they sum to 1.

    A random forest is fitted to the figures, as in Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing
    Hyperparameter Importance" (ICML 2014). The importance of a hyperparameter is the variance of the forest's
    prediction as that hyperparameter alone changes, averaged over the trials: the sum of all terms of the functional
    ANOVA that it is part of (Sobol's total index). Marginal variances alone would give 0 to a momentum that matters
    with large learning rates only; the importance by permutation is the same sum estimated from random draws, and with
    a dozen trials another one each time. This is exact on the values tried, and does not depend on the trials' order.

    How long a trial that was cut had been trained is one more column, so that a budget explains its own part. A figure
    far worse than the others, as of a divergence, counts as the worst that is not: it would be all that is explained.

    {} where there are fewer than `FEWEST` trials, all alike, or where the forest does not predict the trials that it
    has not seen: then the shares would be those of noise.
    """
    comparable = [trial for trial in trials if not trial.error and math.isfinite(figure_of(trial))]
    by_name = {hyperparameter.name: hyperparameter for hyperparameter in space}
    if len(comparable) < FEWEST or not by_name:
        return {}
    figures = np.array([figure_of(trial) for trial in comparable])
    least, largest = fences(figures, direction)
    if least == largest:
        return {}
    figures = (np.clip(figures, least, largest) - least) / (largest - least)
    longest = max(trial.epochs for trial in comparable)
    columns = [[_position(each, trial.values) for trial in comparable] for each in by_name.values()]
    budget = [trial.epochs if trial.cut else longest for trial in comparable]
    inputs = np.array([*columns, budget], float).T  # (trials, hyperparameters + 1)
    order = np.lexsort([*inputs.T, figures])  # the forest draws rows by their numbers
    inputs, figures = inputs[order], figures[order]
    if not np.ptp(inputs[:, :-1], axis=0).any():
        return {}
    forest, unexplained = _forest(inputs, figures)
    by_budget = min(1.0, _forest(inputs[:, -1:], figures)[1])
    if unexplained > (1 - EXPLAINED) * by_budget:
        return {}
    variances = [_total_variance(forest, inputs, column) for column in range(len(by_name))]
    shares = {name: variance / sum(variances) for name, variance in zip(by_name, variances) if sum(variances) > 0}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def figure_of(trial: TrialResult) -> float:
    """Returns the figure that counts; NaN where there is none."""
    return math.nan if trial.figure is None else trial.figure


def fences(figures: np.ndarray, direction: str) -> tuple[float, float]:
    """Returns the least and the largest of the figures, but for those that are far worse than most.

    Far: by more than 1.5 times the distance of the quartiles from the worse one, as in Tukey's box plots.
    """
    if not len(figures):
        return 0.0, 1.0
    sign = 1 if direction == "min" else -1
    badness = sign * np.asarray(figures, float)
    lower, upper = np.quantile(badness, [0.25, 0.75])
    usual = badness[badness <= upper + 1.5 * (upper - lower)] if upper > lower else badness
    ends = sorted(sign * end for end in (float(usual.min()), float(usual.max())))
    return ends[0], ends[1]


def _position(hyperparameter: Any, values: dict[str, Any]) -> float:
    """Returns where a trial's value lies; that of the default where the trial does not use the hyperparameter."""
    place = position(hyperparameter, values.get(hyperparameter.name, hyperparameter.default))
    return place if math.isfinite(place) else position(hyperparameter, hyperparameter.default)


def _forest(inputs: np.ndarray, figures: np.ndarray) -> tuple[Any, float]:
    """Returns a random forest and the share of the variance in trials it has not seen that it does not explain."""
    from sklearn.ensemble import RandomForestRegressor  # a second to import

    forest = RandomForestRegressor(200, oob_score=True, random_state=0).fit(inputs, figures)
    return forest, 1 - forest.oob_score_


def _total_variance(forest: Any, inputs: np.ndarray, column: int, most: int = 32) -> float:
    """Returns the variance of a forest's prediction as one column takes the values tried, averaged over the trials."""
    ranks = np.linspace(0, len(inputs) - 1, min(len(inputs), most)).round().astype(int)
    values = np.sort(inputs[:, column])[ranks]
    changed = np.repeat(inputs[None], len(values), axis=0)  # (values, trials, columns)
    changed[:, :, column] = values[:, None]
    predictions = forest.predict(changed.reshape(-1, inputs.shape[1])).reshape(len(values), len(inputs))
    return float(predictions.var(axis=0).mean())
