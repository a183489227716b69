"""Losses that Keras does not have."""

from typing import Any

import keras
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
