"""Activations that read their inputs once."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import saved_as_stock
from recipes.devices.replicas import on_processor


@saved_as_stock(keras.layers.Activation)
class Activation(keras.layers.Activation):
    """Keras's layer: any shape to the same shape, each number by itself.

    Keras makes SiLU, GELU and their derivatives of some ten operations, each of which reads and writes all numbers. In
    training on a processor XLA makes one of them forward and one back: of GELU in half the time, of SiLU in a third.
    The sums in between are float32. A saved model has Keras's layer in its place.

    Args:
        activation: Keras's name, such as "gelu", or a function of a tensor.
        **settings: Keras's others.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the activation of each number."""
        if not (training and on_processor()):  # one compiled by XLA does not go into other formats
            return super().call(inputs)
        activation = self.activation

        @tf.custom_gradient
        def activated(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return in_one_pass(activation)(x), lambda upstream: derivative_in_one_pass(activation)(x, upstream)

        return activated(tf.convert_to_tensor(inputs))


def in_one_pass(activation: Any) -> Any:
    """Returns a function of x that gives f(x)."""

    @tf.function(jit_compile=True, autograph=False)
    def activated(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(activation(in_float32(x)), x.dtype)

    return activated


def derivative_in_one_pass(activation: Any) -> Any:
    """Returns a function of x and the gradient g with respect to f(x) that gives f'(x) g."""

    @tf.function(jit_compile=True, autograph=False)
    def derivative(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        inputs = in_float32(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = activation(inputs)
        gradient = tape.gradient(outputs, inputs, output_gradients=tf.cast(upstream, inputs.dtype))
        return tf.cast(gradient, x.dtype)

    return derivative


def in_float32(x: tf.Tensor) -> tf.Tensor:
    """Returns x, if it is shorter than float32 as that."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
