import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from recipes.errors import DataError
from recipes.kinds.inputs import in_batches, predict_each, read_images, read_texts

COLOUR = np.full((2, 2, 3), (200, 100, 50), np.uint8)
LUMA = 0.299 * 200 + 0.587 * 100 + 0.114 * 50  # 124.2


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def read(inputs, image_shape=(2, 2, 3)):
    """Returns the names of images, and their top left pixels or why they cannot be read."""
    names, images = zip(*read_images(inputs, image_shape), strict=True)
    for image in images:
        assert isinstance(image, DataError) or (image.shape == image_shape and image.dtype == np.float32)
    return names, [str(image) if isinstance(image, DataError) else image[0, 0].tolist() for image in images]


class Column:
    """What of a column of a DataFrame is used: it is gone through, whatever the labels of its rows."""

    iloc = None

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __getitem__(self, label):
        raise KeyError(label)

    def numpy(self):
        raise AssertionError("no tensor")


# ---------------------------------------------------------------- images


def test_paths_and_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(COLOUR))
    for one in (path, str(path), np.str_(path)):
        assert read(one) == ((str(path),), [[200, 100, 50]])
    assert read(png(COLOUR)) == (("image 0",), [[200, 100, 50]])
    names, pixels = read([path, png(COLOUR[..., :1])])
    assert (names, pixels) == ((str(path), "image 1"), [[200, 100, 50], [200] * 3])
    assert read(path, (1, 3, 1))[1] == [[124]], "of another size, and grey"


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_arrays_of_every_rank(dtype):
    grey = np.array([[9, 9], [9, 9]], dtype)
    assert read(grey) == (("image 0",), [[9, 9, 9]])
    assert read(grey[..., np.newaxis], (2, 2, 1))[1] == [[9]]
    assert read(COLOUR.astype(dtype))[1] == [[200, 100, 50]]
    two = np.stack([COLOUR, COLOUR // 2]).astype(dtype)
    assert read(two) == (("image 0", "image 1"), [[200, 100, 50], [100, 50, 25]])
    assert read(COLOUR.astype(dtype), (2, 2, 1))[1][0] == pytest.approx([LUMA], abs=0.5)
    assert read(grey, (5, 4, 1))[1] == [[9]]


@pytest.mark.parametrize(
    ("mode", "pixel"),
    [
        ("1", [255] * 3),
        ("L", [124] * 3),
        ("LA", [124] * 3),
        ("P", [204, 102, 51]),
        ("RGB", [200, 100, 50]),
        ("RGBA", [200, 100, 50]),
        ("CMYK", [200, 100, 50]),
    ],
)
def test_pil_images(mode, pixel):
    """A palette's nearest colour is a little off."""
    image = Image.fromarray(COLOUR).convert(mode)
    if mode == "1":
        image = Image.new("1", (2, 2), 1)
    assert read(image) == (("image 0",), [pixel])
    [grey] = read([image], (2, 2, 1))[1]
    assert grey == pytest.approx([np.dot([0.299, 0.587, 0.114], pixel)], abs=0.6)


def test_pil_images_of_16_bits_are_read_as_their_files_are():
    image = Image.fromarray(np.full((2, 2), 200 * 257, np.uint16))
    assert image.mode == "I;16"
    file = io.BytesIO()
    image.save(file, "png")
    assert read(file.getvalue())[1] == [[200] * 3]
    assert read(image)[1] == [[200] * 3], "not cut off at 255"


def test_pil_images_of_wide_numbers_are_in_range_or_refused():
    assert read(Image.new("I", (2, 2), 200))[1] == [[200] * 3]
    assert read(Image.new("F", (2, 2), 0.0))[1] == [[0] * 3]
    for mode, value in (("I", 300), ("F", 0.5)):
        assert f"image 0 lies in [{value}, {value}]; expected [0, 255]" in read(Image.new(mode, (2, 2), value))[1][0]


def test_pil_images_that_cannot_be_read_are_named():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    torn = Image.open(io.BytesIO(png(noise)[:-3000]))
    names, (whole, why) = read([Image.fromarray(COLOUR), torn])
    assert (names, whole) == (("image 0", "image 1"), [200, 100, 50])
    assert why.startswith("image 1 ")
    assert read([Image.new("La", (2, 2))])[1][0].startswith("image 0 "), "a mode that PIL does not convert"


def test_tensors():
    assert read(tf.constant(COLOUR))[1] == [[200, 100, 50]]
    assert read(tf.fill((2, 2, 2, 1), 7.0)) == (("image 0", "image 1"), [[7] * 3, [7] * 3])
    assert read([tf.constant(COLOUR), tf.fill((2, 2), 7)])[1] == [[200, 100, 50], [7] * 3]
    assert read(tf.constant([png(COLOUR)] * 2))[1] == [[200, 100, 50]] * 2


def test_one_file_as_a_tensor_is_one_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(COLOUR))
    assert read(tf.io.read_file(str(path))) == (("image 0",), [[200, 100, 50]])


def test_lists_of_anything(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(COLOUR))
    mixed = [path, COLOUR, png(COLOUR), Image.fromarray(COLOUR), np.full((9, 9), 5), COLOUR.tolist()]
    names, pixels = read(mixed)
    assert names == (str(path), "image 1", "image 2", "image 3", "image 4", "image 5")
    assert pixels == [[200, 100, 50]] * 4 + [[5] * 3, [200, 100, 50]]
    assert read(iter(mixed)) == read(Column(mixed)) == read(tuple(mixed)) == (names, pixels)
    objects = np.empty(2, object)
    objects[:] = [path, np.full((9, 9), 5)]
    assert read(objects)[1] == [[200, 100, 50], [5] * 3]
    assert read(np.array([str(path)] * 2)) == ((str(path),) * 2, [[200, 100, 50]] * 2)


def test_a_folder_is_all_the_images_in_it(tmp_path):
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for name in ("b.png", "a.png", "deep/c.PNG"):
        (tmp_path / "photos" / name).write_bytes(png(COLOUR))
    (tmp_path / "photos" / "deep" / "torn.jpg").write_bytes(b"torn")
    for name in (".hidden.png", "notes.txt"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    expected = tuple(str(tmp_path / "photos" / name) for name in ("a.png", "b.png", "deep/c.PNG", "deep/torn.jpg"))
    names, pixels = read(str(tmp_path / "photos"))
    assert (names, pixels[:3]) == (expected, [[200, 100, 50]] * 3)
    assert "torn.jpg is not a readable image" in pixels[3]
    names, pixels = read([COLOUR, tmp_path / "photos", tmp_path / "empty"])
    assert names == ("image 0", *expected, "image 5")
    assert pixels[5] == f"the folder {tmp_path / 'empty'} has no images"


def test_a_folder_is_all_the_texts_in_it(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name)
    assert list(read_texts(["text", tmp_path])) == [
        ("text", "text"),
        (str(tmp_path / "a.txt"), "a.txt"),
        (str(tmp_path / "b.txt"), "b.txt"),
    ]


@pytest.mark.parametrize("bad", ["a\0b", "x" * 5000])
def test_names_that_no_file_can_have(bad):
    assert read(bad)[1][0].startswith("cannot read ")


@pytest.mark.parametrize("nothing", [[], (), np.zeros((0, 2, 2, 3)), Column([])])
def test_no_images_are_no_answers(nothing):
    assert list(read_images(nothing, (2, 2, 3))) == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (None, "is a NoneType object"),
        (7, "is a int int64 (); expected a path, the bytes of an image file, an array (H, W)"),
        (b"hello", "is not a readable image; expected a JPEG, PNG, GIF, WebP, BMP, TIFF"),
        ([[1, 2], [3]], "is a list"),
        (np.zeros(4), "is a ndarray float64 (4,)"),
        (np.zeros((1, 2, 2, 3)), "is a ndarray float64 (1, 2, 2, 3)"),
        (np.zeros((0, 0, 3)), "is a ndarray float64 (0, 0, 3)"),
        (np.ones((2, 2), bool), "is a ndarray bool"),
        (np.ones((2, 2), complex), "is a ndarray complex128"),
        (np.array([["a", "b"]]), "is a ndarray <U1"),
        (COLOUR / 255, "lies in [0.196078, 0.784314]; expected [0, 255] (the model does its own scaling)"),
        (np.full((2, 2), -1), "lies in [-1, -1]"),
        (np.full((2, 2), 256), "lies in [256, 256]"),
        (np.full((2, 2), np.nan), "lies in [nan, nan]"),
        (np.zeros((2, 2, 2)), "have 2 channels; expected 1 or 3"),
        ("missing.png", "cannot read missing.png: No such file"),
    ],
)
def test_what_is_no_image_is_named_and_the_others_are_read(bad, why):
    names, pixels = read([COLOUR, bad, COLOUR])
    assert names == ("image 0", bad if isinstance(bad, str) else "image 1", "image 2")
    assert pixels[0] == pixels[2] == [200, 100, 50]
    assert why in pixels[1]


