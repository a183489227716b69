import keras
import numpy as np
import pytest

from recipes import cifar_googlenet
from recipes.data.splits import Sizes
from recipes.errors import ConfigError

TABLE_1_PARAMS = [112, 159, 380, 364, 437, 463, 580, 840, 1072, 1388, 1000]  # in units of 1,024, as printed


def kernels(model):
    return [int(np.prod(layer.kernel.shape)) for layer in model.layers if hasattr(layer, "kernel")]


def test_the_papers_parameters_row_by_row():
    found = kernels(cifar_googlenet.build(cifar_googlenet.PAPER, cifar_googlenet.IMAGENET))
    modules = [sum(found[3 + 6 * number : 9 + 6 * number]) for number in range(9)]
    rows = [found[1] + found[2], *modules, found[-1]]
    # 4c, 5a and 5b differ by up to 8 %: the filters that the table prints beside them give these numbers, not its own.
    assert [row / 1024 for row in rows] == pytest.approx(TABLE_1_PARAMS, rel=0.08)
    assert [round(row / 1024) for row in rows][:5] == pytest.approx(TABLE_1_PARAMS[:5], abs=3)
    assert found[0] == 7 * 7 * 3 * 64
    assert sum(found) == 6_990_272, "kernels alone; the whole count is in the next test"


def test_all_trained_parameters_of_the_paper_by_hand():
    model = cifar_googlenet.build(cifar_googlenet.PAPER, cifar_googlenet.IMAGENET)
    found = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    filters = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert found == sum(kernels(model)) + 2 * filters + 1000 == 7_005_832, "each filter has a gamma and a beta"
    assert f"{found:,} trained parameters" in cifar_googlenet.__doc__


def test_the_default_has_less_than_half_a_million_parameters():
    assert cifar_googlenet.build().count_params() < 500_000


def test_a_module_is_its_four_branches_side_by_side():
    image = keras.Input((6, 6, 3))
    module = keras.Model(image, cifar_googlenet.inception(image, (2, 3, 4, 5, 6, 7), width=1.0))
    assert module.output_shape == (None, 6, 6, 2 + 4 + 6 + 7)
    assert sorted(kernels(module)) == sorted([3 * 2, 3 * 3, 9 * 3 * 4, 3 * 5, 25 * 5 * 6, 3 * 7])
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype("float32")
    whole = module.predict(x, verbose=0)
    one = next(layer for layer in module.layers if getattr(layer, "kernel_size", 0) == (1, 1) and layer.filters == 2)
    normalised = np.maximum(0, x @ one.get_weights()[0][0, 0] / np.sqrt(1 + 1e-3))
    np.testing.assert_allclose(whole[..., :2], normalised, rtol=1e-4, atol=1e-5)


def test_sizes_of_the_papers_table():
    model = cifar_googlenet.build(cifar_googlenet.PAPER, cifar_googlenet.IMAGENET)
    sizes = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert sizes == [
        (28, 28, 256), (28, 28, 480), (14, 14, 512), (14, 14, 512), (14, 14, 512), (14, 14, 528), (14, 14, 832),
        (7, 7, 832), (7, 7, 1024),
    ]  # fmt: skip


def test_auxiliary_classifiers_count_in_training_alone(tmp_path):
    config = cifar_googlenet.Config(
        network="paper", auxiliary=True, width=0.0625, label_smoothing=0.0, batch_size=4, epochs=1
    )
    model = cifar_googlenet.build(config, Sizes(train_examples=8, image_shape=(32, 32, 3), num_classes=4))
    x, y = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)), np.arange(8) % 4
    outputs = model.network(x[:4], training=False)
    each = [float(model.loss(y[:4], logits)) for logits in outputs]
    assert float(model.compute_loss(y=y[:4], y_pred=outputs)) == pytest.approx(each[0] + 0.3 * (each[1] + each[2]))
    before = model.layers[0].get_weights()
    model.train_on_batch(x[:4], y[:4])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert model(x).shape == (8, 4), "the logits alone"
    assert any((one != other).any() for one, other in zip(before, model.layers[0].get_weights(), strict=True))


def test_settings_of_the_other_network_are_refused():
    with pytest.raises(ConfigError, match="auxiliary=True would change nothing: only network='paper' has auxiliary"):
        cifar_googlenet.Config(auxiliary=True)
    with pytest.raises(ConfigError, match="modules=2 would change nothing: network='paper' has the nine modules"):
        cifar_googlenet.Config(network="paper", modules=2)


@pytest.mark.parametrize(("modules", "last"), [(1, 112), (3, 176), (4, 224), (5, 224)])
def test_modules_count_without_the_pool_between_them(modules, last):
    model = cifar_googlenet.build(cifar_googlenet.Config(modules=modules))
    joined = [layer.output.shape[-1] for layer in model.layers if isinstance(layer, keras.layers.Concatenate)]
    assert (len(joined), joined[-1]) == (modules, last)
