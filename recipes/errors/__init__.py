"""Errors that a user can mend. Each says what was got, what was expected and what to do.

The command line prints their message without a traceback and exits with status 1.
"""

import difflib
from collections.abc import Iterable


class RecipeError(Exception):
    """What every error of this package is."""


class ConfigError(RecipeError, ValueError):
    """A setting has an unknown name, a wrong type or a value out of range."""


class UsageError(RecipeError):
    """A command has a word that it does not know; the command line exits with status 2."""


class DataError(RecipeError):
    """A data set is unknown, missing, damaged or of the wrong kind."""


class TrainingError(RecipeError):
    """A run could not be finished: memory, disk, a lost worker, or a loss that is no number."""


class NotFiniteError(TrainingError):
    """A loss or a figure is NaN or infinite: the run has failed for good."""


class RunError(RecipeError):
    """There is no run, or no such run, to take a model from."""


class ExportError(RecipeError):
    """An exported model did not answer as the trained one, and was not published."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" for the nearest of the known names in any case, or an empty string."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def printable(text: str) -> str:
    r"""Returns a text on one line, with control characters and lone surrogates as escapes: `\n`, `\x1b`, `\udce9`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
