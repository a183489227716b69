"""Files that are written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.errors import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI, LONGEST = 100, 10_000  # of a picture, in pixels
PART = ".part-"  # what is being written begins with it


def write_text(path: Path, text: str) -> None:
    """Writes text in UTF-8, in one step; what is no UTF-8, as in the name of a file, is escaped."""
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8", errors="backslashreplace", newline=""))


def write_json(path: Path, values: Any) -> None:
    """Writes JSON in one step: the file is the old one or the new one, never half of it."""
    write_atomically(path, lambda part: part.write_text(json.dumps(values, indent=2) + "\n"))


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises:
        RunError: If it cannot be read, is not JSON, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    if not isinstance(values, dict):
        raise damaged(path, f"it holds a {type(values).__name__}, and an object was expected")
    return values


def damaged(path: Path, why: str) -> RunError:
    """Returns the error that a file of a run is damaged."""
    return RunError(f"{path} is damaged: {why}. Put a copy of it there, train again, or name another run")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> None:
    """Writes rows as CSV in UTF-8, in one step, with these columns; what is no UTF-8 is escaped."""

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def save_picture(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, in one step: its texts as they are, and no side of more than `LONGEST` pixels."""
    from recipes.runs.figure_text import shown_as_it_is  # Matplotlib, which reading and listing runs needs not

    dpi = min(DPI, LONGEST / max(figure.get_size_inches()))
    shown_as_it_is(figure)
    with warnings.catch_warnings():  # a character that no font has is a box, and no reason to end a run
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support")
        write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=dpi))


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls `write` with a path beside `path`, then renames what it wrote; leaves nothing behind when it fails.

    What it wrote is on the disk before it has its name: power that is lost leaves the old file or the new one, too.
    """
    part = path.with_name(f"{PART}{os.getpid()}-{path.name}")
    try:
        write(part)
        sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file, or which names a folder has, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Removes what killed processes have left half-written in a folder that is now this process's own."""
    for part in folder.glob(f"{PART}*"):
        part.unlink(missing_ok=True)
