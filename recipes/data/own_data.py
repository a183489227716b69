"""A user's data of any kind, turned into what the recipes read: examples and labels, texts, pairs, captions.

Tables (CSV files, DataFrames, Hugging Face datasets, sequences of dicts), data sets of tf.data and flat folders become
tuples of columns; everything else is passed on as it is.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.folder_entries import SPLIT_NAMES, by_split, list_files, split_of, sub_folders
from recipes.data.splits import DataInfo, Splits
from recipes.data.table_cells import read_columns
from recipes.data.table_columns import choose_columns, names_columns, roles_of
from recipes.data.table_files import ENDINGS, OTHER_ENDINGS, Cells, ending_of, first_cells
from recipes.data.tables import Table, as_table, of_file, read_tf_data, unbatched
from recipes.errors import DataError, one_line

LONGEST_PATH = 4000  # a longer text is none


def plain_data(data: Any, config: Any) -> Any:
    """Returns a user's data as the readers of examples take it; what they take already, as it is.

    Args:
        data: Of any kind; None: the data set that the config names.
        config: Reads its column settings (see `recipes.settings`), and its languages.

    Raises:
        DataError: If a table cannot be read, or it is not clear which of its columns are meant.
        ConfigError: If columns are named, and there is no table.
    """
    converted = from_table(data, config)
    if converted is not None:
        return converted
    config.refuse_without_effect(" ".join(_column_settings(config)), "data= (--data) is no table")
    return data


def from_table(data: Any, config: Any) -> Any:
    """Returns a user's table, or several, as tuples of columns; None where data is none of them."""
    if data is None or isinstance(data, Splits) or not roles_of(config) or reads_features(config):
        return None
    splits = parts_of(data, config)
    if splits is None:
        return _columns(data, config, "train", {})
    chosen: dict[str, str] = {}  # the columns of the first split are those of all
    columns = {split: _columns(part, config, split, chosen) for split, part in splits.items()}
    columns = {split: splits[split] if part is None else part for split, part in columns.items()}
    columns = {split: part for split, part in columns.items() if len(part)}
    if [*columns] == ["train", "validation"]:
        print("note: data has no test split: validation is taken for it, and another validation split is held out")
    if "train" not in columns and len(columns) > 1:
        raise DataError(f"data has the splits {', '.join(columns)} and no train; expected train, or one split alone")
    return tuple(columns.values()) if len(columns) > 1 else next(iter(columns.values()))


def inputs_of_table(path: Path, config: Any) -> list[Any]:
    """Returns what a model is to be asked of a table in a file: its texts, its sources, or the paths of its images.

    Of a recipe that predicts from a table's features: the file itself, all of whose columns it reads.
    """
    if reads_features(config):
        return [path]
    role, table = roles_of(config)[0], of_file(path)
    return read_columns(table, choose_columns(table, config, [role]))[role]


def reads_features(config: Any) -> bool:
    """Returns whether a recipe reads whole tables of features by itself: it has a label column, and no other."""
    return roles_of(config) == ["label"]


def without_columns(config: Any) -> Any:
    """Returns a config whose column settings are empty: for data that is no table any more."""
    return replace(config, **dict.fromkeys(_column_settings(config), ""))


def with_origin(info: DataInfo, data: Any) -> DataInfo:
    """Returns what examples are, with the file or folder that they were read from, by which they are found again."""
    if not isinstance(data, (str, Path)) or not (_is_file(data) or _is_folder(data)):
        return info
    return replace(info, name=str(Path(data).resolve()), source="file" if _is_file(data) else "folder")


def _column_settings(config: Any) -> list[str]:
    return [one.name for one in fields(config) if one.name.endswith("_column") or one.name == "label_separator"]


# ---------------------------------------------------------------- splits


def parts_of(data: Any, config: Any) -> dict[str, Any] | None:
    """Returns "train", "validation", "test" -> its part of the data; None where it is no several parts."""
    if isinstance(data, Mapping) and data and (names := _split_names(list(map(str, data)))):
        return {split: data[name] for split, name in names.items()}
    if isinstance(data, (tuple, list)) and 1 < len(data) < 4 and all(_is_part(part, config) for part in data):
        return by_split(data)
    if isinstance(data, (str, Path)) and not _is_file(data) and _is_folder(data):
        files = {path.stem: path for path in list_files(Path(data), deep=False) if ending_of(path) in ENDINGS}
        names = {} if sub_folders(Path(data)) else _split_names(list(files))
        return {split: files[name] for split, name in names.items()} or None
    return None


