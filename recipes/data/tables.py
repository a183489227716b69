"""Tables of any make: what has named columns and rows, told by its shape, so that no library of tables is needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.free_memory import refuse_if_too_large
from recipes.data.table_files import SAMPLE, Cells, columns_in_words, open_table, read_cells
from recipes.errors import DataError, one_line

CHECK_EVERY = 1000  # examples of a tf.data.Dataset


@dataclass(frozen=True)
class Table:
    """Named columns of one length."""

    name: str  # for messages
    names: tuple[str, ...]  # of its columns
    read: Callable[[Sequence[str], int | None], Cells]  # names, the most rows or None -> columns
    unit: str = "row"  # what is counted in messages: "line" of a file
    folder: Path = Path()  # that paths in it start from
    is_text: bool = False  # its cells are str, numbers too
    label_names: Mapping[str, Sequence[str]] = field(default_factory=dict)  # columns of class indices -> their names


class Rows(Sequence):
    """A column of a sequence of rows that are looked up one by one, as they are needed."""

    def __init__(self, rows: Any, name: str, change: Callable[[Any], Any] = lambda value: value) -> None:
        self.rows, self.name, self.change = rows, name, change

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        return self.change(self.rows[int(place)][self.name])

    def changed(self, change: Callable[[Any], Any]) -> "Rows":
        """Returns the same with a function applied to each value as it is looked up."""
        return Rows(self.rows, self.name, change)


def as_table(data: Any) -> Table | None:
    """Returns a user's object as a table; None where it is none: files are looked at by `of_file`."""
    if _is_frame(data):
        return _of_frame(data)
    if _has_column_names(data):
        return _of_dataset(data)
    if isinstance(data, tf.data.Dataset):
        return _of_tf_dicts(data) if isinstance(data.element_spec, Mapping) else None
    if _is_columns(data):
        return _of_columns(data)
    return _of_rows(data) if _is_rows(data) else None


def is_missing(cell: Any) -> bool:
    """Returns whether a cell is empty: a text of white space, None, NaN, or what pandas has for these."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell)


def of_file(path: Path) -> Table:
    """Returns the table in a text file; see `open_table`."""
    file = open_table(path)

    def read(names: Sequence[str], most: int | None) -> Cells:
        return read_cells(file, names, most)

    return Table(one_line(path), file.names, read, "line", path.parent, is_text=bool(file.separator))


# ---------------------------------------------------------------- DataFrames


def _is_frame(data: Any) -> bool:
    """Returns whether something is a DataFrame of pandas or polars."""
    return all(hasattr(data, name) for name in ("columns", "head", "shape")) and not hasattr(data, "column_names")


def _of_frame(frame: Any) -> Table:
    by_name = {str(name): name for name in frame.columns}
    if len(by_name) < len(frame.columns):
        names = [str(name) for name in frame.columns]
        twice = dict.fromkeys(name for name in names if names.count(name) > 1)
        raise DataError(f"the DataFrame has more than one column {columns_in_words(list(twice))}; expected one of each")

    def read(names: Sequence[str], most: int | None) -> Cells:
        part = frame if most is None else frame.head(most)
        return _counted([part[by_name[name]].to_list() for name in names])

    return Table("the DataFrame", tuple(by_name), read)


# ---------------------------------------------------------------- Hugging Face datasets, tables of Arrow


def _has_column_names(data: Any) -> bool:
    return hasattr(data, "column_names") and hasattr(data, "__getitem__") and not isinstance(data, Mapping)


def _of_dataset(data: Any) -> Table:
    """Returns a dataset of Hugging Face's, or whatever else has `column_names` and rows, or columns, by index."""
    names = tuple(map(str, data.column_names))
    if hasattr(data, "to_pylist"):  # pyarrow's
        return Table("the table", names, lambda some, most: _counted([data[n][:most].to_pylist() for n in some]))
    if not hasattr(data, "__len__"):
        raise DataError(
            f"data is a {type(data).__name__} without a length, which is read as it comes; expected one that is at "
            "hand: load it without streaming=True"
        )
    features = dict(getattr(data, "features", None) or {})
    if any(isinstance(feature, Mapping) or hasattr(feature, "languages") for feature in features.values()):
        data = data.flatten()  # {"translation": {"en": ...}} becomes "translation.en"
        names, features = tuple(data.column_names), dict(data.features)
    label_names = {name: tuple(feature.names) for name, feature in features.items() if getattr(feature, "names", None)}

    def read(names: Sequence[str], most: int | None) -> Cells:
        columns: list[Any] = []
        for name in names:
            if getattr(features.get(name), "decode", None) is None:
                some = data.select_columns([name]) if hasattr(data, "select_columns") else data
                columns.append([some[row][name] for row in range(min(len(data), most or len(data)))])
            else:  # images: as they are encoded, and as they are needed
                encoded = data.cast_column(name, replace(features[name], decode=False)).select_columns([name])
                columns.append(Rows(encoded, name) if most is None else [encoded[0][name]])
        return Cells(columns, range(len(data)))

    return Table(f"the {type(data).__name__}", names, read, label_names=label_names)


