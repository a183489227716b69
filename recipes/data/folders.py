"""Labelled examples in a folder of files, with a sub-folder per class."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recipes.data.bad_files import complaint, counted, listed, note_skipped
from recipes.data.folder_entries import SPLIT_NAMES, list_files, split_of, sub_folders
from recipes.data.in_memory import Arrays, Columns
from recipes.data.splits import DataInfo
from recipes.errors import DataError, one_line

MOST_ENDINGS = 10  # in one message


class FileContents(NamedTuple):
    """What some files hold."""

    column: Any  # of each file, in order; anything of one that cannot be read
    bad: dict[int, str] = {}  # place of a file that cannot be read -> why
    identity: str = ""  # tells the files from all others; "": the content of the column does


def one_by_one(read: Callable[[Path], Any]) -> Callable[[list[str]], FileContents]:
    """Returns a Reader's `read` that asks for each file in turn; `read` raises DataError of one that it cannot read."""

    def read_all(paths: list[str]) -> FileContents:
        values = np.empty(len(paths), object)
        bad = {}
        for place, path in enumerate(paths):
            try:
                values[place] = read(Path(path))
            except DataError as error:
                bad[place] = str(error)
        return FileContents(values, bad)

    return read_all


class Reader(NamedTuple):
    """How the files of a folder are read."""

    read: Callable[[list[str]], FileContents]  # paths, of all splits
    endings: tuple[str, ...]  # of the files to read, in small letters, the usual ones first: (".jpg", ".png")
    what: str  # they are, for messages: "images"


def read_folder(folder: str | Path, reader: Reader, on_bad_file: str = "error") -> Arrays:
    """Returns the files of a folder with one sub-folder per class, and the classes: the sub-folders' names, sorted.

    Where the folder holds `train`, and perhaps `validation` and `test`, each of those holds the sub-folders and is that
    split; they may be called otherwise (`Training`, `val`, `test_set`; see `SPLIT_NAMES`). What files are left out is
    printed. Hidden files and folders, and those of systems, are looked at nowhere.

    Args:
        folder: Its path.
        reader: How its files are read.
        on_bad_file: "error", or "skip" to leave out files that cannot be read; they are the arrays' `skipped`.

    Raises:
        DataError: If the folder is missing, has fewer than two classes, may be split in more than one way, or holds
            files that cannot be read: names all of them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{one_line(folder)} is not a folder; expected a folder of {reader.what} with a sub-folder per class"
        )
    splits = _find_splits(folder, reader) or {"train": folder}
    names = _class_names(splits["train"])
    other: list[str] = []
    files = {split: _list_files(place, names, reader, other) for split, place in splits.items()}
    _note_left_out(folder, [*splits.values()], other, reader)
    paths = [path for of_split in files.values() for of_class in of_split for path in of_class]
    contents = reader.read(paths)
    bad = {Path(paths[place]): why for place, why in contents.bad.items()}
    if bad and on_bad_file == "error":
        raise DataError(complaint(bad, len(paths), reader.what))
    columns: dict[str, Columns] = {}
    first = 0
    for split, of_split in files.items():
        labels = np.repeat(np.arange(len(names), dtype=np.int32), [len(of_class) for of_class in of_split])
        places = np.arange(first, first + len(labels))
        first += len(labels)
        good = np.array([place not in contents.bad for place in places], bool)
        for label, name in enumerate(names):
            if label not in labels[good]:
                empty = f"{one_line(splits[split] / name)} is empty without them"
                raise DataError(f"{empty}: {complaint(bad, len(paths), reader.what)}")
        columns[split] = contents.column[places[good]], labels[good]
    if bad:
        note_skipped(bad, len(paths), reader.what)
    named = _printable_names(names)
    return Arrays(columns["train"], columns.get("validation"), columns.get("test"), named, bad, contents.identity)


def folder_info(folder: str | Path, arrays: Arrays) -> DataInfo:
    """Returns what the examples of `read_folder` are."""
    name = str(Path(folder).resolve())
    return DataInfo(name, source="folder", label_names=arrays.label_names, skipped=listed(arrays.skipped))


def setting_of(model: Any, name: str, default: Any) -> Any:
    """Returns a setting of a model's run; the default of a model without one."""
    return getattr(getattr(getattr(model, "run", None), "config", None), name, default)


