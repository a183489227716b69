from dataclasses import replace

import keras
import numpy as np
import pytest

from recipes import cifar_resnet
from recipes.errors import ConfigError
from recipes.settings import with_changes


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(("num_layers", "in_millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_those_of_the_papers_table_6(num_layers, in_millions):
    model = cifar_resnet.build(cifar_resnet.Config(num_layers=num_layers))
    assert round(trainable(model) / 1e6, 1 if num_layers == 110 else 2) == in_millions
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) + 1 == num_layers, "and one dense layer"


def test_parameters_of_20_layers_by_hand():
    weights = 27 * 16 + 6 * 9 * 16 * 16 + 9 * 16 * 32 + 5 * 9 * 32 * 32 + 9 * 32 * 64 + 5 * 9 * 64 * 64 + 64 * 10 + 10
    normalisation = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert trainable(cifar_resnet.build()) == weights + normalisation == 269_722
    assert trainable(cifar_resnet.build(cifar_resnet.Config(version=2))) == 269_722


def test_the_shortcut_takes_every_other_pixel_and_adds_zeros():
    image = keras.Input((4, 4, 2))
    model = keras.Model(image, cifar_resnet.shortcut(image, 4, 2))
    x = np.arange(32.0).reshape(1, 4, 4, 2)
    y = model.predict(x, verbose=0)
    np.testing.assert_array_equal(y[..., 1:3], x[:, ::2, ::2])
    assert not y[..., [0, 3]].any()


@pytest.mark.parametrize("version", [1, 2])
def test_a_block_whose_convolutions_are_zero_is_its_shortcut(version):
    image = keras.Input((4, 4, 3))
    block = keras.Model(image, (cifar_resnet.block_v1 if version == 1 else cifar_resnet.block_v2)(image, 3, 1))
    block.set_weights([w * 0 if w.ndim == 4 else w for w in block.get_weights()])
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    expected = np.maximum(x, 0) if version == 1 else x
    np.testing.assert_allclose(block.predict(x, verbose=0), expected, atol=1e-6)


def test_stages_have_half_the_pixels_and_twice_the_filters():
    sums = [layer.output.shape[1:] for layer in cifar_resnet.build().layers if isinstance(layer, keras.layers.Add)]
    assert sums == [(32, 32, 16)] * 3 + [(16, 16, 32)] * 3 + [(8, 8, 64)] * 3


def test_the_rate_falls_straight_to_zero_or_is_divided_by_ten_twice():
    sizes = replace(cifar_resnet.CIFAR10, train_examples=100)
    rate = cifar_resnet.build(cifar_resnet.Config(epochs=4, batch_size=10), sizes).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20, 40)] == pytest.approx([0.06, 0.045, 0.03, 0], abs=1e-6)
    config = with_changes(cifar_resnet.PAPER, epochs=4, batch_size=10)
    rate = cifar_resnet.build(config, sizes).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 19, 21, 29, 31, 39)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])


def test_the_papers_training():
    config, sizes = cifar_resnet.PAPER, replace(cifar_resnet.CIFAR10, train_examples=45_000)
    optimizer, steps = cifar_resnet.build(config, sizes).optimizer, sizes.steps(config.epochs, config.batch_size)
    assert config.batch_size == 128
    assert steps == 182 * (45_000 // 128) == 63_882, "the paper's 64,000, in whole epochs"
    drops = steps // 2, steps * 3 // 4
    assert drops == (31_941, 47_911), "the paper's 32,000 and 48,000"
    around = [0, drops[0], drops[0] + 1, drops[1], drops[1] + 1, steps - 1]
    assert [float(optimizer._learning_rate(step)) for step in around] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3]
    )
    assert all(f"{number:,}" in cifar_resnet.__doc__ for number in (steps, *drops))
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)
    # A step takes rate * decay off a kernel; momentum adds up L2's gradient of 1e-4 to 1 / (1 - 0.9) of that.
    assert optimizer.weight_decay == pytest.approx(1e-4 / (1 - 0.9))


def test_steps_and_epochs_of_the_docstring():
    config = cifar_resnet.Config()
    steps = cifar_resnet.CIFAR10.steps(config.epochs, config.batch_size)
    assert f"{config.epochs} epochs are {steps:,} steps of {config.batch_size} images" in cifar_resnet.__doc__


def test_settings_of_the_other_optimizer_are_refused():
    with pytest.raises(ConfigError, match=r"nesterov=False would change nothing: Muon's momentum looks ahead always"):
        cifar_resnet.Config(nesterov=False)
    with pytest.raises(ConfigError, match=r"bias_rate=2\.0 would change nothing: SGD has one rate for all"):
        with_changes(cifar_resnet.PAPER, bias_rate=2.0)


def test_other_depths_and_no_filters_are_refused():
    with pytest.raises(ConfigError, match="filters=0 is out of range; expected at least 1"):
        cifar_resnet.Config(filters=0)
    with pytest.raises(ConfigError, match="num_layers=21 is not 6 n"):
        cifar_resnet.Config(num_layers=21)
