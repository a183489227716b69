"""Tables of features and a number to predict, a user's own and the published ones: numbers and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recipes.data.folder_entries import by_split
from recipes.data.in_memory import Arrays
from recipes.data.own_data import parts_of
from recipes.data.sources import Kind, find_arrays, read_columns
from recipes.data.splits import DataInfo
from recipes.data.standins.tables import friedman
from recipes.data.table_cells import numbers_or_texts
from recipes.data.table_columns import KNOWN_NAMES
from recipes.data.table_files import ENDINGS, at, columns_in_words, ending_of
from recipes.data.tables import Table, as_table, of_file
from recipes.errors import DataError, did_you_mean, one_line

MOST_CATEGORIES = 100  # of a column: more are names or keys, of which a row says nothing about the others
MOST_NAMED = 10  # in one message
SHAPES = "expected a table (a CSV file, a DataFrame, a dict of columns, a list of dicts) or (features, targets)"


@dataclass(frozen=True)
class Feature:
    """A column of a table that is predicted from."""

    name: str
    categories: tuple[str, ...] | None = None  # "" among them where it may be missing; None: numbers
    may_be_missing: bool = False  # of numbers: some were, in training

    @property
    def width(self) -> int:
        """As `Sizes.columns` has it."""
        return len(self.categories) if self.categories is not None else -int(self.may_be_missing)


class Schema(NamedTuple):
    """What the columns of a table are: of the training part, by which all others are read."""

    features: tuple[Feature, ...]
    label: str  # what is predicted

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return {"features": [asdict(feature) for feature in self.features], "label": self.label}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Schema":
        """Returns the schema that `to_json` wrote."""
        features = tuple(
            Feature(one["name"], one["categories"] and tuple(one["categories"]), one["may_be_missing"])
            for one in values["features"]
        )
        return Schema(features, values["label"])


# ---------------------------------------------------------------- the data sets


def find_features(dataset: str, offline: str) -> tuple[Arrays, Schema, DataInfo]:
    """Returns (features (N, F), targets (N,), whether a row is tested on in each split (N, S)) of a data set, and more.

    Args:
        dataset: A table of `recipes.data.tfds.uci`, or "friedman".
        offline: "stand-in" or "error"; see `find_arrays`.
    """
    from recipes.data.tfds.uci import TABLES  # which makes them known to tensorflow-datasets

    def check(builder: Any) -> None:
        if builder.name not in TABLES:
            raise DataError(
                f"{builder.name} has no published splits of features and a number; expected "
                f"{', '.join(map(repr, [*TABLES, 'friedman']))}, or your own table as data="
            )

    def read(builder: Any) -> Arrays:
        columns = read_columns(builder, "train", lambda row: (row["features"], row["target"], row["is_test"]))
        return Arrays(columns, task="regression")

    kind = Kind(check, read, {"friedman": friedman})
    arrays, info = find_arrays(dataset, kind, standin="friedman", offline=offline, reads_as=())
    table = TABLES.get(info.name)
    names = table.features if table else tuple(f"x{column}" for column in range(1, arrays.train[0].shape[1] + 1))
    return arrays, Schema(tuple(map(Feature, names)), table.label if table else "y"), info


# ---------------------------------------------------------------- a user's own


def read_own(data: Any, config: Any, known: Schema | None = None) -> tuple[dict[str, tuple[Any, Any]], Schema]:
    """Returns split -> (features (N, F) float32, targets (N,) float32) of a user's data, and what the columns are.

    Of features, NaN is a missing number, and a category is its index. One part alone is "train".

    Args:
        data: A table, (features, targets), or two or three of either: training, (validation,) test.
        config: Reads `label_column`.
        known: The columns of a trained model; None: those of the training part.

    Raises:
        DataError: Names what does not fit: columns, and the rows of cells.
    """
    parts = parts_of(data, config)
    if parts is None and isinstance(data, (tuple, list)) and 1 < len(data) < 4 and all(map(_is_pair, data)):
        parts = by_split(data)
    tables = {split: _table_of(part) for split, part in (parts or {"train": data}).items()}
    if "train" not in tables:
        tables = {"train": next(iter(tables.values()))} if len(tables) == 1 else tables
    if "train" not in tables:
        raise DataError(f"data has the splits {', '.join(tables)} and no train; expected train, or one split alone")
    label = known.label if known else _label_of(tables["train"], config.label_column)
    columns = {}
    schema = known
    for split, table in tables.items():  # the training part first: its columns are those of all
        cells = table.read(table.names, None)
        if not len(cells.lines):
            raise DataError(f"{table.name} has no rows; expected one or more")
        by_name = dict(zip(table.names, cells.columns, strict=True))
        if label not in by_name:
            raise DataError(
                f"{table.name} has no column {label!r}{did_you_mean(label, table.names)}, which is to be predicted; "
                f"its columns are {columns_in_words(table.names)}"
            )
        targets = _targets(table, label, by_name.pop(label), cells.lines)
        if schema is None:
            schema = Schema(
                tuple(_feature(table, name, column, cells.lines) for name, column in by_name.items()), label
            )
        columns[split] = _encoded(table, by_name, cells.lines, schema.features), targets
    assert schema
    if not schema.features:
        raise DataError(
            f"{tables['train'].name} has one column, {label!r}; expected features in others, to predict it by"
        )
    return columns, schema


def read_rows(rows: Any, schema: Schema) -> np.ndarray:
    """Returns (N, F) float32 features of what a model is asked: tables, a dict of a row, an array (F,) or (N, F).

    Raises:
        DataError: Names what does not fit.
    """
    if (
        isinstance(rows, (list, tuple))
        and rows
        and all(isinstance(one, (str, Path)) and _is_table(one) for one in rows)
    ):
        return np.concatenate([read_rows(path, schema) for path in rows])
    if isinstance(rows, Mapping) and rows and all(np.ndim(value) == 0 for value in rows.values()):
        rows = [rows]
    if isinstance(rows, (list, tuple)) and rows and not isinstance(rows[0], Mapping):
        lengths = {np.size(row) for row in rows} if np.ndim(rows[0]) else {len(rows)}
        if len(lengths) > 1:
            raise DataError(
                f"rows have {', '.join(map(str, sorted(lengths)))} features; expected {len(schema.features)}"
            )
        rows = np.array(rows if np.ndim(rows[0]) else [rows], dtype=object)
    if isinstance(rows, np.ndarray):
        rows = np.atleast_2d(rows)
        if rows.ndim != 2 or rows.shape[1] != len(schema.features):
            names = columns_in_words([feature.name for feature in schema.features])
            raise DataError(f"rows are an array {rows.shape}; expected (N, {len(schema.features)}): {names}")
        rows = {feature.name: list(rows[:, column]) for column, feature in enumerate(schema.features)}
    table = _table_of(rows, "rows")
    cells = table.read(table.names, None)
    return _encoded(table, dict(zip(table.names, cells.columns, strict=True)), cells.lines, schema.features)


def _is_table(path: str | Path) -> bool:
    """Returns whether a text is the path of a table, and not a cell of a row."""
    return ending_of(Path(path)) in ENDINGS


def _is_pair(part: Any) -> bool:
    """Returns whether something is (features, targets): a matrix, or a table, and a column."""
    return isinstance(part, (tuple, list)) and len(part) == 2 and np.ndim(part[1]) == 1 and np.ndim(part[0]) == 2


def _table_of(part: Any, what: str = "data") -> Table:
    """Returns a user's object as a table; of (features, targets), x1, x2, ... and target."""
    if isinstance(part, (str, Path)):
        if not Path(part).is_file():
            raise DataError(f"cannot read {one_line(part)}: there is no such file; expected a table")
        return of_file(Path(part))
    if _is_pair(part):
        features, targets = part
        table = as_table(features)
        if table is None:
            matrix = np.asarray(features)
            columns = {f"x{column + 1}": list(matrix[:, column]) for column in range(matrix.shape[1])}
        else:
            columns = dict(zip(table.names, table.read(table.names, None).columns, strict=True))
        label = str(getattr(targets, "name", None) or "target")
        if label in columns:
            raise DataError(f"the targets and a feature are both called {label!r}; expected another name for one")
        part = {**columns, label: list(targets)}
        lengths = {len(column) for column in part.values()}
        if len(lengths) > 1:
            raise DataError(f"there are {len(features)} rows of features, {len(targets)} targets; expected as many")
    table = as_table(part)
    if table is None:
        raise DataError(
            f"{what} is a {type(part).__name__}; {SHAPES if what == 'data' else 'expected rows of a table'}"
        )
    return table


