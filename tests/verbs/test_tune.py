import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from recipes import mnist_dense
from recipes.cli.launch import free_ports
from recipes.errors import ConfigError, DataError, RunError, TrainingError
from recipes.kinds.image_classification import ImageClassification
from recipes.runs.run_list import list_runs
from recipes.settings import read_config
from recipes.verbs import trial
from recipes.verbs.recipe import Recipe


def tune(search_space, *, trials, config=mnist_dense.TINY, objective=("val_accuracy", "max"), **how):
    """Searches in this process: no other could find a recipe that is made here."""
    page = mnist_dense.Config, mnist_dense.load_data, mnist_dense.build
    recipe = Recipe(*page, search_space, kind=ImageClassification(), objective=objective)
    return recipe.tune(config, trials=trials, **{"tuner": "random"} | how)


def rates(hp, config, values):
    return replace(config, learning_rate=hp.Choice("learning_rate", values))


def trials(runs="runs"):
    """Returns the rows of trials.csv, but for the settings that the search started from."""
    return [row for row in all_trials(runs) if row["trial"] != "start"]


def all_trials(runs="runs"):
    [path] = Path(runs).glob("*/tune-*/trials.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_trial_that_goes_nan_never_wins(capsys):
    best, figure = tune(partial(rates, values=[1e30, 1e-2]), trials=2)
    assert best.learning_rate == 1e-2
    assert figure > 0
    assert "note: trials are trained in this process: the recipe is in no file" in capsys.readouterr().out
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
@pytest.mark.parametrize("tuner", ["bayesian", pytest.param("random", marks=pytest.mark.slow)])
def test_a_search_of_one_seed_is_repeated(monkeypatch, seed, tuner):
    """Keras Tuner takes seed 0 for none."""
    monkeypatch.setattr(
        trial, "_train", lambda recipe, config, search, job, send: send({1: config.learning_rate}) or ""
    )
    config, proposed = replace(mnist_dense.TINY, seed=seed), []
    for _ in range(2):
        space = lambda hp, config: replace(config, learning_rate=hp.Float("rate", 1e-4, 1e-1))  # noqa: E731
        tune(space, trials=5, config=config, tuner=tuner)
        proposed.append([row["rate"] for row in trials()])
        shutil.rmtree("runs")
    assert proposed[0] == proposed[1]
    assert len(set(proposed[0])) == 5


def test_when_every_trial_fails_that_is_an_error_and_nothing_is_chosen():
    with pytest.raises(TrainingError, match="all 2 trials failed, the first with: the loss became"):
        tune(partial(rates, values=[1e30, 1e31]), trials=2)
    [best] = Path("runs").rglob("best.json")
    assert json.loads(best.read_text())["trial"] == "start", "what is known to work"
    assert [run.state for run in list_runs()] == ["failed"]


def test_errors_of_any_kind_fail_a_trial_and_not_the_search():
    def broken(hp, config):
        if hp.Boolean("broken"):
            raise RuntimeError("a bad corner")
        return replace(config, learning_rate=1e-2)

    best, _ = tune(broken, trials=2)
    assert [row["error"] for row in trials() if row["error"]] == ["RuntimeError: a bad corner"]
    assert best.learning_rate == 1e-2


def test_the_direction_is_the_recipes_and_not_guessed_from_the_name():
    best, figure = tune(partial(rates, values=[1e-12, 1e-2]), trials=2, objective=("val_loss", "max"))
    assert best.learning_rate == 1e-12
    assert figure == max(float(row["val_loss"]) for row in all_trials())


def test_a_loss_is_minimised():
    best, figure = tune(partial(rates, values=[1e-12, 1e-2]), trials=2, objective=("val_loss", "min"))
    assert best.learning_rate == 1e-2
    assert figure == min(float(row["val_loss"]) for row in all_trials())


def test_what_it_started_from_wins_where_no_trial_is_better(capsys):
    config = replace(mnist_dense.TINY, learning_rate=1e-2)
    best, figure = tune(partial(rates, values=[1e-12, 1e-11]), trials=2, config=config)
    assert best == config
    assert figure == max(float(row["val_accuracy"]) for row in all_trials())
    assert "does not beat the settings that the search started from" in capsys.readouterr().out


def test_an_interrupted_search_keeps_the_best_so_far_and_is_continued(capsys):
    pressed = []

    def interrupted(hp, config):
        second = hp.Boolean("second")
        if second and hp.values and not pressed and Path("runs").exists() and all_trials()[-1]["trial"] != "start":
            pressed.append(True)
            raise KeyboardInterrupt
        return replace(config, learning_rate=3e-2 if second else 1e-2)

    with pytest.raises(KeyboardInterrupt):
        tune(interrupted, trials=2)
    assert "the search is saved; run the same command again to continue it" in capsys.readouterr().out
    [path] = Path("runs").rglob("best.json")
    assert read_config(mnist_dense.Config, path).learning_rate in (1e-2, 3e-2)
    assert [run.state for run in list_runs()] == ["unfinished"]
    tune(interrupted, trials=2)
    assert "continuing the search there, after 2 trials" in capsys.readouterr().out
    assert sorted(row["second"] for row in trials()) == ["False", "True"]
    assert [run.state for run in list_runs()] == ["finished"]


def test_bad_calls_are_explained(capsys):
    tiny, tuned = mnist_dense.TINY, mnist_dense.tune
    for wrong in ({"trials": 0}, {"trials": 2.5}, {"workers": 0}, {"workers": True}):
        with pytest.raises(ConfigError, match="expected a whole number, 1 or more"):
            tuned(tiny, **wrong)
    with pytest.raises(ConfigError, match="tuner='hyperbnd' is unknown .did you mean 'hyperband'"):
        tuned(tiny, tuner="hyperbnd")
    for wrong in ("val_loss", ("val_loss", "down"), ("val_loss",)):
        with pytest.raises(ConfigError, match="expected the name of a figure and its direction"):
            tuned(tiny, objective=wrong)
    with pytest.raises(ConfigError, match="trials=2, and hyperband has 3 brackets for epochs=9; expected 3 or more"):
        tune(mnist_dense.search_space, trials=2, tuner="hyperband", config=replace(tiny, epochs=9))
    with pytest.raises(ConfigError, match="unknown objective 'val_acuracy' .did you mean 'val_accuracy'"):
        tune(mnist_dense.search_space, trials=1, objective=("val_acuracy", "max"))
    with pytest.raises(
        DataError, match="tuning needs validation data, and digits has none; set validation_fraction above 0"
    ):
        tune(mnist_dense.search_space, trials=1, config=replace(tiny, validation_fraction=0.0))
    with pytest.raises(ConfigError, match="workers=2 needs processes of their own, and the recipe is in no file"):
        tune(mnist_dense.search_space, trials=1, workers=2)
    assert not Path("runs/mnist_dense").exists() or not list(Path("runs/mnist_dense").iterdir()), "nothing is left"


def test_a_search_that_is_named_is_refused_where_it_is_another():
    tune(partial(rates, values=[1e-3, 1e-2]), trials=1)
    [folder] = Path("runs/mnist_dense").iterdir()
    with pytest.raises(RunError, match="is another: space of learning_rate .*0.001, 0.01.* there, .*0.1.* here"):
        tune(partial(rates, values=[1e-1]), trials=1, resume=folder.name)
    with pytest.raises(RunError, match="epochs 1 there, 2 here"):
        tune(partial(rates, values=[1e-3, 1e-2]), trials=1, resume=folder, config=replace(mnist_dense.TINY, epochs=2))
    with pytest.raises(RunError, match="has tried 1 settings; ask for more than that"):
        tune(partial(rates, values=[1e-3, 1e-2]), trials=1, resume=folder)
    tune(partial(rates, values=[1e-3, 1e-2]), trials=2, resume=folder)
    assert len(trials()) == 2


def test_promoted_trials_are_what_one_training_would_be():
    """Hyperband's rounds are parts of one training: the curve of the last is that of a run that was never stopped."""
    config = replace(mnist_dense.TINY, epochs=3)
    best, figure = tune(partial(rates, values=[1e-2, 2e-2, 3e-2]), trials=2, tuner="hyperband", config=config)
    whole = [row for row in trials() if row["cut"] == ""]
    assert all(row["epochs"] == "3" for row in whole)
    assert {row["epochs"] for row in trials() if row["cut"] == "budget"} == {"1"}
    assert not list(Path("runs").rglob("checkpoints")), "nothing is left to promote"
    alone = mnist_dense.fit(best, runs="alone")
    assert alone.run.metrics["validation"]["accuracy"] == pytest.approx(figure, abs=1e-7)


def test_of_a_number_the_loss_tells_the_better_trial(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1)).astype(np.uint8)
    mnist_dense.tune(
        mnist_dense.TINY, (images, images.mean((1, 2, 3))), trials=1, runs=tmp_path, batch_size=16, crop_padding=0
    )
    [best] = tmp_path.glob("mnist_dense/tune-*/best.json")
    assert json.loads(best.read_text())["objective"] == "val_loss"


