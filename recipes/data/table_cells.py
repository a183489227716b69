"""What the cells of a table's columns become: texts, images, labels, weights; the rows that do not fit are named."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.table_columns import is_number
from recipes.data.table_files import at
from recipes.data.tables import Rows, Table, is_missing
from recipes.errors import DataError

NEARLY_ALL = 0.9  # numbers among the labels of a column: the rest is taken for a mistake
LARGEST = 1e30  # number among the features: its square is no more than float32 holds, nearly


def read_columns(table: Table, chosen: dict[str, str], label_separator: str = "") -> dict[str, Any]:
    """Returns role -> what its column holds, one value for each row.

    Texts are str; images paths, bytes, arrays or PIL images; weights float; labels int, float, str or lists of these.

    Args:
        table: The table.
        chosen: Role -> the name of its column.
        label_separator: What stands between several labels in a cell of text; "": each has one.

    Raises:
        DataError: If cells are empty or of another type: names all of the rows.
    """
    names = list(dict.fromkeys(chosen.values()))
    cells = table.read(names, None)
    if not len(cells.lines):
        raise DataError(f"{table.name} has no rows; expected one or more")
    columns: dict[str, Any] = {}
    for role, name in chosen.items():
        column = _Column(table, name, cells.columns[names.index(name)], cells.lines)
        if role == "label":
            columns[role] = _labels(column, label_separator)
        elif role == "image":
            columns[role] = _images(column)
        elif role == "weight":
            columns[role] = column.converted(_weight, "no number of 0 or more")
        elif role == "caption":
            columns[role] = column.converted(_captions, "no caption")
        else:
            columns[role] = column.converted(_text, "no text")
    return columns


class _Column:
    """The cells of one column, and where they stand."""

    def __init__(self, table: Table, name: str, cells: Any, lines: Sequence[int]) -> None:
        self.table, self.name, self.cells, self.lines = table, name, cells, lines

    def converted(self, convert: Callable[[Any], Any], otherwise: str, or_else: str = "") -> list[Any]:
        """Returns the cells converted; None stands for one that does not fit."""
        values = [None if is_missing(cell) else convert(cell) for cell in self.cells]
        self.refuse([place for place, value in enumerate(values) if value is None], otherwise, or_else=or_else)
        return values

    def refuse(
        self, places: list[int], otherwise: str, expected: str = "one in each of its {} rows", or_else: str = ""
    ) -> None:
        """Raises a DataError that names the rows at some places; where there are none, all is well."""
        if not places:
            return
        got, examples = "", {one for place in places[:3] if (one := _shown(self.cells[place]))}
        if examples:
            got = f" ({', '.join(sorted(examples))})"
        where, verb = (
            at(self.table.unit, [self.lines[place] for place in places]),
            "has" if len(places) == 1 else "have",
        )
        raise DataError(
            f"{where} of {self.table.name} {verb} {otherwise} in column {self.name!r}{got}; expected "
            f"{expected.format(f'{len(self.cells):,}')}: mend these, or leave them out{or_else}"
        )


def _shown(cell: Any) -> str:
    """Returns a cell as an error has it; "" of an empty one."""
    if is_missing(cell):
        return ""
    return repr(cell)[:50] if isinstance(cell, (str, int, float)) else f"a {type(cell).__name__}"


def _text(cell: Any) -> str | None:
    if isinstance(cell, bytes):  # TensorFlow's
        return cell.decode("utf-8", errors="replace")
    return cell if isinstance(cell, str) else None


def _captions(cell: Any) -> list[str] | None:
    texts = [cell] if isinstance(cell, (str, bytes)) else cell if isinstance(cell, (list, tuple, np.ndarray)) else []
    captions = [_text(text) for text in texts]
    return None if not captions or any(is_missing(text) for text in captions) else [*map(str, captions)]


def _weight(cell: Any) -> float | None:
    if isinstance(cell, str) and not is_number(cell):
        return None
    try:
        weight = float(cell)
    except (TypeError, ValueError):
        return None
    return weight if weight >= 0 else None


def _images(column: _Column) -> Any:
    def image(cell: Any) -> Any:
        if isinstance(cell, dict):  # Hugging Face's
            cell = cell.get("bytes") or cell.get("path")
        if isinstance(cell, str):
            return column.table.folder / cell.strip()  # or as it is, where it is absolute
        return cell

    if isinstance(column.cells, Rows):
        return column.cells.changed(image)
    images = column.converted(image, "no image")
    kinds = {Path if isinstance(one, Path) else type(one) for one in images}
    if Path in kinds and len(kinds) > 1:
        column.refuse(
            [place for place, one in enumerate(images) if not isinstance(one, Path)],
            "no path",
            "what its other rows have",
        )
    return _stacked(images)


def _stacked(values: list[Any]) -> Any:
    """Returns arrays of one shape as one array; all else as it is."""
    shapes = {one.shape if isinstance(one, np.ndarray) else None for one in values}
    return values if None in shapes or len(shapes) > 1 else np.stack(values)


def _labels(column: _Column, separator: str) -> list[Any]:
    if column.table.is_text and separator:
        return [[part.strip() for part in cell.split(separator) if part.strip()] for cell in column.cells]
    names = column.table.label_names.get(column.name)
    if names:
        column.cells = [
            names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None for cell in column.cells
        ]
    several = ". Or set label_separator, where a row may have several labels or none" * column.table.is_text
    labels = column.converted(_label, "no label", several)
    if column.table.is_text:
        return _numbers(column, [label.strip() for label in labels])
    words = [isinstance(label, str) for label in labels]
    if 0 < sum(words) < len(words):
        rare = sum(words) <= len(words) / 2
        column.refuse(
            [place for place, is_word in enumerate(words) if is_word == rare],
            "a text" if rare else "no text",
            "what its other rows have",
        )
    return _stacked(labels)


def _label(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return _text(cell)
    if isinstance(cell, (np.generic, np.ndarray)) and np.ndim(cell) == 0:
        return cell.item()
    return cell


def _numbers(column: _Column, labels: list[str]) -> list[Any]:
    """Returns labels as int where all are whole numbers, as float where all are numbers, else as they are.

    A decimal comma is one where it makes numbers of all, and they are no thousands: "3,5", and not "3,500".
    """
    with_comma = [label for label in labels if "," in label]
    if with_comma and not all(re.fullmatch(r".*,\d{3}", label) for label in with_comma):
        with_points = [label.replace(",", ".") for label in labels]
        if all(map(is_number, with_points)):
            one, column_name = with_comma[0], f"column {column.name!r} of {column.table.name}"
            print(f"note: commas in {column_name} are decimal points: {one} is {float(one.replace(',', '.'))}")
            return [float(label) for label in with_points]
    strange = [place for place, label in enumerate(labels) if not is_number(label)]
    if not strange:
        whole = all(label.lstrip("+-").isdecimal() for label in labels)
        return [int(label) if whole else float(label) for label in labels]
    if len(strange) <= (1 - NEARLY_ALL) * len(labels):
        column.refuse(strange, "no number", "what nearly all of its {} rows have")
    return labels


# ---------------------------------------------------------------- features: numbers or categories, some missing


def numbers_or_texts(table: Table, name: str, cells: Sequence[Any], lines: Sequence[int]) -> list[Any]:
    """Returns the cells of a column as float where all are numbers or bools, else as str; None where one is missing.

    Raises:
        DataError: If they are of several types, or of others, or numbers are infinite: names the rows.
    """
    present = [place for place, cell in enumerate(cells) if not is_missing(cell)]
    column = _Column(table, name, [_label(cells[place]) for place in present], [lines[place] for place in present])
    if table.is_text:  # in JSON Lines and other tables, numbers are none that look like texts
        values: list[Any] = _numbers(column, [cell.strip() for cell in column.cells])
    else:
        values = [float(cell) if isinstance(cell, (bool, Real, Decimal)) else cell for cell in column.cells]
    strange = [place for place, value in enumerate(values) if not isinstance(value, (str, int, float))]
    column.refuse(strange, "neither a number nor a text", "one of these, or nothing, in each of its {} rows")
    texts = [isinstance(value, str) for value in values]
    if 0 < sum(texts) < len(texts):
        rare = sum(texts) <= len(texts) / 2
        column.refuse(
            [place for place, is_text in enumerate(texts) if is_text == rare],
            "a text" if rare else "no text",
            "what its other rows have",
        )
    infinite = [place for place, value in enumerate(values) if not isinstance(value, str) and abs(value) > LARGEST]
    column.refuse(infinite, "a number that is too large", "finite ones, of up to 1e30")
    found: list[Any] = [None] * len(cells)
    for place, value in zip(present, values, strict=True):
        found[place] = value.strip() if isinstance(value, str) else float(value)
    return found
