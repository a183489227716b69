"""Texts and token ids on a disk: what does not fit in memory is trained on like what does.

Both are kept in files without a name in the cache folder, which are gone when the process is, however it ends.
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.tf_data import in_python
from recipes.devices.environment import cache_dir
from recipes.errors import DataError


class LazyTexts:
    """Some texts of a file; `[places]` returns some of them, in any order, and `[place]` one, a str.

    Args:
        content: (bytes,) uint8: the texts in UTF-8, one after the other.
        ends: (N + 1,) where each begins and the last ends.
        rows: Which texts these are; None: all.
    """

    def __init__(self, content: np.ndarray, ends: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.content, self.ends = content, ends
        self.rows = np.arange(len(ends) - 1) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> Any:
        rows = self.rows[places]
        if np.ndim(rows):
            return LazyTexts(self.content, self.ends, rows)
        return self.content[self.ends[rows] : self.ends[rows + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[place] for place in range(len(self)))


def on_disk(texts: Iterable[str]) -> LazyTexts:
    """Returns texts, which are written to a disk one by one.

    Raises:
        DataError: If there is no room for them.
    """
    ends = [0]

    def parts() -> Iterator[bytes]:
        for text in texts:
            encoded = text.encode()
            ends.append(ends[-1] + len(encoded))
            yield encoded

    return LazyTexts(_kept(parts(), np.uint8), np.array(ends))


def joined_texts(*parts: LazyTexts) -> LazyTexts:
    """Returns the texts of several, one after the other, read anew from the disk and written to it."""
    return on_disk(text for part in parts for text in part)


class TokenFile:
    """Sequences of token ids on a disk, in the part of a `tf.RaggedTensor` (N, None) int32.

    Args:
        flat_values: (tokens,) int32.
        row_splits: (N + 1,) int64.
    """

    def __init__(self, flat_values: np.ndarray, row_splits: np.ndarray) -> None:
        self.flat_values, self.row_splits = flat_values, row_splits
        self.shape = (len(row_splits) - 1,)

    def row_lengths(self) -> tf.Tensor:
        """Returns how many tokens each sequence has, (N,) int64."""
        return tf.constant(np.diff(self.row_splits))

    def at(self, index: tf.Tensor) -> tf.RaggedTensor:
        """Returns the sequences at some places, (B,) integer, in a graph."""

        def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = [self.flat_values[self.row_splits[place] : self.row_splits[place + 1]] for place in index]
            return np.concatenate([*rows, np.zeros(0, np.int32)]), np.array([len(row) for row in rows], np.int64)

        values, lengths = in_python(read, [index], (tf.int32, tf.int64))
        return tf.RaggedTensor.from_row_lengths(tf.ensure_shape(values, (None,)), tf.ensure_shape(lengths, (None,)))


def token_file(parts: Iterable[tf.RaggedTensor]) -> TokenFile:
    """Returns sequences of token ids, (B, None) int32 each part, which are written to a disk part by part."""
    lengths = [np.zeros(0, np.int64)]

    def values() -> Iterator[bytes]:
        for part in parts:
            lengths.append(part.row_lengths().numpy())
            yield part.flat_values.numpy().astype(np.int32).tobytes()

    flat_values = _kept(values(), np.int32)
    return TokenFile(flat_values, np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))


def windows_at(token_ids: np.ndarray, starts: tf.Tensor, length: int) -> tf.Tensor:
    """Returns the `length` token ids from some places of a long text on a disk on, (B,) to (B, T) int32, in a graph."""

    def read(starts: np.ndarray) -> np.ndarray:
        return np.stack([token_ids[start : start + length] for start in starts])

    return tf.ensure_shape(in_python(read, [starts], tf.int32), (None, length))


def in_blocks(array: np.ndarray, size: int = 1 << 22) -> Iterator[np.ndarray]:
    """Yields an array's parts of up to `size` values, so that one on a disk is never in memory whole."""
    return (array[first : first + size] for first in range(0, len(array), size))


def _kept(parts: Iterable[bytes], dtype: Any) -> np.ndarray:
    """Returns what was written to a file without a name, as an array that is read from it."""
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_dir()) as file:  # its content stays for as long as the array maps it
            file.writelines(parts)
            file.flush()
            return np.memmap(file, dtype, "r") if file.tell() else np.zeros(0, dtype)
    except OSError as error:
        raise DataError(
            f"cannot keep texts in {cache_dir()}: {error.strerror}. Make space there, or set RECIPES_CACHE_DIR to "
            "another folder"
        ) from error
