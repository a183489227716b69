"""Dropout whose random numbers cost little."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import saved_as_stock


@saved_as_stock(keras.layers.Dropout)
class Dropout(keras.layers.Dropout):
    """Keras's layer: sets a share `rate` of its inputs to 0 and divides the others by 1 - rate, while it trains.

    Two of its numbers are drawn from one random integer, and multiplied with the inputs in one pass. A saved model has
    Keras's layer in its place. Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the inputs, or while training those that are left."""
        if not training or not 0 < self.rate < 1 or self.noise_shape is not None:
            return super().call(inputs, training=training)
        return inputs * self.factors(tf.shape(inputs), inputs.dtype)

    def factors(self, shape: Any, dtype: Any) -> tf.Tensor:
        """Returns what inputs of some shape are multiplied with: 0 or 1 / (1 - rate), drawn anew each time."""
        return dropout_factors(shape, self.rate, self.seed_generator.next(), dtype)


def dropout_factors(shape: Any, rate: float, seed: Any, dtype: Any = "float32") -> tf.Tensor:
    """Returns 0 with the probability `rate`, to within 1 / 65,536, else what makes their mean 1.

    Args:
        shape: (rank,) integers.
        rate: In (0, 1).
        seed: (2,) integers.
        dtype: A float.
    """
    count = tf.reduce_prod(shape)
    pairs = tf.random.stateless_uniform([(count + 1) // 2], tf.cast(seed, tf.int32), None, None, tf.int32)
    bits = tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count], shape)  # each from 0 to 65,535
    dropped = min(max(round(rate * 2**16), 1), 2**16 - 1)
    return tf.cast(bits >= tf.constant(dropped, tf.uint16), dtype) * (1 / (1 - dropped / 2**16))
