"""Checkpoint files: one a step, written whole, verified when read, the last few kept.

A checkpoint is a numpy .npz: a zip of arrays, each with its checksum, and one of them the rest of the state as JSON.
Its name is its step, so which is newest does not depend on a clock.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recipes.runs.atomic_files import write_atomically

KEEP = 3


class Checkpoint(NamedTuple):
    """What a file holds: arrays by number, and the rest."""

    arrays: list[np.ndarray]
    state: dict[str, Any]


def write_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint in one step, and deletes all but the last few up to it.

    One of a later step is damaged, or the run would have gone on from it: it is deleted too.

    Raises:
        OSError: If it cannot be written; the older ones are as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.npz"
    write_atomically(path, lambda part: _write(part, checkpoint))
    every = _by_step(folder)
    mine = every.index(path)
    for old in every[:mine] + every[mine + KEEP :]:
        old.unlink(missing_ok=True)
    return path


def newest_checkpoint(folder: Path) -> tuple[Path, bytes] | None:
    """Returns the file and bytes of the last checkpoint that is whole; None if there is none.

    Torn ones are named on the terminal, and left.
    """
    for path in _by_step(folder):
        try:
            data = path.read_bytes()
            parse_checkpoint(data)
        except Exception as error:  # damage makes zipfile and numpy raise all sorts
            print(f"checkpoint {path} is damaged ({error}); trying the one before it", flush=True)
        else:
            return path, data
    return None


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Returns what a checkpoint file's bytes hold, their checksums verified.

    Raises:
        Exception: If they are damaged; of many kinds.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        damaged = arrays.zip.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} does not fit")
        state = json.loads(arrays["state"].tobytes())
        return Checkpoint([arrays[str(number)] for number in range(len(arrays.files) - 1)], state)


def _write(part: Path, checkpoint: Checkpoint) -> None:
    named = {str(number): array for number, array in enumerate(checkpoint.arrays)}
    named["state"] = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
    with part.open("wb") as file:
        np.savez(file, **named)  # type: ignore[arg-type]


def _by_step(folder: Path) -> list[Path]:
    """Returns the checkpoint files, the last step first."""
    return sorted(folder.glob("step-*.npz"), reverse=True)


# ---------------------------------------------------------------- values that JSON does not know


def is_plain(value: Any) -> bool:
    """Returns whether a value is numbers, text, arrays, or lists, tuples and dictionaries of them."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, value)) and all(map(is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str, np.ndarray, np.generic))


def pack(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns a plain value as JSON can hold it; its arrays are appended to `arrays`."""
    if isinstance(value, (np.ndarray, np.generic)):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if isinstance(value, tuple):
        return {"tuple": [pack(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[pack(key, arrays), pack(item, arrays)] for key, item in value.items()]}
    return [pack(item, arrays) for item in value] if isinstance(value, list) else value


def unpack(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[value["array"]].copy()
        return array[()] if value["scalar"] else array
    if "tuple" in value:
        return tuple(unpack(item, arrays) for item in value["tuple"])
    return {unpack(key, arrays): unpack(item, arrays) for key, item in value["dict"]}
