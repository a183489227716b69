"""Pictures for a run's report: what a classifier takes for what, and grids of images."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure  # not pyplot: no display, no state

from recipes.data.splits import Splits
from recipes.runs.exhibits import Exhibit

MOST_CLASSES = 40  # a confusion matrix of more cannot be read
MOST_EXAMPLES = 10_000  # of the test split that are looked at


def classifier_exhibits(model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
    """Yields confusion.png and mistakes.png, on the test split.

    Args:
        model: (B, H, W, C) images in [0, 255] to (B, V) logits.
        splits: The data; without a test split there are no pictures.
    """
    if splits.test is None:
        return
    batches, labels, probabilities = predictions(model, splits.test, MOST_EXAMPLES)
    images = np.concatenate(batches)
    names = splits.info.label_names or tuple(map(str, range(probabilities.shape[-1])))
    yield from confusion_exhibit(labels, probabilities.argmax(-1), names)
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    surest = wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:16]
    if len(surest):
        titles = [_mistake(probabilities[index], labels[index], names) for index in surest]
        title = f"Its {len(surest)} surest mistakes of {len(wrong)} in {len(labels)}, with its three best guesses"
        yield title, "mistakes.png", lambda: draw_images(images[surest], titles, columns=4)


def confusion_exhibit(labels: np.ndarray, guesses: np.ndarray, names: Sequence[str]) -> Iterator[Exhibit]:
    """Yields confusion.png; nothing of more classes than can be read. Says so where guessing would do better."""
    shares = np.bincount(labels, minlength=len(names)) / len(labels)
    accuracy = float((labels == guesses).mean())
    title = "What it takes for what, on the test split"
    if accuracy < shares.max():
        worse = f"accuracy of {accuracy:.1%} is below the {shares.max():.1%} of always guessing the largest class"
        title += f"; its {worse}"
        print(f"note: the {worse}")
    if len(names) <= MOST_CLASSES:
        yield title, "confusion.png", lambda: draw_confusion(confusion_matrix(labels, guesses, len(names)), names)


def predictions(
    model: keras.Model, test: tf.data.Dataset, most: int | None = None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Returns (the inputs of each batch, labels (N,), probabilities (N, V)) of a split, or of its first `most`."""

    @tf.function(input_signature=[test.element_spec[0]])  # Model.predict would split it over the replicas
    def classify(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.cast(model(x, training=False), tf.float32))

    batches, labels, probabilities, count = [], [], [], 0
    for x, label in test:
        batches.append(x.numpy())
        labels.append(label.numpy())
        probabilities.append(classify(x).numpy())
        count += len(label)
        if most and count >= most:
            break
    return batches, np.concatenate(labels), np.concatenate(probabilities)


def confusion_matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """Returns (V, V) counts: of the true class (row), how many were taken for which (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def draw_confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws a confusion matrix as shares of each true class."""
    size = max(3.5, 0.45 * len(names) + 1.5)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        if counts[row, column] and len(names) <= 20:
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{100 * shares[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="taken for", ylabel="is", title="% of each class")
    return figure


def draw_attention(weights: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """Draws (T, S) weights of attention as a map: what each row's word looks at."""
    figure = Figure(figsize=(1.5 + 0.28 * len(columns), 1.5 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    return figure


def draw_images(
    images: np.ndarray,
    titles: Sequence[str] = (),
    columns: int = 8,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Figure:
    """Draws images, (N, H, W, C) in [0, 255], in a grid, row by row.

    Args:
        images: What is drawn.
        titles: Above each image.
        columns: How many images a row has.
        row_labels: To the left of each row.
        column_labels: Above each column.
    """
    rows = -(-len(images) // columns)
    height = 1.1 + (0.5 if titles else 0)
    width = columns * (1.7 if titles else 1.1) + (0.6 if row_labels else 0)
    figure = Figure(figsize=(width, rows * height + (0.2 if column_labels else 0)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(panels.flat):
        axes.axis("off")
        if index < len(images):
            show(axes, images[index])
            if titles:
                axes.set_title(titles[index], fontsize=6)
    for axes, label in zip(panels[:, 0], row_labels, strict=False):
        axes.text(-0.08, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=8)
    for axes, label in zip(panels[0], column_labels, strict=False):
        axes.set_title(label, fontsize=8)
    return figure


def show(axes: Any, image: np.ndarray) -> None:
    """Shows one image, (H, W, C) in [0, 255]; one channel is grey."""
    shown = np.clip(image, 0, 255).astype(np.uint8)
    axes.imshow(shown[..., 0] if shown.shape[-1] == 1 else shown[..., :3], cmap="gray", vmin=0, vmax=255)


def _mistake(probabilities: np.ndarray, label: int, names: Sequence[str]) -> str:
    best = np.argsort(-probabilities)[:3]
    guesses = "\n".join(f"{names[index]} {100 * probabilities[index]:.0f} %" for index in best)
    return f"is {names[label]}\n{guesses}"
