"""Pictures of a report: every text from the data is shown as it is, and every image and every split can be drawn."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from recipes.data.splits import DataInfo, Splits
from recipes.kinds.autoencoding import Autoencoding
from recipes.kinds.captioning import draw_strip, in_lines
from recipes.kinds.plots import (
    classifier_exhibits,
    confusion_matrix,
    draw_attention,
    draw_confusion,
    draw_images,
    in_colour,
)
from recipes.runs.atomic_files import save_picture
from recipes.runs.curves import draw_curves
from recipes.runs.figure_text import shortened, shown_as_it_is

pytestmark = pytest.mark.drawn

#: A text of the data -> how a figure shows it.
TEXTS = {
    "$0_$10": "$0_$10",
    "$a_$b$ $$": "$a_$b$ $$",
    r"\$a$ \frac{": r"\$a$ \frac{",
    "\x1b[2J": r"\x1b[2J",
    "caf\udce9": r"caf\xe9",  # a name that is no UTF-8, as Python reads it
    "\U0001f600": "\U0001f600",
    "猫": "猫",
    "שלום": "שלום",
    "": "",
    "a\nb\tc\x00": r"a\nb\tc\x00",
}

DRAWINGS = {
    "attention": lambda texts: draw_attention(np.eye(len(texts)), texts, texts, "rows", "columns"),
    "strip": lambda texts: draw_strip(np.zeros((8, 8, 3)), texts, np.ones((len(texts), 2, 2)), "a title"),
    "a user's own": lambda texts: bars(texts),
    "curves": lambda texts: draw_curves({"epoch": [0], **{text: [1.0] for text in texts}}, "".join(texts)),
}


def bars(names):
    figure = Figure(layout="constrained")
    figure.subplots().bar(names, range(len(names)))
    return figure


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_name_of_a_class_is_shown_as_it_is(text, tmp_path):
    figure = draw_confusion(np.eye(2, dtype=int), [text, "other"])
    save_picture(figure, tmp_path / "picture.png")
    [axes, _] = figure.axes
    assert axes.get_xticklabels()[0].get_text() == TEXTS[text]
    assert axes.get_yticklabels()[0].get_text() == f"{TEXTS[text]}  (1)"


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_every_text_of_the_data_is_shown_as_it_is(draw, tmp_path):
    figure = draw(list(TEXTS))
    save_picture(figure, tmp_path / "picture.png")
    shown = {text.replace("\n", r"\n") for text in texts_of(figure)}
    assert set(TEXTS.values()) <= shown
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if "$" in text.get_text())


def test_numbers_that_matplotlib_writes_stay_mathematics(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    axes.semilogy([1, 2], [1, 1000])
    axes.set(ylabel="$y_")
    save_picture(figure, tmp_path / "picture.png")
    assert {label.get_parse_math() for label in axes.get_yticklabels()} == {True}
    assert not axes.yaxis.label.get_parse_math()


def test_labels_keep_their_size_and_place():
    figure = draw_confusion(np.eye(3, dtype=int), ["$a_", "b", "c"])
    [axes, _] = figure.axes
    before = axes.get_xlim()
    shown_as_it_is(figure)
    assert axes.get_xlim() == before
    assert {label.get_fontsize() for label in axes.get_xticklabels()} == {8.0}


def test_a_long_name_is_shortened_in_its_middle(tmp_path):
    figure = draw_confusion(np.eye(2, dtype=int), ["begin" + 290 * "n" + "stop!", "b"])
    assert "beginnnnnnnn…nnnnnnstop!" in texts_of(figure)
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abc…fg"


def test_a_font_is_found_for_characters_that_the_default_does_not_have():
    figure = shown_as_it_is(draw_confusion(np.eye(1, dtype=int), ["\U0001d504"]))  # of a font that Matplotlib brings
    [label] = figure.axes[0].get_xticklabels()
    assert get_font(findfont(label.get_fontfamily()[-1])).get_char_index(0x1D504)


def test_a_picture_of_any_size_is_saved(tmp_path):
    figure = Figure(figsize=(2000, 0.5))
    save_picture(figure, tmp_path / "picture.png")
    header = (tmp_path / "picture.png").read_bytes()[16:20]
    assert int.from_bytes(header, "big") == 10_000


PIECES = [*"abcdefghijklmno", *(25 * "a"), "_hundred"]

CROWDED = {
    "many pieces": lambda: draw_attention(np.eye(41, 31), PIECES, PIECES[-31:], "of the translation", "of the source"),
    "one piece": lambda: draw_attention(np.eye(1), ["a"], ["b"], "pieces of the translation", "pieces of the source"),
    "ten classes": lambda: draw_confusion(np.eye(10, dtype=int), list("0123456789")),
    "two classes": lambda: draw_confusion(np.eye(2, dtype=int), ["neg", "a name of twenty-eight chars"]),
    "strip": lambda: draw_strip(np.zeros((8, 8, 3)), [*"abcdefghi"], np.ones((9, 2, 2)), "reference: " + 60 * "word "),
}


@pytest.mark.parametrize("draw", CROWDED.values(), ids=CROWDED)
def test_every_text_is_inside_its_picture(draw, tmp_path):
    figure = draw()
    save_picture(figure, tmp_path / "picture.png")
    off = [axis for axes in figure.axes if not axes.axison for axis in (axes.xaxis, axes.yaxis)]
    for text in set(figure.findobj(Text)) - {text for axis in off for text in axis.findobj(Text)}:
        if text.get_visible() and text.get_text():
            extent = text.get_window_extent()
            assert min(extent.x0, extent.y0) > -1, text
            assert max(extent.x1 - figure.bbox.width, extent.y1 - figure.bbox.height) < 1, text


# ---------------------------------------------------------------- confusion


def test_a_confusion_matrix_shows_shares_of_a_percent_and_more():
    counts = np.array([[990, 9, 1], [0, 0, 0], [30, 0, 70]])
    figure = draw_confusion(counts, ["a", "b", "c"])
    [axes, bar] = figure.axes
    cells = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "99", (0, 2): "30", (2, 2): "70"}  # (column, row)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a  (1,000)", "b  (0)", "c  (100)"]
    assert axes.get_xlabel() == "predicted class (no number: under 1 %)"
    assert axes.get_ylabel() == "true class (test examples: 1,100)"
    assert "% of the true class" in bar.get_ylabel()


def test_confusion_of_one_class(tmp_path):
    counts = confusion_matrix(np.zeros(3, int), np.zeros(3, int), 1)
    save_picture(draw_confusion(counts, ["cat"]), tmp_path / "confusion.png")
    assert counts.tolist() == [[3]]


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("channels", "pixel"), [(1, (10, 10, 10)), (2, (15, 15, 15)), (3, (10, 20, 30)), (4, (10, 20, 30)), (5, (30,) * 3)]
)
@pytest.mark.parametrize("side", [1, 3])
def test_an_image_of_any_channels_is_drawn(channels, pixel, side, tmp_path):
    images = np.tile(10.0 * np.arange(1, channels + 1), (2, side, side, 1))
    figure = draw_images(images, titles=["one", "two"])
    save_picture(figure, tmp_path / "picture.png")
    [shown] = figure.axes[0].get_images()
    assert shown.get_array().tolist() == np.tile(pixel, (side, side, 1)).tolist()
    says_how = "channels" in figure.get_supxlabel()
    assert says_how == (channels not in (1, 3))


def test_nan_is_red_and_what_is_out_of_range_is_cut():
    image = np.array([[[np.nan], [-5.0], [300.0], [np.inf]]])
    assert in_colour(image).tolist() == [[[255, 0, 0], [0, 0, 0], [255, 255, 255], [255, 255, 255]]]


def test_a_grid_says_what_its_rows_and_columns_are():
    figure = draw_images(
        np.zeros((4, 2, 2, 1)),
        columns=2,
        row_labels=("input", "output"),
        column_labels=("-1", "1"),
        row_title="rows",
        column_title="columns",
    )
    assert [axes.texts[0].get_text() for axes in figure.axes[::2]] == ["input", "output"]
    assert [axes.get_title() for axes in figure.axes] == ["-1", "1", "", ""]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("columns", "rows")


# ---------------------------------------------------------------- a classifier's report


def classifier(logits):
    """Returns a model of (B, 2, 2, 1) images that answers each with the same logits."""
    image = keras.Input((2, 2, 1))
    start = keras.initializers.Constant(0.0)
    bias = keras.initializers.Constant(0.0)
    dense = keras.layers.Dense(len(logits), kernel_initializer=start, bias_initializer=bias)
    model = keras.Model(image, dense(keras.layers.Flatten()(image)))
    dense.set_weights([np.zeros((4, len(logits))), np.array(logits)])
    return model


def splits(labels, names=()):
    test = tf.data.Dataset.from_tensor_slices((np.zeros((len(labels), 2, 2, 1), np.float32), np.array(labels, int)))
    return Splits(train=test.batch(2), validation=None, test=test.batch(2), info=DataInfo("x", label_names=names))


def test_mistakes_say_what_is_true_and_what_was_predicted():
    exhibits = list(classifier_exhibits(classifier([0.0, np.log(3.0)]), splits([0, 1, 1], ("$6_", "4"))))
    title, name, draw = exhibits[-1]
    assert "true: $6_ (25 %)\npredicted: 4 (75 %)" in texts_of(draw())
    assert (name, "1 surest of 1 mistakes in 3 test images" in title) == ("mistakes.png", True)


def test_an_empty_test_split_has_no_pictures():
    assert list(classifier_exhibits(classifier([0.0, 1.0]), splits([]))) == []


def test_a_model_that_answers_with_nan_is_drawn(tmp_path):
    for _, name, draw in classifier_exhibits(classifier([np.nan, 1.0]), splits([0, 1, 1], ("a", "b"))):
        save_picture(draw(), tmp_path / name)


# ---------------------------------------------------------------- autoencoders


@pytest.mark.parametrize(("noise", "rows"), [(0, ["input", "output"]), (9, ["input", "output", "target"])])
def test_a_target_is_drawn_where_it_is_not_the_input(noise, rows, monkeypatch):
    kind = Autoencoding()
    monkeypatch.setattr(kind, "reconstruct", lambda model, images: images)
    images = np.full((3, 2, 2, 1), 51, np.float32)
    test = tf.data.Dataset.from_tensor_slices((images + noise, images / 255)).batch(2)
    [(_, _, draw)] = kind.report(None, Splits(train=test, validation=None, test=test, info=DataInfo("x")))
    assert [axes.texts[0].get_text() for axes in draw().axes[::3]] == rows
    empty = Splits(train=test, validation=None, test=test.take(0), info=DataInfo("x"))
    assert list(kind.report(None, empty)) == []


# ---------------------------------------------------------------- attention, captions


def test_a_map_of_attention_says_what_its_axes_and_colours_are():
    figure = draw_attention(np.eye(100), list(map(str, range(100))), ["x"] * 100, "words", "the words they attend to")
    [axes, bar] = figure.axes
    assert axes.get_ylabel() == "words (the first 64 of 100)"
    assert axes.get_xlabel() == "the words they attend to (the first 64 of 100)"
    assert bar.get_ylabel() == "attention weight"
    assert len(axes.get_yticks()) == 64


def test_captions_say_whose_words_are_whose():
    results = types.SimpleNamespace(captions=["a dog"], log_probability=[-1.5])
    assert in_lines(0, results, [["a red dog"]], "reference") == (
        "image 0: a dog   (-1.5 nats)\n    reference: a red dog\n"
    )
