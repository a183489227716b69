"""Ensembles: the mean of probabilities, as a run of its own."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import imdb_lstm, mnist_dense
from recipes.cli import main
from recipes.errors import ConfigError, DataError

TINY = replace(mnist_dense.TINY, epochs=2)


def test_it_answers_with_the_mean_and_is_a_run_like_any(capsys):
    members = [mnist_dense.fit(TINY, seed=0), mnist_dense.fit(TINY, seed=1, units=(5,))]
    x = members[0].run.examples(6)
    model = mnist_dense.ensemble([members[0], members[1].run.folder])
    expected = np.mean([probabilities(x, member) for member in members], 0)
    np.testing.assert_allclose(probabilities(x, model), expected, rtol=1e-5)
    assert model.count_params() == sum(member.count_params() for member in members)

    newest = mnist_dense.load()
    assert newest.run.folder == model.run.folder
    assert newest.run.folder.name.startswith("ensemble-")
    assert mnist_dense.evaluate(newest) == pytest.approx(model.run.metrics["test"])
    exported = tf.saved_model.load(str(mnist_dense.export(newest)))
    served = exported.signatures["image"](image=tf.constant(x, tf.float32))
    np.testing.assert_allclose(served["probabilities"], expected, rtol=1e-5)
    assert mnist_dense.calibrate(newest).run.metrics["calibration"]["temperature"] > 0
    np.testing.assert_allclose(probabilities(x, mnist_dense.ensemble([newest, members[0]])).sum(-1), 1, rtol=1e-5)

    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert "ensemble-" in capsys.readouterr().out
    assert mnist_dense.fit(TINY, seed=0).run.folder.name not in newest.run.folder.name  # none of these is resumed


def probabilities(x, model):
    return np.array([list(one["probabilities"].values()) for one in mnist_dense.predict(x, model)])


def test_of_texts():
    members = [imdb_lstm.fit(imdb_lstm.TINY, seed=seed) for seed in (0, 1)]
    texts = ["a good film", "dull"]
    answers = [imdb_lstm.predict(texts, model) for model in (*members, imdb_lstm.ensemble(members))]
    one, other, mean = ([list(each["probabilities"].values()) for each in answer] for answer in answers)
    np.testing.assert_allclose(mean, np.mean([one, other], 0), rtol=1e-5)


def test_members_that_do_not_fit_together_are_refused():
    model = mnist_dense.fit(TINY)
    with pytest.raises(ConfigError, match="two members or more; got 1"):
        mnist_dense.ensemble([model])
    fewer = mnist_dense.fit(TINY, max_examples=200)
    with pytest.raises(DataError, match="differ in their held-out examples"):
        mnist_dense.ensemble([model, fewer])
    with pytest.raises(DataError, match=r"differ in their .*inputs"):
        mnist_dense.ensemble([model, mnist_dense.fit(TINY, image_shape=(4, 4, 1))])


def test_the_command(capsys):
    ids = [mnist_dense.fit(TINY, seed=seed).run.folder.name for seed in (0, 1)]
    capsys.readouterr()
    assert main(["ensemble", "mnist_dense", *ids, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [member["run"].rpartition("/")[2] for member in printed["members"]] == ids
    assert main(["ensemble", "mnist_dense", ids[0]]) == 2
    assert "two members or more" in capsys.readouterr().err
