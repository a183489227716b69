import numpy as np
import pytest

from recipes.data.standins.scenes import COLOURS, FORMS, KINDS, SIZE, Scene, captioned, scenes

SCENE = Scene(("circle", "star"), ("red", "orange"), ((14.0, 12.0), (40.0, 30.0)), (9.0, 10.0))


def test_what_a_scene_is_true_caption_by_hand():
    assert SCENE.relation == "above"
    assert SCENE.relation_from(0) == ("red circle", "above", "orange star")
    assert SCENE.relation_from(1) == ("orange star", "below", "red circle")


@pytest.mark.parametrize(
    ("caption", "true"),
    [
        ("a red circle is above an orange star", True),
        ("there is an orange star below a red circle", True),
        ("the orange star is below the red circle", True),
        ("a red circle can be seen above an orange star", True),
        ("a red circle is below an orange star", False),
        ("a red circle is left of an orange star", False),
        ("a red star is above an orange circle", False),
        ("an orange star above a red circle", False),
        ("a red circle is above an orange star and a blue bar", False),
        ("there is a red circle is above an orange star", False),
        ("an red circle above an orange star", False),
        ("a red circle", False),
        ("", False),
    ],
)
def test_captions_are_true_or_not(caption, true):
    assert SCENE.is_true_caption(caption) is true


def test_cells_that_hold_an_object_by_hand():
    """Seven cells of 8 pixels a row: the circle reaches from y 5 to 23 and x 3 to 21, the star's from 30 and 20 on."""
    cells = np.array([SCENE.lies_on("red circle", cell, 7) for cell in range(49)]).reshape(7, 7)
    np.testing.assert_array_equal(np.flatnonzero(cells.any(1)), [0, 1, 2])
    np.testing.assert_array_equal(np.flatnonzero(cells.any(0)), [0, 1, 2])
    assert cells[1, 1]
    assert not cells[0, 3]
    assert SCENE.lies_on("orange star", 5 * 7 + 3, 7)
    assert SCENE.lies_on("blue star", 0, 7) is None, "there is none"


def test_every_caption_is_true_and_no_other_scenes_is():
    images, captions, told = captioned(200, seed=3)
    assert (images.shape, images.dtype) == ((200, SIZE, SIZE, 3), np.uint8)
    for scene, texts in zip(told, captions, strict=True):
        assert len(set(texts)) == len(FORMS)
        assert all(scene.is_true_caption(text) for text in texts)
        colour, other = sorted(scene.colours, key=list(COLOURS).index)
        assert all(text.index(colour) < text.index(other) for text in texts), "the more striking comes first"
    assert np.mean([scene.is_true_caption(captions[row - 1][0]) for row, scene in enumerate(told)]) < 0.02


def test_scenes_are_of_everything_and_objects_are_where_it_is_said():
    images, _, told = captioned(300, seed=4)
    assert {kind for scene in told for kind in scene.kinds} == set(KINDS)
    assert {colour for scene in told for colour in scene.colours} == set(COLOURS)
    assert len({scene.relation for scene in told}) == 4
    assert all(len(set(scene.colours)) == 2 for scene in told)
    for image, scene in zip(images, told, strict=True):
        for kind, colour, (y, x) in zip(scene.kinds, scene.colours, scene.centres, strict=True):
            if kind in ("circle", "square", "cross", "star", "bar", "triangle"):  # the others are open in the middle
                middle = image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean((0, 1))
                assert np.abs(middle - COLOURS[colour]).max() < 45


def test_the_seed_decides_and_splits_are_apart():
    one, other, third = scenes(20, 10, 10), scenes(20, 10, 10), scenes(20, 10, 10, seed=1)
    np.testing.assert_array_equal(one.train[0], other.train[0])
    assert (one.train[1] == other.train[1]).all()
    assert (one.train[0] != third.train[0]).any()
    assert (one.train[0][:10] != one.validation[0]).any()
    assert (one.validation[0] != one.test[0]).any()
