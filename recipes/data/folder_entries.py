"""What lies in a folder: its classes, its splits and its files, without what systems leave there."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from recipes.errors import DataError, one_line

T = TypeVar("T")

#: What systems and programs leave in folders, in small letters; names that begin with a dot are hidden besides.
SYSTEM_NAMES = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}

#: A split -> what its folder may be called, in small and capital letters, alone or before "set", "data" or "images".
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}


def by_split(parts: Sequence[T]) -> dict[str, T]:
    """Returns up to three parts of data by the splits that they are: train; train, test; train, validation, test."""
    return dict(zip(("train", "test") if len(parts) == 2 else SPLIT_NAMES, parts, strict=False))


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is a system's or a program's own."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def sub_folders(folder: Path) -> tuple[str, ...]:
    """Returns the names of the folders in a folder, sorted, without hidden ones."""
    return tuple(sorted(entry.name for entry in _entries(folder) if _is_folder(entry)))


def list_files(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Yields the files in a folder and in those below it, sorted folder by folder, without hidden ones.

    Links to folders are followed, but not upwards, and a folder that is met twice is gone through once: a circle of
    links has an end, and a class does not get the files of the others.

    Raises:
        DataError: If a folder cannot be listed.
    """
    seen = set(map(_identity, folder.resolve().parents))

    def walk(folder: Path) -> Iterator[Path]:
        if _identity(folder) in seen:
            return
        seen.add(_identity(folder))
        for entry in sorted(_entries(folder), key=lambda entry: entry.name):
            if not _is_folder(entry):
                yield folder / entry.name
            elif deep:
                yield from walk(folder / entry.name)

    return walk(folder)


def split_of(name: str) -> str:
    """Returns the split that a folder's name tells: "train", "validation" or "test"; "" for none.

    >>> split_of("Training_set"), split_of("val"), split_of("trains")
    ('train', 'validation', '')
    """
    word = re.sub(r"[ _-]?(set|data|split|images)$", "", name.lower())
    return next((split for split, names in SPLIT_NAMES.items() if word in names), "")


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise DataError(f"cannot list {one_line(folder)}: {error.strerror}") from None
