"""Examples in memory, before they are batched."""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from recipes.data.labels import balanced_weights, check_weights, read_labels
from recipes.errors import DataError, one_line

MOST_NAMED = 5  # classes in a note
#: What a split holds, example by example: for images (N, H, W, C) uint8 or float32, and labels as in `Labels`; in
#: training the weights of the examples, (N,) float32, may follow. What does not fit in memory has a length, and
#: `[places]` returns some of it, as of an array: `LazyImages`.
Columns = tuple[Any, ...]


class Arrays(NamedTuple):
    """Examples in memory, before they are split and batched."""

    train: Columns
    validation: Columns | None = None  # None: to be held out of train
    test: Columns | None = None  # None: likewise
    label_names: tuple[str, ...] = ()
    skipped: Mapping[Any, str] = MappingProxyType({})  # files that were left out -> why they cannot be read
    identity: str = ""  # tells the examples from all others, in memory and out of it; "": their content does
    task: str = "classification"  # what the labels are, where there are any; see `Labels`

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


def from_pairs(
    data: Any, check: Callable[[Any], Any], what: str, task: str = "auto", names: tuple[str, ...] = ()
) -> Arrays:
    """Returns a user's `(examples, labels)` or `(examples, labels, weights)`, or two or three such, checked.

    Args:
        data: Training, (validation,) test.
        check: The examples of a split -> the same as a column; raises DataError.
        what: The examples are, for messages: "images".
        task: What the labels are; see `read_labels`, and so for `names`.
        names: Of a trained model's labels.

    Raises:
        DataError: Names what does not fit: the nesting, lengths, labels or weights.
    """
    expected = f"expected a folder, ({what}, labels), (({what}, labels), ({what}, labels)), or three such pairs"
    if not isinstance(data, (tuple, list)) or not 1 < len(data) < 4:
        raise DataError(f"data is a {type(data).__name__}; {expected}")
    splits = data if _holds_splits(data) else [data]
    for split in splits:
        if not isinstance(split, (tuple, list)) or not 1 < len(split) < 4:
            held = f"{len(split)} items" if isinstance(split, (tuple, list)) else f"a {type(split).__name__}"
            raise DataError(f"data holds {held} where a pair ({what}, labels) was expected; {expected}")
    examples = [check(split[0]) for split in splits]
    counts = [len(column) for column in examples]
    labels = read_labels([split[1] for split in splits], counts, what, task, names)
    columns: list[Columns] = list(zip(examples, labels.splits, strict=True))
    if len(splits[0]) == 3:
        columns[0] = (*columns[0], check_weights(splits[0][2], counts[0], what))
    if any(len(split) == 3 for split in splits[1:]):
        print("note: weights of validation and test data are not used: their figures count each example once")
    train, *rest = columns
    return Arrays(
        train,
        validation=rest[0] if len(rest) == 2 else None,
        test=rest[-1] if rest else None,
        label_names=labels.names,
        task=labels.task,
    )


def _holds_splits(data: Any) -> bool:
    """Returns whether data are two or three splits, and not the (examples, labels) or (.., weights) of one.

    A split is a tuple, or a list of two or three columns.
    """
    if all(isinstance(split, tuple) for split in data):
        return True
    first = data[0]
    return (
        isinstance(first, (tuple, list))
        and 1 < len(first) < 4
        and all(hasattr(column, "__len__") and not isinstance(column, (str, bytes)) for column in first)
        and np.ndim(first[-1]) < 3
    )


def with_weights(
    splits: tuple[Columns, Columns | None, Columns], class_weight: str
) -> tuple[Columns, Columns | None, Columns]:
    """Returns splits, training with the weights that a setting asks for, times those that it has, others with none."""
    train, validation, test = splits
    examples, labels, *weights = train
    if class_weight == "balanced":
        train = examples, labels, balanced_weights(labels) * (weights[0] if weights else np.float32(1))
    return train, validation and validation[:2], test[:2]


def known_labels(model: Any) -> tuple[str, tuple[str, ...]]:
    """Returns (the task, the names of the labels) of a trained model, to read others as it knows them."""
    run = getattr(model, "run", None)
    return (run.info.task, run.label_names) if run else ("auto", ())


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


