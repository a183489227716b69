"""What a user's labels are: a class of each example, several labels of each, or a number to predict."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from recipes.errors import DataError, did_you_mean

MOST_CLASSES = 100_000  # an index beyond is taken for a mistake
MANY_CLASSES = 20  # as many different integers, where they are more than half of the examples, are hardly classes
MOST_NAMED = 5  # examples in one message


class Labels(NamedTuple):
    """Labels as a model is trained on them."""

    task: str  # "classification", "multi_label" or "regression"
    #: Of each split: class indices (N,) int32; of several labels 0 and 1, (N, V) float32; of a number (N,) float32.
    splits: list[np.ndarray]
    names: tuple[str, ...] = ()  # of the classes or labels, by index


def read_labels(
    raw: Sequence[Any], counts: Sequence[int], what: str, task: str = "auto", names: tuple[str, ...] = ()
) -> Labels:
    """Returns a user's labels of each split; says what they are taken for where it is no matter of course.

    Integers and texts are classes, one of each example; texts are sorted, and those of all splits together are the
    classes. Numbers with a fraction are numbers to predict. Rows (N, V) of 0 and 1 are classes where each has one 1,
    and else several labels of each example, as lists of names or of indices are.

    Args:
        raw: Of each split: lists, arrays, tensors or columns of a DataFrame.
        counts: How many examples each split has.
        what: The examples are, for messages: "images".
        task: What the labels are; "auto": what they look like.
        names: Of a trained model's classes or labels; (): those of the labels themselves.

    Raises:
        DataError: Names the examples whose labels cannot be, or what does not fit.
    """
    one_each = task != "multi_label"  # [["a"], ["b"]] and (N, 1) are a class, or a number, of each example
    splits = [_plain(labels, count, what, one_each) for labels, count in zip(raw, counts, strict=True)]
    forms = list(dict.fromkeys(map(_form, splits)))
    if len(forms) > 1:
        raise DataError(f"the labels are {' in one split and '.join(forms)} in another; expected the same in all")
    read: dict[str, Callable[..., Labels]] = {"numbers": _numbers, "rows": _rows, "texts": _texts, "lists": _lists}
    return read[forms[0]](splits, task, names)


def check_weights(weights: Any, count: int, what: str) -> np.ndarray:
    """Returns the weights of `count` examples as (N,) float32, refusing those that mean nothing."""
    array = _dense(weights)
    array = np.asarray(array if array is not None else [])
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.shape != (count,) or array.dtype.kind not in "iufb":
        raise DataError(f"weights are {array.dtype} {array.shape}; expected one number for each of the {count} {what}")
    values = array.astype(np.float32)
    if bad := _first(np.flatnonzero(~(np.isfinite(values) & (values >= 0)))):
        raise DataError(f"weights are negative or no finite number at {bad}; expected numbers of 0 or more")
    if not values.any():
        raise DataError("weights are 0, all of them; expected some above 0")
    return values


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Returns a weight for each example, (N,) float32, with which all classes weigh the same, and 1 on average.

    N / (classes * examples of the class), as scikit-learn's class_weight="balanced"; of the classes that there are.
    """
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(counts) * counts[places])).astype(np.float32)


def sizes_of_labels(task: str, names: Sequence[str], labels: np.ndarray) -> dict[str, Any]:
    """Returns what of a model follows from the training split's labels, by the names that `Sizes` has for it.

    Says so where they are all the same.
    """
    if task != "multi_label" and len(labels) and labels.min() == labels.max():
        one = f"{labels[0]:g}" if task == "regression" else repr(names[labels[0]])
        print(f"note: all {len(labels):,} labels are {one}: a model that is trained on them has nothing to tell apart")
    if task == "regression":
        values = labels.astype(np.float64)
        return {"task": task, "target_mean": float(values.mean()), "target_std": float(values.std()) or 1.0}
    return {"num_classes": len(names), **({"task": task} if task == "multi_label" else {})}


