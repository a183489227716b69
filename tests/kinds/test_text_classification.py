"""What the recipes that classify texts share."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from recipes.cli import main


@pytest.fixture(params=["imdb_transformer", pytest.param("imdb_lstm", marks=pytest.mark.slow)])
def classifier(request):
    return importlib.import_module(f"recipes.{request.param}")


NOTHING = ["", "!!!", "<br />", "\u65e5\u672c\u8a9e", "zzyzx " * 50]


def test_a_text_of_which_nothing_is_known_has_a_note(classifier, fitted, capsys):
    model = fitted(classifier)
    known, *unknown = classifier.predict(["A wonderful film!", *NOTHING], model)
    assert known.keys() == {"label", "probability", "probabilities"}
    assert [prediction["note"] for prediction in unknown] == ["it has no word that the model knows"] * len(NOTHING)
    read = "zzyzx " * model.run.config.sequence_length
    assert "note" in classifier.predict(["wonderful " + read], model)[0], "a known word that is not read"
    assert "note" not in classifier.predict([read + "wonderful"], model)[0]
    capsys.readouterr()
    name = classifier.__name__.rpartition(".")[2]
    assert main(["predict", name, "!!!", "caf\udce9", "wonderful", "--run", str(model.run.folder)]) == 1
    output, errors = capsys.readouterr()
    first, second = output.splitlines()
    assert first.startswith("!!!\t")
    assert first.endswith("\tit has no word that the model knows")
    assert second.startswith("wonderful\t"), "the good text beside one that is no UTF-8 gets its answer"
    assert "text 1 is no UTF-8 at position 3" in errors


def test_an_export_says_how_many_words_are_known_and_answers_padding_alone(classifier, fitted, exported):
    served = tf.saved_model.load(str(exported(classifier))).signatures
    of_texts = served["serving_default"](text=tf.constant(["A wonderful film!", "wonderful zzyzx", *NOTHING]))
    assert of_texts["known_words"].numpy().tolist()[1:] == [1] + [0] * len(NOTHING)
    assert of_texts["known_words"].dtype == tf.int32
    assert np.isfinite(of_texts["probabilities"]).all()
    of_ids = served["token_ids"](token_ids=tf.constant([[0, 0, 0], [2, 1, 0]]))
    assert of_ids["known_words"].numpy().tolist() == [0, 1]
    np.testing.assert_allclose(of_ids["probabilities"].numpy().sum(-1), 1, rtol=1e-5)
    [alone] = served["token_ids"](token_ids=tf.constant([[0]]))["probability"].numpy()
    assert alone == pytest.approx(of_ids["probability"].numpy()[0])
    [none] = served["token_ids"](token_ids=tf.zeros((1, 0), tf.int32))["probability"].numpy()
    assert none == pytest.approx(alone), "no column at all"
    assert served["token_ids"](token_ids=tf.zeros((0, 3), tf.int32))["label"].shape == (0,)
    assert served["serving_default"](text=tf.constant([], tf.string))["known_words"].shape == (0,)
