"""One long text a split: what models of language and of words learn from."""

from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.in_memory import Arrays, Columns
from recipes.data.sources import Kind, find_arrays, read_columns, read_splits
from recipes.data.splits import DataInfo
from recipes.data.standins.texts import documentation
from recipes.data.text_files import (
    check_features,
    decoded,
    read_text_file,
    refuse_too_many_characters,
    shortened,
    text_problem,
)
from recipes.errors import DataError

MEMORY_PER_CHARACTER = 16  # bytes, at most, until a text is windows of characters: measured


def find_text(dataset: str, offline: str, data: Any = None) -> tuple[Arrays, DataInfo]:
    """Returns one long text a split and what it is.

    Args:
        dataset: A tensorflow-datasets name of a set with the feature "text", or "documentation".
        offline: "stand-in" or "error".
        data: A user's own: the text itself (a str with a line break in it), the path of a text file, or two or three
            of them: training, (validation,) test. Of one, the ninth tenth is for validation and the last for testing.

    Raises:
        DataError: If there is no such text, or none in it.
    """
    if isinstance(data, Arrays):
        return data, DataInfo("your own text")
    if data is not None:
        texts = [_read_own(part) for part in (data if isinstance(data, (tuple, list)) else [data])]
        if not 1 <= len(texts) <= 3:
            raise DataError(f"data holds {len(texts)} texts; expected one, or training, (validation,) test")
        if len(texts) == 1:
            ends = len(texts[0]) * 8 // 10, len(texts[0]) * 9 // 10
            texts = [texts[0][: ends[0]], texts[0][ends[0] : ends[1]], texts[0][ends[1] :]]
        if not all(text.strip() for text in texts):
            raise DataError("data holds a text, or a part of one, of no more than white space; expected some words")
        train, *rest = [(np.array([text], object),) for text in texts]
        return Arrays(train, rest[0] if len(rest) == 2 else None, rest[-1]), DataInfo("your own text")
    kind = Kind(check_text, _read_joined, {"documentation": documentation})
    return find_arrays(dataset, kind, standin="documentation", offline=offline)


def text_of(split: Columns) -> str:
    """Returns the text that a split consists of."""
    return str(split[0][0])


def check_text(builder: Any) -> None:
    """Refuses a data set without a text."""
    import tensorflow_datasets as tfds

    check_features(builder, {"text": tfds.features.Text}, "a data set with a 'text'")


def _read_own(part: Any) -> str:
    if isinstance(part, Path):
        return read_text_file(part, MEMORY_PER_CHARACTER)
    if isinstance(part, str) and "\n" not in part:
        if len(part) > 1000 or not Path(part).is_file():
            raise DataError(f"there is no file {shortened(part)}; expected one, or a text with a line break in it")
        return read_text_file(Path(part), MEMORY_PER_CHARACTER)
    if not isinstance(part, str):
        raise DataError(f"data holds a {type(part).__name__}; expected a text, or the path of a text file")
    if problem := text_problem(part):
        raise DataError(f"the text passed as data {problem}")
    refuse_too_many_characters("the text passed as data", len(part), MEMORY_PER_CHARACTER)
    return part


def _read_joined(builder: Any) -> Arrays:
    splits = Arrays(*read_splits(builder, lambda split: read_columns(builder, split, lambda all: (all["text"],))))
    return splits.mapped(lambda split: (np.array(["\n".join(decoded(split[0]))], object),))
