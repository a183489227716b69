"""Errors that a user can mend. Each says what was got, what was expected and what to do.

The command line prints their message without a traceback and exits with status 1.
"""

import difflib
import unicodedata
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""Returns a text as a terminal may show it: control characters and what is no UTF-8 are escaped.

    Names of files and texts of data hold whatever people, or those who mean them harm, have put into them. Line breaks
    and tabs stay; marks that turn the direction of writing do not.

    >>> print(printable("caf\udce9 \x1b[2J"))  # a byte of Latin-1, as Python holds it, and an order to the terminal
    caf\xe9 \x1b[2J
    """
    return "".join(map(_printable_letter, text))


def one_line(name: object) -> str:
    """Returns a name, of a file or of a class, as a terminal may show it, on one line."""
    return printable(str(name)).replace("\n", "\\n").replace("\t", "\\t")


def _printable_letter(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    turns = "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"
    hidden = turns or (unicodedata.category(letter) in ("Cc", "Cs") and letter not in "\n\t")
    return ascii(letter)[1:-1] if hidden else letter


class RecipeError(Exception):
    """What every error of this package is. Its message is `printable`."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


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
