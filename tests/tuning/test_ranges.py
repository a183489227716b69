"""Ranges: in words, as ticks, and where a value lies in one."""

import keras_tuner
import numpy as np
import pytest

from recipes.tuning.ranges import position, range_in_words, ticks


def test_ranges():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1e-1, sampling="log")
    hp.Float("dropout", 0.0, 0.4, step=0.1)
    hp.Int("layers", 1, 4)
    hp.Choice("optimizer", ["sgd", "adam"])
    hp.Boolean("augment")
    hp.Fixed("fixed", 3)
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Int("batch", 16, 256, step=2, sampling="log")
    rate, dropout, layers, optimizer, augment, fixed, batch = hp.space
    assert [range_in_words(each) for each in hp.space] == [
        "0.001 to 0.1 on a log scale",
        "0 to 0.4 in steps of 0.1",
        "1 to 4",
        "one of sgd, adam",
        "one of True, False",
        "always 3",
        "16 to 256 on a log scale, each 2 times the last, where optimizer is sgd",
    ]
    assert position(rate, 0.01) == pytest.approx(0.5)
    assert position(dropout, 0.3) == pytest.approx(0.75)  # Keras Tuner: as 0.2
    assert [position(optimizer, name) for name in ("sgd", "adam")] == [0.25, 0.75]
    assert np.isnan(position(optimizer, "lion"))
    assert ticks(layers) == [(0, "1"), (pytest.approx(1 / 3), "2"), (pytest.approx(2 / 3), "3"), (1, "4")]
    assert [text for _, text in ticks(dropout)] == ["0", "0.1", "0.2", "0.3", "0.4"]
    assert [text for _, text in ticks(rate)] == ["0.001", "0.003", "0.005", "0.01", "0.03", "0.05", "0.1"]
    assert [text for _, text in ticks(augment)] == ["True", "False"]
    assert ticks(fixed) == [(0.5, "3")]
    assert [text for _, text in ticks(batch)] == ["16", "32", "64", "128", "256"]
