import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes.data.image_files import decode_file, decode_image
from recipes.data.images import read_images, resized
from recipes.errors import DataError


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), channels=st.sampled_from([1, 3]))
def test_an_image_of_the_right_size_keeps_its_exact_pixels(seed, channels):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), np.uint8)
    encoded = tf.io.encode_png(pixels)
    np.testing.assert_array_equal(decode_image(encoded, (5, 7, channels)), pixels)


def test_colour_becomes_grey_by_luma_and_grey_becomes_colour():
    red = tf.io.encode_png(np.full((2, 2, 3), (255, 0, 0), np.uint8))
    assert decode_image(red, (2, 2, 1)).numpy().ravel().tolist() == [76.0] * 4  # 0.299 * 255
    grey = tf.io.encode_png(np.full((2, 2, 1), 9, np.uint8))
    assert decode_image(grey, (2, 2, 3)).numpy().ravel().tolist() == [9.0] * 12


def test_images_in_memory_are_resized_by_hand():
    half = np.array([[0, 100]], np.uint8).reshape(1, 1, 2, 1)
    assert resized(half, (1, 2, 1)) is half
    assert resized(half, (1, 1, 1)).tolist() == [[[[50]]]]
    assert resized(half, (1, 2, 3)).tolist() == [[[[0] * 3, [100] * 3]]]
    red = np.array([255, 0, 0], np.uint8).reshape(1, 1, 1, 3)
    assert resized(red, (2, 2, 1)).ravel().tolist() == [76] * 4, "0.299 * 255, a whole number as the pixels are"
    as_float = resized(red.astype(np.float32), (1, 1, 1))
    assert as_float.dtype == np.float32
    assert as_float.item() == pytest.approx(76.245)
    many = np.broadcast_to((np.arange(600) % 256).astype(np.uint8)[:, None, None, None], (600, 2, 2, 1))
    np.testing.assert_array_equal(resized(many, (3, 1, 1))[:, 2, 0, 0], np.arange(600) % 256, "in several parts")


def test_channels_that_no_image_file_has_are_not_made_up():
    with pytest.raises(DataError, match=r"image files are read in 1 or 3 channels; .* \(2, 2, 4\)"):
        resized(np.zeros((1, 2, 2, 3), np.uint8), (2, 2, 4))
    with pytest.raises(DataError, match="images have 2 channels; expected 1 or 3, to make 3 of"):
        resized(np.zeros((1, 2, 2, 2), np.uint8), (2, 2, 3))
    assert resized(np.ones((1, 2, 2, 5), np.uint8), (1, 1, 5)).tolist() == [[[[1] * 5]]], "the same number stays"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("ending", ["png", "jpg", "gif"])
def test_every_common_kind_of_file_is_read(mode, ending, tmp_path):
    image = Image.new("RGB", (50, 40), (200, 200, 200)).convert(mode)
    if ending == "jpg" and mode in ("LA", "P", "RGBA"):
        image = image.convert("RGB")  # what that format can hold
    image.save(tmp_path / f"image.{ending}")
    decoded = decode_file(tmp_path / f"image.{ending}", (8, 8, 3))
    assert decoded.shape == (8, 8, 3)
    assert abs(decoded - 200).max() < 60 if mode == "1" else abs(decoded - 200).max() <= 3


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "photo.jpg"
    with pytest.raises(DataError, match=r"cannot read .*photo\.jpg: No such file"):
        decode_file(path, (8, 8, 3))
    for content in (b"", b"hello", b"\xff\xd8\xff\xe0 torn"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a readable image; expected a JPEG, PNG, GIF, WebP, BMP, TIFF"):
            decode_file(path, (8, 8, 3))


def write_images(folder, classes, count=10):
    for value, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (10 + number, 12), (value * 100, number, 0)).save(folder / name / f"{number}.png")


def test_a_folder_with_a_sub_folder_per_class(tmp_path):
    write_images(tmp_path, ["cat", "dog"])
    (tmp_path / "cat" / "notes.txt").write_text("not an image by its name")
    (tmp_path / "cat" / "._0.png").write_bytes(b"what some systems leave beside a file")
    arrays = read_images(tmp_path, (8, 8, 3))
    assert arrays.label_names == ("cat", "dog")
    assert (arrays.validation, arrays.test) == (None, None)
    images, labels = arrays.train
    assert (len(images), images.dtype) == (20, np.uint8)
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels * 100)


def test_a_folder_that_is_split_already(tmp_path):
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        write_images(tmp_path / split, ["a", "b"], count)
    arrays = read_images(tmp_path, (8, 8, 3))
    assert [len(pair[0]) for pair in (arrays.train, arrays.validation, arrays.test)] == [6, 4, 2]


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path, ["bus", "car", "train"])
    assert read_images(tmp_path, (8, 8, 3)).label_names == ("bus", "car", "train")


def test_only_grey_and_colour_are_read(tmp_path):
    write_images(tmp_path, ["a", "b"], 1)
    with pytest.raises(DataError, match=r"image files are read in 1 or 3 channels; .* \(8, 8, 4\)"):
        read_images(tmp_path, (8, 8, 4))


def test_folders_that_cannot_be_read_are_explained(tmp_path):
    with pytest.raises(DataError, match="is not a folder; expected a folder of images with a sub-folder per class"):
        read_images(tmp_path / "missing", (8, 8, 3))
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="has 1 sub-folders; expected one per class"):
        read_images(tmp_path, (8, 8, 3))
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="cat has no images"):
        read_images(tmp_path, (8, 8, 3))
