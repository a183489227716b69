from dataclasses import replace

import numpy as np
import pytest

from recipes import cifar_convnet
from recipes.errors import ConfigError


def test_each_block_halves_the_image():
    model = cifar_convnet.build()
    sizes = [layer.output.shape[1:] for layer in model.layers if type(layer).__name__ == "MaxPooling2D"]
    assert sizes == [(15, 15, 64), (7, 7, 128), (3, 3, 256)]
    assert model.count_params() == 1_163_074


def test_the_rate_climbs_to_its_peak_and_falls_to_zero():
    config = cifar_convnet.Config(epochs=10, batch_size=10, learning_rate=0.4)
    rate = cifar_convnet.build(config, replace(cifar_convnet.CIFAR10, train_examples=100)).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20, 60, 100)] == pytest.approx([0, 0.2, 0.4, 0.2, 0], abs=1e-6)
    flat = cifar_convnet.build(cifar_convnet.Config(warmup_fraction=0.0)).optimizer._learning_rate
    assert float(flat(0)) == pytest.approx(cifar_convnet.Config().learning_rate)


def test_weight_decay_spares_biases_and_batch_normalisation():
    model = cifar_convnet.build()
    decayed = [v.path for v in model.trainable_variables if model.optimizer._use_weight_decay(v)]
    assert len(decayed) == 8
    assert all(path.endswith("kernel") for path in decayed)


def test_too_many_blocks_are_refused():
    with pytest.raises(ConfigError, match="5 blocks halve a 32x32 image to nothing"):
        cifar_convnet.build(cifar_convnet.Config(filters=(8,) * 5))
    small = replace(cifar_convnet.CIFAR10, image_shape=(8, 32, 3))
    with pytest.raises(ConfigError, match="3 blocks halve a 8x32 image to nothing"):
        cifar_convnet.build(cifar_convnet.Config(), small)
    assert cifar_convnet.build(cifar_convnet.Config(filters=(8, 8)), small).input_shape == (None, 8, 32, 3)


def test_a_convnet_beats_a_linear_model_on_the_stand_in():
    model = cifar_convnet.fit(dataset="shapes", filters=(16, 32, 64), batch_size=64, epochs=3, learning_rate=0.2)
    assert model.run.metrics["test"]["accuracy"] > 0.35  # softmax regression: 0.11 on these scenes


def test_training_images_are_augmented_and_test_images_are_not():
    config = cifar_convnet.TINY
    first, again = cifar_convnet.load_data(config), cifar_convnet.load_data(config)
    np.testing.assert_array_equal(next(iter(first.test))[0], next(iter(again.test))[0])
    plain = cifar_convnet.load_data(replace(config, crop_padding=0, flip=False))
    shifted, still = next(iter(first.train))[0], next(iter(plain.train))[0]
    assert (shifted.numpy() != still.numpy()).any()
    np.testing.assert_array_equal(next(iter(first.train))[1], next(iter(plain.train))[1])
