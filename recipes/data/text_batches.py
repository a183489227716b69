"""The input pipeline for sequences of token ids, in memory or on a disk.

As in `image_batches.py`, which examples a batch holds follows from (seed, epoch, step) alone. Sequences of about the
same length share a batch, so that little of it is padding, and batches come in no order of their lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from recipes.data.lazy_texts import TokenFile, windows_at
from recipes.data.splits import Splits, train_examples
from recipes.data.tf_data import endless, evaluation_options, shared_evenly
from recipes.errors import DataError

#: One value, or one sequence of token ids, for each example: (N,) or (N, None)
Column: TypeAlias = np.ndarray | tf.RaggedTensor | TokenFile

#: The columns of a batch, sequences padded with 0 to (B, T) -> what `Model.fit` takes: (inputs, targets)
Arrange = Callable[..., tuple[Any, Any]]

POOL = 64  # batches that are sorted by length together
STRIDE = 8  # a batch is padded to a multiple of so many tokens: few shapes, for compilers


def bucketed_batches(
    columns: Sequence[Column], batch_size: int, seed: int, arrange: Arrange
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless shuffled batches of sequences, each padded to its longest.

    In each epoch, examples are shuffled; every POOL batches of them are sorted by length, cut, and shuffled. See
    `recipes.data.train_batches` for what else is promised.

    Args:
        columns: Of equal length N, at least `batch_size`.
        batch_size: Examples per step, over all replicas and workers.
        seed: Decides on the order.
        arrange: Makes (inputs, targets) of a batch's columns.
    """
    examples, lengths = count(columns), _lengths(columns)
    steps = examples // batch_size

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = batch_size // workers

        def batch(step: tf.Tensor) -> tuple[Any, Any]:
            epoch, position = step // steps, step % steps
            pool = position // POOL
            batches = tf.minimum(tf.cast(POOL, tf.int64), steps - pool * POOL)  # the epoch's last pool may be smaller
            places = pool * POOL * batch_size + tf.range(batches * batch_size)
            index = tf.random.experimental.index_shuffle(places, seed=tf.stack([seed, epoch]), max_index=examples - 1)
            index = tf.gather(index, tf.argsort(tf.gather(lengths, index), stable=True))
            place = tf.random.experimental.index_shuffle(
                position % POOL, seed=tf.stack([seed, -1 - epoch * steps - pool]), max_index=batches - 1
            )
            index = index[place * batch_size : (place + 1) * batch_size]
            return arrange(*padded(columns, index, slice(worker * rows, (worker + 1) * rows)))

        return endless(batch, start)

    return train_from


def sorted_batches(columns: Sequence[Column], batch_size: int, arrange: Arrange) -> tf.data.Dataset:
    """Returns all the examples once, the longest first, each batch padded to its longest."""
    batch_size = shared_evenly(count(columns), batch_size)
    order = tf.argsort(_lengths(columns), direction="DESCENDING", stable=True)

    def batch(index: tf.Tensor) -> tuple[Any, Any]:
        return arrange(*padded(columns, index))

    return (
        tf.data.Dataset.from_tensor_slices(order)
        .batch(batch_size)
        .map(batch)
        .prefetch(2)
        .with_options(evaluation_options())
    )


def window_batches(
    token_ids: np.ndarray, length: int, batch_size: int, seed: int
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless shuffled batches of (B, T) token ids and, of each, the next.

    An epoch cuts the text into windows of `length`, from an offset of its own on, and takes each once, in an order of
    its own.

    Args:
        token_ids: (N,) integer: one long text.
        length: Tokens of a window, T.
        batch_size: Windows per step, over all replicas and workers.
        seed: Decides on offsets and order.
    """
    windows, steps = windows_and_steps(len(token_ids), length, batch_size)
    bank = None if isinstance(token_ids, np.memmap) else tf.constant(token_ids, tf.int32)
    offsets = len(token_ids) - windows * length  # places where the first window can begin

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = batch_size // workers

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            epoch, position = step // steps, step % steps
            places = position * batch_size + worker * rows + tf.range(rows, dtype=tf.int64)
            index = tf.random.experimental.index_shuffle(places, seed=tf.stack([seed, epoch]), max_index=windows - 1)
            offset = tf.random.stateless_uniform((), tf.stack([seed, epoch]), maxval=offsets, dtype=tf.int64)
            starts = offset + index * length
            if bank is None:
                tokens = windows_at(token_ids, starts, length + 1)
            else:
                tokens = tf.gather(bank, starts[:, tf.newaxis] + tf.range(length + 1, dtype=tf.int64))
            return tokens[:, :-1], tokens[:, 1:]

        return endless(batch, start)

    return train_from


def windows_and_steps(tokens: int, length: int, batch_size: int) -> tuple[int, int]:
    """Returns how many windows of `length` an epoch has, and how many whole batches of them.

    One window less than fit, where a batch has room for that, so that an epoch can begin anywhere in the first.
    """
    windows = (tokens - 1) // length
    windows -= windows > batch_size
    if windows < batch_size:
        raise DataError(
            f"a text of {tokens} tokens holds {windows} windows of sequence_length={length}; expected at least "
            f"batch_size={batch_size}"
        )
    return windows, windows // batch_size


def padded(columns: Sequence[Column], index: tf.Tensor, part: slice = slice(None)) -> list[tf.Tensor]:
    """Returns the columns at some places, (B,) or (B, T), padded with 0 to the longest of all of them.

    Args:
        columns: Values or sequences.
        index: (B,) places.
        part: Which of those places to return.
    """
    batch = []
    for column in columns:
        if isinstance(column, (tf.RaggedTensor, TokenFile)):
            rows = column.at(index) if isinstance(column, TokenFile) else tf.gather(column, index)
            width = (tf.reduce_max(rows.row_lengths()) + STRIDE - 1) // STRIDE * STRIDE
            dense = rows[part].to_tensor()
            short = tf.maximum(width, STRIDE) - tf.shape(dense, tf.int64)[1]
            batch.append(tf.pad(dense, [[0, 0], [0, short]]))
        else:
            batch.append(tf.gather(column, index[part]))
    return batch


def own_splits(splits: Splits, config: Any, ranks: Any, expected: str) -> Splits:
    """Returns a user's own Splits with what the config must follow, refusing those that do not fit.

    Args:
        splits: The user's.
        config: Reads `batch_size`.
        ranks: Of the tensors of a batch, nested as they are.
        expected: The same in words.
    """
    spec = splits.train.element_spec
    got = tf.nest.map_structure(lambda part: part.shape.rank, spec)
    if got != ranks or not all(part.dtype.is_integer for part in tf.nest.flatten(spec)):
        raise DataError(f"train holds {spec}; expected batches of {expected}, integers all")
    return with_follows(splits, config)


def with_follows(splits: Splits, config: Any) -> Splits:
    """Returns a user's own Splits with what the config must follow; reads `batch_size`."""
    tokenizer = splits.info.tokenizer
    follows = train_examples(splits, config.batch_size)
    if tokenizer is not None:
        follows["vocab_size"] = len(tokenizer.vocabulary)
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))


def count(columns: Sequence[Column]) -> int:
    """Returns the number of examples."""
    return int(columns[0].shape[0])


def _lengths(columns: Sequence[Column]) -> tf.Tensor:
    return tf.add_n([column.row_lengths() for column in columns if isinstance(column, (tf.RaggedTensor, TokenFile))])
