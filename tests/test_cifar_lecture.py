from dataclasses import replace

import pytest

from recipes import cifar_lecture
from recipes.errors import ConfigError


def test_it_is_the_network_of_keras_2_3_1_layer_by_layer():
    model = cifar_lecture.build()
    by_hand = (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64) + (2304 * 512 + 512) + (5120 + 10)
    assert model.count_params() == by_hand == 1_250_858
    steps = cifar_lecture.CIFAR10.steps(1, cifar_lecture.Config().batch_size)
    assert f"an epoch has {steps:,} steps for {-(-50_000 // 32):,}" in cifar_lecture.__doc__
    kinds = [type(layer).__name__ for layer in model.layers[2:]]
    block = ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout"]
    assert kinds == [*block, *block, "Flatten", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.25, 0.25, 0.5]
    sizes = [layer.output.shape[1:3] for layer in model.layers if type(layer).__name__ in ("Conv2D", "MaxPooling2D")]
    assert sizes == [(32, 32), (30, 30), (15, 15), (15, 15), (13, 13), (6, 6)]


def test_rmsprops_rate_falls_with_the_steps():
    optimizer = cifar_lecture.build().optimizer
    assert (type(optimizer).__name__, optimizer.rho, optimizer.momentum) == ("RMSprop", 0.9, 0)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 1_000_000, 3_000_000)]
    assert rates == pytest.approx([1e-4, 1e-4 / 2, 1e-4 / 4])  # 1e-4 / (1 + 1e-6 t)


def test_dropout_is_doubled_after_the_dense_layer_and_stays_below_one():
    model = cifar_lecture.build(cifar_lecture.Config(dropout=0.4))
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.4, 0.4, 0.8]
    with pytest.raises(ConfigError, match=r"dropout=0\.5 is out of range; expected at least 0 and less than 0\.5"):
        cifar_lecture.Config(dropout=0.5)


def test_blocks_that_leave_nothing_of_an_image_are_refused():
    four = replace(cifar_lecture.CIFAR10, image_shape=(4, 4, 3))  # 4, less 2, halved: 1
    assert cifar_lecture.build(cifar_lecture.Config(filters=(8,)), four).count_params() > 0
    with pytest.raises(ConfigError, match="2 blocks halve a 4x4 image to nothing; expected fewer filters"):
        cifar_lecture.build(cifar_lecture.Config(filters=(8, 8)), four)
    with pytest.raises(ConfigError, match=r"filters=\(\) is empty"):
        cifar_lecture.Config(filters=())


def test_it_learns_the_stand_in():
    model = cifar_lecture.fit(dataset="shapes", filters=(8, 16), units=64, epochs=5, learning_rate=2e-3)
    assert model.run.metrics["test"]["accuracy"] > 0.25  # softmax regression: 0.11 on these scenes
