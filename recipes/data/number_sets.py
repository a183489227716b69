"""Sets of numbers: generated ones, those of a user, and the batches that a network learns their order from."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.image_batches import splits_of_rows
from recipes.data.in_memory import Arrays
from recipes.data.splits import DataInfo, Splits, train_examples
from recipes.data.text_reading import shortened
from recipes.errors import DataError

TRAINING_SETS, TEST_SETS = 2**18, 10_000  # that are generated
#: The intervals that sets are drawn from: of training, and others that are only tested on
TRAINED_ON = (0, 1)
UNSEEN = ((0, 10), (0, 1000), (1, 2), (10, 11), (100, 101), (1000, 1001))
LARGEST = 1e100  # of a number: those beyond have squares that are none
LONGEST = 2_000  # numbers in a set that is put in order: each is compared with each


def number_splits(config: Any, data: Any) -> Splits:
    """Returns the batches (sets (B, n) float64, the sets in order (B, n) float32), as `in_order` has them.

    Args:
        config: Reads `set_size`, `standardize`, `validation_fraction`, `max_examples`, `batch_size` and `seed`.
        data: A user's own, see `own_sets`, or Splits; None: sets are generated, the same ones whatever the seed.

    Raises:
        DataError: If the data is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        check_batches(data)
        follows = {**train_examples(data, config.batch_size), **data.info.follows}
        return replace(data, info=replace(data.info, follows=follows))
    if data is None:
        own = [
            draw_sets(count, config.set_size, TRAINED_ON, part) for part, count in ((0, TRAINING_SETS), (1, TEST_SETS))
        ]
        info = DataInfo("numbers", source="generated")
    else:
        own, info = own_sets(data), DataInfo("your own arrays")
        config.refuse_without_effect("set_size", "data= has sets of its own size", without=own[0].shape[1])
    columns = [(sets, in_order(sets, config.standardize)) for sets in own]
    arrays = Arrays(columns[0], columns[1] if len(columns) == 3 else None, columns[-1] if len(columns) > 1 else None)
    return splits_of_rows(arrays, config, info)


def draw_sets(count: int, size: int, interval: tuple[float, float], part: int) -> np.ndarray:
    """Returns (count, size) float64 numbers drawn evenly from an interval; those of each `part` are others."""
    low, high = interval
    return np.random.default_rng([1812, 3928, part, size]).uniform(low, high, (count, size))


def in_order(sets: np.ndarray, standardize: bool = True) -> np.ndarray:
    """Returns sets (N, n) in order, float32, as the loss has them: of mean 0 and deviation 1.

    >>> in_order(np.array([[3.0, 1.0]])).tolist()
    [[-1.0, 1.0]]
    """
    ordered = np.sort(sets, axis=1)
    if standardize:
        deviations = ordered.std(1, keepdims=True)
        ordered = (ordered - ordered.mean(1, keepdims=True)) / np.where(deviations > 0, deviations, 1.0)
    return ordered.astype(np.float32)


def own_sets(data: Any) -> list[np.ndarray]:
    """Returns a user's training, (validation,) test sets, or all of them, (N, n) float64 each.

    Raises:
        DataError: They are no arrays of numbers, or of sets of several sizes.
    """
    expected = "expected an array of sets (N, n), or a tuple of two or three: training, (validation,) test"
    if not isinstance(data, (np.ndarray, list, tuple)) and not hasattr(data, "__array__"):
        raise DataError(f"data is a {type(data).__name__}; {expected}")
    parts = list(data) if isinstance(data, tuple) else [data]
    if not 1 <= len(parts) <= 3:
        raise DataError(f"data is a tuple of {len(parts)}; {expected}")
    sets = []
    for part in parts:
        try:
            array = np.asarray(part, np.float64)
        except (TypeError, ValueError):
            raise DataError(f"data holds what is no array of numbers, or sets of several sizes; {expected}") from None
        if array.ndim != 2 or array.shape[1] < 2:
            raise DataError(f"data is an array {array.shape}; {expected}, of at least 2 numbers each")
        wrong = np.flatnonzero(~(np.abs(array) <= LARGEST).all(1))
        if len(wrong):
            raise DataError(f"set {wrong[0]} of data has {array[wrong[0]].tolist()}; expected finite numbers")
        sets.append(array)
    sizes = [array.shape[1] for array in sets]
    if len(set(sizes)) > 1:
        raise DataError(f"the parts of data have sets of {', '.join(map(str, sizes))} numbers; expected one size")
    return sets


def check_batches(splits: Splits) -> None:
    """Refuses a user's own Splits that are not of sets and the sets in order."""
    spec = splits.train.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    ranks = [getattr(part, "shape", tf.TensorShape(None)).rank for part in parts]
    if ranks != [2, 2] or not all(part.dtype.is_floating for part in parts):
        raise DataError(f"train holds {spec}; expected batches (sets (B, n), the sets in order (B, n)) of floats")


def read_sets(inputs: Any) -> Iterator[tuple[str, np.ndarray | DataError]]:
    """Yields (its name, (n,) float64) for each set of numbers, or why it cannot be read.

    Args:
        inputs: A set or many: a list or an array of numbers, or a str, "3 1 2" or "3, 1, 2"; of several sizes.
    """
    if hasattr(inputs, "numpy") and not hasattr(inputs, "iloc"):  # a tensor
        inputs = inputs.numpy()
    if not isinstance(inputs, str):
        try:
            inputs = list(inputs)
        except TypeError:
            raise DataError(
                f"inputs is a {type(inputs).__name__}; expected a set of numbers or a list of them"
            ) from None
    is_one = isinstance(inputs, str) or (
        inputs and all(np.ndim(item) == 0 and not isinstance(item, str) for item in inputs)
    )
    for number, item in enumerate([inputs] if is_one else inputs):
        try:
            yield f"set {number}", read_set(item, f"set {number}")
        except DataError as error:
            yield f"set {number}", error


def read_set(item: Any, name: str) -> np.ndarray:
    """Returns a set of numbers, (n,) float64, refusing what is none, by its name."""
    cells = item.replace(",", " ").split() if isinstance(item, str) else item
    try:
        numbers = np.asarray(cells, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(())
    if numbers.ndim != 1 or not len(numbers):
        raise DataError(f"{name} is {shortened(repr(item))}; expected numbers, as [3, 1, 2] or '3 1 2'")
    if len(numbers) > LONGEST:
        raise DataError(f"{name} has {len(numbers):,} numbers; expected at most {LONGEST:,}")
    if not (np.abs(numbers) <= LARGEST).all():
        raise DataError(f"{name} has {shortened(repr(item))}; expected finite numbers of at most {LARGEST:g}")
    return numbers
