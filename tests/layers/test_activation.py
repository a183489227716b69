"""Activations in one pass against Keras's own."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices import replicas
from recipes.devices.keras_fixes import read_model
from recipes.layers.activation import Activation


def outputs_and_gradient(layer, inputs, cotangent, training=True):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=training) if type(layer) is Activation else layer(inputs)
    return outputs, tape.gradient(outputs, inputs, output_gradients=cotangent)


@pytest.mark.parametrize("name", ["gelu", "silu", "relu", "tanh", "linear"])
@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-6), ("mixed_bfloat16", 0.04), ("float64", 1e-12)])
def test_it_is_what_keras_computes(name, precision, atol):
    rng = np.random.default_rng(0)
    dtype = precision.removeprefix("mixed_")
    inputs, cotangent = (tf.cast(3 * rng.normal(size=(4, 5, 3)), dtype) for _ in range(2))
    ours = outputs_and_gradient(Activation(name, dtype=precision), inputs, cotangent)
    theirs = outputs_and_gradient(keras.layers.Activation(name, dtype=precision), inputs, cotangent)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(np.array(one, "float64"), np.array(other, "float64"), rtol=1e-5, atol=atol)


def test_by_hand():
    one = tf.constant([1.0])
    sigmoid = 1 / (1 + math.exp(-1))
    outputs, gradient = outputs_and_gradient(Activation("silu"), one, tf.constant([2.0]))
    np.testing.assert_allclose(outputs, [sigmoid], rtol=1e-6)  # x s(x)
    np.testing.assert_allclose(gradient, [2 * (sigmoid + sigmoid * (1 - sigmoid))], rtol=1e-6)  # s + x s (1 - s)


def test_in_bfloat16_the_sums_in_between_are_not():
    """2 digits of 1 - s(x) are lost where s(x) is rounded to 8 bits."""
    x = tf.constant([5.0], tf.bfloat16)
    exact = 1 / (1 + math.exp(-5.0))
    _, gradient = outputs_and_gradient(Activation("silu", dtype="mixed_bfloat16"), x, tf.ones_like(x))
    assert abs(float(gradient[0]) - (exact + 5 * exact * (1 - exact))) < 2**-8


@pytest.mark.parametrize("on_processor", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_only_training_on_a_processor_has_operations_of_its_own(monkeypatch, training, on_processor):
    """Which an export would hold as operations that other formats do not know."""
    monkeypatch.setattr("recipes.layers.activation.on_processor", lambda: on_processor)
    assert replicas.on_processor()
    model = keras.Sequential([keras.Input((2,)), Activation("gelu")])
    graph = tf.function(lambda x: model(x, training=training))
    operations = graph.get_concrete_function(tf.TensorSpec((None, 2))).graph.get_operations()
    assert ("IdentityN" in {operation.type for operation in operations}) is (training and on_processor)


def test_a_saved_model_opens_with_keras_alone_and_with_ours(tmp_path):
    model = keras.Sequential([keras.Input((2,)), Activation("gelu")])
    model.save(tmp_path / "model.keras")
    for read, kind in ((keras.saving.load_model, keras.layers.Activation), (read_model, Activation)):
        [layer] = read(tmp_path / "model.keras").layers
        assert type(layer) is kind
        assert layer.activation is keras.activations.gelu