def _label_of(table: Table, wanted: str) -> str:
    """Returns the column that is to be predicted: the one named, else one called target or the like, else the last."""
    if wanted:
        if wanted not in table.names:
            raise DataError(
                f"{table.name} has no column {wanted!r}{did_you_mean(wanted, table.names)}, as label_column names it; "
                f"its columns are {columns_in_words(table.names)}"
            )
        return wanted
    named = [name for name in table.names if name.strip().lower() in KNOWN_NAMES["label"].split()]
    label = named[0] if len(named) == 1 else table.names[-1]
    print(f"note: what is predicted is column {one_line(repr(label))} of {table.name}; label_column names another")
    return label


def _targets(table: Table, name: str, cells: Sequence[Any], lines: Sequence[int]) -> np.ndarray:
    values = numbers_or_texts(table, name, cells, lines)
    missing = [line for line, value in zip(lines, values, strict=True) if value is None]
    if missing:
        raise DataError(
            f"{at(table.unit, missing)} of {table.name} {_have(missing)} nothing in column {name!r}, which is to be "
            "predicted; expected a number in each row: mend these, or leave them out"
        )
    if isinstance(values[0], str):
        raise DataError(
            f"column {name!r} of {table.name} holds texts, as {values[0]!r}; expected numbers to predict: name "
            "another with label_column (--label-column)"
        )
    return np.array(values, np.float32)


