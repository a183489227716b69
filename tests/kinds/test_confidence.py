"""How far probabilities can be trusted: hand-computed figures, and the temperature that is known."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from recipes.kinds.confidence import (
    accuracy_of_answered,
    best_temperature,
    confidence_figures,
    draw_confidence,
    reliability,
    temperature_of,
    with_temperature,
    without_temperature,
)


def test_figures_by_hand():
    labels = np.array([0, 1, 2, 2])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]])
    figures = confidence_figures(labels, probabilities)
    assert figures["nll"] == pytest.approx(-(2 * np.log(0.7) + np.log(0.2) + np.log(0.5)) / 4)
    # 0.3^2 + 0.2^2 + 0.1^2 of the first and third, 0.7^2 + 0.8^2 + 0.1^2 of the second, 0.5^2 + 2 * 0.25^2 of the last
    assert figures["brier"] == pytest.approx((0.14 + 1.14 + 0.14 + 0.375) / 4)
    # of three with 0.7 two are right, of one with 0.5 one: |2.1 - 2| / 4 + |0.5 - 1| / 4
    assert figures["calibration_error"] == pytest.approx((0.1 + 0.5) / 4)


def test_a_bin_is_closed_above():
    counts, confidence, accuracy = reliability(np.array([0, 0]), np.array([[0.6, 0.4], [1.0, 0.0]]))
    assert (counts[8], counts[14], counts.sum()) == (1, 1, 2)  # 0.6 is 9 / 15
    assert (confidence[8], accuracy[14], confidence[0]) == (0.6, 1.0, 0.0)


def test_a_certain_mistake_has_a_finite_nll():
    assert confidence_figures(np.array([1]), np.array([[1.0, 0.0]]))["nll"] == pytest.approx(-np.log(1e-12))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.integers(0, 100))
def test_the_best_temperature_is_that_of_what_drew_the_labels(temperature, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4_000, 4)) * 2 * temperature
    cumulative = softmax(logits / temperature, -1).cumsum(-1)
    labels = (rng.uniform(size=(4_000, 1)) > cumulative).sum(-1).clip(0, 3)
    found = best_temperature(labels, logits)
    assert abs(np.log(found / temperature)) < 0.15

    def nll(each):
        return -log_softmax(logits / each, -1)[np.arange(len(labels)), labels].mean()

    assert nll(found) <= min(nll(1.0), nll(0.99 * found), nll(1.01 * found)) + 1e-9


def test_the_surest_are_answered_first():
    labels = np.array([0, 0, 1])
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])  # right, wrong and the surest, right
    np.testing.assert_allclose(accuracy_of_answered(labels, probabilities), [0, 1 / 2, 2 / 3])


@pytest.mark.parametrize("is_sequential", [True, False])
def test_a_temperature_divides_the_logits_and_is_taken_out_again(is_sequential):
    image = keras.Input((3,))
    model = keras.Sequential([image, keras.layers.Dense(2)])
    model = model if is_sequential else keras.Model(image, model(image))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    cooled = with_temperature(with_temperature(model, 3.0), 2.0)
    np.testing.assert_allclose(cooled(x), model(x) / 2, rtol=1e-6)
    assert (temperature_of(model), temperature_of(cooled)) == (None, 2.0)
    plain = without_temperature(cooled)
    np.testing.assert_array_equal(plain(x), model(x))
    assert without_temperature(plain) is plain
    assert cooled.evaluate(x, np.zeros(4), verbose=0)[1] == model.evaluate(x, np.zeros(4), verbose=0)[1]


def test_the_picture_is_drawn_of_one_example():
    assert len(draw_confidence(np.array([0]), np.array([[0.9, 0.1]])).axes) == 2
