from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import cifar_convnet
from recipes.cifar_convnet import begun_as_identity, whitening_filters
from recipes.errors import ConfigError
from recipes.optimization.muon import Muon


def test_each_block_halves_the_image():
    model = cifar_convnet.build()
    sizes = [layer.output.shape[1:] for layer in model.layers if type(layer).__name__ == "MaxPooling2D"]
    assert sizes == [(15, 15, 64), (7, 7, 256), (3, 3, 256)]
    assert model.count_params() == 1_973_920


@pytest.mark.parametrize("sides", [(7, 7), (6, 9), (8, 4), (3, 2)])
def test_no_more_is_convolved_than_pooling_looks_at(sides):
    image = keras.Input((*sides, 2))
    ours = keras.Model(image, keras.layers.MaxPooling2D()(convolved := cifar_convnet.convolved_for_pooling(image, 3)))
    theirs = keras.Sequential([image, cifar_convnet.convolution(3), keras.layers.MaxPooling2D()])
    theirs.set_weights(ours.get_weights())
    assert convolved.shape[1:3] == tuple(size - size % 2 for size in sides)
    images = np.random.default_rng(0).normal(size=(4, *sides, 2))
    np.testing.assert_allclose(ours(images), theirs(images), rtol=1e-5, atol=1e-6)


def test_the_rate_falls_straight_to_zero():
    config = cifar_convnet.Config(epochs=10, batch_size=10, learning_rate=0.4)
    rate = cifar_convnet.build(config, replace(cifar_convnet.CIFAR10, train_examples=100)).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 25, 50, 100)] == pytest.approx([0.4, 0.3, 0.2, 0], abs=1e-6)


# ---------------------------------------------------------------- the first layer


def test_what_the_whitening_answers_is_uncorrelated_and_of_variance_one():
    noise = np.random.default_rng(0).normal(size=(64, 8, 8, 3))
    images = noise + np.roll(noise, 1, axis=1) + noise[..., ::-1]  # neighbours and channels go together
    filters = whitening_filters(images)
    answers = tf.nn.conv2d(tf.constant(images, tf.float32), filters, 1, "VALID").numpy().reshape(-1, 24)
    np.testing.assert_allclose(answers[:, :12], -answers[:, 12:], atol=1e-6)
    moments = answers[:, :12].T @ answers[:, :12] / len(answers)
    variances = np.diag(moments)
    np.testing.assert_allclose(moments, np.diag(variances), atol=1e-3)
    assert variances == pytest.approx(1, abs=1e-2)


def test_the_first_layer_is_of_the_training_images_and_is_not_trained(fitted):
    model = fitted(cifar_convnet)
    images, *_ = next(iter(cifar_convnet.load_data(cifar_convnet.TINY).train))
    expected = whitening_filters(images.numpy() / 64.0 - 2)
    np.testing.assert_allclose(model.get_layer("whitened").kernel.numpy(), expected, rtol=1e-3, atol=1e-4)
    assert "whitened" not in " ".join(variable.path for variable in model.trainable_variables)


def test_a_convolution_begins_by_handing_its_channels_on():
    kernel = begun_as_identity(np.random.default_rng(0).uniform(-1, 1, (3, 3, 4, 6)))
    images = np.random.default_rng(1).normal(size=(2, 5, 5, 4))
    np.testing.assert_allclose(tf.nn.conv2d(images, kernel, 1, "SAME")[..., :4], images)
    narrow = begun_as_identity(np.ones((3, 3, 4, 2)))  # fewer filters than channels
    np.testing.assert_allclose(tf.nn.conv2d(images, narrow, 1, "SAME"), images[..., :2])


# ---------------------------------------------------------------- the optimizer


def test_a_saved_model_trains_on_with_the_same_optimizer(fitted):
    model = cifar_convnet.load(fitted(cifar_convnet).run.folder)
    assert isinstance(model.optimizer, Muon)
    assert int(model.optimizer.iterations) == 8
    assert len(model.optimizer.momentums) == len(model.trainable_variables) == 9


# ---------------------------------------------------------------- the recipe


def test_too_many_blocks_are_refused():
    with pytest.raises(ConfigError, match="5 blocks halve a 32x32 image to nothing"):
        cifar_convnet.build(cifar_convnet.Config(filters=(8,) * 5))
    small = replace(cifar_convnet.CIFAR10, image_shape=(8, 32, 3))
    with pytest.raises(ConfigError, match="3 blocks halve a 8x32 image to nothing"):
        cifar_convnet.build(cifar_convnet.Config(), small)
    assert cifar_convnet.build(cifar_convnet.Config(filters=(8, 8)), small).input_shape == (None, 8, 32, 3)


def test_a_convnet_beats_a_linear_model_on_the_stand_in():
    model = cifar_convnet.fit(dataset="shapes", filters=(16, 32, 64), batch_size=64, epochs=3, learning_rate=0.05)
    assert model.run.metrics["test"]["accuracy"] > 0.35  # softmax regression: 0.11 on these scenes


def test_training_images_are_augmented_and_test_images_are_not():
    config = cifar_convnet.TINY
    first, again = cifar_convnet.load_data(config), cifar_convnet.load_data(config)
    np.testing.assert_array_equal(next(iter(first.test))[0], next(iter(again.test))[0])
    off = {"crop_padding": 0, "flip": False, "jitter": 0.0}
    still = next(iter(cifar_convnet.load_data(replace(config, **off)).train))
    for name in off:
        changes = {other: value for other, value in off.items() if other != name}
        images, labels = next(iter(cifar_convnet.load_data(replace(config, **changes)).train))
        assert (images.numpy() != still[0].numpy()).any(), name
        np.testing.assert_array_equal(labels, still[1])
