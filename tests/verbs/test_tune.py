import csv
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from recipes import mnist_dense
from recipes.errors import DataError, TrainingError
from recipes.kinds.image_classification import ImageClassification
from recipes.settings import read_config
from recipes.verbs.recipe import Recipe
from recipes.verbs.tune import _Search


def tune(search_space, *, trials, config=mnist_dense.TINY, objective=("val_accuracy", "max")):
    page = mnist_dense.Config, mnist_dense.load_data, mnist_dense.build
    return Recipe(*page, search_space, kind=ImageClassification(), objective=objective).tune(config, trials=trials)


def rates(hp, config, values):
    return replace(config, learning_rate=hp.Choice("learning_rate", values))


def trials():
    [path] = Path("runs/mnist_dense").glob("tune-*/trials.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_trial_that_goes_nan_never_wins():
    best, figure = tune(partial(rates, values=[1e30, 1e-2]), trials=2)
    assert best.learning_rate == 1e-2
    assert figure > 0
    rows = trials()
    assert len(rows) == 2
    [failed] = [row for row in rows if row["error"]]
    assert float(failed["learning_rate"]) == 1e30
    assert "the loss became" in failed["error"]


def test_nan_in_the_last_step_of_a_trial_is_seen_too():
    one_step = {"max_examples": 32, "batch_size": 32}
    with pytest.raises(TrainingError, match="all 2 trials failed, the first with: val_loss is nan after epoch 1"):
        tune(partial(rates, values=[1e30, 1e31]), config=replace(mnist_dense.TINY, **one_step), trials=2)


@pytest.mark.parametrize("seed", [0, pytest.param(7, marks=pytest.mark.slow)])
def test_a_search_of_one_seed_is_repeated(monkeypatch, seed):
    """Keras Tuner takes seed 0 for none."""
    monkeypatch.setattr(_Search, "_figure", lambda self, config: config.learning_rate)
    config, proposed = replace(mnist_dense.TINY, seed=seed), []
    for _ in range(2):
        tune(lambda hp, config: replace(config, learning_rate=hp.Float("rate", 1e-4, 1e-1)), trials=4, config=config)
        proposed.append([row["rate"] for row in trials()])
        shutil.rmtree("runs")
    assert proposed[0] == proposed[1]
    assert len(set(proposed[0])) == 4


def test_when_every_trial_fails_that_is_an_error_and_nothing_is_chosen():
    with pytest.raises(TrainingError, match="all 2 trials failed, the first with: the loss became"):
        tune(partial(rates, values=[1e30, 1e31]), trials=2)
    assert not list(Path("runs").rglob("best.json"))


def test_errors_of_any_kind_fail_a_trial_and_not_the_search():
    def broken(hp, config):
        if hp.Boolean("broken"):
            raise RuntimeError("a bad corner")
        return config

    best, _ = tune(broken, trials=2)
    assert best == mnist_dense.TINY
    assert [row["error"] for row in trials() if row["error"]] == ["RuntimeError: a bad corner"]


def test_the_direction_is_the_recipes_and_not_guessed_from_the_name():
    best, figure = tune(partial(rates, values=[1e-12, 1e-2]), trials=2, objective=("val_loss", "max"))
    assert best.learning_rate == 1e-12
    assert figure == max(float(row["val_loss"]) for row in trials())


def test_a_loss_is_minimised():
    best, figure = tune(partial(rates, values=[1e-12, 1e-2]), trials=2, objective=("val_loss", "min"))
    assert best.learning_rate == 1e-2
    assert figure == min(float(row["val_loss"]) for row in trials())


def test_an_interrupted_search_keeps_the_best_so_far():
    def interrupted(hp, config):
        if hp.Boolean("second"):
            raise KeyboardInterrupt
        return config

    with pytest.raises(KeyboardInterrupt):
        tune(interrupted, trials=2)
    [path] = Path("runs").rglob("best.json")
    assert read_config(mnist_dense.Config, path) == mnist_dense.TINY


def test_bad_calls_are_explained():
    with pytest.raises(TrainingError, match="trials=0; expected a whole number, 1 or more"):
        mnist_dense.tune(mnist_dense.TINY, trials=0)
    with pytest.raises(TrainingError, match="unknown objective 'val_f1'; expected one of accuracy"):
        tune(mnist_dense.search_space, trials=1, objective=("val_f1", "max"))
    with pytest.raises(
        DataError, match="tuning needs validation data, and digits has none; set validation_fraction above 0"
    ):
        mnist_dense.tune(mnist_dense.TINY, trials=1, validation_fraction=0.0)


def test_of_a_number_the_loss_tells_the_better_trial(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1)).astype(np.uint8)
    mnist_dense.tune(
        mnist_dense.TINY, (images, images.mean((1, 2, 3))), trials=1, runs=tmp_path, batch_size=16, crop_padding=0
    )
    [best] = tmp_path.glob("mnist_dense/tune-*/best.json")
    assert json.loads(best.read_text())["objective"] == "val_loss"
