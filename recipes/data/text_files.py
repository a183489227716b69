"""Texts as people have them: files and lists of str, read and checked."""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.in_memory import Columns
from recipes.data.lazy_texts import LazyTexts, on_disk
from recipes.data.sources import refuse_if_too_large, stays_in_memory
from recipes.data.tfds_records import in_file_order
from recipes.errors import DataError

MEMORY_PER_CHARACTER = 8  # bytes, at most, until texts are token ids of words: measured

#: What a file begins with that says its encoding
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text_file(path: Path, memory_per_character: int = MEMORY_PER_CHARACTER) -> str:
    """Returns a text file in UTF-8, or in what its byte order mark says; lines end with a line feed.

    Args:
        path: Of the file.
        memory_per_character: How many bytes of memory each of its bytes will need.

    Raises:
        DataError: If it cannot be read, is in another encoding, or is too large for the memory.
    """
    try:
        refuse_too_many_characters(shortened(path), path.stat().st_size, memory_per_character)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {shortened(path)}: {error.strerror}; expected a text file") from None
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    name = encoding.removesuffix("-sig").upper()
    remedy = f"save it as UTF-8, as by: iconv -f latin1 -t utf-8 {shortened(path)} > new.txt"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"cannot read {shortened(path)} as text in {name}: byte 0x{content[error.start]:02x} at position "
            f"{error.start}, in line {line}, is none of it; {remedy}"
        ) from None
    if "\0" in text:
        raise DataError(
            f"cannot read {shortened(path)} as text in {name}: it has a NUL at position {text.index(chr(0))}, as files "
            f"in UTF-16 and files of no text have; {remedy.replace('latin1', 'utf-16')}"
        )
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")  # which alone ended lines once


def shortened(given: Any) -> str:
    """Returns what was given, or its beginning where it is long, on one line."""
    text = str(given)
    return text if len(text) < 200 else f"{text[:80]!r}..."


def text_problem(text: Any) -> str:
    """Returns why something is no text, to stand after its name; "" for a str that UTF-8 can hold."""
    if not isinstance(text, str):
        return f"is a {type(text).__name__}, {shortened(text)}; expected a str"
    try:
        text.encode()
    except UnicodeEncodeError as error:  # of bytes on the command line, say, which Python makes lone surrogates of
        return f"is no UTF-8 at position {error.start}: {text[:80]!a}; expected text in UTF-8"
    return ""


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


def refuse_too_many_characters(name: str, count: int, memory_per_character: int = MEMORY_PER_CHARACTER) -> None:
    """Refuses text of more characters (bytes, in a file) than the memory holds until they are token ids."""
    refuse_if_too_large(name, memory_per_character * count, "pass less of it")


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
