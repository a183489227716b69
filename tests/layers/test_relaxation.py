"""Draws from categories that gradients pass through."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.layers.relaxation import (
    GumbelSoftmax,
    gumbel_noise,
    gumbel_softmax,
    one_hot_of_largest,
    soft_argmax,
    straight_through,
)


@pytest.mark.parametrize(
    ("temperature", "place"), [(1, 1.2606), (0.8, 1.1894), (0.6, 1.1037), (0.4, 1.0274), (0.2, 1.0004)]
)
def test_the_soft_argmax_tends_to_the_place_of_the_largest(temperature, place):
    assert float(soft_argmax(np.array([1.1, 4, -0.1, 2.3], np.float32), temperature)) == pytest.approx(place, abs=6e-5)


def test_a_relaxed_draw_by_hand():
    """Logits 0 and log 3, without noise: probabilities 1 and 3 in 4, at half the temperature 1 and 9 in 10."""
    logits = np.log(np.array([[1, 3]], np.float32))
    np.testing.assert_allclose(gumbel_softmax(logits, 0.0, 1.0), [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(gumbel_softmax(logits, 0.0, 0.5), [[0.1, 0.9]], rtol=1e-6)
    np.testing.assert_allclose(gumbel_softmax(logits, np.log([[3, 1]]).astype("float32"), 1.0), [[0.5, 0.5]], rtol=1e-6)


def test_gumbel_noise_by_hand():
    assert float(gumbel_noise(np.float32(np.exp(-1)))) == pytest.approx(0, abs=1e-6)
    assert float(gumbel_noise(np.float32(np.exp(-np.exp(-2))))) == pytest.approx(2, rel=1e-5)
    assert np.isfinite(gumbel_noise(np.float32([0, 1 - 2**-24]))).all(), "the least and the largest that are drawn"


def test_draws_have_the_probabilities_of_their_logits():
    probabilities = np.array([0.1, 0.2, 0.7], np.float32)
    logits = np.tile(np.log(probabilities), (20_000, 1))
    layer = GumbelSoftmax(seed=0)
    for training in (False, True):
        draws = one_hot_of_largest(layer(logits, training=training)).numpy()
        np.testing.assert_allclose(draws.mean(0), probabilities, atol=0.01)  # three standard deviations are 0.0097


def test_outside_of_training_draws_are_one_hot_and_always_the_same():
    layer, logits = GumbelSoftmax(seed=1), np.zeros((50, 4, 3), np.float32)
    first = layer(logits).numpy()
    assert set(np.unique(first)) == {0, 1}
    np.testing.assert_array_equal(first.sum(-1), 1)
    np.testing.assert_array_equal(layer(logits), first)
    assert (layer(logits, training=True) != layer(logits, training=True)).numpy().any()


def test_a_straight_through_draw_is_one_hot_and_has_the_gradient_of_the_relaxed_one():
    logits = tf.constant([[0.3, -1.0, 2.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        soft = gumbel_softmax(logits, 0.0, 0.7)
        hard = straight_through(soft)
        of_soft, of_hard = (tf.reduce_sum(z * [1.0, 5.0, -2.0]) for z in (soft, hard))
    np.testing.assert_allclose(hard, [[0, 0, 1]], atol=1e-7)
    np.testing.assert_allclose(tape.gradient(of_hard, logits), tape.gradient(of_soft, logits), rtol=1e-6)
    layer = GumbelSoftmax(seed=0, hard=True)
    np.testing.assert_allclose(np.sort(layer(logits, training=True)), [[0, 0, 1]], atol=1e-6)


def test_the_temperature_falls_with_training_and_is_saved(tmp_path):
    logits = keras.Input((2, 3))
    model = keras.Model(logits, GumbelSoftmax(0, decay=0.25, lowest=0.4, name="draw")(logits))
    temperatures = []
    for _ in range(5):
        temperatures.append(float(model.get_layer("draw").temperature))
        model(np.zeros((1, 2, 3)), training=True)
    np.testing.assert_allclose(temperatures, [1, np.exp(-0.25), np.exp(-0.5), np.exp(-0.75), 0.4], rtol=1e-6)
    model(np.zeros((1, 2, 3)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").get_layer("draw")
    assert (float(again.steps), again.decay, again.lowest, again.hard) == (5, 0.25, 0.4, False)
