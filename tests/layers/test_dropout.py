"""Dropout of two numbers per random integer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import read_model
from recipes.layers.dropout import Dropout, dropout_factors


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_mean_of_what_is_left(rate):
    outputs = Dropout(rate, seed=0)(np.ones((500, 401), "float32"), training=True).numpy()
    np.testing.assert_allclose(np.unique(outputs), [0, 1 / (1 - rate)], rtol=2e-4)  # the rate is one of 65,536
    assert (outputs == 0).mean() == pytest.approx(rate, abs=0.005)  # three standard deviations are 0.0034
    assert outputs.mean() == pytest.approx(1, abs=0.02 if rate < 0.9 else 0.03)


def test_neighbours_are_dropped_independently():
    """Both halves of an integer are random, and not alike."""
    dropped = dropout_factors((1000, 200), 0.3, (1, 2)).numpy() == 0
    for step in (1, 2):
        assert (dropped[:, step:] & dropped[:, :-step]).mean() == pytest.approx(0.09, abs=0.003)


def test_each_call_draws_anew_and_the_gradient_has_the_same_mask():
    layer, inputs = Dropout(0.5, seed=3), tf.ones((4, 33))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)
    assert np.any(layer(inputs, training=True) != outputs)
    np.testing.assert_array_equal(Dropout(0.5, seed=3)(inputs, training=True), outputs)


def test_nothing_is_dropped_outside_of_training_or_at_a_rate_of_0():
    inputs = tf.random.stateless_normal((4, 5), (0, 1))
    np.testing.assert_array_equal(Dropout(0.5)(inputs), inputs)
    np.testing.assert_array_equal(Dropout(0.0)(inputs, training=True), inputs)


def test_whole_vectors_are_left_to_keras():
    outputs = Dropout(0.5, noise_shape=(None, 1), seed=1)(np.ones((50, 3), "float32"), training=True).numpy()
    assert set(outputs.sum(1)) == {0.0, 6.0}


def test_a_saved_model_opens_with_keras_alone_and_with_ours(tmp_path):
    model = keras.Sequential([keras.Input((2,)), Dropout(0.25, seed=5)])
    model.save(tmp_path / "model.keras")
    for read, kind in ((keras.saving.load_model, keras.layers.Dropout), (read_model, Dropout)):
        [layer] = read(tmp_path / "model.keras").layers
        assert type(layer) is kind
        assert (layer.rate, layer.seed) == (0.25, 5)