# ---------------------------------------------------------------- trials in processes of their own

PAGE = """
import os, signal
from recipes.mnist_dense import *
from recipes.mnist_dense import Config as _Config
from recipes.verbs.recipe import Recipe
from recipes.kinds.image_classification import ImageClassification

class Config(_Config):
    pass

def search_space(hp, config):
    died = hp.Boolean("dies")
    if died and os.environ["PARENT"] != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(config, learning_rate=hp.Choice("learning_rate", [1e-3, 1e-2]))

recipe = Recipe(Config, load_data, build, search_space, kind=ImageClassification(), objective=("val_accuracy", "max"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
TINY = Config(dataset="digits", units=(8,), epochs=1, batch_size=32, max_examples=256, precision="float32")
"""


def test_a_trial_whose_process_dies_has_failed_and_the_search_goes_on(monkeypatch):
    Path("dying_recipe.py").write_text(PAGE)
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.setenv("PARENT", str(os.getpid()))
    import dying_recipe

    try:
        dying_recipe.tune(dying_recipe.TINY, trials=4, workers=2, tuner="random")
    finally:
        del sys.modules["dying_recipe"]
    rows = trials()
    assert len(rows) == 4
    assert {row["dies"] for row in rows} == {"True", "False"}
    for row in rows:
        assert ("was killed (SIGKILL)" in row["error"]) == (row["dies"] == "True")
        assert bool(row["val_accuracy"]) == (row["dies"] == "False")


