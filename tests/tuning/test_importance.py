"""Importances: what moves the figure has the share, whatever the order of the trials; noise has none."""

from dataclasses import replace

import keras_tuner
import numpy as np
import pytest

from recipes.tuning.importance import fences, importances
from recipes.tuning.trial_results import TrialResult


def space_of(*names):
    hp = keras_tuner.HyperParameters()
    for name in names:
        hp.Float(name, 0.0, 1.0)
    return hp.space


def trials_of(figure, names="abc", count=30, noise=0.02):
    generator = np.random.default_rng(0)
    rows = [dict(zip(names, map(float, generator.random(len(names))))) for _ in range(count)]
    return [
        TrialResult(f"{n:02}", row, figures=(0.0,) * 5, figure=figure(row) + generator.normal(0, noise))
        for n, row in enumerate(rows)
    ]


def test_what_moves_the_figure_has_the_share():
    trials = trials_of(lambda row: 3 * row["a"] + row["b"], count=48)
    shares = importances(trials, space_of(*"cab"), "max")
    assert list(shares) == ["a", "b", "c"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a"] > 5 * shares["b"] > 10 * shares["c"]
    assert importances(trials[::-1], space_of(*"cab"), "max") == pytest.approx(shares)
    rescaled = [replace(trial, figure=1 - 10 * trial.figure) for trial in trials]
    assert importances(rescaled, space_of(*"cab"), "min") == pytest.approx(shares, abs=0.02)


def test_what_matters_with_another_alone_has_its_share():
    trials = trials_of(lambda row: float((row["a"] > 0.5) != (row["b"] > 0.5)), count=100)
    shares = importances(trials, space_of(*"abc"), "max")
    assert shares["a"] > 0.3
    assert shares["b"] > 0.3
    assert shares["c"] < 0.1


def test_noise_and_few_and_like_trials_explain_nothing():
    assert importances(trials_of(lambda row: 0.0), space_of(*"abc"), "max") == {}
    assert importances(trials_of(lambda row: row["a"], count=5), space_of(*"abc"), "max") == {}
    assert importances(trials_of(lambda row: 0.5, noise=0), space_of(*"abc"), "max") == {}
    failed = [replace(trial, figure=None, error="no memory") for trial in trials_of(lambda row: row["a"])]
    assert importances(failed, space_of(*"abc"), "max") == {}
    assert importances(trials_of(lambda row: row["a"]), [], "max") == {}


def test_a_budget_explains_itself():
    trials = trials_of(lambda row: row["a"])
    trials[::2] = [replace(each, cut="budget", figures=(0.0,), figure=each.figure - 2) for each in trials[::2]]
    assert importances(trials, space_of(*"abc"), "max")["a"] > 0.9
    alone = [replace(trial, figure=-2.0 if trial.cut else 0.0) for trial in trials]
    assert importances(alone, space_of(*"abc"), "max") == {}


def test_a_divergence_is_not_all_that_is_explained():
    trials = trials_of(lambda row: row["a"])
    trials[3] = replace(trials[3], figure=970.0)
    assert importances(trials, space_of(*"abc"), "min")["a"] > 0.9


def test_the_default_stands_for_a_hyperparameter_that_is_not_used():
    trials = trials_of(lambda row: row["a"])
    for trial in trials[::2]:
        del trial.values["b"]
    assert next(iter(importances(trials, space_of(*"abc"), "max"))) == "a"


def test_fences_leave_out_what_is_far_worse():
    assert fences(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), "min") == (1, 4)
    assert fences(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), "max") == (1, 100)  # far better is no mishap
    assert fences(np.array([1.0, 1.0, 1.0, 1.0, 5.0]), "min") == (1, 5)
