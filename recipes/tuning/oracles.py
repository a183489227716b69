"""Keras Tuner's oracles, which propose hyperparameters, by name."""

from __future__ import annotations

import tempfile
import warnings
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import base_tuner
from keras_tuner.engine.hyperparameters import Float
from sklearn.exceptions import ConvergenceWarning

from recipes.errors import ConfigError, did_you_mean
from recipes.tuning.hyperband import HyperbandOracle
from recipes.tuning.recorded_oracle import Recorded

TUNERS = ("bayesian", "random", "hyperband", "optuna")


class RandomOracle(Recorded, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random."""


class BayesianOracle(Recorded, keras_tuner.oracles.BayesianOptimizationOracle):
    """Models the objective by a Gaussian process, of the first third of all trials, which are drawn at random.

    At least 3 of them, and no more than 3 for each hyperparameter, as Keras Tuner would draw whatever the number of
    trials is.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes a trial: of one history always the same, whether or not the search was interrupted."""
        self.num_initial_points = max(3, min(3 * len(self.hyperparameters.space), self.max_trials // 3))
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        with warnings.catch_warnings():  # about length scales at their bounds, which a few trials do not tell
            warnings.simplefilter("ignore", ConvergenceWarning)
            proposed = super().populate_space(trial_id)
        if proposed["values"] and self._duplicate(proposed["values"]):  # of a few choices, the best may be tried by now
            return self._random_populate_space()
        return proposed


def check_tuner(tuner: str) -> None:
    """Refuses an unknown tuner."""
    if tuner not in TUNERS:
        near = did_you_mean(str(tuner), TUNERS)
        raise ConfigError(f"tuner={tuner!r} is unknown{near}; expected one of {', '.join(TUNERS)}")


def make_oracle(tuner: str, objective: tuple[str, str], trials: int, seed: int, epochs: int, space: Any) -> Any:
    """Returns the oracle of a name, which knows the whole space.

    Args:
        tuner: One of TUNERS.
        objective: The figure, and "max" or "min".
        trials: How many settings to try.
        seed: Of the search: the same seed, the same proposals for the same results.
        epochs: Of a trial that is trained to its end.
        space: hyperparameters -> anything; declares those that there are.
    """
    how = {
        "objective": keras_tuner.Objective(*objective),
        "seed": seed + 1,  # Keras Tuner takes 0 for none
        # Keras Tuner gives up after three failures in a row; a few bad corners should not end a search.
        "max_consecutive_failed_trials": 10 * trials,
    }
    if tuner == "hyperband":
        oracle: Any = HyperbandOracle(trials, epochs, **how)
    elif tuner == "optuna":
        from recipes.tuning.optuna_oracle import OptunaOracle

        oracle = type("OptunaOracle", (Recorded, OptunaOracle), {})(max_trials=trials, **how)
    else:
        oracle = {"random": RandomOracle, "bayesian": BayesianOracle}[tuner](max_trials=trials, **how)
    with tempfile.TemporaryDirectory() as folder:  # which a tuner wants to exist
        base_tuner.BaseTuner(oracle, space, directory=folder)
    for each in oracle.hyperparameters.space:
        if isinstance(each, Float) and each.step and each.sampling == "linear":
            each.max_value += 1e-6 * each.step  # without it, 0 to 0.5 in steps of 0.1 has no 0.5
    return oracle
