"""Optuna behind Keras Tuner's interface: what it proposes, when it prunes, and that nothing hangs on its memory."""

import statistics
import sys

import keras_tuner
import optuna
import pytest

from recipes.errors import ConfigError
from recipes.tuning.optuna_oracle import OptunaOracle, _axis


def all_kinds():
    hp = keras_tuner.HyperParameters()
    hp.Int("layers", 1, 4)
    hp.Int("stride", 6, 13, step=3)
    hp.Int("batch", 2, 32, step=2, sampling="log")
    hp.Int("width", 3, 64, sampling="reverse_log")
    hp.Float("dropout", 0.0, 0.5, step=0.1)
    hp.Float("rate", 1e-4, 1e-2, sampling="log")
    hp.Float("momentum", 0.5, 0.99, sampling="reverse_log")
    hp.Float("share", -1.0, 1.0)
    hp.Choice("units", [128, 256, 1024])
    hp.Choice("activation", ["relu", "gelu", "tanh"])
    hp.Boolean("bias")
    hp.Fixed("depth", 3)
    with hp.conditional_scope("activation", ["gelu"]):
        hp.Boolean("approximate")
    return hp


def line():
    hp = keras_tuner.HyperParameters()
    hp.Float("x", -1.0, 1.0)
    return hp


@pytest.fixture
def make(tmp_path):
    def oracle(space, trials=40, seed=1, name="search", direction="min", kind=OptunaOracle, **settings):
        oracle = kind(
            objective=keras_tuner.Objective("loss", direction),
            max_trials=trials, hyperparameters=space, seed=seed, max_consecutive_failed_trials=99, **settings,
        )  # fmt: skip
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), name)
        return oracle

    return oracle


def end(oracle, trial, status="COMPLETED", message=None):
    trial.status, trial.message = status, message
    oracle.end_trial(trial)


def run(oracle, loss, trials=99):
    """Ends so many trials, each tenth as a failure and each seventh as pruned; returns all values that it proposed."""
    while len(oracle.trials) < trials and (trial := oracle.create_trial("worker")).status == "RUNNING":
        oracle.update_trial(trial.trial_id, {"loss": loss(trial.hyperparameters.values)}, step=1)
        number = len(oracle.trials)
        end(oracle, trial, "COMPLETED" if number % 10 else "FAILED", None if number % 7 else "pruned")
    return [oracle.trials[trial_id].hyperparameters.values for trial_id in oracle.start_order]


def by_rate(values):
    return values["rate"] + values["layers"]


