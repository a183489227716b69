import keras
import pytest

from recipes.data.splits import DataInfo
from recipes.errors import DataError
from recipes.kinds.classes import refuse_unknown_classes


def test_labels_that_a_model_has_no_class_for_are_not_evaluated():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for info in (DataInfo("mine", follows={"num_classes": 8}), DataInfo("mine", label_names=tuple("abcdefgh"))):
        with pytest.raises(
            DataError, match="the labels of mine reach 7, and this model has 2 classes; expected .* 0 to 1"
        ):
            refuse_unknown_classes(model, info)
    refuse_unknown_classes(model, DataInfo("mine", follows={"num_classes": 2}))
    refuse_unknown_classes(model, DataInfo("a user's own Splits"))
