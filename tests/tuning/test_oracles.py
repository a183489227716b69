"""What oracles propose, that a kill changes none of it, and Hyperband's brackets."""

import json
import random
import tempfile
import threading
from pathlib import Path

import pytest
from fake_trials import end, figure_of, oracle_in, rates, three, train
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import ConfigError, RunError
from recipes.runs import atomic_files
from recipes.tuning.hyperband import HyperbandOracle
from recipes.tuning.oracles import check_tuner
from recipes.tuning.recorded_oracle import STATE
from recipes.tuning.trial_results import START, TrialResult, best_of

HERE = Path()
TUNERS = ("random", "bayesian", "hyperband")


def search(folder=HERE, reloads=(), kills=lambda: False, fails=lambda trial: "", worker="w", **how):
    """Searches to the end; returns the oracle and [(trial, its values)] in the order of their proposals.

    Args:
        folder: Of the search.
        reloads: Of "created", "told" and "ended": where the oracle is read anew from its file.
        kills: Whether a worker is killed before it has told how a trial ended.
        fails: trial -> its error.
        worker: Its name.
        how: See `oracle_in`.
    """
    epochs, space = how.get("epochs", 9), how.get("space", rates)
    oracle, _ = oracle_in(folder, **how)
    proposed = {}
    for _ in range(400):
        trial = oracle.create_trial(worker)
        assert trial.status != "IDLE", "one worker has nobody to wait for"
        if trial.status == "STOPPED":
            return oracle, list(proposed.items())
        values = dict(trial.hyperparameters.values)
        assert proposed.setdefault(trial.trial_id, values) == values
        if "created" in reloads or kills():
            oracle, _ = oracle_in(folder, **how)
            again = oracle.create_trial("another")
            assert (again.trial_id, again.hyperparameters.values) == (trial.trial_id, values)
            trial = again
        if "told" in reloads:
            oracle.update_trial(trial.trial_id, {oracle.objective.name: figure_of(trial, 1)}, 1)
            oracle, _ = oracle_in(folder, **how)
            trial = oracle.create_trial("a third")
        train(oracle, trial, epochs, fails(trial), space)
        if "ended" in reloads:
            oracle, _ = oracle_in(folder, **how)
    raise AssertionError("the search does not end")


# ---------------------------------------------------------------- START, and all tuners


@pytest.mark.parametrize("tuner", TUNERS)
def test_the_settings_that_a_search_starts_from_are_trained_first_and_once(tuner):
    oracle, proposed = search(tuner=tuner, trials=4)
    assert proposed[0] == (START, {})
    assert START not in oracle.trials
    assert START not in oracle.start_order
    assert oracle.result(START).figures == tuple(figure_of(START_TRIAL, epoch) for epoch in range(1, 10))
    assert START not in [result.id for result in oracle.results()]
    assert len({json.dumps(result.values, sort_keys=True) for result in oracle.results()}) == 4


class START_TRIAL:  # noqa: N801 - as a trial
    class hyperparameters:  # noqa: N801
        values = {}


def test_start_is_given_to_one_worker_and_after_a_kill_to_another():
    oracle, _ = oracle_in(HERE)
    assert [oracle.create_trial(name).trial_id for name in ("a", "b", "a", "c", "b")] == [START, "0", START, "1", "0"]
    oracle, ended = oracle_in(HERE)
    assert [oracle.create_trial(name).trial_id for name in ("c", "b", "a")] == [START, "0", "1"]
    train(oracle, oracle.create_trial("c"))
    assert ended == {START: 1}
    assert oracle_in(HERE)[0].create_trial("d").trial_id == "0"


@pytest.mark.parametrize("tuner", TUNERS)
def test_one_seed_gives_the_same_proposals_and_another_gives_others(tuner, tmp_path):
    proposed = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        proposed.append(search(tmp_path / str(number), tuner=tuner, trials=4, seed=seed)[1])
    assert proposed[0] == proposed[1] != proposed[2]


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_that_is_killed_at_every_step_is_the_one_that_is_not(tuner, tmp_path):
    searches = []
    for reloads in ([], ["created"], ["created", "told", "ended"]):
        folder = tmp_path / "-".join(["search", *reloads])
        folder.mkdir()
        oracle, proposed = search(folder, reloads, tuner=tuner, trials=5)
        searches.append((proposed, oracle.results(), oracle.result(START)))
    assert searches[0] == searches[1] == searches[2]
    assert len(searches[0][1]) >= 5


