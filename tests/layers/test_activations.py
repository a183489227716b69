"""A GELU that is Keras' own, of fewer operations."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers.activations import gelu


def by_definition(x):
    share, density = (1 + math.erf(x / math.sqrt(2))) / 2, math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return x * share, share + x * density


@pytest.mark.parametrize("in_a_graph", [False, True])
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-15), ("float32", 3e-7), ("bfloat16", 0.02)])
def test_values_and_gradients_are_those_of_the_definition(dtype, close, in_a_graph):
    inputs = tf.constant(np.linspace(-8, 8, 401), dtype)
    expected = np.array([by_definition(x) for x in tf.cast(inputs, "float64").numpy()])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = (tf.function(gelu) if in_a_graph else gelu)(inputs)
    both = tf.stack([outputs, tape.gradient(outputs, inputs)], 1)
    np.testing.assert_allclose(tf.cast(both, "float64"), expected, rtol=8 * close, atol=8 * close)


def test_known_values():
    np.testing.assert_allclose(gelu(tf.constant([-1.0, 0.0, 1.0, 9.0])), [-0.15865525, 0, 0.84134475, 9], rtol=1e-6)


def test_a_saved_layer_names_that_of_keras(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, gelu)])
    model.save(tmp_path / "model.keras")
    read = keras.saving.load_model(tmp_path / "model.keras")
    assert read.layers[0].activation is keras.activations.gelu
    inputs = tf.random.stateless_normal((4, 3), (0, 1))
    np.testing.assert_allclose(model(inputs), read(inputs), atol=1e-6)
