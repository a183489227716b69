"""Labelled examples in a folder of files, with a sub-folder per class."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.in_memory import Arrays, Columns
from recipes.errors import DataError


def read_folder(
    folder: str | Path,
    read: Callable[[Path], Any],
    endings: tuple[str, ...],
    what: str,
    column: Callable[[list[Any]], np.ndarray] = np.stack,
) -> Arrays:
    """Returns the files of a folder with one sub-folder per class, and the classes: the sub-folders' names, sorted.

    Where the folder holds `train` and `test` (and perhaps `validation`), each of those holds the sub-folders and is
    that split; otherwise there is no test split yet.

    Args:
        folder: Its path.
        read: A file -> what it holds.
        endings: Of the files to read, in small letters: (".jpg", ".png").
        what: They are, for messages: "images".
        column: Makes an array of what the files hold.

    Raises:
        DataError: If the folder is missing, has fewer than two classes, or holds a file that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected a folder of {what} with a sub-folder per class")
    splits = [folder / split for split in ("train", "validation", "test") if _sub_folders(folder / split)]
    if folder / "train" not in splits:  # or a class of that name
        splits = [folder]
    names = _class_names(splits[0])
    columns: dict[str, Columns] = {}
    for split in splits:
        if _class_names(split) != names:
            raise DataError(f"{split} has the classes {', '.join(_class_names(split))}; expected {', '.join(names)}")
        paths, labels = _list_files(split, names, endings, what)
        columns[split.name if len(splits) > 1 else "train"] = (column([read(path) for path in paths]), labels)
    return Arrays(columns["train"], columns.get("validation"), columns.get("test"), names)


def _sub_folders(folder: Path) -> tuple[str, ...]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return tuple(sorted(path.name for path in entries if path.is_dir() and not path.name.startswith(".")))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = _sub_folders(folder)
    if len(names) < 2:
        raise DataError(f"{folder} has {len(names)} sub-folders; expected one per class, two or more")
    return names


def _list_files(
    folder: Path, names: tuple[str, ...], endings: tuple[str, ...], what: str
) -> tuple[list[Path], np.ndarray]:
    """Returns the files of each class and their labels."""
    paths, labels = [], []
    for label, name in enumerate(names):
        files = sorted(
            path
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in endings and not path.name.startswith(".")
        )
        if not files:
            raise DataError(f"{folder / name} has no {what}; expected files ending in {', '.join(endings)}")
        paths += files
        labels += [label] * len(files)
    return paths, np.asarray(labels, np.int32)