def test_a_trial_that_has_ended_is_not_handed_out_again_after_a_kill():
    oracle, _ = oracle_in(HERE)
    for _ in range(3):
        train(oracle, oracle.create_trial("a"))
    oracle, _ = oracle_in(HERE)
    assert oracle.create_trial("b").trial_id == "2"


def test_trials_that_were_being_trained_come_first_and_in_their_order():
    oracle, _ = oracle_in(HERE)
    train(oracle, oracle.create_trial("a"))
    begun = {name: oracle.create_trial(name) for name in "cab"}
    train(oracle, begun["a"])
    for _ in range(2):  # a kill after the first was handed out again
        oracle, _ = oracle_in(HERE)
        assert oracle.create_trial("b").trial_id == "0"
    assert [oracle.create_trial(name).trial_id for name in ("d", "e", "b")] == ["2", "3", "0"]


def test_a_worker_that_outlived_its_chief_ends_its_trial_once():
    oracle, _ = oracle_in(HERE)
    train(oracle, oracle.create_trial("a"))
    trial = oracle.create_trial("a")
    oracle, ended = oracle_in(HERE)  # a new chief
    train(oracle, trial)
    assert oracle.create_trial("b").trial_id == "1"  # not "0" again
    trial = oracle.create_trial("b")
    oracle, ended = oracle_in(HERE)
    again = oracle.create_trial("c")
    assert again.trial_id == trial.trial_id == "1"
    train(oracle, trial)
    train(oracle, again)
    assert ended == {"1": 1}
    assert oracle.end_order == ["0", "1"]
    assert oracle.create_trial("c").trial_id == "2"


def test_a_state_that_cannot_be_written_leaves_the_old_one_and_no_lock(monkeypatch):
    oracle, _ = oracle_in(HERE)
    train(oracle, oracle.create_trial("a"))
    before = Path(STATE).read_bytes()

    def full(path):
        raise OSError("No space left on device")

    for fail in (lambda: oracle.create_trial("a"), lambda: oracle.update_trial(START, {"val_accuracy": 0.1}, 99)):
        with monkeypatch.context() as patch:
            patch.setattr(atomic_files, "sync", full)
            with pytest.raises(OSError, match="No space"):
                fail()
        assert Path(STATE).read_bytes() == before
        assert [path.name for path in HERE.iterdir() if path.is_file()] == [STATE]
    waited = threading.Thread(target=oracle.create_trial, args=["b"], daemon=True)
    waited.start()
    waited.join(60)
    assert not waited.is_alive()


@pytest.mark.parametrize("damage", ["", "{}", '{"figures": {}, "ended": {}, "seconds": 1, "trials": [1]}'])
def test_a_damaged_state_is_named(damage):
    Path(STATE).write_text(damage)
    with pytest.raises(RunError, match=f"{STATE} is damaged"):
        oracle_in(HERE)


def test_a_search_may_be_given_more_trials():
    search(trials=9)
    oracle, proposed = search(trials=12)
    assert [trial for trial, _ in proposed] == ["09", "10", "11"]
    assert [result.id for result in oracle.results()] == [*"012345678", "09", "10", "11"]


def test_an_unknown_tuner_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="tuner='bayes' is unknown.*expected one of bayesian, random"):
        check_tuner("bayes")


