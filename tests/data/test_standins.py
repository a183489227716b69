import numpy as np
import pytest

from recipes.data.standins import SHAPES, _distance, digits, draw_scenes, shapes


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
    inside = (_distance(name, u, v) < 0).mean() * 2.4**2
    assert inside == pytest.approx(area, rel=0.01)


def test_every_shape_is_drawn_and_no_two_are_alike():
    v, u = np.mgrid[-1.2:1.2:64j, -1.2:1.2:64j]
    masks = [_distance(name, u, v) < 0 for name in SHAPES]
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