def _split_names(names: list[str]) -> dict[str, str]:
    """Returns split -> which of the names is meant, in the order of SPLIT_NAMES; {} for names that are no splits.

    Raises:
        DataError: If two may be one split.
    """
    splits: dict[str, str] = {}
    others = []
    for name in names:
        split = split_of(name)
        if not split:
            others.append(name)
        elif splits.setdefault(split, name) != name:
            raise DataError(f"data has both {splits[split]!r} and {name!r}, which may be one split; expected one")
    if others and "train" not in splits:
        return {}
    if others:
        print(f"note: {', '.join(map(one_line, others))} of data is not used: it is no split of a known name")
    return {split: splits[split] for split in SPLIT_NAMES if split in splits}


def _is_part(part: Any, config: Any) -> bool:
    """Returns whether something is a table, or a data set of tf.data, alone."""
    if isinstance(part, (str, Path)):
        return _is_table_file(part, config)
    if isinstance(part, tf.data.Dataset):
        return True
    return as_table(part) is not None or (roles_of(config) == ["image"] and np.ndim(_first(part)) in (2, 3))


# ---------------------------------------------------------------- one split


def _columns(data: Any, config: Any, split: str, chosen: dict[str, str]) -> Any:
    """Returns one split as the readers take it: () where its labels are hidden; None where it is no table.

    Args:
        data: The split.
        config: The settings.
        split: Its name.
        chosen: Role -> column, of the splits before; it gets this one's.
    """
    if isinstance(data, (str, Path)):
        if not _is_table_file(data, config):
            return _flat_folder(Path(data)) if roles_of(config) == ["image"] and _is_folder(data) else None
        table: Table | None = of_file(Path(data))
    else:
        table = as_table(data)
    if table is None:
        if isinstance(data, tf.data.Dataset):
            return _of_tf_data(data, config)
        return _images_alone(data) if roles_of(config) == ["image"] else None
    named = {f"{role}_column": name for role, name in chosen.items()}
    chosen |= choose_columns(table, replace(config, **named))
    if "label" in chosen and split != "train" and _labels_are_hidden(table, chosen["label"]):
        print(f"note: the labels of the {split} split are hidden: it is not used")
        return ()
    return _arranged(read_columns(table, chosen, getattr(config, "label_separator", "")), config)


def _labels_are_hidden(table: Table, name: str) -> bool:
    """Returns whether the labels of a split are all -1, as authors write who keep them to themselves."""
    return name in table.label_names and all(label == -1 for label in table.read([name], None).columns[0])


def _arranged(columns: dict[str, Any], config: Any) -> Any:
    """Returns columns by role as the readers of their kind take them."""
    roles = roles_of(config)
    if roles == ["text"]:
        return "\n".join(columns["text"]) + "\n"
    if roles == ["image"]:
        return columns["image"], np.zeros(len(columns["image"]), np.int32)
    if roles == ["image", "caption"]:
        return _with_all_captions(columns["image"], columns["caption"])
    return tuple(columns[role] for role in roles if role in columns)


def _with_all_captions(images: Any, captions: list[list[str]]) -> tuple[Any, list[list[str]]]:
    """Returns the images, each once, and all the captions of each: files have a row for each caption."""
    if not all(isinstance(image, Path) for image in images):
        return images, captions
    of_each: dict[Path, list[str]] = {}
    for image, texts in zip(images, captions, strict=True):
        of_each.setdefault(image, []).extend(texts)
    return list(of_each), list(of_each.values())


# ---------------------------------------------------------------- files and folders


