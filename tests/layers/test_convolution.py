"""The convolution whose kernel's gradient is one product, against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import read_model
from recipes.layers import convolution
from recipes.layers.convolution import Conv2D, gradient_of_kernel


def outputs_and_gradients(layer, inputs, weights):
    layer.build(inputs.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        loss = tf.reduce_sum(tf.sin(tf.cast(outputs, tf.float32)))
    return [outputs, *tape.gradient(loss, [inputs, *layer.trainable_variables])]


@pytest.mark.parametrize("size", [3, 1, (3, 5)])
@pytest.mark.parametrize(
    ("padding", "images"),
    [
        *(("same", each) for each in [(4, 7, 7), (2, 3, 5), (1, 1, 1), (3, 8, 2)]),
        ("valid", (2, 8, 7)),
        ("valid", (3, 4, 5)),
    ],
)
def test_it_trains_as_keras_layer_does(monkeypatch, padding, size, images):
    """In bfloat16, within what two roundings of sums of so many products differ by."""
    monkeypatch.setattr(convolution, "MANY", 2)
    calls = []
    monkeypatch.setattr(convolution, "gradient_of_kernel", lambda *a: calls.append(a) or gradient_of_kernel(*a))
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(size=(*images, 2)), tf.bfloat16)
    sizes = size if isinstance(size, tuple) else (size, size)
    weights = [rng.normal(size=(*sizes, 2, 3)) / 4, rng.normal(size=3)]
    settings = {"filters": 3, "kernel_size": size, "padding": padding, "dtype": "mixed_bfloat16"}
    ours = outputs_and_gradients(Conv2D(**settings), inputs, weights)
    theirs = outputs_and_gradients(keras.layers.Conv2D(**settings), inputs, weights)
    assert len(calls) == 1
    for one, other in zip(ours, theirs, strict=True):
        one, other = np.array(one, "float32"), np.array(other, "float32")
        np.testing.assert_allclose(one, other, atol=0.02 * np.abs(other).max())


def test_gradient_of_a_kernel_by_hand():
    images = tf.reshape(tf.constant([1.0, 2, 3, 4]), (1, 2, 2, 1))
    upstream = tf.reshape(tf.constant([1.0, 0, 0, 10]), (1, 2, 2, 1))
    # The output at (0, 0) sees 1 in the middle of its kernel, the one at (1, 1) sees 4 there.
    expected = [[10, 20, 0], [30, 41, 2], [0, 3, 4]]
    np.testing.assert_array_equal(gradient_of_kernel(images, upstream, (3, 3, 1, 1))[..., 0, 0], expected)


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "float32"}, {"strides": 2}, {"groups": 2}, {"kernel_size": 2}, {"filters": 1}],
)
def test_what_does_not_pay_is_left_to_keras(monkeypatch, settings):
    monkeypatch.setattr(convolution, "MANY", 2)
    monkeypatch.setattr(convolution, "convolution", None)  # would fail
    inputs = tf.ones((2, 4, 4, 2))
    settings = {"filters": 4, "kernel_size": 3, "padding": "same", "dtype": "mixed_bfloat16", **settings}
    assert Conv2D(**settings)(inputs).shape == keras.layers.Conv2D(**settings)(inputs).shape


def test_large_images_are_left_to_keras(monkeypatch):
    monkeypatch.setattr(convolution, "MANY", 2)
    monkeypatch.setattr(convolution, "convolution", None)
    layer = Conv2D(2, 3, padding="same", dtype="mixed_bfloat16")
    assert layer(tf.ones((1, 4, 9, 2))).shape == (1, 4, 9, 2)
    assert layer(keras.Input((None, None, 2))).shape == (None, None, None, 2)


def test_a_saved_model_opens_with_keras_alone_and_with_ours(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), Conv2D(3, 3, padding="same")])
    model.save(tmp_path / "model.keras")
    for read, kind in ((keras.saving.load_model, keras.layers.Conv2D), (read_model, Conv2D)):
        [layer] = read(tmp_path / "model.keras").layers
        assert type(layer) is kind
        assert (layer.filters, layer.padding) == (3, "same")
