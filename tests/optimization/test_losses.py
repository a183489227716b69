import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.optimization.losses import SmoothedCrossentropy, smoothed_cross_entropy


def test_by_hand():
    logits = np.log([[0.7, 0.2, 0.1]])
    assert float(SmoothedCrossentropy()(np.array([0]), logits)) == pytest.approx(-np.log(0.7))
    smoothed = 0.9 * -np.log(0.7) + 0.1 * np.mean(-np.log([0.7, 0.2, 0.1]))
    assert float(SmoothedCrossentropy(0.1)(np.array([0]), logits)) == pytest.approx(smoothed)


def test_equals_keras_on_one_hot_labels():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 5)).astype("float32"), rng.integers(0, 5, 20)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(np.eye(5)[labels], logits)
    assert float(SmoothedCrossentropy(0.2)(labels, logits)) == pytest.approx(float(theirs), rel=1e-5)


def test_survives_serialisation():
    loss = SmoothedCrossentropy(0.3)
    assert keras.losses.deserialize(keras.losses.serialize(loss)).label_smoothing == 0.3


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(7,), (3, 4)])
@pytest.mark.parametrize("scale", [1.0, 1e3])  # of logits whose probabilities underflow
def test_the_gradient_that_is_written_out_is_tensorflows_of_dense_targets(smoothing, shape, scale):
    rng = np.random.default_rng(0)
    logits, labels = tf.constant(scale * rng.normal(size=(*shape, 11)), tf.float32), rng.integers(0, 11, shape)
    targets = tf.one_hot(labels, 11) * (1 - smoothing) + smoothing / 11
    cotangent = tf.constant(rng.normal(size=shape), tf.float32)
    results = []
    for loss in (
        lambda: smoothed_cross_entropy(labels, logits, smoothing),
        lambda: tf.nn.softmax_cross_entropy_with_logits(targets, logits),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss()
        results.append((value, tape.gradient(value, logits, cotangent)))
    (ours, gradient), (theirs, expected) = results
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_bfloat16_logits_have_a_loss_of_float32_accuracy_in_their_own_dtype():
    logits = tf.cast([[1.0, 2.0, 3.0]], tf.bfloat16)
    loss = smoothed_cross_entropy(np.array([2]), logits, 0.0)
    assert loss.dtype == tf.bfloat16
    assert float(loss[0]) == pytest.approx(0.4076, rel=2**-8)