def _feature(table: Table, name: str, cells: Sequence[Any], lines: Sequence[int]) -> Feature:
    """Returns what a column of the training part is."""
    values = numbers_or_texts(table, name, cells, lines)
    present = [value for value in values if value is not None]
    if not present:
        raise DataError(f"column {name!r} of {table.name} is empty; leave it out")
    if not isinstance(present[0], str):
        return Feature(name, None, len(present) < len(values))
    categories = sorted(set(present))
    if len(categories) > min(MOST_CATEGORIES, max(2, len(values) // 2)):
        raise DataError(
            f"column {name!r} of {table.name} has {len(categories)} different texts in {len(values)} rows, as "
            f"{categories[0]!r}; expected numbers, or up to {MOST_CATEGORIES} categories that come again: leave it "
            "out, or make one of it"
        )
    return Feature(name, tuple(([""] if len(present) < len(values) else []) + categories))


def _encoded(
    table: Table, by_name: Mapping[str, Sequence[Any]], lines: Sequence[int], features: Sequence[Feature]
) -> np.ndarray:
    """Returns (N, F) float32, refusing what was not seen in training."""
    absent = [feature.name for feature in features if feature.name not in by_name]
    if absent:
        raise DataError(
            f"{table.name} has no column {columns_in_words(absent)}{did_you_mean(absent[0], table.names)}; the model "
            f"takes {columns_in_words([feature.name for feature in features])}"
        )
    encoded = np.empty((len(lines), len(features)), np.float32)
    for place, feature in enumerate(features):
        values = numbers_or_texts(table, feature.name, by_name[feature.name], lines)
        if feature.categories is None:
            odd = [isinstance(value, str) or (value is None and not feature.may_be_missing) for value in values]
            expected = "a number" + (" or nothing" if feature.may_be_missing else ", as no row lacked in training")
        else:
            values = [_category(value) for value in values]
            odd = [value not in feature.categories for value in values]
            named = [category or "nothing" for category in feature.categories[:MOST_NAMED]]
            expected = "one that training had: " + ", ".join(named)
            expected += f" and {len(feature.categories) - MOST_NAMED} more" * (len(feature.categories) > MOST_NAMED)
        if any(odd):
            rows = [line for line, is_odd in zip(lines, odd, strict=True) if is_odd]
            first = next(value for value, is_odd in zip(values, odd, strict=True) if is_odd)
            got = repr(first) if first not in (None, "") else "nothing"
            raise DataError(
                f"{at(table.unit, rows)} of {table.name} {_have(rows)} {got} in column {feature.name!r}; expected "
                f"{expected}"
            )
        if feature.categories is None:
            encoded[:, place] = [np.nan if value is None else value for value in values]
        else:
            encoded[:, place] = [feature.categories.index(value) for value in values]
    return encoded


def _category(value: Any) -> str:
    """Returns a cell as a category: a number, where others were texts, as it is written."""
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"


def _have(rows: Sequence[int]) -> str:
    return "has" if len(rows) == 1 else "have"
