"""Examples in memory, before they are batched."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from recipes.errors import DataError

MOST_CLASSES = 100_000  # an index beyond is taken for a mistake
#: What a split holds, example by example: for images (N, H, W, C) uint8 or float32, and labels (N,) int32. What does
#: not fit in memory has a length, and `[places]` returns some of it, as of an array: `LazyImages`.
Columns = tuple[Any, ...]


class Arrays(NamedTuple):
    """Examples in memory, before they are split and batched."""

    train: Columns
    validation: Columns | None = None  # None: to be held out of train
    test: Columns | None = None  # None: likewise
    label_names: tuple[str, ...] = ()
    skipped: Mapping[Path, str] = MappingProxyType({})  # files that were left out -> why they cannot be read
    identity: str = ""  # tells the examples from all others, in memory and out of it; "": their content does

    @property
    def named(self) -> dict[str, Columns]:
        """Returns the splits that there are, by their names."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def fingerprint(self, *splits: Columns | None) -> str:
        """Returns a text to know some splits of these by: their content or, with an `identity`, their labels."""
        columns = [split for split in splits if split]
        if not self.identity:
            contents: list[Any] = [getattr(column, "key", column) for split in columns for column in split]
            return fingerprint(*contents)
        return fingerprint(self.identity, *(column for split in columns for column in split[1:]))

    def mapped(self, function: Callable[[Columns], Columns]) -> "Arrays":
        """Returns the same with a function applied to the columns of each split."""
        validation, test = (split and function(split) for split in (self.validation, self.test))
        return self._replace(train=function(self.train), validation=validation, test=test)


class EvaluationData(NamedTuple):
    """What a trained model is evaluated on, of a user's own data."""

    data: Any  # for the recipe's `load_data`
    examples: int
    label_names: tuple[str, ...] = ()


def from_pairs(data: Any, check: Callable[[Any, Any], Columns], what: str) -> Arrays:
    """Returns a user's `(examples, labels)`, or two or three such pairs, checked.

    Args:
        data: Training, (validation,) test.
        check: The examples and labels of a split -> the same as columns; raises DataError.
        what: The examples are, for messages: "images".

    Raises:
        DataError: Names what does not fit: the nesting, lengths, or labels that are no class indices.
    """
    expected = f"expected a folder, ({what}, labels), (({what}, labels), ({what}, labels)), or three such pairs"
    if not isinstance(data, (tuple, list)) or not 1 < len(data) < 4:
        raise DataError(f"data is a {type(data).__name__}; {expected}")
    first = data[0]
    several = isinstance(first, (tuple, list)) and len(first) == 2 and not isinstance(first[0], str)
    checked = []
    for pair in data if several else [data]:
        if len(pair) != 2:
            raise DataError(f"data holds {len(pair)} items where a pair ({what}, labels) was expected; {expected}")
        checked.append(check(*pair))
    classes = 1 + max(int(labels.max()) for _, labels in checked)
    train, *rest = checked
    return Arrays(
        train,
        validation=rest[0] if len(rest) == 2 else None,
        test=rest[-1] if rest else None,
        label_names=tuple(map(str, range(max(2, classes)))),
    )


def check_labels(labels: Any, count: int, what: str) -> np.ndarray:
    """Returns labels as (count,) int32, refusing those that are no class indices, or not as many."""
    if labels is None:
        raise DataError(f"labels is None; expected one class index for each of the {count} {what}")
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels are {labels.dtype} {labels.shape}; expected one class index for each of the {count} {what}"
        )
    if not count:
        raise DataError(f"data holds no examples; expected at least one of the {what} in each split")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise DataError(
            f"labels lie in [{labels.min()}, {labels.max()}]; expected class indices from 0, less than {MOST_CLASSES:,}"
        )
    return labels.astype(np.int32)


def without_hidden_labels(arrays: Arrays, name: str) -> Arrays:
    """Returns examples with labels without the validation or test split whose labels its authors keep to themselves.

    Raises:
        DataError: If the training split is such a one.
    """
    visible = {}
    for split, columns in arrays.named.items():
        labels = columns[1]
        if not len(labels) or labels.min() >= 0:
            visible[split] = columns
        elif split == "train":
            raise DataError(f"the training split of {name} has hidden labels, {labels.min()}; expected class indices")
        else:
            print(f"note: the labels of the {split} split of {name} are hidden: it is not used")
    return arrays._replace(validation=visible.get("validation"), test=visible.get("test"))


def hold_out(columns: Columns, fraction: float) -> tuple[Columns, Columns]:
    """Returns (the columns kept, the columns held out), examples chosen the same way every time."""
    order = np.random.default_rng(20090408).permutation(len(columns[0]))  # of no run's seed: runs share their splits
    held = round(len(order) * fraction)
    return tuple(column[order[held:]] for column in columns), tuple(column[order[:held]] for column in columns)


def three_way(
    arrays: Arrays, validation_fraction: float, max_examples: int | None
) -> tuple[Columns, Columns | None, Columns]:
    """Returns (train, validation or None, test), holding out what the data set itself does not."""
    train, validation, test = arrays.train, arrays.validation, arrays.test
    if test is None:
        train, test = hold_out(train, fraction=0.1)
        if not len(test[0]):
            raise DataError(f"{len(train[0])} examples are too few to hold out a test split; expected at least 6")
    if validation is None and validation_fraction:
        train, validation = hold_out(train, fraction=validation_fraction)
        validation = validation if len(validation[0]) else None

    def few(columns: Columns) -> Columns:
        if max_examples is None or max_examples >= len(columns[0]):
            return columns
        return hold_out(columns, fraction=max_examples / len(columns[0]))[1]  # of all classes, however they are ordered

    return few(train), few(validation) if validation else None, few(test)


def fingerprint(*values: np.ndarray | str) -> str:
    """Returns a short text that differs where any of the values does; an array in shape, type or content."""
    digest = hashlib.blake2b(digest_size=12)
    for value in values:
        array = np.frombuffer(value.encode(errors="backslashreplace"), np.uint8) if isinstance(value, str) else value
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
