"""Pictures for a run's report: what a classifier takes for what, and grids of images."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure  # not pyplot: no display, no state

from recipes.data.splits import Splits
from recipes.kinds.confidence import confidence_exhibit
from recipes.runs.exhibits import Exhibit
from recipes.runs.figure_text import shortened

MOST_CLASSES = 40  # a confusion matrix of more cannot be read
MOST_EXAMPLES = 10_000  # of the test split that are looked at
MOST_BYTES = 1 << 28  # of them, which are kept to show those that are mistaken
MOST_TOKENS = 64  # in a row or a column of a map of attention


def classifier_exhibits(model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
    """Yields confusion.png, confidence.png and mistakes.png, on the test split.

    Args:
        model: (B, H, W, C) images in [0, 255] to (B, V) logits.
        splits: The data; without a test split, or with an empty one, there are no pictures.
    """
    if splits.test is None:
        return
    batches, labels, probabilities = predictions(model, splits.test, MOST_EXAMPLES)
    if not len(labels):
        return
    images = np.concatenate(batches)
    names = splits.info.label_names or tuple(map(str, range(probabilities.shape[-1])))
    yield from confusion_exhibit(labels, probabilities.argmax(-1), names)
    yield from confidence_exhibit(labels, probabilities)
    surest, count = surest_mistakes(labels, probabilities, 16)
    if count:
        titles = [_mistake(probabilities[index], labels[index], names) for index in surest]
        title = (
            f"The {len(surest)} surest of {count:,} mistakes in {len(labels):,} test images: the true class and the "
            "predicted one, with their probabilities"
        )
        yield title, "mistakes.png", lambda: draw_images(images[surest], titles, columns=4)


def surest_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Returns (the indices of the wrong predictions of the highest probabilities, how many are wrong in all)."""
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:most], len(wrong)


def confusion_exhibit(labels: np.ndarray, guesses: np.ndarray, names: Sequence[str]) -> Iterator[Exhibit]:
    """Yields confusion.png; nothing of more classes than can be read. Says so where guessing would do better."""
    shares = np.bincount(labels, minlength=len(names)) / len(labels)
    accuracy = float((labels == guesses).mean())
    title = "Confusion matrix: which class (row) is taken for which (column), on the test split"
    if accuracy < shares.max():
        worse = f"accuracy of {accuracy:.1%} is below the {shares.max():.1%} of always guessing the largest class"
        title += f"; the {worse}"
        print(f"note: the {worse}")
    if len(names) <= MOST_CLASSES:
        yield title, "confusion.png", lambda: draw_confusion(confusion_matrix(labels, guesses, len(names)), names)


