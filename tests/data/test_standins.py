import numpy as np
import pytest

from recipes.data.standins import groups, images, scenes, tables, texts
from recipes.data.standins.catalogue import STANDINS
from recipes.data.standins.images import SHAPES, digits, draw_scenes, outline_distance, shapes
from recipes.data.standins.texts import BAD, GOOD, dates, documentation, in_english, in_german, reviews


def test_the_same_seed_draws_the_same_scenes_and_the_splits_differ():
    np.testing.assert_array_equal(draw_scenes(20, 3)[0], draw_scenes(20, 3)[0])
    assert (draw_scenes(20, 3)[0] != draw_scenes(20, 4)[0]).any()
    arrays = shapes(train=300, test=300)
    assert arrays.train[0].shape == (300, 32, 32, 3)
    assert arrays.train[0].dtype == np.uint8
    assert set(arrays.train[1]) == set(range(10))
    assert (arrays.train[0] != arrays.test[0]).any()


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("bar", 2.0 * 0.6),
        ("circle", np.pi * 0.9**2),
        ("cross", 2 * 2.0 * 0.6 - 0.6**2),
        ("pentagon", 5 / 2 * np.sin(2 * np.pi / 5)),
        ("ring", np.pi * (0.97**2 - 0.53**2)),
        ("square", 1.6**2),
        ("triangle", 3 / 2 * np.sin(2 * np.pi / 3)),
    ],
)
def test_shapes_have_the_area_of_their_geometry(name, area):
    v, u = np.mgrid[-1.2:1.2:600j, -1.2:1.2:600j]
    inside = (outline_distance(name, u, v) < 0).mean() * 2.4**2
    assert inside == pytest.approx(area, rel=0.01)


def test_every_shape_is_drawn_and_no_two_are_alike():
    v, u = np.mgrid[-1.2:1.2:64j, -1.2:1.2:64j]
    masks = [outline_distance(name, u, v) < 0 for name in SHAPES]
    for one in range(10):
        assert 0.05 < masks[one].mean() < 0.6
        for other in range(one):
            assert (masks[one] != masks[other]).mean() > 0.02, (SHAPES[one], SHAPES[other])


def test_digits_are_real_and_split_once():
    arrays = digits()
    assert arrays.train[0].shape == (1437, 28, 28, 1)
    assert arrays.test[0].shape == (360, 28, 28, 1)
    assert arrays.train[0].max() == 255
    assert set(arrays.test[1]) == set(range(10))


def test_no_pair_of_sentences_is_in_two_splits():
    arrays = dates(train=2000, test=300)
    train, test = (set(zip(*split, strict=True)) for split in (arrays.train, arrays.test))
    assert (len(train), len(test), len(train & test)) == (2000, 300, 0)
    shares = [np.mean([" come at " in english for english, _ in pairs]) for pairs in (train, test)]
    assert shares[1] == pytest.approx(shares[0], abs=0.05), "what there is little of is in both"


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (21, "twenty-one", "einundzwanzig"),
        (101, "one hundred and one", "einhunderteins"),
        (1_300, "one thousand three hundred", "eintausenddreihundert"),
        (31_017, "thirty-one thousand and seventeen", "einunddrei\u00dfigtausendsiebzehn"),
    ],
)
def test_numbers_in_words(number, english, german):
    assert (in_english(number), in_german(number)) == (english, german)


def test_reviews_say_what_their_labels_say():
    """Most of the judgements agree with the label; those that are denied count the other way."""
    texts, labels = reviews(train=200, test=10).train
    assert set(labels) == {0, 1}
    for text, label in zip(texts, labels, strict=True):
        votes = 0
        for sentence in text.lower().replace("!", ".").split("."):
            praised = any(sentence.endswith(word) or f" {word} to me" in sentence for word in GOOD)
            blamed = any(sentence.endswith(word) or f" {word} to me" in sentence for word in BAD)
            denied = any(word in sentence for word in ("was not ", "anything but ", "nobody could call ", "far from "))
            votes += (praised - blamed) * (-1 if denied else 1)
        assert (votes > 0) == bool(label), text


def test_the_documentation_is_english_and_split_in_three():
    train, validation, test = (str(split[0][0]) for split in documentation()[:3])
    assert len(train) > 4 * len(validation) > 40_000
    assert len(validation) == pytest.approx(len(test), rel=0.01)
    assert " the " in test


@pytest.mark.parametrize("name", STANDINS)
def test_the_list_names_functions(name):
    assert any(callable(getattr(module, name, None)) for module in (groups, images, scenes, tables, texts))
