"""Figures and pictures of models of several labels for each example, and of numbers."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.kinds.classes import THRESHOLD, names_of, refuse_unknown_classes
from recipes.kinds.confidence import confidence_figures
from recipes.kinds.plots import (
    MOST_EXAMPLES,
    class_indices,
    draw_images,
    draw_numbers,
    labels_and_outputs,
    predictions,
)
from recipes.runs.exhibits import Exhibit
from recipes.runs.figure_text import shortened
from recipes.verbs.evaluate import compiled_metrics

SHOWN_WORDS = 80  # of a text in a report, its last


def figures(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the figures on the test split, each of whose examples counts once.

    - Of classes: "loss" in nats, label smoothing included, "accuracy" in [0, 1], and how far the probabilities can be
      trusted: "nll", "brier" and "calibration_error", see `confidence.confidence_figures`.
    - Of several labels: "loss", the mean over the labels; "accuracy", the share of examples with all labels right;
      "label_accuracy", the share of labels that are right; "f1" and "average_precision", the means over the labels
      that the split has.
    - Of a number: "loss" in units of the variance of the training labels, "mae" in the labels' own unit, and "r2".
    """
    refuse_unknown_classes(model, splits.info)
    compiled = compiled_metrics(model, splits)
    if splits.info.task == "regression" or splits.test is None:
        return compiled
    labels, outputs = labels_and_outputs(model, splits.test)
    if splits.info.task == "classification":
        if not len(labels):
            return compiled
        return {**compiled, **confidence_figures(class_indices(labels), tf.nn.softmax(outputs).numpy())}
    probabilities = tf.sigmoid(outputs).numpy()
    right = float(((probabilities >= THRESHOLD) == (labels > 0)).mean())
    _, _, f1, precision = of_each_label(labels, probabilities)
    there = labels.any(0)
    means = {"f1": f1, "average_precision": precision} if there.any() else {}
    return {**compiled, "label_accuracy": right, **{name: float(each[there].mean()) for name, each in means.items()}}


def of_each_label(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the precision, recall, F1 and average precision of each label, (V,) each, as scikit-learn has them.

    Args:
        labels: (N, V), 1 where a label is there.
        probabilities: (N, V); a label is predicted from `THRESHOLD` on.
    """
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support

    truth, guesses = labels > 0, probabilities >= THRESHOLD
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guesses, average=None, zero_division=0)
    areas = [
        average_precision_score(of_label, scores) if of_label.any() else 0.0
        for of_label, scores in zip(truth.T, probabilities.T, strict=True)
    ]
    return precision, recall, f1, np.array(areas)


def exhibits(model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
    """Yields what the report shows of the test split.

    labels.txt, the figures of each label; or predictions.png, predicted numbers over true ones, and the worst of them.
    """
    task = splits.info.task
    if splits.test is None:
        return
    batches, labels, outputs = predictions(model, splits.test, MOST_EXAMPLES, task)
    if not len(labels):
        return
    if task == "multi_label":
        title = "The figures of each label, on the test split" + _worse_than_the_commonest(labels, outputs)
        yield title, "labels.txt", lambda: label_table(labels, outputs, names_of(splits.info, labels.shape[1]))
        return
    labels, values = labels.ravel(), outputs[:, 0]
    errors = np.abs(values - labels)
    title = f"Predicted numbers over true ones, of {len(labels):,} test examples"
    yield title + _worse_than_the_mean(errors, labels, splits), "predictions.png", lambda: draw_numbers(labels, values)
    worst = np.argsort(-errors, kind="stable")[:16]
    titles = [f"true: {labels[index]:.4g}\npredicted: {values[index]:.4g}" for index in worst]
    title = f"The {len(worst)} of {len(labels):,} test examples with the largest errors"
    tokenizer = splits.info.tokenizer
    if tokenizer is None:
        images = np.concatenate(batches)[worst]
        yield title, "mistakes.png", lambda: draw_images(images, titles, columns=4)
        return
    texts = [text.decode() for token_ids in batches for text in tokenizer.decode(token_ids).numpy()]
    lines = [
        f"{title.replace(chr(10), ', ')}\n    ... {' '.join(texts[index].split()[-SHOWN_WORDS:])}\n"
        for index, title in zip(worst, titles, strict=True)
    ]
    yield title, "mistakes.txt", lambda: "\n".join(lines)


def label_table(labels: np.ndarray, probabilities: np.ndarray, names: Any) -> str:
    """Returns a table of each label, in lines: how many examples have it, and its figures."""
    width = max(5, *(len(shortened(name)) for name in names))
    counts = (labels > 0).sum(0)
    head = f"{'label':<{width}}  examples  precision  recall     F1  average precision\n"
    rows = zip(names, counts, *of_each_label(labels, probabilities), strict=True)
    return head + "".join(
        f"{shortened(name):<{width}}  {count:>8,}  {precision:>9.3f}  {recall:>6.3f}  {f1:>5.3f}  "
        + (f"{area:>17.3f}\n" if count else f"{'-':>17}\n")
        for name, count, precision, recall, f1, area in rows
    )


def _worse_than_the_commonest(labels: np.ndarray, probabilities: np.ndarray) -> str:
    """Returns, and prints, that always answering the commonest labels would do better; "" where it would not."""
    _, counts = np.unique(labels > 0, axis=0, return_counts=True)
    share, accuracy = counts.max() / len(labels), ((probabilities >= THRESHOLD) == (labels > 0)).all(1).mean()
    if accuracy >= share:
        return ""
    worse = f"all labels are right of {accuracy:.1%}, below the {share:.1%} of always answering the commonest ones"
    print(f"note: {worse}")
    return f"; {worse}"


def _worse_than_the_mean(errors: np.ndarray, labels: np.ndarray, splits: Splits) -> str:
    """Returns the mean error beside that of always guessing the training labels' mean; prints it where it is worse."""
    mean = splits.info.follows.get("target_mean", 0.0)
    constant = float(np.abs(labels - mean).mean())
    compared = f"a mean absolute error of {errors.mean():.4g}, {constant:.4g} of always guessing {mean:.4g}, the mean"
    if errors.mean() > constant:
        print(f"note: the predictions are worse than a constant: {compared}")
    return f": {compared}"
