"""Layer normalisation in few passes over its inputs."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import saved_as_stock


@saved_as_stock(keras.layers.LayerNormalization)
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras's layer: (..., D) to (..., D), each vector normalised to mean 0 and variance 1, then scaled and shifted.

    In training its gradient is written out, which takes half the passes over (..., D) that the derivatives of Keras 3's
    operations take, one after the other. A saved model has Keras's layer in its place. Ba et al. (2016), equation 4.

    Source: https://arxiv.org/abs/1607.06450
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the normalised inputs; statistics are float32."""
        plain = self.scale and self.center and not self.rms_scaling and self.axis in (-1, [-1], [inputs.ndim - 1])
        if not (training and plain):  # a gradient that is written out does not go into other formats
            return super().call(inputs)
        outputs = normalize(tf.cast(inputs, tf.float32), self.gamma, self.beta, self.epsilon)
        return tf.cast(outputs, self.compute_dtype)


def normalize(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    """Returns gamma (x - mean) / sqrt(variance + epsilon) + beta, over the last axis of x (..., D) float32."""

    @tf.custom_gradient
    def normalized_and_scaled(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Any]:
        centered = x - tf.reduce_mean(x, -1, keepdims=True)
        inverse_std = tf.math.rsqrt(tf.reduce_mean(tf.square(centered), -1, keepdims=True) + epsilon)  # (..., 1)
        normalized = centered * inverse_std

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            every = list(range(x.shape.rank - 1))
            of_normalized = upstream * gamma
            mean = tf.reduce_mean(of_normalized, -1, keepdims=True)
            along = tf.reduce_mean(of_normalized * normalized, -1, keepdims=True)
            of_x = inverse_std * (of_normalized - mean - normalized * along)
            return of_x, tf.reduce_sum(upstream * normalized, every), tf.reduce_sum(upstream, every)

        return normalized * gamma + beta, gradient

    return normalized_and_scaled(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))
