"""Which column of a table holds what, by name or by content; what is guessed is said, and a doubt is an error."""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.image_bytes import ENDINGS, UNREAD_ENDINGS
from recipes.data.table_files import SAMPLE, SEPARATORS, columns_in_words
from recipes.data.tables import Table, is_missing
from recipes.errors import DataError, did_you_mean, one_line

#: What a column is for, in the order in which readers take them: examples, what is asked of them, weights
ROLES = ("image", "text", "source", "target", "caption", "label", "weight")

#: What a column is for -> names that tell it, in small letters, without spaces and marks
KNOWN_NAMES = {
    "image": "image images img file filename filepath imagefile imagename imagepath path photo photograph picture",
    "text": "text texts review reviews sentence content comment message tweet body document",
    "label": "label labels class category sentiment target y stars rating",
    "source": "source src",
    "target": "target tgt translation",
    "caption": "caption captions sentence text description",
}
MOST_CLASSES = 100  # that a column of labels is known by, where its name says nothing
CLEARLY_LONGER = 3  # times: the texts of a table than all else in it


def roles_of(config: Any) -> list[str]:
    """Returns what a config has column settings for, in the order of ROLES; [] for one without."""
    settings = {one.name for one in fields(config)}
    return [role for role in ROLES if f"{role}_column" in settings]


def choose_columns(table: Table, config: Any, roles: Sequence[str] = ()) -> dict[str, str]:
    """Returns role -> the name of its column, as the settings have it or guessed, which is printed.

    Args:
        table: The table.
        config: Reads its column settings, and its languages.
        roles: The columns that are wanted; none: all that the config has settings for.

    Raises:
        DataError: If there is no such column, or more than one may be meant.
    """
    settings = {role: getattr(config, f"{role}_column") for role in roles or roles_of(config)}
    chosen = {role: name for role, name in settings.items() if name}
    for role, name in chosen.items():
        if name not in table.names:
            raise DataError(
                f"{table.name} has no column {name!r}{did_you_mean(name, table.names)}, as {role}_column names it; its "
                f"columns are {columns_in_words(table.names)}"
            )
    left = [role for role in settings if role not in chosen and role != "weight"]
    if left and len(table.names) < len(settings.keys() - {"weight"}):
        raise DataError(
            f"{table.name} has one column, {columns_in_words(table.names)}; expected {' and '.join(map(plural, left))} "
            f"in columns of their own" + (f", with {' or '.join(SEPARATORS.values())} between" * table.is_text)
        )
    if left:
        sample = dict(zip(table.names, table.read(table.names, SAMPLE).columns, strict=True))
        for role in left:
            free = {name: cells for name, cells in sample.items() if name not in chosen.values()}
            chosen[role] = _guessed(role, table, free, config)
        first, *rest = [(plural(role), one_line(repr(chosen[role]))) for role in left]
        others = "".join(f" and {values} from {name}" for values, name in rest)
        print(f"note: {first[0]} are taken from column {first[1]}{others} of {table.name}")
    twice = [name for name in chosen.values() if list(chosen.values()).count(name) > 1]
    if twice:
        raise DataError(
            f"column {twice[0]!r} of {table.name} is asked for twice; expected a column for each of "
            f"{', '.join(f'{role}_column' for role, name in chosen.items() if name == twice[0])}"
        )
    return chosen


def names_columns(names: Sequence[str], config: Any) -> bool:
    """Returns whether the cells of a line are a header: each column that is needed is among them by its name."""
    roles = [role for role in roles_of(config) if role != "weight"]
    return all(any(_key(name) in _known_names(role, config) for name in names) for role in roles)


def plural(role: str) -> str:
    """Returns what a column holds: "texts"."""
    return f"{role}s"


