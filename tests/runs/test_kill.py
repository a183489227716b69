"""A run that is killed, anywhere, any number of times, ends as one that was not: in bits."""

import importlib
import itertools
import random
import signal

import keras
import numpy as np
import processes
import pytest
from PIL import Image

import recipes

MODULES = [f"recipes.{name}" for name in recipes.RECIPES]
PLACES = ("begin", "step", "write", "validation", "epoch", "report")
CHANGES = {"epochs": 2, "max_examples": 256, "batch_size": 32, "checkpoint_steps": 3}


def outcome_of(module, runs):
    importlib.import_module(module)  # for the classes that its model is made of
    [folder] = [path.parent for path in runs.glob("*/*/metrics.json")]  # killed while it began, it leaves empty ones
    weights = keras.models.load_model(folder / "model.keras").get_weights()
    return weights, (folder / "history.csv").read_text()


def fit_until_killed(module, runs, place, number, changes):
    return processes.run(processes.fit_until_killed, module, runs, CHANGES | changes, place, number)


def kill_and_compare(module, kills, seed, tmp_path, **changes):
    """Kills runs everywhere, and often enough, each again and again; compares every one that comes to its end."""
    rng = random.Random(seed)
    assert fit_until_killed(module, tmp_path / "whole", None, 0, changes) == 0
    expected_weights, expected_history = outcome_of(module, tmp_path / "whole")
    assert [line.split(",")[0] for line in expected_history.splitlines()] == ["epoch", "1", "2"]
    killed = dict.fromkeys(PLACES, 0)
    for attempt in itertools.count():
        runs = tmp_path / f"killed-{attempt}"
        for place in itertools.cycle(rng.sample(PLACES, len(PLACES))):
            done = sum(killed.values()) >= kills and all(killed.values())
            number = rng.randrange(10**6)
            status = fit_until_killed(module, runs, None if done else place, number, changes)
            assert status in (0, -signal.SIGKILL), f"{place} {number}: see log-*.txt in {tmp_path}"
            if status == 0:
                break
            killed[place] += 1
        weights, history = outcome_of(module, runs)
        assert history == expected_history, "each epoch once, and the same"
        for weight, expected in zip(weights, expected_weights, strict=True):
            np.testing.assert_array_equal(weight, expected)
        if done:
            return


@pytest.mark.slow
def test_a_killed_run_on_the_disk_ends_as_one_that_was_not(tmp_path):
    """Photographs that are decoded batch by batch, mixed and mirrored."""
    rng = np.random.default_rng(0)
    for number in range(330):  # 256 are trained on
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    settings = {"data": tmp_path / "photos", "in_memory": "no", "image_shape": (16, 16, 3), "mixup": 0.2}
    kill_and_compare("recipes.cifar_convnet", kills=6, seed=3, tmp_path=tmp_path, **settings)


def test_a_killed_run_ends_as_one_that_was_not(tmp_path):
    """The others are killed once each, in test_contract.py."""
    kill_and_compare("recipes.mnist_dense", kills=7, seed=1, tmp_path=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_a_run_killed_a_hundred_times_ends_as_one_that_was_not(module, tmp_path):
    kill_and_compare(module, kills=100, seed=11, tmp_path=tmp_path)
