"""How far a recurrent network's learning reaches: the norms of its hidden state and of its gradients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from recipes.data.splits import Splits
from recipes.runs.atomic_files import save_picture

NEAR = 10  # tokens at each end that "near" and "far" are averaged over


class Norms(keras.callbacks.Callback):
    """Adds to each epoch's log what the first validation batch shows.

    - `hidden_norm`: of the vector that the recurrent layers end with, on average.
    - `gradient_norm`: of the loss's gradient in all weights, before `clip_norm` shortens it.
    - `gradient_near`, `gradient_far`: of the gradient in the embedding of the last tokens, and of the first. Where one
      direction alone is read and the second is far below the first, gradients have vanished on their way back; where
      it is far above, they have exploded: Pascanu et al. (2013), https://arxiv.org/abs/1211.5063.

    Args:
        splits: The data.
        embedding: Name of the layer that embeds the tokens.
        hidden: Name of the layer that sees the last hidden state.
    """

    def __init__(self, splits: Splits, embedding: str = "embedding", hidden: str = "hidden") -> None:
        super().__init__()
        self._batch = next(iter(splits.validation or splits.train))
        self._names = embedding, hidden

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Makes the function, once."""
        self._norms = norms_function(self.model, *self._names)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Adds the norms to the log."""
        if logs is None:
            return
        by_place, hidden, of_weights = self._norms(*self._batch)
        logs["hidden_norm"], logs["gradient_norm"] = hidden, of_weights
        logs["gradient_near"], logs["gradient_far"] = float(by_place[:NEAR].mean()), float(by_place[-NEAR:].mean())


def norms_function(
    model: keras.Model, embedding: str = "embedding", hidden: str = "hidden"
) -> Callable[[Any, Any], tuple[np.ndarray, float, float]]:
    """Returns a function of a batch, token ids (B, T) padded with 0 and labels (B,). It answers with three norms.

    Of the loss's gradient at each token, by its distance to the end, (T,), in texts of the batch's median length and
    more; of the hidden state, the mean; of the loss's gradient in all weights.

    Args:
        model: (B, T) token ids to logits.
        embedding: Name of the layer that embeds the tokens.
        hidden: Name of the layer whose input is the last hidden state.
    """
    inside = keras.Model(
        model.inputs[0], [model.get_layer(embedding).output, model.outputs[0], model.get_layer(hidden).input]
    )

    @tf.function(reduce_retracing=True)
    def gradients(token_ids: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            x, logits, state = inside(token_ids)
            nats = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_mean(nats)
        weights = [weight.value for weight in model.trainable_weights]
        of_texts, of_weights = tape.gradient(loss, (x, weights))
        texts, rows = tf.cast(of_texts, tf.float32), tf.cast(tf.shape(x)[0], tf.float32)
        whole = [tf.cast(tf.convert_to_tensor(gradient), tf.float32) for gradient in of_weights]  # a word's add up
        hidden_norm = tf.reduce_mean(tf.norm(tf.cast(state, tf.float32), axis=-1))
        # Of each text's own loss, not of its share in the mean.
        return rows * tf.norm(texts, axis=-1), hidden_norm, tf.linalg.global_norm(whole)

    def norms(token_ids: Any, labels: Any) -> tuple[np.ndarray, float, float]:
        of_texts, state, of_weights = gradients(tf.constant(token_ids), tf.constant(labels))
        lengths = tf.math.count_nonzero(token_ids, 1).numpy()
        length = max(1, int(np.median(lengths)))
        found = zip(of_texts.numpy(), lengths, strict=True)
        by_place = np.mean([norm[:end][::-1][:length] for norm, end in found if end >= length], 0)
        return by_place, float(state), float(of_weights)

    return norms


def norm_pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes gradients.png: how much each word of a text moves the loss, by its distance to the end."""
    batch = next(iter(splits.validation or splits.train))
    by_place, _, _ = norms_function(model)(*batch)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.semilogy(np.arange(1, len(by_place) + 1), np.maximum(by_place, 1e-12))
    axes.set(xlabel="words from the end", ylabel="norm of the gradient")
    axes.grid(alpha=0.3)
    save_picture(figure, folder / "gradients.png")
    return {"How far back the loss reaches: the gradient at each word, a batch's average": "gradients.png"}
