"""Options of verbs, checked by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from recipes.errors import ConfigError


def check_option(name: str, value: Any, kind: type, fits: Callable[[Any], bool], expected: str) -> None:
    """Refuses a number of the wrong type or out of range, by its name; an int is a float too."""
    kinds = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not fits(value):
        raise ConfigError(f"{name}={value!r} is out of range; expected {expected}")