def hold_out(columns: Columns, fraction: float, classes: np.ndarray | None = None) -> tuple[Columns, Columns]:
    """Returns (the columns kept, the columns held out), examples chosen the same way every time.

    Args:
        columns: Of equal length N.
        fraction: Share of the examples to hold out.
        classes: (N,) class indices. That share of each class is held out, up to an example more or less, and of a class
            with a single example nothing. None: examples are held out at random.
    """
    random = np.random.default_rng(20090408)  # of no run's seed: runs share their splits
    order = random.permutation(len(columns[0]))
    held = round(len(order) * fraction)
    is_held = np.arange(len(order)) < held
    if classes is not None and len(order):
        _, of_class, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
        if counts.max() > 1:
            rank = np.empty(len(order), int)  # of an example among those of its class, as they are shuffled
            rank[np.argsort(of_class, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
            is_held = rank < _shared_out(counts, held, random)[of_class]
    kept, out = order[~is_held], order[is_held]
    return tuple(column[kept] for column in columns), tuple(column[out] for column in columns)


def _shared_out(counts: np.ndarray, held: int, random: np.random.Generator) -> np.ndarray:
    """Returns how many examples of each class are held out: its share of `held`, rounded up where most is missing."""
    counts = counts * (counts > 1)
    shares = counts * min(1.0, held / counts.sum())
    whole = np.floor(shares).astype(int)
    missing = min(held, counts.sum()) - whole.sum()
    whole[np.lexsort((random.permutation(len(counts)), whole - shares))[:missing]] += 1  # of equals, any
    return np.minimum(whole, counts)


def three_way(
    arrays: Arrays, validation_fraction: float, max_examples: int | None, stratified: bool = True
) -> tuple[Columns, Columns | None, Columns]:
    """Returns (train, validation or None, test), holding out what the data set itself does not.

    Args:
        arrays: The splits that there are.
        validation_fraction: Share of the training split to hold out.
        max_examples: Of each split; None: all.
        stratified: Whether, of labels that are classes, the same share of each class is taken.
    """
    train, validation, test = arrays.train, arrays.validation, arrays.test
    by_class = stratified and arrays.task == "classification" and bool(arrays.label_names)

    def held_out(columns: Columns, fraction: float) -> tuple[Columns, Columns]:
        return hold_out(columns, fraction, columns[1] if by_class else None)

    if by_class and (test is None or (validation is None and validation_fraction)):
        _note_single(train[1], arrays.label_names)
    if test is None:
        train, test = held_out(train, 0.1)
        if not len(test[0]):
            raise DataError(f"{len(train[0])} examples are too few to hold out a test split; expected at least 6")
    if validation is None and validation_fraction:
        train, validation = held_out(train, validation_fraction)
        validation = validation if len(validation[0]) else None

    def few(columns: Columns) -> Columns:
        if max_examples is None or max_examples >= len(columns[0]):
            return columns
        return held_out(columns, max_examples / len(columns[0]))[1]  # of all classes, however they are ordered

    return few(train), few(validation) if validation else None, few(test)


def _note_single(labels: np.ndarray, names: tuple[str, ...]) -> None:
    """Prints which classes have one example, where others have more: it stays in training."""
    counts = np.bincount(labels)
    single = [names[label] for label in np.flatnonzero(counts == 1)]
    if single and counts.max() > 1:
        more = f" and {len(single) - MOST_NAMED:,} more" if len(single) > MOST_NAMED else ""
        named = ", ".join(map(one_line, single[:MOST_NAMED])) + more
        print(f"note: there is one example of {named}: it is trained on, and none is held out to validate or test on")


def fingerprint(*values: np.ndarray | str) -> str:
    """Returns a short text that differs where any of the values does; an array in shape, type or content."""
    digest = hashlib.blake2b(digest_size=12)
    for value in values:
        array = np.frombuffer(value.encode(errors="backslashreplace"), np.uint8) if isinstance(value, str) else value
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
