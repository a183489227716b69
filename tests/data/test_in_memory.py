import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.data.images import from_arrays
from recipes.data.in_memory import Arrays, hold_out, without_hidden_labels
from recipes.errors import DataError

IMAGES, LABELS = np.zeros((6, 4, 4, 3), np.uint8), np.arange(6)


def test_arrays_are_taken_as_keras_datasets_hands_them_out():
    arrays = from_arrays(((IMAGES[..., 0], LABELS[:, None]), (IMAGES[:2, ..., 0], LABELS[:2, None])))
    assert arrays.train[0].shape == (6, 4, 4, 1)
    assert arrays.test[1].tolist() == [0, 1]
    assert arrays.label_names == tuple("012345")
    assert from_arrays((IMAGES, LABELS)).test is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "data is a int; expected a folder"),
        ((IMAGES,), "data is a tuple"),
        (((IMAGES, LABELS), (IMAGES,)), "holds 1 items where a pair"),
        ((IMAGES, LABELS[:3]), r"labels are int64 \(3,\); expected one class index for each of the 6 images"),
        ((IMAGES, None), "labels is None; expected one class index for each of the 6 images"),
        ((IMAGES, 3), r"labels are int64 \(\); expected one class index"),
        ((IMAGES, LABELS - 1), r"labels lie in \[-1, 4\]; expected class indices from 0"),
        ((IMAGES, LABELS + 2**40), "expected class indices from 0, less than 100,000"),
        ((IMAGES[:0], LABELS[:0]), "data holds no examples"),
        ((IMAGES[0, 0], LABELS), "expected numbers .N, H, W. or .N, H, W, C."),
        ((IMAGES / 255.0, LABELS), r"images lie in \[0, 0\]; expected \[0, 255\]"),
        ((IMAGES - 1.0, LABELS), r"images lie in \[-1, -1\]"),
        ((IMAGES * np.nan, LABELS), r"images lie in \[nan, nan\]"),
        (((IMAGES, LABELS), (IMAGES[:, :2], LABELS)), "the images of the splits differ in shape"),
    ],
)
def test_arrays_that_do_not_fit_are_explained(data, message):
    with pytest.raises(DataError, match=message):
        from_arrays(data)


@given(count=st.integers(0, 200), fraction=st.floats(0, 1))
def test_holding_out_loses_and_doubles_nothing(count, fraction):
    numbers = np.arange(count)
    (kept, _), (out, labels) = hold_out((numbers, numbers), fraction)
    assert sorted([*kept, *out]) == list(range(count))
    assert len(out) == round(count * fraction)
    np.testing.assert_array_equal(out, labels)


def test_a_split_of_hidden_labels_is_not_used(capsys):
    shown, hidden = (IMAGES, LABELS), (IMAGES, np.full(6, -1))
    arrays = without_hidden_labels(Arrays(shown, hidden, shown), "a data set")
    assert (arrays.validation, arrays.test) == (None, shown)
    assert (
        capsys.readouterr().out == "note: the labels of the validation split of a data set are hidden: it is not used\n"
    )
    with pytest.raises(
        DataError, match="the training split of a data set has hidden labels, -1; expected class indices"
    ):
        without_hidden_labels(Arrays(hidden), "a data set")


def test_images_of_two_channels_are_taken_as_they_are():
    assert from_arrays((np.zeros((6, 4, 4, 2), np.uint8), LABELS)).train[0].shape == (6, 4, 4, 2)