def test_a_search_under_mirrored_strategy_and_on_own_data(tmp_path):
    """Two replicas in the trial's process, too; what the test's own process has is passed on."""
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4, 1)).astype(np.uint8)
    config = replace(mnist_dense.TINY, batch_size=16, crop_padding=0, strategy="mirrored")
    best, _ = mnist_dense.tune(config, (images, np.arange(100) % 3), trials=1)
    [log] = Path("runs").rglob("trials/0/log.txt")
    assert trials()[0]["error"] == "", log.read_text()
    assert best.strategy == "mirrored"
    [report] = Path("runs").rglob("report.md")
    assert "mnist_dense.fit(data=data, " in report.read_text()


LINE = ["tune", "mnist_dense", "--setting", "TINY", "--epochs", "6", "--checkpoint-steps", "3", "--tuner"]


def command(*options):
    return [sys.executable, "-m", "recipes", *LINE, *options]


@pytest.mark.parametrize(
    "options", [("random", "--trials", "2"), pytest.param(("hyperband", "--trials", "3"), marks=pytest.mark.slow)]
)
def test_a_search_that_is_killed_is_continued_inside_its_trials(options):
    """By SIGKILL, of all its processes at once; it ends with what a search that was never stopped finds."""
    with Path("log.txt").open("w") as log:
        search = subprocess.Popen(command(*options), start_new_session=True, stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    while not list(Path("runs").glob("*/tune-*/trials/*/checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(search.pid, signal.SIGKILL)
    assert search.wait() == -signal.SIGKILL
    assert [run.state for run in list_runs()] == ["unfinished"]
    again = subprocess.run(command(*options), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert "continuing the search there" in again.stdout
    whole = subprocess.run(command(*options, "--runs", "whole"), capture_output=True, text=True, timeout=300)
    assert whole.returncode == 0, whole.stderr
    for one, other in zip(all_trials(), all_trials("whole"), strict=True):
        assert {**one, "seconds": ""} == {**other, "seconds": ""}


@pytest.mark.slow
def test_workers_elsewhere_train_for_a_chief():
    """With Keras Tuner's variables, as on several machines: here each in a folder of its own."""
    options, [port], processes = ("random", "--trials", "3"), free_ports(1), {}
    for name in ("chief", "other"):
        Path(name).mkdir()
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
        processes[name] = subprocess.Popen(
            command(*options), cwd=name, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    said = {name: process.communicate(timeout=300)[0] for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0], said
    assert [row["error"] for row in all_trials("chief/runs")] == [""] * 4
    folders = [path.parent for name in processes for path in Path(name).rglob("history.csv")]
    assert sorted(path.name for path in folders) == ["0", "1", "2", "start"], "each once, on one of them"
    assert "other trains for the chief at 127.0.0.1" in said["other"]
