"""What a command prints where: results on the standard output, in words or as JSON, and the rest wherever asked."""

import io
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from recipes.errors import one_line


def write_any_text() -> None:
    """Has the standard output and error print whatever a file's name or an argument holds, in escapes if need be."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # as arguments are; who reads it checks


@contextmanager
def messages_kept_apart(quiet: bool, json: bool) -> Iterator[None]:
    """Keeps what is printed meanwhile from the standard output: with `quiet` it is lost, with `json` on stderr."""
    if quiet:
        with redirect_stdout(io.StringIO()):
            yield
    elif json:
        with redirect_stdout(sys.stderr):
            yield
    else:
        yield


def print_json(values: Any, indent: int | None = 2) -> None:
    """Prints values as JSON that any reader takes: NaN and infinity as null, other than ASCII in escapes."""
    print(json.dumps(plain(values), indent=indent, allow_nan=False), flush=True)


def plain(value: Any) -> Any:
    """Returns a value as JSON can hold it: arrays as lists, paths as text; bytes, as of a PNG, are left out."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items() if not isinstance(item, bytes)}
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def print_table(rows: list[list[str]]) -> None:
    """Prints rows as columns, the first row above them."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
