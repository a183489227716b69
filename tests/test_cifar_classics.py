"""AlexNet, VGG and All-CNN: the papers' counts, and the gradient that guided backpropagation takes."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import cifar_classics as recipe
from recipes.errors import ConfigError


def kernels(model):
    return [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]


def test_all_cnn_c_has_the_parameters_of_the_paper():
    model = recipe.build(recipe.PAPER)
    assert model.count_params() == 1_369_738
    widths = [(3, 96), (96, 96), (96, 96), (96, 192), (192, 192), (192, 192), (192, 192)]
    assert kernels(model) == [(3, 3, *width) for width in widths] + [(1, 1, 192, 192), (1, 1, 192, 10)]
    assert model.get_layer("class_maps").output.shape == (None, 6, 6, 10), "the paper's last maps, averaged"
    strides = [layer.strides for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [place for place, stride in enumerate(strides) if stride == (2, 2)] == [2, 5], "in place of pools"
    assert not [layer for layer in model.layers if "pool" in layer.name and layer.name != "logits"]
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == pytest.approx([0.2, 0.5, 0.5]), "of the image, and where pools were"


def test_vgg_16_has_thirteen_convolutions_of_3x3():
    shapes = kernels(recipe.build(recipe.VGG_PAPER))
    assert [shape[:2] for shape in shapes[:-2]] == [(3, 3)] * 13
    assert [shape[3] for shape in shapes[:-2]] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert shapes[-2:] == [(512, 512), (512, 10)], "five blocks leave one place of 32x32"


def test_alexnet_has_five_convolutions_and_three_dense_layers():
    model = recipe.build(recipe.ALEXNET_PAPER)
    shapes = kernels(model)
    assert [shape[:2] for shape in shapes[:5]] == [(5, 5), (5, 5), (3, 3), (3, 3), (3, 3)]
    assert [shape[3] for shape in shapes[:5]] == [96, 256, 384, 384, 256]
    assert shapes[5:] == [(4 * 4 * 256, 4096), (4096, 4096), (4096, 10)]
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert [(pool.pool_size, pool.strides) for pool in pools] == [((3, 3), (2, 2))] * 3, "they overlap"


def test_a_guided_relu_by_hand():
    x, upstream = tf.constant([-1.0, 2.0, 3.0, -4.0]), tf.constant([5.0, 6.0, -7.0, -8.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        plain, guided = tf.nn.relu(x), recipe.guided_relu(x)
    assert tape.gradient(plain, x, upstream).numpy().tolist() == [0, 6, -7, 0]
    assert guided.numpy().tolist() == [0, 2, 3, 0]
    assert tape.gradient(guided, x, upstream).numpy().tolist() == [0, 6, 0, 0]


def test_a_guided_network_answers_alike_and_has_another_gradient():
    model = recipe.build(recipe.TINY, replace(recipe.CIFAR10, image_shape=(8, 8, 3)))
    guided = recipe.guided(model)
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)), tf.float32)
    np.testing.assert_allclose(guided(images), model(images), rtol=1e-6)
    gradients = []
    for network in (model, guided):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logit = tf.reduce_sum(network(images)[:, 0])
        gradients.append(tape.gradient(logit, images).numpy())
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-6
    assert isinstance(model.layers[4], keras.layers.Activation), "the model itself is left as it is"


def test_what_speaks_for_a_class_is_where_the_only_light_is():
    """A network by hand: the logit of class 1 is the light of pixel (2, 3), which a relu lets through, less that of
    pixel (0, 0), which guided backpropagation leaves out."""
    image = keras.Input((4, 4, 3))
    kernel = np.zeros((48, 2), np.float32)
    kernel[(2 * 4 + 3) * 3 : (2 * 4 + 3) * 3 + 3, 0] = 1
    kernel[:3, 1] = 1
    first = keras.layers.Dense(2, use_bias=False)
    x = keras.layers.Activation("relu")(first(keras.layers.Flatten()(image)))
    last = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(image, last(x))
    first.kernel.assign(kernel)
    last.kernel.assign([[0, 1], [0, -1]])
    pixels = tf.ones((1, 4, 4, 3))
    network = recipe.guided(model)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logit = network(pixels)[0, 1]
    saliency = tape.gradient(logit, pixels).numpy()[0]
    assert np.argwhere(saliency.any(-1)).tolist() == [[2, 3]]
    assert saliency[2, 3].tolist() == [1, 1, 1]


@pytest.mark.drawn
def test_explain_answers_as_predict_does_and_draws(fitted, tmp_path):
    model = fitted(recipe)
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    explained = recipe.explain(images, model=model, picture=tmp_path / "saliency.png")
    for one, other in zip(explained, recipe.predict(images, model), strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)
        assert one["saliency"].shape == (32, 32, 3)
        assert np.isfinite(one["saliency"]).all()
    assert (tmp_path / "saliency.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match=r"picture='.*no.x.png' cannot be written"):
        recipe.explain(images, model=model, picture=tmp_path / "no" / "x.png")
    assert "explanations.png" in (model.run.folder / "report.md").read_text()


def test_settings_that_do_not_fit_a_network_are_refused():
    for changes, message in (
        ({"depths": (1, 1)}, r"filters=\(32, 64, 128\) and depths=\(1, 1\); expected one of each for each block"),
        ({"network": "alexnet"}, r"expected those of AlexNet's five convolutions"),
        ({"network": "all_cnn", "units": (8,)}, "would change nothing: network='all_cnn' has no dense layers"),
        ({"network": "all_cnn", "depths": (1, 1)}, "would change nothing: network='all_cnn' has a depth of its own"),
    ):
        with pytest.raises(ConfigError, match=message):
            recipe.Config(**changes)
    for config, least in ((recipe.Config(), 8), (recipe.ALEXNET, 8), (recipe.ALL_CNN, 9)):
        recipe.build(config, replace(recipe.CIFAR10, image_shape=(least, least, 3)))
        with pytest.raises(ConfigError, match=f"to nothing; expected fewer filters, or images of at least {least}x"):
            recipe.build(config, replace(recipe.CIFAR10, image_shape=(least, least - 1, 3)))


@pytest.mark.parametrize(
    "network",
    [
        replace(recipe.Config(), filters=(8, 16), depths=(1, 1), units=(32,)),
        pytest.param(replace(recipe.ALEXNET, filters=(8, 16, 16, 16, 16), units=(32,)), marks=pytest.mark.slow),
        pytest.param(replace(recipe.ALL_CNN, filters=(8, 16), dropout=0.0), marks=pytest.mark.slow),
    ],
    ids=lambda config: config.network,
)
def test_it_learns_the_stand_in(network):
    small = {"dataset": "shapes", "epochs": 4, "batch_size": 32, "precision": "float32", "learning_rate": 0.05}
    assert recipe.fit(replace(network, **small)).run.metrics["test"]["accuracy"] > 0.25  # softmax regression: 0.11