def _find_splits(folder: Path, reader: Reader) -> dict[str, Path]:
    """Returns "train", "validation", "test" -> its folder; {} where a folder's own folders are classes."""
    names = sub_folders(folder)
    words = [name for name in names if split_of(name)]
    splits = [name for name in words if sub_folders(folder / name)]
    others = [name for name in names if name not in splits]
    here, rule = one_line(folder), "expected a sub-folder per class, or train, validation and test with those in each"
    if not splits:
        if len(words) == len(names) > 0:
            raise DataError(f"{here} has {_named(words)}, which have no sub-folders; {rule}")
        if words:
            print(f"note: {_named(words)} in {here} {_are(words)} taken for a class, since it has no sub-folders")
        return {}
    classes = [name for name in others if not split_of(name) and any(map(_takes(reader), list_files(folder / name)))]
    if classes:
        raise DataError(f"{here} has {_named(splits)}, as if it were split, beside {_named(classes)}; {rule}")
    places: dict[str, Path] = {}
    for name in splits:
        other = places.setdefault(split_of(name), folder / name)
        if other.name != name:
            raise DataError(
                f"{here} has both {_named([other.name, name])}, which may be one split; expected one of them"
            )
    if "train" not in places:
        raise DataError(f"{here} has {_named(splits)} and no train; {rule}")
    if [*places] != [path.name for path in places.values()]:
        taken = ", ".join(f"{one_line(path.name)} for {split}" for split, path in places.items())
        print(f"note: in {here}, {taken} are taken")
    if others:
        print(f"note: {_named(others)} in {here} {_are(others)} not used: no split with a sub-folder per class")
    return {split: places[split] for split in SPLIT_NAMES if split in places}


def _takes(reader: Reader) -> Callable[[Path], bool]:
    """Returns whether a reader reads files with the ending of a path."""
    return lambda path: path.suffix.lower() in reader.endings


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sub_folders(folder)
    if len(names) < 2:
        raise DataError(f"{one_line(folder)} has {len(names)} sub-folders; expected one per class, two or more")
    return names


def _list_files(folder: Path, names: tuple[str, ...], reader: Reader, other: list[str]) -> list[list[str]]:
    """Returns the paths of the files of each class; of a million, as str, which take a third of the memory.

    Adds those that are none of the reader's to `other`.
    """
    if sub_folders(folder) != names:
        classes = _named(_class_names(folder))
        raise DataError(f"{one_line(folder)} has the classes {classes}; expected {_named(names)}")
    takes = _takes(reader)
    files: list[list[str]] = []
    for name in names:
        files.append([])
        for path in list_files(folder / name):
            (files[-1] if takes(path) else other).append(str(path))
        if not files[-1]:
            endings = ", ".join(reader.endings[:5]) + (", ..." if len(reader.endings) > 5 else "")
            raise DataError(f"{one_line(folder / name)} has no {reader.what}; expected files ending in {endings}")
    other += [str(path) for path in list_files(folder, deep=False) if not takes(path)]
    return files


def _note_left_out(folder: Path, places: list[Path], other: list[str], reader: Reader) -> None:
    """Prints how many files are no examples by their ending, and how many examples lie beside the class folders."""
    if other:
        endings = Counter(Path(path).suffix.lower() or "no ending" for path in other)
        listed = ", ".join(one_line(ending) for ending, _ in endings.most_common(MOST_ENDINGS))
        print(f"left out {counted(len(other), 'files')} in {one_line(folder)}, no {reader.what}: {listed}")
    takes = _takes(reader)
    outside = sum(takes(path) for place in {folder, *places} for path in list_files(place, deep=False))
    if outside:
        print(f"left out {counted(outside, reader.what)} in {one_line(folder)}, in no class folder")


def _printable_names(names: tuple[str, ...]) -> tuple[str, ...]:
    labels = tuple(map(one_line, names))
    if labels != names:
        odd = _named([name for name, label in zip(names, labels, strict=True) if name != label])
        print(f"note: names of classes that cannot be written as text are written with escapes: {odd}")
    return labels


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(one_line, names))


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"
