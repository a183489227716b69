import time
import urllib.error

import numpy as np
import pytest
import tensorflow_datasets as tfds

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
