"""Batch normalisation that is fast on one device and right on several."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import saved_as_stock
from recipes.devices.replicas import several_replicas


@saved_as_stock(keras.layers.BatchNormalization)
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer: (..., C) to (..., C), normalised over all but the last axis. Ioffe and Szegedy (2015).

    On one device it trains with TensorFlow's fused kernel, where Keras 3 takes one operation after another: on a
    processor a training step of cifar_resnet takes two thirds of the time (benchmarks/batch_norm.py). Over several
    replicas the statistics are those of the whole batch, without which each replica would keep averages of its own.
    A saved model has Keras's layer in its place.

    Args:
        momentum: How much of the moving averages stays at each step.
        **settings: Keras's others.

    Source: https://arxiv.org/abs/1502.03167
    """

    def __init__(self, momentum: float = 0.9, **settings: Any) -> None:
        super().__init__(momentum=momentum, **{"synchronized": several_replicas(), **settings})

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns the normalised inputs; while it trains, by the batch's own mean and variance."""
        plain = self.center and not self.renorm and mask is None and self.axis in (-1, inputs.ndim - 1)
        if not (training and self.trainable and plain) or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        inputs = tf.cast(inputs, self.compute_dtype)
        shape, is_image = tf.shape(inputs), inputs.ndim == 4
        count = tf.cast(tf.size(inputs) // shape[-1], tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs if is_image else tf.reshape(inputs, [-1, 1, 1, shape[-1]]),
            scale=self.gamma if self.scale else tf.ones_like(self.beta),
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        variance *= (count - 1) / count  # the kernel's is that of the population; Keras keeps the batch's
        for average, new in (self.moving_mean, mean), (self.moving_variance, variance):
            average.assign(average * self.momentum + new * (1 - self.momentum))
        return outputs if is_image else tf.reshape(outputs, shape)
