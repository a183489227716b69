"""Checkpoint files: one a step, written whole, verified when read, the last few kept.

A checkpoint is a numpy .npz: a zip of arrays, each with its checksum, and one of them the rest of the state as JSON.
Its name is its step, so which is newest does not depend on a clock.
"""

import io
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any, NamedTuple

import keras
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

CONTAINERS = {kind.__name__: kind for kind in (list, tuple, set, frozenset, deque)}
MAPPINGS = {kind.__name__: kind for kind in (dict, OrderedDict, Counter, defaultdict)}
FACTORIES = {kind.__name__: kind for kind in (int, float, str, list, dict, set)}  # of a defaultdict


def is_plain(value: Any) -> bool:
    """Returns whether a checkpoint can hold a value; nothing that is read from one runs code, as a pickle would.

    Numbers, text, bytes, arrays, Keras' and NumPy's own functions of numbers, and lists, tuples, sets, deques and
    dictionaries of them.
    """
    if isinstance(value, dict):
        known = type(value) in MAPPINGS.values() and getattr(value, "default_factory", None) in (
            None,
            *FACTORIES.values(),
        )
        return known and all(map(is_plain, [*value, *value.values()]))
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return type(value) in CONTAINERS.values() and all(map(is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "O"
    plain = (bool, int, float, complex, str, bytes, np.generic)
    return value is None or isinstance(value, plain) or bool(_function_name(value))


def pack(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns a plain value as JSON can hold it; its arrays are appended to `arrays`."""
    if isinstance(value, (np.ndarray, np.generic)):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "scalar": isinstance(value, np.generic)}
    if type(value) is list:
        return [pack(item, arrays) for item in value]
    if isinstance(value, dict):
        pairs = [[pack(key, arrays), pack(item, arrays)] for key, item in value.items()]
        return {
            type(value).__name__: pairs,
            "factory": getattr(getattr(value, "default_factory", None), "__name__", ""),
        }
    if isinstance(value, (tuple, set, frozenset, deque)):
        items = [pack(item, arrays) for item in value]
        return {type(value).__name__: items, "longest": getattr(value, "maxlen", None)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return {"function": _function_name(value)} if callable(value) else value


def unpack(value: Any, arrays: list[np.ndarray]) -> Any:
    """Returns what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "array":
        array = arrays[content].copy()
        return array[()] if value["scalar"] else array
    if kind in MAPPINGS:
        pairs = {unpack(key, arrays): unpack(item, arrays) for key, item in content}
        mapping: Any = MAPPINGS[kind]
        return mapping(FACTORIES.get(value["factory"]), pairs) if kind == "defaultdict" else mapping(pairs)
    if kind in CONTAINERS:
        items = [unpack(item, arrays) for item in content]
        return deque(items, value["longest"]) if kind == "deque" else CONTAINERS[kind](items)
    if kind == "bytes":
        return bytes.fromhex(content)
    return complex(*content) if kind == "complex" else _function(content)


#: Where functions of numbers are looked up; nothing else that can be called is taken from a file.
FUNCTIONS = {"numpy": np, "keras.ops": keras.ops, "math": math}


def _function_name(value: Any) -> str:
    """Returns "numpy:less" of a function of numbers of NumPy, Keras or Python's math; "" of whatever else."""
    own = getattr(value, "__name__", "")
    names = [f"{module}:{own}" for module in FUNCTIONS if callable(value) and isinstance(own, str)]
    return next((name for name in names if _function(name) is value), "")


def _function(name: str) -> Any:
    """Returns the function of such a name; None where there is none."""
    module, _, own = name.partition(":")
    function = getattr(FUNCTIONS.get(module), own, None)
    return function if module != "numpy" or isinstance(function, np.ufunc) else None
