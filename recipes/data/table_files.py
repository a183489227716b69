"""Tables in text files, read row by row: CSV and its kin with a header, and JSON Lines."""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from recipes.data.bad_files import counted
from recipes.data.free_memory import refuse_if_too_large
from recipes.data.text_reading import BYTE_ORDER_MARKS, shortened
from recipes.errors import DataError, one_line

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
ENDINGS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": "", ".ndjson": ""}  # -> the separator that it stands for
#: What tables are kept in besides -> how they become one that is read here.
OTHER_ENDINGS = {
    ".xlsx": "pandas.read_excel(PATH)",
    ".xls": "pandas.read_excel(PATH)",
    ".ods": "pandas.read_excel(PATH)",
    ".parquet": "pandas.read_parquet(PATH)",
    ".feather": "pandas.read_feather(PATH)",
    ".arrow": "datasets.Dataset.from_file(PATH)",
}
SAMPLE = 200  # rows that are looked at to tell what the columns hold
SAMPLE_CHARACTERS = 1 << 20  # and no more than about so much of them
MOST_NAMED = 10  # rows in one message
MEMORY_PER_CELL = 60  # bytes, besides its characters
CHECK_EVERY = 10_000  # rows

_NO_TEXT = re.compile("[\0\udc80-\udcff]")  # a NUL, or a byte that is no UTF-8, as Python keeps it


class TableFile(NamedTuple):
    """A table in a text file."""

    path: Path
    names: tuple[str, ...]  # of its columns
    separator: str  # between its cells; "": JSON Lines


class Cells(NamedTuple):
    """Some columns of a file, and in which of its lines each row begins."""

    columns: list[list[Any]]
    lines: Sequence[int]


def ending_of(path: Path) -> str:
    """Returns the ending that says what a file holds, in small letters: ".csv" of "a.CSV" and of "a.csv.gz"."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def open_table(path: Path) -> TableFile:
    """Returns a table's columns and its separator, which is guessed from the first rows; says one that is unusual.

    Raises:
        DataError: If it cannot be read, is empty or no text in UTF-8, or has two columns of one name.
    """
    usual = ENDINGS.get(ending_of(path))
    if usual == "":
        records = itertools.islice(_records(path), SAMPLE)
        names = tuple(dict.fromkeys(name for _, record in records for name in record))
        if not names:
            raise DataError(f"{_named(path)} is empty; expected a JSON object in each line")
        return TableFile(path, names, "")
    lines, characters = [], 0
    for line in _text_lines(path):
        lines.append(line)
        characters += len(line)
        if len(lines) > SAMPLE or characters > SAMPLE_CHARACTERS:
            break
    if not "".join(lines).strip():
        raise DataError(f"{_named(path)} is empty; expected a header, the names of the columns, and rows below it")
    separator = _guessed_separator(lines, usual, whole=len(lines) <= SAMPLE and characters <= SAMPLE_CHARACTERS)
    names = tuple(cell.strip() for cell in next(iter(_parsed(lines, separator))))
    twice = dict.fromkeys(name for name in names if names.count(name) > 1)
    if twice:
        raise DataError(
            f"{_named(path)} has more than one column {', '.join(map(repr, twice))}; expected columns of different "
            "names in its first line"
        )
    if separator != (usual or "\t") and len(names) > 1:
        print(f"note: the columns of {_named(path)} are separated by {SEPARATORS[separator]}")
    return TableFile(path, names, separator)


def read_cells(table: TableFile, names: Sequence[str], most: int | None = None) -> Cells:
    """Returns some columns of a table, reading row by row: no more than these is kept in memory.

    Args:
        table: The file.
        names: Of the columns.
        most: So many rows; None: all.

    Raises:
        DataError: If rows have more or fewer cells than the header (names all of them), or there are no rows.
    """
    places = [table.names.index(name) for name in names]
    columns: list[list[Any]] = [[] for _ in names]
    lines, odd, held = array("q"), {}, 0
    for line, row in itertools.islice(_rows(table), most):
        if isinstance(row, dict):
            cells = [row.get(name) for name in names]
        elif len(row) == len(table.names):
            cells = [row[place] for place in places]
        else:
            odd[line] = len(row)
            continue
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
            held += MEMORY_PER_CELL + (len(cell) if isinstance(cell, str) else 0)
        lines.append(line)
        if len(lines) % CHECK_EVERY == 0:
            refuse_if_too_large(f"what is read of {_named(table.path)}", held, "pass less of it")
    if odd and most is None:
        raise DataError(
            f"{at('line', list(odd))} of {_named(table.path)} {'has' if len(odd) == 1 else 'have'} "
            f"{_few(dict.fromkeys(odd.values()))} cells; expected {len(table.names)}, as its header has: "
            f"{columns_in_words(table.names)}. A cell with {SEPARATORS[table.separator]} in it stands in quotes"
        )
    if not lines and not odd:
        raise DataError(f"{_named(table.path)} has a header and no rows; expected one or more below it")
    return Cells(columns, lines)


def first_cells(path: Path) -> list[str]:
    """Returns the cells of a file's first line, whatever stands between them; [] where it cannot be read."""
    try:
        line = next(_text_lines(path), "")
    except DataError:
        return []
    return [cell.strip(" \"'\r\n") for cell in re.split("|".join(map(re.escape, SEPARATORS)), line)]


