"""The state of callbacks: what training has changed in them comes back, what `on_train_begin` made stays.

A callback's attributes are looked at twice: when every `on_train_begin` has been called, and when a checkpoint is
written. What differs is the state. Files, sockets and writers that a callback opens as training begins are no state:
the process that resumes the run opens its own.
"""

import copy
import csv
import hashlib
import io
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from recipes.errors import RunError
from recipes.runs.atomic_files import write_text
from recipes.runs.checkpoints import is_plain, pack, unpack

#: Attributes of a callback that are not its state.
NOT_STATE = {"model", "_model", "params"}

MISSING = object()  # equal to no value

#: Callbacks that every run has, or its settings ask for.
OURS = {"AveragedWeights", "EpochMeans", "History", "HistoryFile", "StopEarly"}


class Snapshot(NamedTuple):
    """The attributes of a callback at a moment."""

    plain: dict[str, Any]  # name -> a copy of what a checkpoint can hold
    inner: dict[str, Any]  # name -> the state inside of an object: a random generator's, a metric's variables
    others: dict[str, str | None]  # name -> a digest of any other object; None of one that is no state, as an open file


class CallbackStates:
    """What training changes in some callbacks. Call `begin` when all their `on_train_begin` have been."""

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        self.callbacks = callbacks
        self.names = [type(callback).__name__ for callback in callbacks]
        self.before: list[Snapshot] = []
        self.noted: set[str] = set()

    def begin(self) -> None:
        """Remembers what the callbacks were made with and have opened."""
        self.before = [snapshot(callback) for callback in self.callbacks]

    def take(self, arrays: list[np.ndarray]) -> list[Any]:
        """Returns of each callback [name, plain attributes, inner states, names of what is not kept], where changed."""
        return [
            [name, *self._changed(callback, before, arrays)]
            for name, callback, before in zip(self.names, self.callbacks, self.before, strict=True)
        ]

    def put(self, saved: list[Any], arrays: list[np.ndarray]) -> None:
        """Puts back what `take` returned."""
        for callback, (_, plain, *inner) in zip(self.callbacks, saved, strict=True):
            values = unpack(plain, arrays)
            if _has_own(callback):
                callback.set_state(values)
                continue
            vars(callback).update(values)
            for name, state in unpack(inner[0], arrays).items() if inner else ():
                if inner_state(getattr(callback, name, None)) is not None:
                    put_inner_state(getattr(callback, name), state)

    def refuse_what_cannot_resume(self, saved: list[Any], folder: Path) -> None:
        """Refuses other callbacks than the run has, and those whose state its checkpoint could not hold.

        Raises:
            RunError: Names them, and the ways out.
        """
        names = [name for name, *_ in saved]
        if names != self.names:
            theirs, these = (
                ", ".join(name for name in every if name not in OURS) or "none" for every in (names, self.names)
            )
            raise RunError(
                f"the unfinished run in {folder} has the callbacks {theirs}; got {these}. Pass the same, or "
                "resume=False to start over"
            )
        lost = [f"{name}.{attribute}" for name, *_, left in saved if isinstance(left, list) for attribute in left]
        if lost:
            raise RunError(
                f"the unfinished run in {folder} has changed {', '.join(lost)}, which a checkpoint cannot hold; "
                "expected numbers, text, arrays, or lists and dictionaries of them. Give the callback get_state() and "
                "set_state(state) for the next run, and pass resume=False (--no-resume) to start this one over"
            )

    def _changed(self, callback: Any, before: Snapshot, arrays: list[np.ndarray]) -> tuple[Any, Any, list[str]]:
        if _has_own(callback):
            state = callback.get_state()
            if not is_plain(state):
                raise RunError(
                    f"{type(callback).__name__}.get_state() returned a {type(state).__name__} that a checkpoint cannot "
                    "hold; expected numbers, text, arrays, or lists and dictionaries of them"
                )
            return pack(state, arrays), pack({}, arrays), []
        now = snapshot(callback)
        plain = {name: value for name, value in now.plain.items() if not _same(value, before.plain.get(name, MISSING))}
        inner = {name: value for name, value in now.inner.items() if not _same(value, before.inner.get(name, MISSING))}
        left = [name for name, digest in now.others.items() if digest and digest != before.others.get(name)]
        self._note(type(callback).__name__, left)
        return pack(plain, arrays), pack(inner, arrays), left

    def _note(self, callback: str, left: list[str]) -> None:
        for attribute in left:
            if f"{callback}.{attribute}" not in self.noted:
                self.noted.add(f"{callback}.{attribute}")
                print(
                    f"note: training has changed {callback}.{attribute}, which a checkpoint cannot hold: this run "
                    "cannot be resumed. Give the callback get_state() and set_state(state)",
                    flush=True,
                )


