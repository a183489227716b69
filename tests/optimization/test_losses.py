import keras
import numpy as np
import pytest

from recipes.optimization.losses import SmoothedCrossentropy


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
