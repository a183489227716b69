"""One text, as people have it: a file, or a str; read and checked without TensorFlow."""

import codecs
from pathlib import Path
from typing import Any

from recipes.data.free_memory import refuse_if_too_large
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


def refuse_too_many_characters(name: str, count: int, memory_per_character: int = MEMORY_PER_CHARACTER) -> None:
    """Refuses text of more characters (bytes, in a file) than the memory holds until they are token ids."""
    refuse_if_too_large(name, memory_per_character * count, "pass less of it")


def unknown_note(known: int, what: str) -> dict[str, str]:
    """Returns {"note": that a model knows nothing of a text}, for its prediction; {} where it knows some of it."""
    return {} if known else {"note": f"it has no {what} that the model knows"}
