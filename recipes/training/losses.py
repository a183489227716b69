"""Losses, metrics and bounds that Keras does not have."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops


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
        label = ops.reshape(label, (-1,))
        log_probabilities = ops.log_softmax(logits)  # (B, V)
        of_label = ops.take_along_axis(log_probabilities, label[:, None], axis=-1)[:, 0]
        of_all = ops.mean(log_probabilities, axis=-1)
        return -(1 - self.label_smoothing) * of_label - self.label_smoothing * of_all

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


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