def predictions(
    model: keras.Model, test: tf.data.Dataset, most: int | None = None, task: str = "classification"
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Returns (the inputs of each batch, labels (N,), probabilities (N, V)) of a split, or of its first `most`.

    Of several labels, these are (N, V); of numbers, the predictions (N, 1) stand in place of probabilities.
    """
    batches: list[np.ndarray] = []
    labels, outputs = labels_and_outputs(model, test, most, batches.append)
    activation = {"classification": tf.nn.softmax, "multi_label": tf.sigmoid, "regression": tf.identity}[task]
    return batches, class_indices(labels) if task == "classification" else labels, activation(outputs).numpy()


def labels_and_outputs(
    model: keras.Model,
    split: tf.data.Dataset,
    most: int | None = None,
    keep: Callable[[np.ndarray], Any] = lambda inputs: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels of a split, (N,) or (N, V), and a model's outputs in float32, (N, V).

    Args:
        model: Is asked as it is in use, not in training.
        split: Batches of (inputs, labels).
        most: As soon as there are so many, or `MOST_BYTES` of their inputs, no more batches are read; None: all are.
        keep: Is called with the inputs of each batch.
    """

    @tf.function(input_signature=[split.element_spec[0]])  # Model.predict would split it over the replicas
    def ask(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(x, training=False), tf.float32)

    labels, outputs, count, size = [], [], 0, 0
    for x, label, *_ in split:
        inputs = x.numpy()
        keep(inputs)
        labels.append(label.numpy())
        outputs.append(ask(x).numpy())
        count, size = count + len(label), size + inputs.nbytes
        if most and (count >= most or size >= MOST_BYTES):
            break
    if not labels:
        return np.zeros(0, int), np.zeros((0, 1), np.float32)
    return np.concatenate(labels), np.concatenate(outputs)


def class_indices(labels: np.ndarray) -> np.ndarray:
    """Returns classes, (N,) int, of labels that are those, (N,) or (N, 1), or probabilities of the classes, (N, V)."""
    if labels.ndim == 2:
        return labels.argmax(1) if labels.shape[1] > 1 else labels[:, 0]
    return labels


def confusion_matrix(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """Returns (V, V) counts: of the true class (row), how many were taken for which (column)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def draw_confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draws a confusion matrix, (V, V) counts, in per cent of each true class; a share under 1 % has no number."""
    side = 0.45 * len(names)
    letters = max(len(shortened(name)) for name in names)
    room = 0.07 * letters  # inches, for the names at both axes
    figure = Figure(figsize=(max(5.2, side + 2.4 + room), max(3.6, side + 1.2 + room)), layout="compressed")
    axes = figure.subplots()
    of_class = counts.sum(1)
    shares = 100 * counts / np.maximum(1, of_class)[:, np.newaxis]
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))  # few mistakes are seen, too
    for row, column in np.argwhere(shares >= 1) if len(names) <= 20 else ():
        colour = "white" if shares[row, column] > 40 else "black"
        axes.text(column, row, f"{shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), [shortened(name) for name in names], rotation=90 * (letters > 3), fontsize=8)
    rows = [f"{shortened(name)}  ({count:,})" for name, count in zip(names, of_class, strict=True)]
    axes.set_yticks(range(len(names)), rows, fontsize=8)
    axes.set(xlabel="predicted class (no number: under 1 %)", ylabel=f"true class (test examples: {counts.sum():,})")
    figure.colorbar(picture, label="% of the true class", shrink=0.8, ticks=[0, 1, 5, 10, 20, 50, 100])
    return figure


def draw_numbers(labels: np.ndarray, values: np.ndarray, name: str = "label") -> Figure:
    """Draws predicted numbers, (N,), over true ones, (N,), with the line on which they would be equal."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    ends = [min(labels.min(), values.min()), max(labels.max(), values.max())]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.scatter(labels, values, s=8, alpha=max(0.05, min(0.6, 300 / len(labels))), linewidths=0)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
    axes.grid(alpha=0.3)
    return figure


def draw_attention(
    weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], row_title: str, column_title: str
) -> Figure:
    """Draws (T, S) weights of attention as a map, its first `MOST_TOKENS` rows and columns.

    Args:
        weights: In [0, 1]; what each row attends to.
        rows: T words or pieces of words.
        columns: S of them.
        row_title: What the rows are.
        column_title: What the columns are.
    """
    weights = weights[:MOST_TOKENS, :MOST_TOKENS]
    of_rows, of_columns = [[shortened(token, 16) for token in tokens[:MOST_TOKENS]] for tokens in (rows, columns)]
    figure = Figure(figsize=(3.2 + 0.28 * len(of_columns), max(3.4, 2.2 + 0.28 * len(of_rows))), layout="compressed")
    axes = figure.subplots()
    picture = axes.imshow(weights, cmap="Blues", vmin=0)
    axes.set_xticks(range(len(of_columns)), of_columns, rotation=90, fontsize=8)
    axes.set_yticks(range(len(of_rows)), of_rows, fontsize=8)
    axes.set(xlabel=_of_first(column_title, columns), ylabel=_of_first(row_title, rows))
    figure.colorbar(picture, label="attention weight", shrink=0.8)
    return figure


def _of_first(title: str, tokens: Sequence[str]) -> str:
    return title if len(tokens) <= MOST_TOKENS else f"{title} (the first {MOST_TOKENS} of {len(tokens):,})"


def draw_images(
    images: np.ndarray,
    titles: Sequence[str] = (),
    columns: int = 8,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    row_title: str = "",
    column_title: str = "",
) -> Figure:
    """Draws images, (N, H, W, C) in [0, 255], in a grid, row by row; of other than 1 or 3 channels, it says how.

    Args:
        images: What is drawn.
        titles: Above each image.
        columns: How many images a row has.
        row_labels: To the left of each row.
        column_labels: Above each column.
        row_title: What the rows are, to the left of their labels.
        column_title: What the columns are, below them.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    height = 1.1 + (0.5 if titles else 0)
    width = columns * (1.9 if titles else 1.1) + (0.8 if row_labels else 0)
    notes = [note for note in (column_title, channels_note(images)) if note]
    figure = Figure(
        figsize=(max(3, width), rows * height + (0.2 if column_labels else 0) + 0.3 * len(notes)), layout="constrained"
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for index, axes in enumerate(panels.flat):
        axes.axis("off")
        if index < len(images):
            show(axes, images[index])
            if titles:
                axes.set_title(titles[index], fontsize=7)
    for axes, label in zip(panels[:, 0], row_labels, strict=False):
        axes.text(-0.08, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=8)
    for axes, label in zip(panels[0], column_labels, strict=False):
        axes.set_title(label, fontsize=8)
    if notes:
        figure.supxlabel("\n".join(notes), fontsize=9)
    if row_title:
        figure.supylabel(row_title, fontsize=9)
    return figure


def show(axes: Any, image: np.ndarray) -> None:
    """Shows one image, (H, W, C) in [0, 255], as `in_colour` has it."""
    axes.imshow(in_colour(image))


def in_colour(image: np.ndarray) -> np.ndarray:
    """Returns (H, W, 3) uint8 of an image of any number of channels, (H, W, C) in [0, 255]; NaN is red.

    One channel is grey; of three or four, the first three are red, green and blue; of others, the mean is grey.
    """
    image = np.asarray(image, np.float32)
    channels = image[..., :3] if image.shape[-1] in (3, 4) else image.mean(-1, keepdims=True)
    colour = np.repeat(channels, 3, -1) if channels.shape[-1] == 1 else channels
    is_number = ~np.isnan(colour).any(-1, keepdims=True)
    return np.where(is_number, np.clip(colour, 0, 255), (255, 0, 0)).astype(np.uint8)


def channels_note(images: np.ndarray) -> str:
    """Returns what is shown of images, (..., C), that are neither grey nor of three colours; "" for those."""
    channels = images.shape[-1]
    if channels in (1, 3):
        return ""
    return "the first three of four channels" if channels == 4 else f"the mean of {channels} channels, as grey"


def _mistake(probabilities: np.ndarray, label: int, names: Sequence[str]) -> str:
    guess = int(probabilities.argmax())
    true, predicted = (
        f"{shortened(names[index], 20)} ({100 * probabilities[index]:.0f} %)" for index in (label, guess)
    )
    return f"true: {true}\npredicted: {predicted}"