def test_the_same_seed_proposes_the_same_and_another_seed_does_not(make):
    first, again, other = (
        run(make(all_kinds(), 14, seed, name), by_rate) for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert first == again
    assert all(mine != yours for mine, yours in zip(first, other))


def test_a_search_that_is_reloaded_half_way_proposes_what_it_would_have_proposed(make):
    whole = run(make(all_kinds(), 16), by_rate)
    run(make(all_kinds(), 16, name="killed"), by_rate, trials=9)
    reloaded = make(all_kinds(), 16, seed=5, name="killed")
    reloaded.reload()
    assert run(reloaded, by_rate) == whole


def test_every_value_is_in_its_range_and_on_its_step(make):
    proposed = run(make(all_kinds(), 60), by_rate)
    assert len(proposed) == 60
    drawn = {name: {values[name] for values in proposed if name in values} for name in all_kinds().values}
    assert drawn["layers"] <= {1, 2, 3, 4}
    assert drawn["stride"] <= {6, 9, 12}
    assert drawn["batch"] <= {2, 4, 8, 16, 32}
    assert drawn["width"] <= set(range(3, 65))
    assert drawn["dropout"] <= {0.1 * step for step in range(6)}
    assert all(1e-4 <= rate <= 1e-2 for rate in drawn["rate"])
    assert all(0.5 <= momentum <= 0.99 for momentum in drawn["momentum"])
    assert all(-1 <= share <= 1 for share in drawn["share"])
    assert drawn["units"] <= {128, 256, 1024}
    assert drawn["activation"] <= {"relu", "gelu", "tanh"}
    assert drawn["bias"] <= {True, False}
    assert drawn["depth"] == {3}
    assert {type(layers) for layers in drawn["layers"] | drawn["batch"] | drawn["width"]} == {int}


@pytest.mark.parametrize("name", ["width", "rate", "momentum", "share"])
def test_both_ends_of_a_range_without_steps_are_inside(name):
    [hp] = [hp for hp in all_kinds().space if hp.name == name]
    distribution, value, place = _axis(hp)
    least, most = value(distribution.low), value(distribution.high)
    assert hp.min_value <= least < most <= hp.max_value
    assert (least, most) == pytest.approx((hp.min_value, hp.max_value))
    assert distribution.low <= place(hp.min_value) < place(hp.max_value) <= distribution.high


def test_a_conditional_hyperparameter_has_a_value_where_its_condition_holds(make):
    proposed = run(make(all_kinds(), 30), by_rate)
    assert {values["activation"] == "gelu" for values in proposed} == {True, False}
    assert all(("approximate" in values) == (values["activation"] == "gelu") for values in proposed)


def test_trials_that_run_at_once_differ_and_a_discrete_space_is_tried_whole(make):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", ["p", "q", "r"])
    with hp.conditional_scope("a", ["p", "q"]):
        hp.Int("b", 1, 2)
    oracle = make(hp)
    trials = [oracle.create_trial(f"worker-{number}") for number in range(5)]
    proposed = {tuple(trial.hyperparameters.values.values()) for trial in trials}
    assert proposed == {("p", 1), ("p", 2), ("q", 1), ("q", 2), ("r",)}
    assert oracle.create_trial("worker-7").status == "STOPPED"


@pytest.fixture
def pruning(make):
    """An oracle with five completed trials of three epochs; the medians of their figures are 6, 4 and 3."""
    oracle = make(line())
    for curve in ([9, 7, 5], [8, 6, 4], [6, 4, 3], [5, 3, 2], [4, 2, 1]):
        trial = oracle.create_trial("worker")
        for epoch, loss in enumerate(curve, start=1):
            assert oracle.update_trial(trial.trial_id, {"loss": loss}, step=epoch).status == "RUNNING"
        end(oracle, trial)
    return oracle


@pytest.mark.parametrize(
    ("curve", "statuses"),
    [
        ([9.0, 4.1], ["RUNNING", "STOPPED"]),  # the first epoch is not judged
        ([9.0, 4.0], ["RUNNING", "RUNNING"]),  # the median itself is not below the median
        ([3.9, 7.0], ["RUNNING", "RUNNING"]),  # the best so far counts
        ([4.0, 4.0, 9.0], ["RUNNING", "RUNNING", "RUNNING"]),  # after the last epoch nothing is saved
    ],
)
def test_a_trial_worse_than_the_median_is_stopped(pruning, curve, statuses):
    trial = pruning.create_trial("worker")
    steps = enumerate(curve, start=1)
    assert [pruning.update_trial(trial.trial_id, {"loss": loss}, step=step).status for step, loss in steps] == statuses


def test_a_reloaded_oracle_prunes_likewise_and_pruned_trials_have_no_say(pruning, make):
    for _ in range(6):
        trial = pruning.create_trial("worker")
        pruning.update_trial(trial.trial_id, {"loss": 100.0}, step=1)
        pruning.update_trial(trial.trial_id, {"loss": 90.0}, step=2)
        end(pruning, trial, message="pruned")
    reloaded = make(line())
    reloaded.reload()
    trial = reloaded.create_trial("worker")
    assert reloaded.update_trial(trial.trial_id, {"loss": 4.1}, step=2).status == "STOPPED"


def test_figures_that_should_be_high_are_pruned_below_the_median(make):
    oracle = make(line(), direction="max")
    for last in (1, 2, 3, 4, 5):
        trial = oracle.create_trial("worker")
        for step in (1, 2, 3):
            oracle.update_trial(trial.trial_id, {"loss": last}, step=step)
        end(oracle, trial)
    for figure, status in ((2.9, "STOPPED"), (3.0, "RUNNING")):
        trial = oracle.create_trial(f"worker-{figure}")
        assert oracle.update_trial(trial.trial_id, {"loss": figure}, step=2).status == status


def test_it_comes_nearer_to_the_least_of_a_bowl_than_random_search(make):
    hp = keras_tuner.HyperParameters()
    for name in "xyz":
        hp.Float(name, -1.0, 1.0)

    def least(kind, seed):
        oracle = make(hp.copy(), 30, 1000 * seed, f"{kind.__name__}-{seed}", kind=kind)
        bowl = lambda values: sum((value - 0.3) ** 2 for value in values.values())  # noqa: E731
        return min(map(bowl, run(oracle, bowl)))

    random_search = keras_tuner.oracles.RandomSearchOracle
    ours, random = (
        statistics.mean(least(kind, seed) for seed in range(1, 7)) for kind in (OptunaOracle, random_search)
    )
    assert ours < random / 2


def test_it_is_quiet(make, capfd, recwarn):
    before = optuna.logging.get_verbosity()
    run(make(all_kinds(), 8), by_rate)
    assert optuna.logging.get_verbosity() == before  # that of a user's own studies
    assert capfd.readouterr() == ("", "")
    assert not [warning for warning in recwarn if "optuna" in warning.category.__module__]


def test_without_optuna_the_error_says_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'pip install "keras-recipes\[optuna\]"'):
        make(line())
