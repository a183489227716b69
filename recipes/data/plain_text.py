"""One long text a split: what models of language and of words learn from."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.in_memory import Arrays, Columns
from recipes.data.lazy_texts import LazyTexts, on_disk
from recipes.data.sources import Kind, find_arrays, read_splits, stays_in_memory
from recipes.data.splits import DataInfo
from recipes.data.standins.texts import documentation
from recipes.data.text_files import check_features, text_columns, text_parts, texts_stay
from recipes.data.text_reading import read_text_file, refuse_too_many_characters, shortened, text_problem
from recipes.errors import DataError

PART = 1 << 20  # characters that are looked at, or encoded, at a time
MEMORY_PER_CHARACTER = 16  # bytes, at most, until a text is windows of characters: measured


def find_text(dataset: str, offline: str, data: Any = None, in_memory: str | None = None) -> tuple[Arrays, DataInfo]:
    """Returns one long text a split and what it is: in one piece, or on a disk in parts, see `parts_of`.

    Args:
        dataset: A tensorflow-datasets name of a set with the feature "text", or "documentation".
        offline: "stand-in" or "error".
        data: A user's own: the text itself (a str with a line break in it), the path of a text file, or two or three
            of them: training, (validation,) test. Of one, the ninth tenth is for validation and the last for testing.
        in_memory: "yes", "no" or "auto"; None: a text that does not stay in memory is of no use.

    Raises:
        DataError: If there is no such text, or none in it.
    """
    if isinstance(data, Arrays):
        return data, DataInfo("your own text")
    if data is not None:
        own = data if isinstance(data, (tuple, list)) else [data]
        if not 1 <= len(own) <= 3:
            raise DataError(f"data holds {len(own)} texts; expected one, or training, (validation,) test")
        splits = _on_disk(own, in_memory) or _in_memory(own)
        if not all(any(part.strip() for part in parts_of(split)) for split in splits):
            raise DataError("data holds a text, or a part of one, of no more than white space; expected some words")
        train, *rest = splits
        return Arrays(train, rest[0] if len(rest) == 2 else None, rest[-1]), DataInfo("your own text")
    kind = Kind(check_text, lambda builder: _read_joined(builder, in_memory), {"documentation": documentation})
    return find_arrays(dataset, kind, standin="documentation", offline=offline, reads_as=("text", in_memory))


def text_of(split: Columns) -> str:
    """Returns the text that a split consists of."""
    return str(split[0][0])


def parts_of(split: Columns) -> Iterator[str]:
    """Yields the text that a split consists of in parts of up to `PART` characters."""
    if isinstance(split[0], LazyTexts):
        yield from split[0]
        return
    text = text_of(split)
    for start in range(0, len(text), PART):
        yield text[start : start + PART]


def check_text(builder: Any) -> None:
    """Refuses a data set without a text."""
    import tensorflow_datasets as tfds

    check_features(builder, {"text": tfds.features.Text}, "a data set with a 'text'")


def _in_memory(own: Sequence[Any]) -> list[Columns]:
    """Returns a user's text in three splits, or each of two or three."""
    texts = [_read_own(part) for part in own]
    if len(texts) == 1:
        ends = len(texts[0]) * 8 // 10, len(texts[0]) * 9 // 10
        texts = [texts[0][: ends[0]], texts[0][ends[0] : ends[1]], texts[0][ends[1] :]]
    return [(np.array([text], object),) for text in texts]


def _on_disk(own: Sequence[Any], in_memory: str | None) -> list[Columns] | None:
    """Returns the same of files that do not stay in memory; None of others."""
    if in_memory is None or not all(map(_is_file, own)):
        return None
    paths = [Path(part) for part in own]
    needed = MEMORY_PER_CHARACTER * sum(path.stat().st_size for path in paths)
    if stays_in_memory(shortened(own[0]), needed, in_memory):
        return None
    if len(paths) > 1:
        return [(on_disk(text_parts(path, PART)),) for path in paths]
    length = sum(map(len, text_parts(paths[0], PART)))
    ends = [0, length * 8 // 10, length * 9 // 10, length]
    return [(on_disk(_between(paths[0], *pair)),) for pair in itertools.pairwise(ends)]


def _is_file(part: Any) -> bool:
    if isinstance(part, str) and ("\n" in part or len(part) > 1000):  # a text, which may be too long for a name
        return False
    return isinstance(part, (str, Path)) and Path(part).is_file()


def _between(path: Path, start: int, end: int) -> Iterator[str]:
    """Yields the characters of a text file from `start` to `end`, in parts."""
    position = 0
    for part in text_parts(path, PART):
        if some := part[max(0, start - position) : max(0, end - position)]:
            yield some
        position += len(part)


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


def _read_joined(builder: Any, in_memory: str | None) -> Arrays:
    stays = texts_stay(builder, in_memory or "yes")

    def read(split: str) -> Columns:
        [texts] = text_columns(builder, split, ("text",), (), stays)
        if stays:
            return (np.array(["\n".join(texts)], object),)
        return (on_disk(text if place == 0 else f"\n{text}" for place, text in enumerate(texts)),)

    return Arrays(*read_splits(builder, read))
