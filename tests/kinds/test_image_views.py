"""Test-time augmentation: six views of an image, and their mean."""

import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_dense
from recipes.errors import ConfigError
from recipes.kinds.image_views import accuracy_over_views, logits_of_views


def corner_of(images, training):
    return images[:, 0, :2, 0]  # as logits of two classes


def test_views_by_hand():
    image = np.arange(9.0).reshape(1, 3, 3, 1)  # rows 0 1 2, 3 4 5, 6 7 8
    # the first two of the first row: as it is 0 1, mirrored 2 1; moved up and left 4 5, mirrored 4 5 (its row is
    # 4 5 4, reflected at the edge); moved down and right 4 3, mirrored 4 3
    expected = np.array([0 + 2 + 4 + 4 + 4 + 4, 1 + 1 + 5 + 5 + 3 + 3]) / 6
    np.testing.assert_allclose(logits_of_views(corner_of, tf.constant(image, tf.float32)), [expected], rtol=1e-6)


def test_only_what_is_doubted_is_seen_again():
    images = np.arange(18, dtype=np.float32).reshape(2, 3, 3, 1)
    images[1, 0, :2, 0] = [2, 0]  # 88 % sure; the other is 73 % sure
    seen = []

    def model(images, training):
        seen.append(len(images))
        return corner_of(images, training)

    first, second = logits_of_views(model, tf.constant(images)).numpy()
    np.testing.assert_allclose(first, [3, 3], rtol=1e-6)  # as above
    assert second.tolist() == [2, 0]
    assert seen == [2, 1, 1, 1, 1, 1]


def test_of_a_model_that_doubts_nothing_too():
    from recipes import cifar_convnet

    model = cifar_convnet.build(cifar_convnet.TINY)
    model.get_layer("logits").kernel.assign(np.eye(8, 10) * 1e5)  # sure of any image
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))
    in_graph = tf.function(lambda images: logits_of_views(model, images))  # as in `evaluate`
    np.testing.assert_allclose(in_graph(images), model(images, training=False), rtol=1e-4)


def test_a_model_that_looks_at_the_mean_alone_has_its_own_accuracy_of_views():
    images = np.ones((10, 4, 4, 1), np.float32) * np.arange(10).reshape(-1, 1, 1, 1)
    test = tf.data.Dataset.from_tensor_slices((images, np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0]))).batch(4)

    def model(images, training):
        mean = tf.reduce_mean(images, (1, 2, 3))
        return tf.stack([4.5 - mean, mean - 4.5], 1)

    assert accuracy_over_views(model, test) == pytest.approx(0.8)


def test_evaluate_has_it_on_demand(fitted):
    model = fitted(mnist_dense)
    plain, more = mnist_dense.evaluate(model), mnist_dense.evaluate(model, views=True)
    assert more == {**plain, "accuracy_of_views": more["accuracy_of_views"]}
    assert 0 <= more["accuracy_of_views"] <= 1


def test_numbers_have_no_views():
    data = np.full((64, 4, 4, 1), 100, np.uint8), np.linspace(0, 1, 64)
    model = mnist_dense.fit(mnist_dense.TINY, data, batch_size=16)
    with pytest.raises(ConfigError, match="views=True averages over the classes, and this is regression"):
        mnist_dense.evaluate(model, data, views=True)
