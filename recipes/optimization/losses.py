"""Losses, metrics and bounds that Keras does not have."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from recipes.data.tokenizers import PAD


@keras.saving.register_keras_serializable("recipes")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits in nats, with the label smoothing that Keras has for one-hot labels.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over all classes, the true one included.

    Szegedy et al. (2016), section 7; https://arxiv.org/abs/1512.00567.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "smoothed_crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, label: Any, logits: Any) -> Any:
        """Returns the loss of each example: label (B,) or (B, 1) integer, logits (B, V) float -> (B,)."""
        return smoothed_nats(ops.reshape(label, (-1,)), logits, self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def smoothed_nats(label: Any, logits: Any, label_smoothing: float) -> Any:
    """Returns the cross-entropy in nats of labels (...) integer and logits (..., V), in the shape of the labels."""
    logits, classes = tf.convert_to_tensor(logits), logits.shape[-1]
    evenly = label_smoothing / classes
    targets = tf.one_hot(tf.cast(label, tf.int32), classes, 1 - label_smoothing + evenly, evenly, dtype=logits.dtype)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)  # one pass forward and back, where V is large


@keras.saving.register_keras_serializable("recipes")
class SentenceNats(keras.losses.Loss):
    """The cross-entropy of whole sentences in nats: the sum over their tokens, the mean over a batch.

    A sum, not a mean over tokens, so that replicas whose sentences differ in length together do what one device does.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over the vocabulary.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "sentence_nats", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each sentence: (B, T) integer, 0 for padding, and (B, T, V) float logits -> (B,)."""
        nats = smoothed_nats(y_true, y_pred, self.label_smoothing)
        return ops.sum(ops.where(y_true == PAD, 0.0, nats), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("recipes")
class Perplexity(keras.metrics.Metric):
    """exp of the nats per token, without label smoothing: among how many tokens a model is as good as undecided."""

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.nats = self.add_weight(initializer="zeros", name="nats")
        self.tokens = self.add_weight(initializer="zeros", name="tokens")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes (B, T) tokens, 0 for padding, and (B, T, V) logits."""
        nats = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        there = ops.cast(y_true != PAD, nats.dtype)
        self.nats.assign_add(ops.sum(nats * there))
        self.tokens.assign_add(ops.sum(there))

    def result(self) -> Any:
        """Returns the perplexity."""
        return ops.exp(self.nats / ops.maximum(self.tokens, 1))


def bits(y_true: Any, y_pred: Any) -> Any:
    """Returns the cross-entropy of labels and logits in bits: (B, T) integer and (B, T, V) to (B, T)."""
    return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True) / np.log(2)


@keras.saving.register_keras_serializable("recipes")
class Bits(keras.metrics.MeanMetricWrapper):
    """The mean of `bits`: how many a character takes."""

    def __init__(self, name: str = "bits", **kwargs: Any) -> None:
        super().__init__(bits, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {"name": self.name, "dtype": self.dtype}


def pixel_nats(target: Any, logits: Any) -> Any:
    """Returns -log p(x|z) of independent pixels in nats, (B, H, W, C) twice to (B,).

    Kingma and Welling (2014), appendix C.1; https://arxiv.org/abs/1312.6114.
    """
    return ops.sum(ops.softplus(logits) - target * logits, axis=(1, 2, 3))


@keras.saving.register_keras_serializable("recipes")
class PixelNats(keras.losses.Loss):
    """The mean of `pixel_nats`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each image, (B,)."""
        return pixel_nats(y_true, y_pred)


@keras.saving.register_keras_serializable("recipes")
class Reconstruction(keras.metrics.MeanMetricWrapper):
    """The mean of `pixel_nats`, as a metric."""

    def __init__(self, name: str = "reconstruction", **kwargs: Any) -> None:
        super().__init__(pixel_nats, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {"name": self.name, "dtype": self.dtype}


def importance_weighted_bound(
    encoder: keras.Model, decoder: keras.Model, batches: tf.data.Dataset, samples: int
) -> float:
    """Returns -log (1/k sum_i p(x, z_i) / q(z_i | x)), the mean over images in nats.

    Args:
        encoder: Images to [z_mean, z_log_var] of a normal distribution of codes, (B, L) each.
        decoder: Codes to logits of pixels.
        batches: (input, target) with targets 0 or 1.
        samples: k, the codes drawn for each image, always the same.

    Burda et al. (2016), equation 8; https://arxiv.org/abs/1509.00519.
    """

    @tf.function
    def log_weight(z_mean: tf.Tensor, z_log_var: tf.Tensor, target: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(tf.shape(z_mean), [0, number])
        z = z_mean + tf.exp(0.5 * z_log_var) * noise
        log_p_z = -0.5 * tf.reduce_sum(tf.square(z), -1)  # without the constant, which both have
        log_q_z = -0.5 * tf.reduce_sum(tf.square(noise) + z_log_var, -1)
        return log_p_z - log_q_z - pixel_nats(target, decoder(z, training=False))

    nats = []
    for image, target in batches:
        z_mean, z_log_var = encoder(image, training=False)
        weights = [log_weight(z_mean, z_log_var, target, tf.constant(number)) for number in range(samples)]
        nats.append(np.log(samples) - tf.reduce_logsumexp(tf.stack(weights), 0).numpy())
    return float(np.concatenate(nats).mean())