def at(unit: str, numbers: Sequence[int]) -> str:
    """Returns where rows are, the first ten of them.

    >>> at("line", [3]), at("row", [1, 4])
    ('line 3', '2 rows (1, 4)')
    """
    if len(numbers) == 1:
        return f"{unit} {numbers[0]}"
    return f"{counted(len(numbers), unit + 's')} ({_few(numbers)})"


def columns_in_words(names: Sequence[str]) -> str:
    """Returns the names of columns, or the first of many, as a message has them."""
    more = f", and {len(names) - 30} more" if len(names) > 30 else ""
    return ", ".join(one_line(repr(shortened(name))) for name in names[:30]) + more


def _few(values: Iterable[Any]) -> str:
    values = list(values)
    return ", ".join(map(str, values[:MOST_NAMED])) + (", ..." if len(values) > MOST_NAMED else "")


def _named(path: Path) -> str:
    return one_line(path)


# ---------------------------------------------------------------- rows


def _rows(table: TableFile) -> Iterator[tuple[int, Any]]:
    """Yields (the line where a row begins, its cells or its JSON object), without empty lines and the header."""
    if not table.separator:
        yield from _records(table.path)
        return
    reader = _reader(_text_lines(table.path), table.separator, strict=True)
    first, header = 1, True
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(_broken(table.path, first, str(error))) from None
        if row is None:
            return
        if row and not header:
            yield first, row
        header = header and not row
        first = reader.line_num + 1


def _broken(path: Path, line: int, error: str) -> str:
    """Returns what is said of a row whose quotes do not fit."""
    if "unexpected end" in error:
        return (
            f'the cell that begins with a quote (") in the row at line {line} of {_named(path)} never ends; expected '
            "another quote at its end, and two of them for one within it"
        )
    if "expected after" in error:
        return (
            f'the row at line {line} of {_named(path)} has more after the quote (") that ends a cell; expected two '
            "quotes for one within it"
        )
    return f"the row at line {line} of {_named(path)} cannot be read: {error}"


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line, object) of JSON Lines."""
    for number, line in enumerate(_text_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} of {_named(path)} is no JSON: {error}; expected an object in each line"
            ) from None
        if not isinstance(record, dict):
            raise DataError(
                f"line {number} of {_named(path)} is a JSON {type(record).__name__}; expected an object in each line"
            )
        yield number, record


def _reader(lines: Iterable[str], separator: str, strict: bool = False) -> Any:
    csv.field_size_limit(2**31 - 1)  # a cell may be a novel: Python's own limit is 128 kB
    return csv.reader(lines, delimiter=separator, strict=strict)


def _parsed(lines: Iterable[str], separator: str) -> list[list[str]]:
    return [row for row in _reader(lines, separator) if row]


def _guessed_separator(lines: list[str], usual: str | None, whole: bool) -> str:
    """Returns the separator with which all the first rows have as many cells as the header, the most there can be.

    Args:
        lines: The first of a file.
        usual: The separator that the file's ending stands for, taken where it fits, or where none does.
        whole: Whether these are all the lines; else the last row may be cut off.
    """
    widths, fits = {}, {}
    for separator in SEPARATORS:
        rows = _parsed(lines, separator)
        rows = rows if whole or len(rows) < 2 else rows[:-1]
        widths[separator] = len(rows[0])
        fits[separator] = len(rows[0]) if all(len(row) == len(rows[0]) for row in rows) else 1
    if usual and fits[usual] > 1:
        return usual
    best = max(fits, key=lambda separator: fits[separator])
    if fits[best] > 1:
        return best
    if usual and widths[usual] > 1:
        return usual
    return max(widths, key=lambda separator: (widths[separator], separator == usual))


# ---------------------------------------------------------------- lines


def _text_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a file in UTF-8, or in what its byte order mark says, with their ends.

    Raises:
        DataError: If it cannot be read or is in another encoding: names the line, the character and what to do.
    """
    try:
        with _opened(path) as file:
            beginning = file.read(4)
            file.seek(0)
            encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if beginning.startswith(mark)), "utf-8")
            errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
            with io.TextIOWrapper(file, encoding, errors, newline="") as text:
                for number, line in enumerate(text, 1):
                    if (not line.isascii() or "\0" in line) and (bad := _NO_TEXT.search(line)):
                        raise DataError(_other_encoding(path, number, bad))
                    yield line
    except UnicodeError as error:
        raise DataError(
            f"cannot read {_named(path)} as text in {encoding.upper()}: {error}; save it as UTF-8"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {_named(path)}: {reason}; expected a table in a text file") from None


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _other_encoding(path: Path, line: int, bad: re.Match) -> str:
    name, letter = _named(path), ord(bad[0])
    what = f"byte 0x{letter - 0xDC00:02x}" if letter else "a NUL"
    encoding = "latin1" if letter else "utf-16"
    return (
        f"cannot read {name} as text in UTF-8: {what} in line {line}, character {bad.start() + 1}, is none of it; save "
        f"it as UTF-8, as by: iconv -f {encoding} -t utf-8 {name} > new{ending_of(path)}"
    )
