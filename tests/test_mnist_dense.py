from dataclasses import replace

import keras
import numpy as np
import pytest

from recipes import mnist_dense
from recipes.errors import ConfigError
from recipes.settings import with_changes


def test_parameters_by_hand():
    assert mnist_dense.build().count_params() == (784 * 512 + 512) + (512 * 512 + 512) + (512 * 10 + 10)
    assert mnist_dense.build(mnist_dense.LINEAR).count_params() == 784 * 10 + 10


def test_linear_computes_softmax_regression():
    model = mnist_dense.build(mnist_dense.LINEAR)
    weights, bias = np.random.default_rng(0).normal(size=(784, 10)), np.arange(10.0)
    model.set_weights([weights, bias])
    image = np.random.default_rng(1).integers(0, 256, (2, 28, 28, 1))
    expected = (image / 255).reshape(2, 784) @ weights + bias
    np.testing.assert_allclose(model.predict(image, verbose=0), expected, rtol=1e-4)


def test_the_learning_rate_falls_along_half_a_cosine():
    config = mnist_dense.Config(epochs=2, batch_size=10, learning_rate=0.5)
    rate = mnist_dense.build(config, replace(mnist_dense.MNIST, train_examples=100)).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-7)


def test_the_model_follows_the_sizes_of_the_data():
    model = mnist_dense.build(mnist_dense.LINEAR, replace(mnist_dense.MNIST, image_shape=(2, 3, 1), num_classes=4))
    assert (model.input_shape, model.output_shape) == ((None, 2, 3, 1), (None, 4))
    assert model.count_params() == 6 * 4 + 4


def test_dropout_without_a_hidden_layer_is_refused():
    with pytest.raises(ConfigError, match=r"dropout=0\.5 would change nothing: units=\(\) has no hidden layer"):
        mnist_dense.Config(units=(), dropout=0.5)
    with pytest.raises(ConfigError, match=r"dropout=0\.1 would change nothing"):
        with_changes(mnist_dense.LINEAR, dropout=0.1)
    assert mnist_dense.LINEAR.dropout == 0
    assert mnist_dense.Config(units=()).dropout == mnist_dense.Config().dropout, "left alone"


def test_learns_the_stand_in():
    model = mnist_dense.fit(dataset="digits", epochs=4, precision="float32")
    assert model.run.metrics["test"]["accuracy"] > 0.9


def test_the_loss_of_equal_logits_is_the_logarithm_of_the_number_of_classes():
    loss = mnist_dense.build(mnist_dense.TINY).loss
    assert float(loss(np.array([3]), np.zeros((1, 10), "float32"))) == pytest.approx(np.log(10))
    assert isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