def snapshot(callback: keras.callbacks.Callback) -> Snapshot:
    """Returns the attributes of a callback, copied."""
    plain, inner, others = {}, {}, {}
    for name, value in vars(callback).items():
        if name in NOT_STATE or value is getattr(callback, "_model", None):
            continue
        if is_plain(value):
            plain[name] = copy.deepcopy(value)
        elif (state := inner_state(value)) is not None:
            inner[name] = state
        else:
            others[name] = _digest(value)
    return Snapshot(plain, inner, others)


def inner_state(value: Any) -> Any:
    """Returns the state inside of a random generator, a variable, or what has variables or plain attributes.

    None of anything else.
    """
    if isinstance(value, np.random.Generator):
        return copy.deepcopy(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return value.get_state()
    if isinstance(value, random.Random):
        return value.getstate()
    if (variables := _variables(value)) is not None:
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    own = getattr(value, "__dict__", None)
    simple = isinstance(own, dict) and own and not callable(value) and all(map(is_plain, own.values()))
    return copy.deepcopy(own) if simple else None


def put_inner_state(value: Any, state: Any) -> None:
    """Puts back what `inner_state` returned."""
    if isinstance(value, np.random.Generator):
        value.bit_generator.state = state
    elif isinstance(value, np.random.RandomState):
        value.set_state(state)
    elif isinstance(value, random.Random):
        value.setstate(state)
    elif (variables := _variables(value)) is not None:
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)
    else:
        vars(value).update(state)


def keep_rows_of_csv_loggers(callbacks: Sequence[keras.callbacks.Callback], epochs: int) -> None:
    """Has each `CSVLogger` of a resumed run append to its file, which keeps the rows of the epochs that are done.

    Call it before `on_train_begin`, which opens the file.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger) and not callback.append:
            path = Path(callback.filename)
            if not path.exists():
                continue
            callback.append = True
            with path.open(newline="") as file:
                rows = list(csv.reader(file, delimiter=callback.sep))
            text = io.StringIO(newline="")
            kept = [row for row in rows[1:] if row and row[0].isdecimal() and int(row[0]) < epochs]
            csv.writer(text, delimiter=callback.sep, lineterminator="\n").writerows(rows[:1] + kept if kept else [])
            write_text(path, text.getvalue())


def _has_own(callback: Any) -> bool:
    """Returns whether a callback says itself what its state is."""
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _variables(value: Any) -> list[Any] | None:
    if isinstance(value, (tf.Variable, keras.Variable)):
        return [value]
    if isinstance(value, (keras.Layer, keras.Metric, keras.optimizers.Optimizer)):
        return list(value.variables)
    return None


class _StatePickler(pickle.Pickler):
    """Pickles all but Keras' and TensorFlow's objects, whose state is the model's."""

    def persistent_id(self, value: Any) -> Any:
        """Returns a word in place of an object, or None to pickle it."""
        return "of the model" if _variables(value) is not None or isinstance(value, tf.Module) else None


def _digest(value: Any) -> str | None:
    """Returns a digest of an object's state; None of one without any: what cannot be copied is a resource."""
    data = io.BytesIO()
    try:
        _StatePickler(data).dump(value)
    except Exception:  # pickle raises whatever the object does
        return None
    return hashlib.blake2b(data.getvalue(), digest_size=12).hexdigest()


def _same(one: Any, other: Any) -> bool:
    """Returns whether two plain values are equal, arrays and NaN in them too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (np.ndarray, np.generic)):
        a, b = np.asarray(one), np.asarray(other)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (set, frozenset)):
        return one == other
    if hasattr(one, "__iter__") and not isinstance(one, (str, bytes)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or (one != one and other != other)
