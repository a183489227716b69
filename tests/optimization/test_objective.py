from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import read_model
from recipes.optimization.losses import Accuracy, Crossentropy, ExactMatch, answers, objective

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(20, 5)).astype("float32"), RNG.integers(0, 5, 20)
MIXED = 0.7 * np.eye(5, dtype="float32")[LABELS] + 0.3 * np.eye(5, dtype="float32")[::-1][LABELS]


def sizes(task, mean=0.0, std=1.0):
    return SimpleNamespace(task=task, target_mean=mean, target_std=std)


def test_class_indices_have_keras_own_loss_to_the_bit():
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    labels, logits = tf.constant(LABELS), tf.constant(LOGITS)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        losses = [loss(labels, logits) for loss in (theirs, objective(sizes("classification"))["loss"])]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(*(tape.gradient(loss, logits) for loss in losses))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_probabilities_of_classes_are_labels_too(smoothing):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    loss = objective(sizes("classification"), smoothing)["loss"]
    assert float(loss(MIXED, LOGITS)) == pytest.approx(float(theirs(MIXED, LOGITS)), rel=1e-6)
    assert float(loss(np.eye(5)[LABELS], LOGITS)) == pytest.approx(float(loss(LABELS, LOGITS)), rel=1e-6)
    assert float(loss(LABELS[:, None], LOGITS)) == pytest.approx(float(loss(LABELS, LOGITS)), rel=1e-6)


def test_sequences_of_class_indices_are_no_probabilities():
    loss, logits = Crossentropy(from_logits=True), RNG.normal(size=(2, 3, 3)).astype("float32")
    assert loss(np.array([[0, 1, 2], [2, 1, 0]]), logits).shape == ()


def test_accuracy_takes_the_likeliest_class():
    logits = np.eye(3, dtype="float32")
    for labels in (np.array([0, 1, 1]), np.array([[0.6, 0.4, 0], [0.3, 0.7, 0], [0.2, 0.5, 0.3]])):
        metric = Accuracy()
        metric.update_state(labels, logits)
        assert float(metric.result()) == pytest.approx(2 / 3)


def test_of_several_labels_all_must_be_right():
    labels, logits = np.array([[1, 0], [1, 1], [0, 0]], np.uint8), np.array([[2.0, -1], [2.0, -1], [-3, -0.1]])
    metric = ExactMatch()
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx(2 / 3)
    by_hand = np.mean(np.log1p(np.exp(-logits * (2.0 * labels - 1))))
    assert float(objective(sizes("multi_label"))["loss"](labels, logits)) == pytest.approx(by_hand)


def test_a_number_is_answered_in_its_own_unit_and_its_loss_in_variances(tmp_path):
    years = 2000 + 5 * RNG.normal(size=64).astype("float32")  # far from 0: float32 loses a hundredth of R2
    of_years = sizes("regression", float(years.mean()), float(years.std()))
    inputs = keras.Input((1,))
    model = keras.Model(inputs, answers(keras.layers.Dense(1, dtype="float32")(inputs), of_years))
    model.compile("sgd", **objective(of_years))
    x = RNG.normal(size=(64, 1)).astype("float32")
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    figures = model.evaluate(x, years, verbose=0, return_dict=True)
    mae = np.abs(years - years.mean()).mean()
    assert figures == pytest.approx({"loss": 1.0, "mae": mae, "r2": 0.0}, rel=1e-4, abs=1e-6)
    model.set_weights([np.full((1, 1), 0.5), np.zeros(1)])
    figures, guesses = model.evaluate(x, years, verbose=0, return_dict=True), model.predict(x, verbose=0)[:, 0]
    r2 = 1 - np.square(years - guesses.astype(float)).mean() / years.astype(float).var()
    assert (figures["r2"], figures["loss"]) == (pytest.approx(r2, abs=1e-5), pytest.approx(1 - r2, abs=1e-5))
    model.save(tmp_path / "model.keras")
    read = read_model(tmp_path / "model.keras")
    assert read.evaluate(x, years, verbose=0, return_dict=True) == pytest.approx(figures)
    assert keras.models.load_model(tmp_path / "model.keras").predict(x, verbose=0)[:, 0] == pytest.approx(guesses)


def test_the_mean_of_a_constant_label_is_answered():
    constant = sizes("regression", 7.0, 1.0)
    output = answers(keras.Input((1,)), constant)
    assert output.shape == (None, 1)
    assert answers(output, sizes("classification")) is output
