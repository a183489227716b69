"""What captions cost, against arithmetic by hand and against enumeration."""

from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from recipes.show_attend_tell import CaptionLoss, doubly_stochastic_penalty


def test_the_penalty_by_hand():
    """Two places, three words of which the last is padding: (1 - 1.2)^2 + (1 - 0.8)^2."""
    weights = tf.constant([[[0.9, 0.1], [0.3, 0.7], [1.0, 0.0]]])
    assert doubly_stochastic_penalty(weights, tf.constant([[1.0, 1.0, 0.0]])).numpy() == pytest.approx([0.04 + 0.04])
    nats, there = tf.constant([2.0]), tf.constant([[1.0, 1.0, 0.0]])
    soft = CaptionLoss("soft", 0.5, policy_weight=1.0, entropy_weight=1.0)
    assert soft(nats, weights, weights, there).numpy() == pytest.approx([2 + 0.5 * 0.08])


def toy(theta, steps=2, places=2):
    """log p(s_t = i) by theta, (T, L), and log p(y | s) of every way to look, from a table."""
    table = np.random.default_rng(0).normal(size=(places,) * steps).astype(np.float32)
    return tf.nn.softmax(theta), table


def every_way(steps=2, places=2):
    return [(ways, np.eye(places, dtype=np.float32)[list(ways)]) for ways in product(range(places), repeat=steps)]


@pytest.mark.parametrize("baseline", [0.0, -3.7])
def test_the_estimate_of_hard_attentions_gradient_is_the_truth_on_average(baseline):
    """Over all four ways that two words can look at two places, weighted by how likely each is.

    The truth is the gradient of the bound L_s = sum_s p(s) log p(y | s), equation 10. Any baseline leaves it as it is.
    """
    theta = tf.Variable(np.random.default_rng(1).normal(size=(2, 2)).astype(np.float32))
    cost = CaptionLoss("hard", 0.0, policy_weight=1.0, entropy_weight=0.0)
    there = tf.ones((1, 2))
    with tf.GradientTape() as tape:
        weights, table = toy(theta)
        bound = tf.add_n([table[ways] * tf.reduce_prod(weights * looks + 1 - looks) for ways, looks in every_way()])
    truth = tape.gradient(bound, theta)

    estimate = np.zeros((2, 2))
    for ways, looks in every_way():
        cost.baseline.assign(baseline)  # which moves in training
        with tf.GradientTape() as tape:
            weights, table = toy(theta)
            loss = cost(tf.constant([-table[ways]]), weights[None], tf.constant(looks[None]), there)[0]
        chance = float(tf.reduce_prod(tf.reduce_sum(weights * looks, -1)))
        estimate -= chance * tape.gradient(loss, theta).numpy()
    np.testing.assert_allclose(estimate, truth, atol=1e-6)
    assert np.abs(truth).max() > 0.05


def test_the_entropys_gradient_by_hand():
    """Of two places with weights a and 1 - a: dH/da = log((1 - a) / a); where it looked has no part in it."""
    a = tf.Variable(0.8)
    cost = CaptionLoss("hard", 0.0, policy_weight=0.0, entropy_weight=0.5)
    with tf.GradientTape() as tape:
        weights = tf.reshape(tf.stack([a, 1 - a]), (1, 1, 2))
        loss = cost(tf.constant([1.0]), weights, weights, tf.ones((1, 1)))[0]
    assert loss.numpy() == pytest.approx(1 + 0.5 * (0.8 * np.log(0.8) + 0.2 * np.log(0.2)))
    assert tape.gradient(loss, a).numpy() == pytest.approx(-0.5 * np.log(0.2 / 0.8), rel=1e-5)


def test_looking_softly_adds_nothing_to_reinforce():
    theta = tf.Variable([[0.3, -0.4]])
    cost = CaptionLoss("hard", 0.0, policy_weight=1.0, entropy_weight=0.0)
    with tf.GradientTape() as tape:
        weights = tf.nn.softmax(theta)[None]
        loss = cost(tf.constant([5.0]), weights, weights, tf.ones((1, 1)))[0]
    np.testing.assert_allclose(tape.gradient(loss, theta), 0, atol=1e-6)


def test_outside_of_training_the_loss_is_nats():
    weights = tf.fill((2, 1, 2), 0.5)
    cost = CaptionLoss("hard", 0.0, policy_weight=1.0, entropy_weight=1.0)
    assert cost(tf.constant([3.0, 5.0]), weights, weights, tf.ones((2, 1)), training=False).numpy().tolist() == [3, 5]


def test_the_baseline_follows_the_captions():
    """b = 0.9 b + 0.1 mean(log p), in training alone; section 4.1."""
    cost = CaptionLoss("hard", 0.0, policy_weight=1.0, entropy_weight=0.0)
    weights = tf.fill((2, 1, 2), 0.5)
    for nats, training in (([10.0, 30.0], True), ([99.0, 99.0], False), ([20.0, 20.0], True)):
        cost(tf.constant(nats), weights, weights, tf.ones((2, 1)), training=training)
    assert cost.baseline.numpy() == pytest.approx(0.9 * -2 + 0.1 * -20)