# ---------------------------------------------------------------- columns and rows in Python's own containers


def _is_columns(data: Any) -> bool:
    return isinstance(data, Mapping) and bool(data) and all(map(_is_column, data.values()))


def _is_column(values: Any) -> bool:
    return (
        hasattr(values, "__len__") and hasattr(values, "__getitem__") and not isinstance(values, (str, bytes, Mapping))
    )


def _of_columns(data: Any) -> Table:
    lengths = {str(name): len(values) for name, values in data.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of data differ in length: {lengths}; expected one length")
    by_name = {str(name): values for name, values in data.items()}
    return Table("data", tuple(by_name), lambda some, most: _counted([list(by_name[name][:most]) for name in some]))


def _is_rows(data: Any) -> bool:
    """Returns whether something is a sequence of dicts."""
    if not _is_column(data) or isinstance(data, (np.ndarray, tf.Tensor)) or not len(data):
        return False
    first = data[0]
    return isinstance(first, Mapping) and not (isinstance(data, tuple) and _is_columns(first))


def _of_rows(data: Any) -> Table:
    names = dict.fromkeys(str(name) for row in _first(data) if isinstance(row, Mapping) for name in row)

    def read(names: Sequence[str], most: int | None) -> Cells:
        columns: list[list[Any]] = [[] for _ in names]
        for place in range(min(len(data), most or len(data))):
            row = data[place]
            if not isinstance(row, Mapping):
                raise DataError(f"row {place} of data is a {type(row).__name__}; expected a dict as the rows before it")
            for column, name in zip(columns, names, strict=True):
                column.append(row.get(name))
        return _counted(columns)

    return Table("data", tuple(names), read)


def _first(data: Any) -> Iterator[Any]:
    return (data[place] for place in range(min(len(data), SAMPLE)))


# ---------------------------------------------------------------- tf.data


def _of_tf_dicts(data: tf.data.Dataset) -> Table:
    shapes = [getattr(spec, "shape", tf.TensorShape(())) for spec in data.element_spec.values()]
    if all(shape.rank and shape[0] is None for shape in shapes):
        data = unbatched(data)

    def read(names: Sequence[str], most: int | None) -> Cells:
        part = data.map(lambda features: tuple(features[name] for name in names))
        return _counted(read_tf_data(part if most is None else part.take(most)))

    return Table("the tf.data.Dataset", tuple(data.element_spec), read)


def unbatched(data: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the examples that batches consist of, and says so."""
    print("note: the tf.data.Dataset is batched: it is taken apart into its examples")
    return data.unbatch()


def read_tf_data(data: tf.data.Dataset) -> list[list[Any]]:
    """Returns the columns of a tf.data.Dataset of tuples, in memory.

    Raises:
        DataError: If it is endless, empty, or too large.
    """
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("the tf.data.Dataset is endless; expected each example once, or Splits with steps_per_epoch")
    columns: list[list[Any]] = [[] for _ in data.element_spec]
    held = 0
    for number, example in enumerate(data.as_numpy_iterator()):
        for column, value in zip(columns, example, strict=True):
            column.append(value)
            held += getattr(value, "nbytes", None) or (len(value) if isinstance(value, bytes) else 8)
        if number % CHECK_EVERY == 0:
            refuse_if_too_large("the tf.data.Dataset", held, "pass Splits of it, which stay on disk")
    if not columns[0]:
        raise DataError("the tf.data.Dataset is empty; expected one example or more")
    return columns


def _counted(columns: list[Any]) -> Cells:
    return Cells(columns, range(len(columns[0]) if columns else 0))
