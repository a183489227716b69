import keras
import numpy as np
import pytest

from recipes import mnist_dense


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
    config = mnist_dense.Config(epochs=2, batch_size=10, train_examples=100, learning_rate=0.5)
    rate = mnist_dense.build(config).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-7)


def test_learns_the_stand_in():
    model = mnist_dense.fit(dataset="digits", epochs=4, precision="float32")
    assert model.run.metrics["test"]["accuracy"] > 0.9


def test_the_loss_of_equal_logits_is_the_logarithm_of_the_number_of_classes():
    loss = mnist_dense.build(mnist_dense.TINY).loss
    assert float(loss(np.array([3]), np.zeros((1, 10), "float32"))) == pytest.approx(np.log(10))
    assert isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
