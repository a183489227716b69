"""Losses and metrics that Keras does not have."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recipes.devices.keras_fixes import named_in_files, saved_as_stock

PAD = 0  # token id of padding, as in recipes.data.tokenizers


@saved_as_stock(keras.losses.CategoricalCrossentropy)
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of integer labels and logits in nats, with the label smoothing that Keras has for one-hot labels.

    A saved model has Keras's CategoricalCrossentropy in its place, which is the same of one-hot labels.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over all classes, the true one included.

    Szegedy et al. (2016), section 7; https://arxiv.org/abs/1512.00567.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "smoothed_crossentropy", **kwargs: Any) -> None:
        kwargs = {name: value for name, value in kwargs.items() if name not in ("from_logits", "axis")}
        super().__init__(from_logits=True, label_smoothing=label_smoothing, name=name, **kwargs)

    def call(self, label: Any, logits: Any) -> Any:
        """Returns the loss of each example: label (B,) or (B, 1) integer, logits (B, V) float -> (B,)."""
        return smoothed_cross_entropy(ops.reshape(label, (-1,)), logits, self.label_smoothing)


def smoothed_cross_entropy(label: Any, logits: Any, label_smoothing: float) -> Any:
    """Returns the cross-entropy in nats of labels (...) integer and logits (..., V), in the shape of the labels."""
    logits, classes = tf.convert_to_tensor(logits), logits.shape[-1]
    evenly = label_smoothing / classes
    targets = tf.one_hot(tf.cast(label, tf.int32), classes, 1 - label_smoothing + evenly, evenly, dtype=logits.dtype)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)  # one pass forward and back, where V is large


@named_in_files("SentenceNats")
class SentenceCrossentropy(keras.losses.Loss):
    """The cross-entropy of whole sentences in nats: the sum over their tokens, the mean over a batch.

    A sum, not a mean over tokens, so that replicas whose sentences differ in length together do what one device does.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over the vocabulary.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "sentence_crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each sentence: (B, T) integer, 0 for padding, and (B, T, V) float logits -> (B,)."""
        loss = smoothed_cross_entropy(y_true, y_pred, self.label_smoothing)  # (B, T)
        return ops.sum(ops.where(y_true == PAD, 0.0, loss), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("recipes")
class Perplexity(keras.metrics.Metric):
    """exp of the mean cross-entropy per token, without label smoothing."""

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.nats = self.add_weight(initializer="zeros", name="nats")
        self.tokens = self.add_weight(initializer="zeros", name="tokens")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes (B, T) tokens, 0 for padding, and (B, T, V) logits."""
        loss = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)  # (B, T)
        padding_mask = ops.cast(y_true != PAD, loss.dtype)
        self.nats.assign_add(ops.sum(loss * padding_mask))
        self.tokens.assign_add(ops.sum(padding_mask))

    def result(self) -> Any:
        """Returns the perplexity."""
        return ops.exp(self.nats / ops.maximum(self.tokens, 1))