@pytest.mark.parametrize("bad", [None, 7, 0.5])
def test_neither_one_nor_many(bad):
    for reader in (lambda: read_images(bad, (2, 2, 3)), lambda: read_texts(bad)):
        with pytest.raises(DataError, match=f"inputs is a {type(bad).__name__}; expected one or a list of them"):
            list(reader())


# ---------------------------------------------------------------- texts


def test_texts_and_files_of_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("caf\u00e9\n", encoding="utf-8")
    assert list(read_texts("one text")) == [("one text", "one text")]
    assert list(read_texts("")) == [("", "")]
    assert list(read_texts(path)) == [(str(path), "caf\u00e9\n")]
    expected = [("a", "a"), (str(path), "caf\u00e9\n")]
    for many in (["a", path], iter(["a", path]), Column(["a", path]), np.array(["a", path], object)):
        assert list(read_texts(many)) == expected
    [(name, text)] = read_texts(np.array(["b"]))
    assert (name, text, type(text)) == ("b", "b", str)
    assert list(read_texts([])) == []


def test_a_path_as_a_str_is_a_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("not this")
    assert list(read_texts(str(path))) == [(str(path), str(path))]


def test_long_texts_have_short_names():
    [(name, text)] = read_texts("x" * 1000)
    assert (len(text), name) == (1000, f"'{'x' * 80}'...")


