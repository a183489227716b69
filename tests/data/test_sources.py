import io
import time
import urllib.error

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from recipes.data import sources
from recipes.data.images import find_images
from recipes.data.sources import network_problem
from recipes.errors import DataError

ASK = {"standin": "digits", "offline": "stand-in", "image_shape": (28, 28, 1)}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A small data set prepared by tensorflow-datasets itself: `dummy_mnist`, 20 random grey images a split."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds.testing.DummyMnist(data_dir=tmp_path).download_and_prepare()
    return tmp_path


def test_a_prepared_data_set_is_read_without_a_network(prepared, monkeypatch):
    monkeypatch.setattr(sources, "network_problem", lambda: pytest.fail("asked the network"))
    arrays, info = find_images("dummy_mnist", **ASK)
    assert arrays.train[0].shape == (20, 28, 28, 1)
    assert arrays.train[0].dtype == np.uint8
    assert (info.name, info.source, info.stand_in_for) == ("dummy_mnist", "tfds", "")
    assert info.label_names == tuple("0123456789")
    assert sources.prepared_datasets() == ["dummy_mnist"]


class Photographs(tfds.core.GeneratorBasedBuilder):
    """Photographs of any size, turned by their EXIF, and a test split whose labels nobody tells."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="white"),)

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(1), "test": self._generate_examples(-1)}

    def _generate_examples(self, label):
        pixels = np.zeros((32, 64, 3), np.uint8)
        pixels[:, :32] = 250  # white at its left: at its top, turned
        image = Image.fromarray(pixels)
        exif = image.getexif()
        exif[0x0112] = 6
        file = io.BytesIO()
        image.save(file, "JPEG", exif=exif)
        yield 0, {"image": io.BytesIO(file.getvalue()), "label": label}


def test_photographs_are_turned_and_hidden_labels_are_no_test_split(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    Photographs(data_dir=tmp_path).download_and_prepare()
    arrays, info = find_images("photographs", **ASK | {"image_shape": (4, 2, 3)})
    assert info.name == "photographs"
    assert find_images("photographs/white", **ASK | {"image_shape": (4, 2, 3)})[1].name == "photographs/white"
    np.testing.assert_allclose(arrays.train[0][0, [0, 3], :, 0], [[250, 250], [0, 0]], atol=3)
    assert (arrays.train[1].tolist(), arrays.test) == ([1], None)
    assert "note: the labels of the test split of photographs are hidden: it is not used" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["records", "features"])
def test_a_damaged_data_set_is_an_error_and_never_replaced_in_silence(prepared, damage):
    [folder] = prepared.glob("dummy_mnist/*")
    torn = next(folder.glob("*train*")) if damage == "records" else folder / "features.json"
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"dummy_mnist in .* is damaged: .*Delete .* and run again"):
        find_images("dummy_mnist", **ASK)


def test_a_data_set_of_another_kind_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds.testing.DummyDataset(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(DataError, match="dummy_dataset has the features id; expected an image-classification data set"):
        find_images("dummy_dataset", **ASK)


def test_an_unknown_data_set_is_named_with_its_neighbour():
    with pytest.raises(DataError, match=r"unknown data set 'cifar01' .did you mean 'cifar10'"):
        find_images("cifar01", **ASK)


@pytest.mark.parametrize("name", ["", "../mnist", "fashion-mnist", "cifar 10"])
def test_what_is_no_name_is_not_looked_for(name):
    with pytest.raises(DataError, match="unknown data set"):
        find_images(name, **ASK)


@pytest.mark.parametrize("name", ["dummy_mnist:3.0.1", "dummy_mnist:3.*.*", "DummyMnist", "dummy_mnist/version=3.0.1"])
def test_names_are_taken_as_tensorflow_datasets_takes_them(prepared, name):
    arrays, info = find_images(name, **ASK)
    assert (len(arrays.train[0]), info.name, info.version) == (20, "dummy_mnist", "3.0.1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist[:10%]", r"dataset='mnist.:10%.' is a part of a split; .*: max_examples takes some of each split"),
        ("kaggle:mnist", "is of the namespace 'kaggle', and no data sets of namespaces are read"),
        ("mnist/x=1", "has arguments of its own; expected NAME, NAME/CONFIG or NAME/CONFIG:VERSION"),
        (
            "mnist:9.9.9",
            "tensorflow-datasets has no mnist:9.9.9: Dataset mnist cannot be loaded at version 9.9.9, only",
        ),
        ("mnist/big", "tensorflow-datasets has no mnist/big: BuilderConfig big not found with version 3.0.1"),
        ("mnits:3.0.1", r"unknown data set 'mnits:3.0.1' .did you mean 'mnist'"),
    ],
)
def test_names_that_cannot_be_had_are_explained(name, message):
    with pytest.raises(DataError, match=message):
        find_images(name, **ASK)


def test_a_data_set_of_another_kind_is_not_even_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sources, "network_problem", lambda: "")
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda *a, **k: pytest.fail("downloaded"))
    with pytest.raises(DataError, match="tiny_shakespeare has the features text; expected an image-classification"):
        find_images("tiny_shakespeare", **ASK)


def test_a_failed_download_falls_back_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sources, "network_problem", lambda: "")

    def refuse(*args, **kwargs):
        raise ConnectionError("the server is down")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    _, info = find_images("mnist", **ASK)
    assert (info.name, info.stand_in_for) == ("digits", "mnist")
    assert "ConnectionError: the server is down" in info.reason
    assert "Its figures say nothing about mnist." in capsys.readouterr().out


def test_a_hanging_network_is_noticed(monkeypatch):
    def hang(*args, **kwargs):
        time.sleep(2)
        raise OSError("too late")

    monkeypatch.setattr(sources.urllib.request, "urlopen", hang)
    started = time.monotonic()
    assert "no answer" in network_problem(seconds=0.2)
    assert time.monotonic() - started < 10


def test_a_refusing_and_an_answering_network_are_told_apart(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    def answer(*args, **kwargs):
        raise urllib.error.HTTPError("url", 404, "not found", None, None)

    monkeypatch.setattr(sources.urllib.request, "urlopen", refuse)
    assert network_problem() == "no network (Name or service not known)"
    monkeypatch.setattr(sources.urllib.request, "urlopen", answer)
    assert network_problem() == ""