# ---------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("objective", "early_stopping", "figure"),
    [
        (("val_accuracy", "max"), False, 0.6),
        (("val_accuracy", "max"), True, 0.9),
        (("val_loss", "min"), True, 0.5),
        (("val_loss", "min"), False, 0.6),
    ],
)
def test_the_figure_is_the_last_or_with_early_stopping_the_best(objective, early_stopping, figure):
    oracle, _ = oracle_in(HERE, objective=objective, early_stopping=early_stopping)
    for _ in range(2):
        trial = oracle.create_trial("a")
        for epoch, value in enumerate((0.5, 0.9, 0.6), start=1):
            oracle.update_trial(trial.trial_id, {objective[0]: value}, epoch)
        oracle.update_trial(trial.trial_id, {objective[0]: 99.0}, 2)  # a resumed one tells it again: known
        end(oracle, trial)
    for result in (oracle.result(START), oracle.result("0")):
        assert (result.figure, result.figures, result.epochs) == (figure, (0.5, 0.9, 0.6), 3)
    assert oracle.trials["0"].score == figure


def test_a_trial_that_failed_has_its_figures_and_none_that_counts():
    oracle, _ = oracle_in(HERE)
    train(oracle, oracle.create_trial("a"))
    trial = oracle.create_trial("a")
    oracle.update_trial(trial.trial_id, {"val_accuracy": 0.3}, 1)
    end(oracle, trial, error="the loss became nan")
    [result] = oracle_in(HERE)[0].results()
    assert (result.figure, result.figures, result.error, result.seconds) == (None, (0.3,), "the loss became nan", 1.5)
    assert not any(name.startswith("tuner/") for name in result.values)


def test_hyperparameters_that_come_up_later_are_searched_from_then_on():
    _, proposed = search(trials=12)
    names = [set(values) for _, values in proposed[1:]]
    assert names[0] == {"rate", "units", "dropout"}
    assert names[-1] == {"rate", "units", "dropout", "dropout_rate"}
    assert [each.name for each in oracle_in(HERE, trials=12)[0].get_space().space][-1] == "dropout_rate"


def test_the_best_is_trained_to_its_end_if_any_is():
    def trial(name, figure, epochs=1, **how):
        return TrialResult(name, figures=(0.0,) * epochs, figure=figure, **how)

    cut, whole = trial("0", 0.9, cut="budget"), trial("1", 0.5, 9)
    failed = trial("2", None, error="nan")
    assert best_of([cut, whole, failed], "max") == whole
    assert best_of([cut, trial("3", 0.4, 2, cut="pruned"), failed], "max").id == "3"  # came further
    assert best_of([whole, trial("3", 0.4)], "min").id == "3"
    assert best_of([trial("3", 0.0), trial("4", -1.0)], "max").id == "3"
    assert best_of([failed], "max") is best_of([], "max") is None


# ---------------------------------------------------------------- Hyperband


def brackets(oracle):
    """Returns [[the ids of a round], ...] for each bracket."""
    return [[[each["id"] for each in number] for number in bracket["rounds"]] for bracket in oracle._brackets]


def check_brackets(oracle):
    """Every bracket is finished, and who was promoted is the best of its round."""
    results = {result.id: result for result in oracle.results()}
    assert set(results) == set(oracle.trials)
    for bracket in oracle._brackets:
        rounds = bracket["rounds"]
        assert len(rounds[0]) == oracle.sizes[bracket["bracket_num"]]
        for number in range(1, len(rounds)):
            before = [results[each["id"]] for each in rounds[number - 1]]
            best = sorted((each for each in before if not each.error), key=lambda each: each.figure, reverse=True)
            best = best[: oracle._get_size(bracket["bracket_num"], number)]
            assert {each["past_id"] for each in rounds[number]} == {each.id for each in best}
            for each in rounds[number]:
                values = oracle.trials[each["id"]].hyperparameters.values
                assert values["tuner/trial_id"] == each["past_id"]
                assert values["tuner/initial_epoch"] == results[each["past_id"]].epochs
                assert results[each["id"]].values == results[each["past_id"]].values
                assert results[each["id"]].before == results[each["past_id"]].epochs


