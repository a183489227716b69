"""Trials for tests of oracles: no training, and figures that follow from the values."""

import hashlib
import json
from collections import Counter

import keras_tuner
from keras_tuner.engine.trial import Trial

from recipes.tuning.oracles import make_oracle
from recipes.tuning.recorded_oracle import ENDED

OBJECTIVE = ("val_accuracy", "max")


def rates(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Choice("units", [32, 64, 128])
    if hp.Boolean("dropout"):  # comes up in some trials only
        hp.Float("dropout_rate", 0.0, 0.5)


def three(hp):
    hp.Choice("units", [32, 64, 128])


def oracle_in(folder, tuner="random", trials=8, epochs=9, space=rates, seed=0, early_stopping=False, **how):
    """Returns an oracle that has read what is known of a search in a folder, and how often each trial ended."""
    ended = Counter()
    oracle = make_oracle(tuner, how.pop("objective", OBJECTIVE), trials, seed, epochs, space)
    oracle.begin(folder, epochs, early_stopping, lambda result: ended.update([result.id]))
    return oracle, ended


def figure_of(trial, epoch):
    """Returns a figure in (0, 1) of a trial's values, other than that of any other trial, which grows."""
    values = {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}
    number = int(hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8], 16) / 2**33
    return number + 0.4 * (1 - 0.9**epoch)


def train(oracle, trial, epochs=3, error="", space=rates):
    """Tells all epochs of a trial, and its end, as a worker does."""
    last = trial.hyperparameters.values.get("tuner/epochs", epochs)
    for epoch in range(1, last + 1):
        oracle.update_trial(trial.trial_id, {oracle.objective.name: figure_of(trial, epoch)}, epoch)
    end(oracle, trial, "budget" if last < epochs else "", error, space)


def end(oracle, trial, cut="", error="", space=rates):
    hyperparameters = keras_tuner.HyperParameters.from_config(trial.hyperparameters.get_config())
    if trial.hyperparameters.values:
        space(hyperparameters)
    hyperparameters.values[ENDED] = json.dumps({"config": {}, "cut": cut, "error": error, "seconds": 1.5})
    oracle.end_trial(Trial(hyperparameters, trial.trial_id, "FAILED" if error else "COMPLETED"))
