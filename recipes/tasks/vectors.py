"""Words as vectors: the loss they are learned by, which are near each other, a picture and a file of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from recipes.errors import ConfigError, did_you_mean
from recipes.runs.atomic_files import write_text


@keras.saving.register_keras_serializable("recipes")
class NegativeSampling(keras.losses.Loss):
    """-log s(x) of words that stand around a word, -log s(-x) of words drawn at random: the sum, in nats.

    Mikolov et al. (2013), equation 4; https://arxiv.org/abs/1310.4546.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each word: labels 1, 0, or -1 for none (B, N), and logits (B, N) -> (B,)."""
        y_true = ops.cast(y_true, y_pred.dtype)
        nats = ops.softplus((1 - 2 * y_true) * y_pred)
        return ops.sum(ops.where(y_true < 0, 0.0, nats), axis=-1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns (N, D) vectors of length 1 in the same directions."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def index_of(word: str, names: Sequence[str]) -> int:
    """Returns the place of a word, refusing one that is not known."""
    try:
        return list(names).index(word.lower())
    except ValueError:
        raise ConfigError(
            f"the word {word!r} is not among the {len(names):,} that are known{did_you_mean(word, names)}"
        ) from None


def nearest(
    names: Sequence[str], vectors: np.ndarray, words: Sequence[str], count: int
) -> list[list[tuple[str, float]]]:
    """Returns the words of the smallest angle to each of some words, with its cosine, the nearest first."""
    directions = unit(vectors)
    rows = [index_of(word, names) for word in words]
    cosines = directions[rows] @ directions.T
    order = np.argsort(-cosines, axis=-1, kind="stable")
    return [
        [(names[place], float(cosine[place])) for place in places if place != row][:count]
        for row, cosine, places in zip(rows, cosines, order, strict=True)
    ]


def draw_words(names: Sequence[str], vectors: np.ndarray) -> Figure:
    """Draws words on the two axes along which the directions of their vectors, (N, D), differ most."""
    centred = unit(vectors) - unit(vectors).mean(0)
    _, _, axes_of_most = np.linalg.svd(centred, full_matrices=False)
    x, y = (centred @ axes_of_most[:2].T).T
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots()
    axes.scatter(x, y, s=2, alpha=0.3)
    for name, left, up in zip(names, x, y, strict=True):
        axes.annotate(name, (left, up), fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def write_vectors(names: Sequence[str], vectors: np.ndarray, path: Path) -> None:
    """Writes vectors in word2vec's text format: a line with their number and length, then a line for each word."""
    rows = (
        f"{name} {' '.join(f'{value:.6g}' for value in vector)}" for name, vector in zip(names, vectors, strict=True)
    )
    text = "\n".join([f"{len(names)} {vectors.shape[1]}", *rows]) + "\n"
    write_text(path, text)
