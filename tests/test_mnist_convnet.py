"""LeNet: the papers' counts, layer by layer, and what their units compute."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recipes import mnist_convnet as recipe
from recipes.errors import ConfigError

SIZES_1989 = replace(recipe.MNIST, image_shape=(16, 16, 1))


def test_parameters_of_lenet5():
    model = recipe.build()
    counts = {name: model.get_layer(name).count_params() for name in ("c1", "c3", "c5", "f6", "logits")}
    assert counts == {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "logits": 850}
    assert model.count_params() == 61_706
    assert model.get_layer("s4").output.shape == (None, 5, 5, 16)


def test_units_parameters_and_connections_of_1989():
    model = recipe.build(recipe.LENET1989, SIZES_1989)
    assert model.count_params() == 9_760
    units = {"h1_bias": 8 * 8 * 12, "h2_bias": 4 * 4 * 12, "h3": 30, "logits": 10}
    for name, count in units.items():
        assert np.prod(model.get_layer(name).output.shape[1:]) == count
    assert 16 * 16 + sum(units.values()) == 1_256
    window = 5 * 5 * model.get_layer("h2_0").kernel.shape[2]
    connections = 768 * (5 * 5 + 1) + 192 * (window + 1) + 30 * (192 + 1) + 10 * (30 + 1)
    assert connections == 64_660


def test_each_second_map_looks_at_eight_of_the_first():
    model = recipe.build(recipe.LENET1989, SIZES_1989)
    inner = keras.Model(model.get_layer("h1_bias").output, model.get_layer("h2_bias").output)
    base, seen = np.zeros((1, 8, 8, 12), np.float32), np.zeros((12, 12), bool)
    for first in range(12):
        changed = base.copy()
        changed[..., first] = 1
        seen[first] = (np.abs(inner(changed) - inner(base)).max((0, 1, 2)) > 1e-6).astype(bool)
    assert (seen.sum(0) == 8).all()
    assert (seen.sum(1) == 8).all()


def test_the_activation_takes_one_to_one():
    x = keras.Input((3,))
    model = keras.Model(x, recipe.squashed(x))
    np.testing.assert_allclose(model(np.float32([[1, -1, 100]])), [[1, -1, 1.7159]], atol=1e-4)


def test_a_bias_of_each_unit():
    layer = recipe.UnitBias()
    layer.build((None, 2, 1, 1))
    layer.bias.assign(np.float32([[[1]], [[2]]]))
    np.testing.assert_array_equal(layer(np.zeros((1, 2, 1, 1), np.float32)).numpy().ravel(), [1, 2])


def test_too_small_images_are_refused():
    with pytest.raises(ConfigError, match="8x8 pixels; expected at least 12x12"):
        recipe.build(recipe.Config(), replace(recipe.MNIST, image_shape=(8, 8, 1)))


def test_learns_the_stand_in():
    model = recipe.fit(dataset="digits", epochs=6, batch_size=32, average_weights=None, precision="float32")
    assert model.run.metrics["test"]["accuracy"] > 0.93
