"""Optuna's samplers and pruners as an oracle of Keras Tuner.

Nothing of Optuna's is kept: each answer comes from a study in memory of the trials that the oracle knows. So a search
that is killed and reloaded proposes what it would have proposed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras_tuner
import numpy as np

from recipes.errors import ConfigError

#: The message of a completed trial that was ended early.
PRUNED = "pruned"

#: Trials that are drawn at random, and trained to their end, before any is modelled or pruned. Optuna models from 10
#: on, which is half of a usual search here.
STARTUP_TRIALS = 5

#: The first epoch after which a trial may be pruned: after one, a rate that warms up has hardly trained.
FIRST_EPOCH = 2

#: Probabilities off the ends of [0, 1], where Keras Tuner's rounding can step over a range's.
LOWEST, HIGHEST = 1e-9, 1 - 1e-9


class OptunaOracle(keras_tuner.Oracle):
    """Proposes by a tree-structured Parzen estimator; ends trials whose best figure so far is below the median.

    The estimator (Bergstra et al. 2011, section 4) models the hyperparameters together, and keeps away from those of
    trials that run at the same time. The median is that of the completed trials after as many epochs.

    Args:
        make_sampler: Takes a seed, returns one of `optuna.samplers`.
        pruner: One of `optuna.pruners` that decides by the trials' figures alone.
        **settings: Those of `keras_tuner.Oracle`. Keras Tuner takes seed 0 for none.

    Raises:
        ConfigError: If Optuna is not installed.
    """

    def __init__(self, make_sampler: Callable[[int], Any] | None = None, pruner: Any = None, **settings: Any) -> None:
        optuna = _optuna()
        self.make_sampler = make_sampler or _parzen_estimator
        self.pruner = pruner or optuna.pruners.MedianPruner(STARTUP_TRIALS, n_warmup_steps=FIRST_EPOCH)
        super().__init__(**settings)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns {"status": "RUNNING", "values": those proposed}; "STOPPED" where nothing is left untried.

        What the sampler would only repeat is drawn at random, by Keras Tuner, which gives up after 20 repetitions.
        """
        space = self.hyperparameters.space
        axes = [_axis(hp) for hp in space]
        distributions = {str(position): distribution for position, (distribution, _, _) in enumerate(axes)}
        with _quiet():
            study = self._study(axes, len(self.start_order))
            for _ in range(self._max_collisions):
                asked = study.ask(distributions).params  # it counts as running, so the next one differs
                proposed = keras_tuner.HyperParameters()
                for position, (hp, (_, value, _)) in enumerate(zip(space, axes)):
                    proposed.merge([hp])
                    if proposed.is_active(hp):
                        proposed.values[hp.name] = value(asked[str(position)])
                if not self._duplicate(proposed.values):
                    return {"status": "RUNNING", "values": proposed.values}
        drawn = self._random_values()
        return {"status": "STOPPED" if drawn is None else "RUNNING", "values": drawn}

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Records the figures after `step` epochs; returns the trial, "STOPPED" where it should end here."""
        trial = super().update_trial(trial_id, metrics, step)
        if self.should_prune(trial):
            trial.status = "STOPPED"
        return trial

    def should_prune(self, trial: Any) -> bool:
        """Returns whether a trial should end here; never where no completed trial has gone on, for it may be done."""
        with _quiet():
            study = self._study([_axis(hp) for hp in self.hyperparameters.space])
            trials = study.get_trials(deepcopy=False)
            last = max((other.last_step or 0 for other in trials if other.state.name == "COMPLETE"), default=0)
            judged = trials[self.start_order.index(trial.trial_id)]
            return (judged.last_step or 0) < last and bool(self.pruner.prune(study, judged))

    def _study(self, axes: list[tuple], number: int = 0) -> Any:
        """Returns Optuna's study of the trials so far, on the axes of the space, to sample the trial of a number."""
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        direction = "maximize" if self.objective.direction == "max" else "minimize"
        study = _optuna().create_study(sampler=self.make_sampler(seed), pruner=self.pruner, direction=direction)
        study.add_trials([self._frozen(self.trials[trial_id], axes) for trial_id in self.start_order])
        return study

    def _frozen(self, trial: Any, axes: list[tuple]) -> Any:
        """Returns a trial as Optuna's; one that waits for another try counts as running."""
        states = {"COMPLETED": "PRUNED" if trial.message == PRUNED else "COMPLETE", "FAILED": "FAIL"}
        params, distributions = {}, {}
        for position, (hp, (distribution, _, place)) in enumerate(zip(self.hyperparameters.space, axes)):
            if trial.hyperparameters.is_active(hp) and hp.name in trial.hyperparameters.values:
                distributions[str(position)] = distribution
                params[str(position)] = place(trial.hyperparameters.values[hp.name])
        name = self.objective.name
        figures = trial.metrics.get_history(name) if trial.metrics.exists(name) else []
        trials = _optuna().trial
        return trials.create_trial(
            state=trials.TrialState[states.get(trial.status, "RUNNING")],
            value=trial.score if trial.status == "COMPLETED" else None,
            params=params,
            distributions=distributions,
            intermediate_values={int(figure.step): float(figure.mean()) for figure in figures},
        )


def _axis(hp: Any) -> tuple[Any, Callable, Callable]:
    """Returns the distribution of a hyperparameter's place, and the functions from place to value and back.

    A place is a probability, or the index of one of a few values. So logarithms and steps are Keras Tuner's own.
    """
    distributions = _optuna().distributions
    if getattr(hp, "step", 1) is None:
        inside = distributions.FloatDistribution(LOWEST, HIGHEST)
        return inside, hp.prob_to_value, lambda value: min(max(hp.value_to_prob(value), LOWEST), HIGHEST)
    count = len(tuple(hp.values))
    values = [hp.prob_to_value((index + 0.5) / count) for index in range(count)]
    ordered = getattr(hp, "ordered", hasattr(hp, "step"))
    indices = (
        distributions.IntDistribution(0, count - 1) if ordered else distributions.CategoricalDistribution(range(count))
    )
    return indices, values.__getitem__, values.index


def _parzen_estimator(seed: int) -> Any:
    return _optuna().samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS,
        multivariate=True,
        group=True,  # hyperparameters that depend on others are modelled where they are active
        constant_liar=True,  # trials that run count as bad
        seed=seed,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from logging each study and from warning that its samplers are experimental."""
    optuna = _optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "tuner='optuna' needs Optuna, which is not installed; "
            'pip install "keras-recipes[optuna]", or choose "random", "bayesian" or "hyperband"'
        ) from None
    return optuna
