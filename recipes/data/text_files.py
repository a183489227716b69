"""Texts as people have them: files and lists of str, read and checked."""

import codecs
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.sources import refuse_if_too_large
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


def check_texts(texts: Any, memory_per_character: int = MEMORY_PER_CHARACTER) -> np.ndarray:
    """Returns a list of str as (N,) object, refusing whatever else it holds, and more than the memory does."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise DataError(f"texts are a {type(texts).__name__}; expected a list of str")
    values = list(texts)
    for number, text in enumerate(values):
        if problem := text_problem(text):
            raise DataError(f"text {number} {problem}")
    refuse_too_many_characters("the texts passed as data", sum(map(len, values)), memory_per_character)
    return column(values)


def refuse_too_many_characters(name: str, count: int, memory_per_character: int = MEMORY_PER_CHARACTER) -> None:
    """Refuses text of more characters (bytes, in a file) than the memory holds until they are token ids."""
    refuse_if_too_large(name, memory_per_character * count, "pass less of it")


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
