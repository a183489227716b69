"""On the real data sets, where TFDS_DATA_DIR has them; otherwise skipped, saying so."""

import numpy as np
import pytest

from recipes import cifar_convnet, mnist_dense
from recipes.data.sources import data_dir, prepared_datasets

pytestmark = pytest.mark.real_data


def needs(dataset):
    if dataset not in prepared_datasets():
        pytest.skip(f"{dataset} is not in {data_dir()}; set TFDS_DATA_DIR to a folder that holds it")


def test_cifar10_is_the_original():
    needs("cifar10")
    splits = cifar_convnet.load_data(validation_fraction=0.0, crop_padding=0, flip=False)
    assert splits.info.examples == {"train": 50_000, "test": 10_000}
    assert splits.info.label_names[:3] == ("airplane", "automobile", "bird")
    labels = np.concatenate([label for _, label in splits.test])
    assert np.bincount(labels).tolist() == [1000] * 10
    pixels = np.concatenate([image for image, _ in splits.test.take(4)]) / 255
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), [0.491, 0.482, 0.447], atol=0.02)


def test_one_epoch_of_softmax_regression_on_mnist():
    needs("mnist")
    model = mnist_dense.fit(mnist_dense.LINEAR, epochs=1, offline="error")
    assert model.run.info.examples == {"train": 54_000, "validation": 6_000, "test": 10_000}
    assert model.run.metrics["test"]["accuracy"] > 0.88


@pytest.mark.slow
def test_the_perceptron_reaches_its_figure():
    needs("mnist")
    assert mnist_dense.fit(offline="error").run.metrics["test"]["accuracy"] >= 0.984
