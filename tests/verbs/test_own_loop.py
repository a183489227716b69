"""The seam for recipes that make their own data as they train, on a small one: tests/bandit_recipe.py."""

import csv
import signal

import bandit_recipe
import numpy as np
import processes
import pytest
import tensorflow as tf

from recipes.errors import ConfigError
from recipes.settings import with_changes


def test_it_trains_reports_predicts_and_exports():
    model = bandit_recipe.fit(epochs=6, steps_per_epoch=25, precision="float32")
    assert model.run.metrics["test"] == {"reward": 1.0}, "it pulls the right arm in each state"
    with (model.run.folder / "history.csv").open() as file:
        rewards = [float(row["reward"]) for row in csv.DictReader(file)]
    assert len(rewards) == 6
    assert rewards[0] < 0.75 < 0.95 < rewards[-1]
    assert "| test | 1.0000 |" in (model.run.folder / "report.md").read_text()
    assert bandit_recipe.predict([2, 0]) == [{"arm": 2}, {"arm": 0}]
    assert bandit_recipe.evaluate() == {"reward": 1.0}
    served = tf.saved_model.load(str(bandit_recipe.export(model))).signatures["serving_default"]
    np.testing.assert_allclose(served(state=tf.eye(4))["logits"], model(tf.eye(4)), rtol=1e-6)


@pytest.mark.parametrize("killed_at", [5, 0])
def test_a_killed_run_ends_in_the_bits_of_one_that_was_not(killed_at, capsys):
    """Killed in the second epoch too: the means of an epoch that is resumed are those of the whole epoch."""
    tiny = with_changes(bandit_recipe.TINY, checkpoint_steps=3)
    whole = bandit_recipe.fit(tiny, callbacks=[processes.Tell(None, 0)], runs="whole")
    for at in (killed_at, killed_at + 1):
        status = processes.run(processes.fit, "bandit_recipe", "runs", {"checkpoint_steps": 3}, 1, None, at)
        assert status == -signal.SIGKILL, "see log-*.txt in the test's folder"
    capsys.readouterr()
    resumed = bandit_recipe.fit(tiny, callbacks=[processes.Tell(None, 0)])
    assert "resuming the unfinished run there" in capsys.readouterr().out
    assert resumed.history.history == whole.history.history
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_its_space_is_searched_by_what_it_reports():
    best, figure = bandit_recipe.tune(bandit_recipe.TINY, trials=2)
    assert best.learning_rate == 0.1
    assert 0 < figure <= 1


def test_an_epoch_without_an_end_and_an_unknown_setting_are_refused():
    with pytest.raises(ConfigError, match="unknown setting 'arm' .did you mean 'arms'"):
        bandit_recipe.fit(arm=3)
