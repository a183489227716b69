"""The range test: its rules, what it writes, and that it leaves everything else alone."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from bandit_recipe import TINY as BANDIT
from bandit_recipe import find_learning_rate as find_of_bandit

from recipes import dcgan, mnist_dense
from recipes.cli import main
from recipes.data.splits import Splits
from recipes.errors import ConfigError, TrainingError
from recipes.runs.run_list import list_runs
from recipes.settings import with_changes
from recipes.verbs.find_learning_rate import RateRamp, smooth, suggestions

TINY = with_changes(mnist_dense.TINY, units=(64,), dropout=0.0, crop_padding=0)  # which learns at once


def test_the_steepest_fall_and_a_tenth_of_the_lowest():
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])

    def of(*losses):
        return suggestions(rates, np.array(losses), np.array(losses))

    assert of(2.0, 1.9, 1.5, 0.9, 0.8, 0.0) == pytest.approx((10.0, 1.0)), "0.8 to 0.0"
    assert of(2.0, 1.9, 1.5, 0.9, 0.8, 9.0) == pytest.approx((1e-2, 1e-1)), "before the lowest"
    assert of(9.0, 1.9, 1.5, 0.9, 0.8, 9.0) == pytest.approx((1e-2, 1e-1)), "the first is chance"
    assert of(1.0, 1.1, 1.2, 1.3, 1.4, 9.0) is None


def test_a_fall_that_is_no_more_than_the_losses_of_steps_differ_is_chance():
    rates, losses = np.geomspace(1e-7, 10, 100), np.random.default_rng(0).normal(2.3, 0.1, 100)
    assert suggestions(rates, losses, smooth(losses)) is None
    losses[60:] -= np.linspace(0, 1, 40)
    steepest, tenth = suggestions(rates, losses, smooth(losses))
    assert rates[60] < steepest
    assert tenth == pytest.approx(1.0)


def test_a_constant_loss_is_smoothed_to_itself():
    np.testing.assert_allclose(smooth(np.full(20, 0.7)), 0.7, rtol=1e-12)


def test_each_update_has_its_rate_and_an_explosion_ends_it():
    """A loss of w ** 2 from w = 1: a step of rate r makes w (1 - 2 r), which explodes where r is well above 1."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    ramp = RateRamp(np.array([0.25, 0.25, 0.25, 5.0, 50.0, 500.0, 5000.0]))
    ramp.rates = ramp.rates + np.arange(7) * 1e-9  # no two are the same: none are accumulated
    data = tf.data.Dataset.from_tensors((np.ones((1, 1)), np.zeros((1, 1)))).repeat()
    model.fit(data, steps_per_epoch=7, verbose=0, callbacks=[ramp])
    assert ramp.losses[:4] == pytest.approx([1, 0.25, 0.0625, 0.015625], rel=1e-5), "of each batch, not the mean so far"
    assert len(ramp.losses) == 6, "the fifth is 81 times the fourth, and no more than 4 times the best average"


def test_it_writes_its_picture_and_numbers_and_no_run(capsys):
    policy = keras.config.dtype_policy()
    rates = mnist_dense.find_learning_rate(TINY, steps=30, lowest=1e-5)
    rows = list(csv.reader((rates.folder / "rates.csv").open()))
    assert rows[0] == ["learning_rate", "loss", "smoothed"]
    steps = np.array(rows[1:], float)
    np.testing.assert_allclose(np.diff(np.log(steps[:, 0])), np.log(1e6) / 29, rtol=1e-6)
    np.testing.assert_allclose(smooth(steps[:, 1]), steps[:, 2], rtol=1e-12)
    assert rates[:2] == suggestions(*steps.T)
    assert 1e-5 < rates.steepest < 10
    assert {path.name for path in rates.folder.iterdir()} == {"rates.csv", "rates.png"}
    assert rates.folder.name.startswith("rate-")
    assert list_runs("runs") == []
    assert keras.config.dtype_policy() == policy
    assert f"next: recipes fit mnist_dense --learning-rate {rates.steepest:.2g}" in capsys.readouterr().out


def test_where_the_loss_never_falls_the_picture_shows_it(tmp_path):
    with pytest.raises(TrainingError, match=r"the loss falls at none of these rates, see runs.mnist_dense.rate-"):
        mnist_dense.find_learning_rate(TINY, lowest=1e3, highest=1e9, steps=10)
    [folder] = (tmp_path / "runs" / "mnist_dense").iterdir()
    assert {path.name for path in folder.iterdir()} == {"rates.csv", "rates.png"}


def test_the_same_line_finds_the_same(tmp_path):
    one, two = (mnist_dense.find_learning_rate(TINY, steps=30, lowest=1e-5, runs=runs) for runs in ("a", "b"))
    assert (one.folder / "rates.csv").read_text() == (two.folder / "rates.csv").read_text()


def test_updates_of_several_batches_and_other_settings_are_tested_as_they_train():
    rates = mnist_dense.find_learning_rate(
        TINY, steps=30, lowest=1e-5, accumulate_steps=3, clip_norm=1.0, average_weights=0.9, early_stopping=1
    )
    assert len((rates.folder / "rates.csv").read_text().split()) <= 31


def test_a_users_own_finite_splits_are_repeated():
    images, labels = np.random.default_rng(0).integers(0, 256, (64, 9, 9, 1), np.uint8), np.arange(64) % 4
    images[:, 0, :, 0] = labels[:, None] * 80
    splits = Splits(tf.data.Dataset.from_tensor_slices((images, labels)).batch(16))
    assert mnist_dense.find_learning_rate(TINY, splits, steps=30, lowest=1e-5).steepest > 1e-5


def test_recipes_with_a_training_step_of_their_own_have_it():
    assert find_of_bandit(BANDIT, steps=40, lowest=1e-4).folder.exists()
    assert dcgan.find_learning_rate(dcgan.TINY, steps=12, lowest=1e-4, highest=1e-1).folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lowest": 1.0, "highest": 0.1}, r"lowest=1 and highest=0\.1; expected 0 < lowest < highest"),
        ({"lowest": 0.0}, "expected 0 < lowest"),
        ({"steps": 3}, "steps=3; expected a whole number, 10 or more"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        mnist_dense.find_learning_rate(TINY, **options)


@pytest.mark.parametrize("verb", ["find-learning-rate", "find_learning_rate"])
def test_the_command_prints_json(verb, capsys):
    easy = ["--units", "64", "--dropout", "0", "--crop-padding", "0"]
    arguments = ["--setting", "TINY", "--lowest", "1e-5", "--steps", "30", "--json", *easy]
    assert main([verb, "mnist_dense", *arguments]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["steepest"] > 0
    assert (Path(printed["folder"]) / "rates.png").exists()