# ---------------------------------------------------------------- one form for what people have


def _plain(labels: Any, count: int, what: str, one_each: bool) -> Any:
    """Returns labels as numbers (N,) or (N, V), an object array of texts (N,), or a list of lists."""
    if labels is None:
        raise DataError(f"labels is None; expected one class index for each of the {count} {what}")
    array = _dense(labels)
    if array is not None and array.dtype.kind in "iufb":
        array = array[:, 0] if one_each and array.ndim == 2 and array.shape[1] == 1 else array
        if array.ndim not in (1, 2) or len(array) != count:
            raise DataError(
                f"labels are {array.dtype} {array.shape}; expected one class index for each of the {count} {what}"
            )
        _refuse_none(count, what)
        bad = np.flatnonzero(~np.isfinite(array).reshape(count, -1).all(1)) if array.dtype.kind == "f" else ()
        if places := _first(bad):
            raise DataError(f"labels are missing or infinite at {places}; expected one for each of the {what}")
        return array
    if array is not None and not array.ndim:
        raise DataError(f"labels is {_quoted(labels)}; expected a list of one for each of the {count} {what}")
    items = [_python(item) for item in (labels if array is None else array)]
    if len(items) != count:
        raise DataError(f"labels are {len(items)} items; expected one for each of the {count} {what}")
    _refuse_none(count, what)
    if one_each and all(isinstance(item, list) and len(item) == 1 for item in items):
        items = [item[0] for item in items]
    kinds = np.array([_kind(item) for item in items])
    good = [kind for kind in ("a number", "a text", "a list") if kind in kinds]
    problems = {kind: _first(np.flatnonzero(kinds == kind)) for kind in ("missing", "empty", "of no known kind")}
    if len(good) > 1:
        problems["of several kinds"] = ", ".join(
            f"{kind} at example {at}: {_quoted(items[at])}"
            for kind in good
            for at in [int(np.flatnonzero(kinds == kind)[0])]
        )
    if found := "; ".join(f"{problem} ({where})" for problem, where in problems.items() if where):
        raise DataError(
            f"some labels are {found}; expected of each of the {what} a text, or of each a number, or of each a list"
        )
    if good == ["a list"]:
        return _list_or_rows(items)
    return np.array(items) if good == ["a number"] else np.array(items, object)


def _dense(labels: Any) -> np.ndarray | None:
    """Returns what has a type of its own as an array: an array, a tensor, a column; None of lists and the like."""
    for method in ("to_numpy", "numpy"):
        if hasattr(labels, method):
            return np.asarray(getattr(labels, method)())
    if isinstance(labels, np.ndarray) or np.isscalar(labels):
        return np.asarray(labels)
    try:
        return None if isinstance(labels, (list, tuple)) and _has_texts(labels) else np.asarray(labels)
    except ValueError:  # lists of different lengths
        return None


def _has_texts(labels: Any) -> bool:
    """Returns whether NumPy would make a text, or an object, of what is in a list."""
    return any(not isinstance(item, (int, float, np.number, np.bool_, np.ndarray)) for item in labels)


def _python(item: Any) -> Any:
    """Returns a label as Python has it: str, a number, or a list of them."""
    if hasattr(item, "numpy"):
        item = item.numpy()
    if isinstance(item, (np.generic, np.ndarray)):
        item = item.tolist()
    if isinstance(item, bytes):
        return item.decode(errors="backslashreplace")
    return [_python(one) for one in item] if isinstance(item, (list, tuple, set, frozenset)) else item


def _kind(item: Any) -> str:
    if item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item):
        return "missing"
    if isinstance(item, str):
        return "a text" if item.strip() else "empty"
    if isinstance(item, list):
        kinds = {_kind(one) for one in item}
        return "a list" if kinds in (set(), {"a text"}, {"a number"}) else "of no known kind"
    if isinstance(item, (int, float)):
        return "a number" if np.isfinite(item) else "of no known kind"
    return "of no known kind"