@given(st.integers(1, 200), st.integers(1, 120))
def test_the_sizes_of_brackets_add_up(settings, epochs):
    count = len(HyperbandOracle(200, epochs, objective="val_loss").sizes)
    assert 3 ** (count - 1) <= epochs < 3**count
    if settings < count:
        with pytest.raises(ConfigError, match=f"trials={settings}, and hyperband has {count} brackets"):
            HyperbandOracle(settings, epochs, objective="val_loss")
        return
    oracle = HyperbandOracle(settings, epochs, objective="val_loss")
    assert sum(oracle.sizes) == settings
    assert min(oracle.sizes) >= 1
    for bracket in range(count):
        assert oracle._budget(bracket, bracket)["tuner/epochs"] == epochs
        assert oracle._get_size(bracket, bracket) >= 1


def test_hyperband_by_hand():
    """9 epochs: 3 brackets, from 1, 3 and 9 epochs on."""
    oracle, _ = search(tuner="hyperband", trials=17, epochs=9)
    sizes = [[len(number) for number in bracket] for bracket in brackets(oracle)]
    assert sizes == [[8, 3, 1], [5, 2], [4]]
    epochs = [oracle.result(bracket[-1][0]).epochs for bracket in brackets(oracle)]
    assert epochs == [9, 9, 9]
    assert oracle.planned_epochs() == 9 + (8 + 3 * 2 + 6) + (5 * 3 + 2 * 6) + 4 * 9


@pytest.mark.parametrize(("trials", "epochs"), [(3, 9), (7, 9), (20, 10), (1, 1), (9, 2), (8, 27)])
def test_what_is_planned_is_what_is_trained(trials, epochs):
    oracle, _ = search(tuner="hyperband", trials=trials, epochs=epochs)
    check_brackets(oracle)
    results = [oracle.result(START), *oracle.results()]
    assert oracle.planned_epochs() == sum(result.epochs - result.before for result in results)
    assert len({json.dumps(result.values) for result in oracle.results()}) == trials


@pytest.mark.parametrize("failing", ["half", "all", "all but one", "the promoted"])
def test_failures_leave_no_bracket_waiting(failing):
    def fails(trial):
        is_promoted = "tuner/trial_id" in trial.hyperparameters.values
        is_failing = {
            "half": figure_of(trial, 0) < 0.25,
            "all": True,
            "all but one": trial.trial_id != "0003" and not is_promoted,
            "the promoted": is_promoted,
        }
        return "nan" if is_failing[failing] else ""

    oracle, _ = search(tuner="hyperband", trials=20, fails=fails)
    check_brackets(oracle)
    if failing in ("half", "all but one"):
        assert 9 in [result.epochs for result in oracle.results() if not result.error]


@pytest.mark.parametrize("reloads", [[], ["created", "told", "ended"]])
def test_a_space_with_fewer_settings_than_trials_is_searched_to_the_end(reloads):
    """The best of a bracket are promoted all the same."""
    oracle, _ = search(tuner="hyperband", trials=20, space=three, reloads=reloads)
    check_brackets(oracle)
    assert len({result.values["units"] for result in oracle.results()}) == 3
    assert best_of(oracle.results(), "max").epochs == 9


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 4), st.sampled_from([0, 0.3, 0.9]), st.booleans())
def test_workers_side_by_side_finish_every_bracket(seed, workers, failing, kills):
    rng = random.Random(seed)
    how = {"tuner": "hyperband", "trials": rng.randint(3, 14), "epochs": 9, "seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        oracle, _ = oracle_in(Path(folder), **how)
        training, stopped = {}, set()
        while len(stopped) < workers:
            name = rng.choice([name for name in range(workers) if name not in stopped])
            if name in training and rng.random() < 0.6:
                train(oracle, training.pop(name), 9, "nan" if rng.random() < failing else "")
                continue
            if kills and rng.random() < 0.05:
                oracle, _ = oracle_in(Path(folder), **how)
                training, stopped = {}, set()
            trial = oracle.create_trial(str(name))
            assert trial.status != "IDLE" or oracle.ongoing_trials
            if trial.status == "RUNNING":
                training[name] = trial
            if trial.status == "STOPPED":
                stopped.add(name)
        assert not training
        check_brackets(oracle)