def test_what_is_no_text_is_named_and_the_others_are_read(tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("caf\u00e9".encode("latin-1"))
    answers = dict(read_texts(["a", 3, None, b"b", latin, tmp_path / "missing.txt", float("nan"), "c"]))
    assert (answers.pop("a"), answers.pop("c")) == ("a", "c")
    assert list(answers) == ["text 1", "text 2", "text 3", str(latin), str(tmp_path / "missing.txt"), "text 6"]
    assert all(isinstance(answer, DataError) for answer in answers.values())
    assert str(answers["text 1"]) == "text 1 is a int, 3; expected a str, or a Path of a text file"
    assert "cannot read" in str(answers[str(latin)])
    assert "as text in UTF-8" in str(answers[str(latin)])
    [(name, error), (_, good)] = read_texts(["caf\udce9", "caf\u00e9"])  # as the command line passes Latin-1
    assert (name, str(error)) == ("text 0", r"text 0 is no UTF-8 at position 3: 'caf\udce9'; expected text in UTF-8")
    assert good == "caf\u00e9"
    [(name, error)] = read_texts(b"bytes")
    assert (name, "is a bytes" in str(error)) == ("text 0", True)


# ---------------------------------------------------------------- batches


def test_batches_keep_the_order():
    values = [(str(number), number) for number in range(5)]
    assert list(in_batches(iter(values), 2)) == [(["0", "1"], [0, 1]), (["2", "3"], [2, 3]), (["4"], [4])]
    assert list(in_batches(iter([]), 2)) == []


def test_each_prediction_comes_with_its_name_and_what_cannot_be_read_is_not_asked():
    error, asked = DataError("torn"), []

    def predict(values):
        asked.append(values)
        return [{"twice": 2 * value} for value in values]

    values = [("a", 1), ("b", error), ("c", 3), ("d", error), ("e", error), ("f", 6)]
    expected = [
        ("a", {"twice": 2}),
        ("b", error),
        ("c", {"twice": 6}),
        ("d", error),
        ("e", error),
        ("f", {"twice": 12}),
    ]
    assert list(predict_each(iter(values), predict, size=2)) == expected
    assert asked == [[1], [3], [6]]
    assert list(predict_each(iter([("b", error)] * 2), lambda values: pytest.fail("asked"))) == [("b", error)] * 2