def _list_or_rows(items: list[list]) -> Any:
    """Returns rows of 0 and 1, all of one length, as an array (N, V), and other lists as they are."""
    lengths, values = {len(item) for item in items}, {value for item in items for value in item}
    if any(isinstance(value, str) for value in values) and not all(isinstance(value, str) for value in values):
        raise DataError("some labels are lists of texts, others of numbers; expected lists of one kind")
    is_rows = len(lengths) == 1 and lengths != {0} and not any(isinstance(value, str) for value in values)
    is_rows &= values <= {0, 1} or any(value != int(value) for value in values if not isinstance(value, str))
    return np.array(items) if is_rows else items


def _form(labels: Any) -> str:
    if isinstance(labels, list):
        return "lists"
    return "texts" if labels.dtype == object else "numbers" if labels.ndim == 1 else "rows"


# ---------------------------------------------------------------- what each form means


def _numbers(splits: list[np.ndarray], task: str, names: tuple[str, ...]) -> Labels:
    if task == "multi_label":
        raise DataError(
            "labels are one number of each example; expected for task='multi_label' lists, or rows of 0 and 1"
        )
    whole = all(labels.dtype.kind in "iub" or np.array_equal(labels, np.rint(labels)) for labels in splits)
    if task == "regression" or (task == "auto" and not whole):
        if task == "auto":
            print("note: labels have fractions: numbers to predict, not classes (task='regression')")
        return Labels("regression", [labels.astype(np.float32) for labels in splits])
    if not whole:
        low, high = min(labels.min() for labels in splits), max(labels.max() for labels in splits)
        raise DataError(f"labels have fractions, in [{low:g}, {high:g}]; expected class indices, or task='regression'")
    low, high = min(labels.min() for labels in splits), max(labels.max() for labels in splits)
    if low < 0 or high >= MOST_CLASSES:
        raise DataError(
            f"labels lie in [{int(low)}, {int(high)}]; expected class indices from 0, less than {MOST_CLASSES:,}; or, "
            "of numbers to predict, task='regression'"
        )
    if task == "auto":
        if splits[0].dtype.kind == "f":
            print("note: labels are whole numbers: classes; of numbers to predict, pass task='regression'")
        distinct = len(np.unique(splits[0]))
        if distinct > max(MANY_CLASSES, len(splits[0]) / 2):
            print(
                f"note: labels are {distinct:,} different integers in {len(splits[0]):,} examples, taken for classes; "
                "of numbers to predict, pass task='regression'"
            )
    if splits[0].dtype.kind == "b":
        names = names or ("False", "True")
    return Labels(
        "classification",
        [labels.astype(np.int32) for labels in splits],
        names or tuple(map(str, range(max(2, 1 + int(high))))),
    )


def _rows(splits: list[np.ndarray], task: str, names: tuple[str, ...]) -> Labels:
    widths = {labels.shape[1] for labels in splits} | ({len(names)} if names else set())
    if len(widths) > 1:
        raise DataError(f"rows of labels are {' and '.join(map(str, sorted(widths)))} wide; expected one width")
    if task == "regression":
        raise DataError(f"labels are {splits[0].shape}; expected one number for each example")
    for labels in splits:
        if places := _first(np.flatnonzero(~np.isin(labels, (0, 1)).all(1))):
            raise DataError(
                f"rows of labels hold other numbers than 0 and 1 at {places}; expected one-hot classes, or labels"
            )
    names = names or tuple(map(str, range(widths.pop())))
    several = [_first(np.flatnonzero(labels.sum(1) != 1)) for labels in splits]
    if task == "classification" and any(several):
        where = next(filter(None, several))
        raise DataError(
            f"rows of labels do not have exactly one 1 at {where}; expected one class, or task='multi_label'"
        )
    if task != "multi_label" and not any(several):
        if task == "auto":
            print(f"note: rows of labels have exactly one 1: {len(names)} classes (else task='multi_label')")
        return Labels("classification", [labels.argmax(1).astype(np.int32) for labels in splits], names)
    if task == "auto":
        print(f"note: each example has any number of {len(names)} labels (task='multi_label')")
    return Labels("multi_label", [labels.astype(np.float32) for labels in splits], names)