def _guessed(role: str, table: Table, free: dict[str, list[Any]], config: Any) -> str:
    """Returns the one column that can be meant."""
    able = {"label": _can_be_labels, "image": _can_be_images}.get(role, _can_be_texts)
    fitting = [name for name, cells in free.items() if able(cells, table)]
    named = [name for name in fitting if _key(name) in _known_names(role, config)]
    if not named:
        others = [other for other in ("source", "target") if role in ("source", "target")]
        taken = {name for name in fitting for other in others if _key(name) in _known_names(other, config)}
        named = _by_content(role, {name: free[name] for name in fitting if name not in taken})
    if len(named) == 1:
        return named[0]
    doubt = f"{columns_in_words(named)} may be meant" if named else "none is clearly meant"
    option = f"{role}_column (--{role}-column)"
    raise DataError(
        f"cannot tell which column of {table.name} holds the {plural(role)}: {doubt}, of "
        f"{columns_in_words(table.names)}; name it with {option}{_without_header(table)}"
    )


def _by_content(role: str, free: dict[str, list[Any]]) -> list[str]:
    """Returns the columns that may be meant, by what they hold."""
    if role == "label":
        return [name for name, cells in free.items() if _has_few_values(cells)] or list(free)
    if role == "text":
        lengths = {name: float(np.mean([len(str(cell)) for cell in cells])) for name, cells in free.items()}
        longest = sorted(lengths, key=lambda name: -lengths[name])
        spaced = [name for name in longest if np.mean([" " in str(cell).strip() for cell in free[name]]) >= 0.5]
        if len(spaced) > 1 and lengths[spaced[0]] >= CLEARLY_LONGER * lengths[spaced[1]]:
            return spaced[:1]
        return spaced
    return list(free)  # images are known by their content, and of languages and captions it says nothing


def _can_be_texts(cells: list[Any], table: Table) -> bool:
    texts = [cell for cell in cells if isinstance(cell, (str, bytes)) or _is_list_of_texts(cell)]
    return len(texts) >= len(cells) / 2 and not all(is_number(cell) for cell in texts)


def _is_list_of_texts(cell: Any) -> bool:
    return isinstance(cell, (list, tuple, np.ndarray)) and len(cell) > 0 and isinstance(cell[0], str)


def _can_be_labels(cells: list[Any], table: Table) -> bool:
    return not any(isinstance(cell, (dict, Path)) or hasattr(cell, "convert") for cell in cells[:10])


def _can_be_images(cells: list[Any], table: Table) -> bool:
    return bool(cells) and all(_can_be_image(cell, table) for cell in cells[:10] if not is_missing(cell))


def _can_be_image(cell: Any, table: Table) -> bool:
    if isinstance(cell, (str, Path)):
        return Path(cell).suffix.lower() in ENDINGS + UNREAD_ENDINGS or (table.folder / cell).is_file()
    if isinstance(cell, dict):
        return bool(cell.keys() & {"bytes", "path"})
    return isinstance(cell, bytes) or hasattr(cell, "convert") or np.ndim(cell) in (2, 3)


def _has_few_values(cells: list[Any]) -> bool:
    """Returns whether values come again and again: 2 to 100 different ones, each three times on average."""
    try:
        different = len({cell for cell in cells if not is_missing(cell)})
    except (TypeError, ValueError):  # lists, arrays
        return False
    return 2 <= different <= max(2, min(MOST_CLASSES, len(cells) // 3))


def is_number(cell: Any) -> bool:
    """Returns whether a text is a number as files have them: 7, -0.5, 1e-3, and not 007.

    >>> [text for text in ("7", "-0.5", ".5", "1e-3", "007", "1_000", "nan", "") if is_number(text)]
    ['7', '-0.5', '.5', '1e-3']
    """
    number = r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
    return isinstance(cell, str) and re.fullmatch(number, cell.strip()) is not None


def _known_names(role: str, config: Any) -> set[str]:
    own = {_key(getattr(config, role))} if role in ("source", "target") else set()  # a language
    return {*KNOWN_NAMES[role].split(), *own}


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name.rpartition(".")[2].lower())  # of "translation.en", its last part


def _without_header(table: Table) -> str:
    """Returns what to add where the names of columns look like cells."""
    if table.is_text and any(is_number(name) or len(name) > 100 for name in table.names):
        return ". Its first line is taken for a header, the names of the columns, and does not look like one"
    return ""