def _is_table_file(data: str | Path, config: Any) -> bool:
    """Returns whether a path is a table's. Lines "source<tab>target" without a header are none, nor are texts."""
    path, ending = Path(data), ending_of(Path(data))
    if len(str(data)) > LONGEST_PATH or "\n" in str(data) or path.is_dir():
        return False
    if ending in OTHER_ENDINGS:
        raise DataError(
            f"{one_line(path)} is no text file; expected a table in CSV, TSV or JSON Lines. In Python, pass it as "
            f"data={OTHER_ENDINGS[ending]}"
        )
    roles = roles_of(config)
    if not path.is_file():
        if ending in ENDINGS and ("label" in roles or roles == ["image"]):  # other readers of files say it themselves
            raise DataError(f"there is no file {one_line(path)}; expected a table")
        return False
    if ending in (".csv", ".jsonl", ".ndjson") or any(getattr(config, f"{role}_column") for role in roles):
        return True
    if roles in (["source", "target"], ["image", "caption"]):  # they have files of their own, without a header
        return names_columns(first_cells(path), config)
    return ending in ENDINGS or (ending == ".txt" and "label" in roles)


def _is_file(data: str | Path) -> bool:
    return len(str(data)) <= LONGEST_PATH and "\n" not in str(data) and Path(data).is_file()


def _is_folder(data: str | Path) -> bool:
    return len(str(data)) <= LONGEST_PATH and "\n" not in str(data) and Path(data).is_dir()


def _flat_folder(folder: Path) -> Any:
    """Returns the images of a folder without a sub-folder per class, or of train, validation and test in it."""
    from recipes.data.image_bytes import ENDINGS, UNREAD_ENDINGS

    def images(place: Path) -> list[Path]:
        return [path for path in list_files(place, deep=False) if path.suffix.lower() in ENDINGS + UNREAD_ENDINGS]

    names = sub_folders(folder)
    splits = {split_of(name): folder / name for name in names if split_of(name)}
    if len(splits) == len(names) and "train" in splits and not any(map(sub_folders, splits.values())):
        parts = [_images_alone(images(splits[split])) for split in SPLIT_NAMES if split in splits]
        return tuple(parts) if len(parts) > 1 else parts[0]
    return None if names or not (files := images(folder)) else _images_alone(files)


# ---------------------------------------------------------------- what has no names


def _images_alone(data: Any) -> Any:
    """Returns images without labels, or several such, with a label each that nobody reads; None of all else."""
    if isinstance(data, tuple) and 1 < len(data) < 4 and all(np.ndim(_first(part)) in (2, 3) for part in data):
        return tuple(map(_images_alone, data))  # not (images, labels)
    first = _first(data)
    if isinstance(data, tuple) or first is None or not (_is_image(first) or np.ndim(first) in (2, 3)):
        return None
    return data, np.zeros(len(data), np.int32)


def _is_image(value: Any) -> bool:
    return isinstance(value, (str, Path, bytes)) or hasattr(value, "convert")


def _first(data: Any) -> Any:
    """Returns the first of a list or an array; None of all else, and where there is none."""
    if isinstance(data, (tuple, str, bytes, Path, Mapping)) or not hasattr(data, "__getitem__"):
        return None
    return data[0] if len(data) else None


def _of_tf_data(data: tf.data.Dataset, config: Any) -> Any:
    """Returns a tf.data.Dataset of examples, tuples in the order of the roles, as columns in memory."""
    roles, spec = roles_of(config), data.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    if not isinstance(spec, tuple):
        data = data.map(lambda value: (value,))
    needed = [role for role in roles if role != "weight"]
    first, is_text = parts[0], needed[0] in ("text", "source")
    batched = getattr(first, "shape", None) is not None and first.shape.rank == (1 if is_text else 4)
    fits = getattr(first, "dtype", None) is not None and (first.dtype == tf.string or not is_text)
    if not fits or len(parts) < len(needed):
        raise DataError(
            f"the tf.data.Dataset holds {spec}; expected examples ({', '.join(needed)}), texts as "
            "strings; of batches that a model takes as they are, pass Splits"
        )
    if batched:
        data = unbatched(data)
    columns = read_tf_data(data.map(lambda *values: values[: len(roles)]))
    cells = Cells(columns, range(len(columns[0])))
    table = Table("the tf.data.Dataset", tuple(roles[: len(columns)]), lambda names, most: cells)
    return _arranged(read_columns(table, {role: role for role in table.names}), config)