def _texts(splits: list[np.ndarray], task: str, names: tuple[str, ...]) -> Labels:
    if task in ("regression", "multi_label"):
        expected = "numbers" if task == "regression" else "of each example a list of labels"
        raise DataError(f"labels are texts, such as {_quoted(splits[0][0])}; expected for task={task!r} {expected}")
    names, place = _named(splits, names)
    if len(names) < 2:
        raise DataError(f"all labels are {names[0]!r}; expected two classes or more")
    return Labels("classification", [np.array([place[name] for name in labels], np.int32) for labels in splits], names)


def _lists(splits: list[list[list]], task: str, names: tuple[str, ...]) -> Labels:
    if task == "classification" and (places := _first(i for i, one in enumerate(splits[0]) if len(one) != 1)):
        raise DataError(f"labels are lists of none or of several at {places}; expected one class of each example")
    if task == "regression":
        raise DataError("labels are lists; expected one number for each example")
    values = {value for labels in splits for one in labels for value in one}
    if not values:
        raise DataError("labels are empty lists, all of them; expected some labels")
    if all(isinstance(value, str) for value in values):
        names, place = _named([[value for one in labels for value in one] for labels in splits], names)
    else:
        high = len(names) - 1 if names else MOST_CLASSES - 1
        if not all(value == int(value) and 0 <= value <= high for value in values):
            raise DataError(f"labels lie in [{min(values)}, {max(values)}]; expected whole numbers from 0 to {high}")
        names = names or tuple(map(str, range(max(2, 1 + int(max(values))))))
        place = {value: int(value) for value in values}
    if task == "auto":
        print(f"note: each example has any number of {len(names)} labels (task='multi_label')")
    columns = []
    for labels in splits:
        column = np.zeros((len(labels), len(names)), np.float32)
        for row, one in zip(column, labels, strict=True):
            row[[place[value] for value in one]] = 1
        columns.append(column)
    return Labels("multi_label", columns, names)


def _named(splits: Sequence[Iterable[str]], names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Returns the names of the labels, sorted, and the place of each; those of a trained model stay as they are."""
    found = [set(labels) for labels in splits]
    everything = sorted(set().union(*found))
    if names:
        if unknown := [name for name in everything if name not in names]:
            hint = did_you_mean(unknown[0], names)
            raise DataError(f"unknown labels {_listed(unknown)}{hint}; expected those of the model: {_listed(names)}")
    elif unseen := sorted(set(everything) - found[0]):
        print(f"note: no training example has the label{'s' * (len(unseen) > 1)} {_listed(unseen)}")
    names = names or tuple(everything)
    return names, {name: index for index, name in enumerate(names)}


def _refuse_none(count: int, what: str) -> None:
    if not count:
        raise DataError(f"data holds no examples; expected at least one of the {what} in each split")


def _first(places: Iterable[int]) -> str:
    """Returns "examples 3, 7 and 2 more"; "" for none."""
    numbers = [int(place) for place in places]
    more = f" and {len(numbers) - MOST_NAMED:,} more" if len(numbers) > MOST_NAMED else ""
    listed = ", ".join(map(str, numbers[:MOST_NAMED]))
    return f"example{'s' * (len(numbers) > 1)} {listed}{more}" if numbers else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2 * MOST_NAMED:,} more" if len(names) > 2 * MOST_NAMED else ""
    return ", ".join(_quoted(name) for name in names[: 2 * MOST_NAMED]) + more


def _quoted(item: Any) -> str:
    text = repr(item)
    return text if len(text) < 80 else f"{text[:80]}..."
