import keras
import numpy as np
import pytest

from recipes import mnist_dense
from recipes.data.splits import DataInfo
from recipes.errors import ConfigError, DataError
from recipes.kinds.classes import refuse_unknown_classes
from recipes.kinds.dropped_units import dropping


def test_labels_that_a_model_has_no_class_for_are_not_evaluated():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for info in (DataInfo("mine", follows={"num_classes": 8}), DataInfo("mine", label_names=tuple("abcdefgh"))):
        with pytest.raises(
            DataError, match="the labels of mine reach 7, and this model has 2 classes; expected .* 0 to 1"
        ):
            refuse_unknown_classes(model, info)
    refuse_unknown_classes(model, DataInfo("mine", follows={"num_classes": 2}))
    refuse_unknown_classes(model, DataInfo("a user's own Splits"))


def test_below_a_probability_there_is_no_label():
    model = mnist_dense.fit(mnist_dense.TINY)
    images = model.run.examples(12)
    surest = sorted(one["probability"] for one in mnist_dense.predict(images, model))
    answers = mnist_dense.predict(images, model, min_probability=surest[4])
    assert [one["label"] is None for one in answers] == [one["probability"] < surest[4] for one in answers]
    assert sum(one["label"] is None for one in answers) == 4
    with pytest.raises(ConfigError, match=r"min_probability=1.5; expected a probability in \[0, 1\]"):
        mnist_dense.predict(images, model, min_probability=1.5)


def test_samples_with_dropout_have_a_mean_and_a_spread():
    model = mnist_dense.fit(mnist_dense.TINY, dropout=0.5, units=(16, 16))
    images = model.run.examples(3)
    plain = mnist_dense.predict(images, model)
    answers = mnist_dense.predict(images, model, samples=200)
    for one, other in zip(answers, plain, strict=True):
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert max(one["spread"].values()) > 0.003
        # The mean of 200 is that of the undropped network but for the curvature of softmax, small here.
        assert list(one["probabilities"].values()) == pytest.approx(list(other["probabilities"].values()), abs=0.05)
    assert mnist_dense.predict(images, model) == plain  # and nothing is left of it
    for samples, message in ((1, "expected 0, for none, or 2 or more"), (-1, "expected 0")):
        with pytest.raises(ConfigError, match=message):
            mnist_dense.predict(images, model, samples=samples)
    without = mnist_dense.fit(mnist_dense.TINY, dropout=0.0)
    with pytest.raises(ConfigError, match="mnist_dense has no dropout layers"):
        mnist_dense.predict(images, without, samples=5)


def test_while_units_are_dropped_batch_norm_keeps_its_averages():
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((400,)), *layers])
    x = np.full((2, 400), 3.0, np.float32)
    with dropping(model):
        dropped = model(x, training=False).numpy()
    assert 0.3 < (dropped == 0).mean() < 0.7
    np.testing.assert_allclose(dropped[dropped > 0], 6, rtol=1e-2)  # not normalised by this batch's own mean
    np.testing.assert_allclose(model(x, training=False), x, rtol=1e-2)
    assert "call" not in vars(layers[1])
