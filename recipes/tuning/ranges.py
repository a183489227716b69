"""What a hyperparameter ranges over: in words, as the ticks of an axis, and where in it a value lies."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.ticker import MaxNLocator

from recipes.errors import one_line


def position(hyperparameter: Any, value: Any) -> float:
    """Returns where in its range a value lies: 0 at its beginning, 1 at its end; on a log scale if it is searched so.

    Categories lie at equal distances; NaN for one that the range does not have. Keras Tuner's own `value_to_prob` is
    not used for numbers: with `step=0.1` it takes 0.3, read back from a file, for 0.2.
    """
    if not hasattr(hyperparameter, "sampling"):
        values = list(hyperparameter.values)
        return (values.index(value) + 0.5) / len(values) if value in values else math.nan
    low, high = hyperparameter.min_value, hyperparameter.max_value
    if low == high:
        return 0.5
    if hyperparameter.sampling == "log":
        return math.log(value / low) / math.log(high / low)
    if hyperparameter.sampling == "reverse_log":
        return 1 - math.log((high + low - value) / low) / math.log(high / low)
    return (value - low) / (high - low)


def ticks(hyperparameter: Any, apart: float = 0.09) -> list[tuple[float, str]]:
    """Returns (position, value) of an axis' ticks: its ends, then round numbers (or steps) that have room."""
    if not hasattr(hyperparameter, "sampling"):
        values = list(hyperparameter.values)
        values = values[:: math.ceil(len(values) * apart)]
        apart = 0.0
    else:
        low, high = hyperparameter.min_value, hyperparameter.max_value
        values = [low, high, *_round_numbers(hyperparameter)]
    shown: list[tuple[float, str]] = []
    for value in values:
        place = position(hyperparameter, value)
        if all(abs(place - other) > apart for other, _ in shown):
            shown.append((place, as_text(value)))
    return sorted(shown)


def _round_numbers(hyperparameter: Any) -> list[float]:
    """Returns the numbers between the ends of a range that a tick may name, the roundest first."""
    low, high = hyperparameter.min_value, hyperparameter.max_value
    if hyperparameter.step and len(steps := list(hyperparameter.values)) <= 10:
        return steps
    if hyperparameter.sampling == "log":
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        numbers = [digit * 10.0**exponent for digit in (1, 3, 2, 5) for exponent in exponents]
    else:
        numbers = list(MaxNLocator(6).tick_values(low, high))
    return [number for number in numbers if low <= number <= high]


def range_in_words(hyperparameter: Any) -> str:
    """Returns "0.001 to 0.1 on a log scale", "0 to 0.5 in steps of 0.1" or "one of 1, 2, 4", and when it is used."""
    if not hasattr(hyperparameter, "sampling"):
        values = ", ".join(as_text(value) for value in hyperparameter.values)
        words = f"one of {values}" if len(list(hyperparameter.values)) > 1 else f"always {values}"
    else:
        words = f"{as_text(hyperparameter.min_value)} to {as_text(hyperparameter.max_value)}"
        step, sampling = hyperparameter.step, hyperparameter.sampling
        if sampling != "linear":
            words += f" on a {sampling.replace('_', ' ')} scale" + (
                f", each {as_text(step)} times the last" if step else ""
            )
        elif step and not (step == 1 and isinstance(hyperparameter.min_value, int)):
            words += f" in steps of {as_text(step)}"
    conditions = [
        f"{one_line(each.name)} is {' or '.join(map(as_text, each.values))}" for each in hyperparameter.conditions
    ]
    return words + (f", where {' and '.join(conditions)}" if conditions else "")


def as_text(value: Any) -> str:
    """Returns a value on one line, a number with four digits.

    >>> as_text(0.30000000000000004), as_text(128), as_text(True)
    ('0.3', '128', 'True')
    """
    return f"{value:.4g}" if isinstance(value, float) else one_line(value)
