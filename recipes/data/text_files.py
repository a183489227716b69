"""Texts as people have them: files and lists of str, read and checked."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.in_memory import Columns
from recipes.data.lazy_texts import LazyTexts, on_disk
from recipes.data.sources import stays_in_memory
from recipes.data.text_reading import BYTE_ORDER_MARKS, MEMORY_PER_CHARACTER, shortened, text_problem
from recipes.data.tfds_records import in_file_order
from recipes.errors import DataError


def check_texts(texts: Any, memory_per_character: int = MEMORY_PER_CHARACTER, in_memory: str = "auto") -> Any:
    """Returns a list of str as (N,) object, or as `LazyTexts`, refusing whatever else it holds.

    Args:
        texts: The list, or `LazyTexts`, which are returned.
        memory_per_character: How many bytes of memory each character will need.
        in_memory: Whether they stay there: "yes", "no", or "auto".
    """
    if isinstance(texts, LazyTexts):
        return texts
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise DataError(f"texts are a {type(texts).__name__}; expected a list of str")
    values = list(texts)
    for number, text in enumerate(values):
        if problem := text_problem(text):
            raise DataError(f"text {number} {problem}")
    needed = memory_per_character * sum(map(len, values))
    return column(values) if stays_in_memory("the texts passed as data", needed, in_memory) else on_disk(values)


def text_columns(builder: Any, split: str, texts: tuple[str, ...], others: tuple[str, ...], stays: bool) -> Columns:
    """Returns some features of a split of tensorflow-datasets: texts as str, in memory or on a disk, and numbers.

    Args:
        builder: Its tfds builder.
        split: Its name.
        texts: The names of the features that are texts.
        others: Of those that are integers.
        stays: Whether the texts stay in memory.
    """
    batches = in_file_order(builder, split).batch(1024)

    def values(name: str) -> Iterator[Any]:
        return (value for batch in batches.as_numpy_iterator() for value in batch[name])

    columns: list[Any] = []
    for name in texts:
        unicode = (value.decode("utf-8", errors="replace") for value in values(name))
        columns.append(column([*unicode]) if stays else on_disk(unicode))
    columns += [np.fromiter(values(name), np.int32) for name in others]
    expected = builder.info.splits[split].num_examples
    if len(columns[0]) != expected:
        raise ValueError(f"{split} has {len(columns[0])} examples, {expected} were expected")
    return tuple(columns)


def text_parts(path: Path, size: int = 1 << 20) -> Iterator[str]:
    """Yields a text file in parts of up to `size` characters, as `read_text_file` reads it; a return alone stays."""
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), "utf-8")
    lines = 1
    try:
        with path.open(encoding=encoding, newline="\n") as text:
            while part := text.read(size):
                part += text.read(1) if part.endswith("\r") else ""
                if "\0" in part:
                    raise DataError(f"{shortened(path)} has a NUL near line {lines}, as files of no text have")
                lines += part.count("\n")
                yield part.replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot read {shortened(path)} as text in {encoding.removesuffix('-sig').upper()}: byte "
            f"0x{error.object[error.start]:02x} in or after line {lines} is none of it; save it as UTF-8, as by: iconv "
            f"-f latin1 -t utf-8 {shortened(path)} > new.txt"
        ) from None


def column(values: list[str]) -> np.ndarray:
    """Returns strings as (N,) object: not each as wide as the longest."""
    return np.array(values, object)


def decoded(texts: np.ndarray) -> np.ndarray:
    """Returns UTF-8 as str, whatever is not valid as a replacement character; (N,) object."""
    return np.array([text.decode("utf-8", errors="replace") for text in texts], object)


def check_features(builder: Any, kinds: dict[str, type], expected: str) -> None:
    """Refuses a data set without some features."""
    features = dict(builder.info.features)
    if not all(isinstance(features.get(name), kind) for name, kind in kinds.items()):
        raise DataError(f"{builder.name} has the features {', '.join(features)}; expected {expected}")


def texts_stay(builder: Any, in_memory: str) -> bool:
    """Returns whether the texts of a data set of tensorflow-datasets are kept in memory."""
    needed = 3 * int(builder.info.dataset_size)  # as bytes, as str, and as token ids
    return stays_in_memory(builder.name, needed, in_memory)
