"""The fused batch normalisation against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import read_model
from recipes.layers.batch_norm import BatchNormalization


def trained_step(layer, inputs, weights, cotangent):
    """Returns (outputs, gradients, weights after) of one training call."""
    layer.build(inputs.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * cotangent)
    gradients = tape.gradient(loss, [inputs, *layer.trainable_variables])
    return [outputs, *gradients, *layer.get_weights(), layer(inputs)]


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (7, 3), (2, 3, 4), (2, 2, 3, 2, 2), (1, 1, 1, 2)])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_it_trains_as_keras_layer_does(shape, precision):
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, shape), "float32")
    weights = list(rng.uniform(0.5, 1.5, (4, shape[-1])))
    cotangent = tf.constant(rng.normal(size=shape), "float32")
    ours = trained_step(BatchNormalization(dtype=precision), inputs, weights, cotangent)
    theirs = trained_step(keras.layers.BatchNormalization(momentum=0.9, dtype=precision), inputs, weights, cotangent)
    assert ours[0].dtype == theirs[0].dtype
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.array(one, "float32"), np.array(other, "float32"), rtol=1e-4, atol=1e-5)


def test_by_hand():
    layer = BatchNormalization(epsilon=0.0)
    outputs = layer(np.array([[1.0], [3.0]], "float32"), training=True)
    np.testing.assert_allclose(outputs, [[-1], [1]], rtol=1e-6)  # mean 2, variance 1 over the batch
    np.testing.assert_allclose(layer.moving_mean, [0.2], rtol=1e-6)  # 0.9 * 0 + 0.1 * 2
    np.testing.assert_allclose(layer.moving_variance, [1.0], rtol=1e-6)  # 0.9 * 1 + 0.1 * 1


def test_without_a_scale_it_trains_as_keras_layer_does():
    rng = np.random.default_rng(0)
    inputs, cotangent = (tf.constant(rng.normal(3, 2, (6, 5, 4, 3)), "float32") for _ in range(2))
    weights = list(rng.uniform(0.5, 1.5, (3, 3)))
    ours = trained_step(BatchNormalization(scale=False), inputs, weights, cotangent)
    theirs = trained_step(keras.layers.BatchNormalization(momentum=0.9, scale=False), inputs, weights, cotangent)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"center": False}, {"axis": 1}, {"trainable": False}])
def test_what_the_kernel_cannot_do_is_left_to_keras(settings):
    inputs = np.random.default_rng(0).normal(size=(4, 3, 2, 5)).astype("float32")
    ours, theirs = BatchNormalization(**settings), keras.layers.BatchNormalization(momentum=0.9, **settings)
    np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))


def test_a_saved_model_opens_with_keras_alone_and_with_ours(tmp_path):
    model = keras.Sequential([keras.Input((2,)), BatchNormalization(momentum=0.7)])
    model.save(tmp_path / "model.keras")
    for read, kind in ((keras.saving.load_model, keras.layers.BatchNormalization), (read_model, BatchNormalization)):
        [layer] = read(tmp_path / "model.keras").layers
        assert type(layer) is kind
        assert (layer.momentum, layer.synchronized) == (0.7, False)
