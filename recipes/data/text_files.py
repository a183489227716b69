"""Texts as people have them: files and lists of str, read and checked."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.sources import refuse_if_too_large
from recipes.errors import DataError


def read_text_file(path: Path) -> str:
    """Returns a text file in UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {shortened(path)} as text in UTF-8: {error}") from None


def shortened(given: Any) -> str:
    """Returns what was given, or its beginning where it is long, on one line."""
    text = str(given)
    return text if len(text) < 200 else f"{text[:80]!r}..."


def check_texts(texts: Any) -> np.ndarray:
    """Returns a list of str as (N,) object, refusing whatever else it holds."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise DataError(f"texts are a {type(texts).__name__}; expected a list of str")
    values = list(texts)
    for number, text in enumerate(values):
        if not isinstance(text, str):
            raise DataError(f"text {number} is a {type(text).__name__}, {shortened(text)}; expected a str")
    return column(values)


def column(values: list[str]) -> np.ndarray:
    """Returns strings as (N,) object: not each as wide as the longest."""
    return np.array(values, object)


def decoded(texts: np.ndarray) -> np.ndarray:
    """Returns UTF-8 as str, whatever is not valid as a replacement character; (N,) object."""
    return np.array([text.decode("utf-8", errors="replace") for text in texts], object)


def check_features(builder: Any, kinds: dict[str, type], expected: str) -> None:
    """Refuses a data set without some features, and one too large for the memory."""
    features = dict(builder.info.features)
    if not all(isinstance(features.get(name), kind) for name, kind in kinds.items()):
        raise DataError(f"{builder.name} has the features {', '.join(features)}; expected {expected}")
    needed = 3 * int(builder.info.dataset_size)  # as bytes, as str, and as token ids
    refuse_if_too_large(builder.name, needed, "choose a smaller one")
