"""Files that are written whole or not at all."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_json(path: Path, values: Any) -> None:
    """Writes JSON in one step: the file is the old one or the new one, never half of it."""
    write_atomically(path, lambda part: part.write_text(json.dumps(values, indent=2) + "\n"))


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls `write` with a path beside `path`, then renames what it wrote; leaves nothing behind when it fails."""
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
