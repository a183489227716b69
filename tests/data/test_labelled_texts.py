"""Labelled texts of a user: folders, lists, Splits, and what is wrong with them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import imdb_transformer, shakespeare_gpt, translate_seq2seq, word2vec
from recipes.data.folders import Reader, one_by_one, read_folder
from recipes.data.splits import Sizes
from recipes.data.text_reading import read_text_file
from recipes.errors import DataError


@pytest.fixture
def folder(tmp_path):
    """Twelve texts in two classes, one of them long."""
    for name in ("good", "bad"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        for number in range(20):
            text = f"a {name} film \u2026 number {number}" + " so long" * (1000 if number == 7 else 0)
            (tmp_path / "texts" / name / f"{number}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "texts"


def test_a_folder_of_texts_with_a_sub_folder_per_class(folder):
    arrays = read_folder(folder, Reader(one_by_one(read_text_file), (".txt",), "texts"))
    texts, labels = arrays.train
    assert (arrays.label_names, texts.dtype, len(texts)) == (("bad", "good"), object, 40), "each as long as it is"
    assert [names in text for text, names in zip(texts, np.array(["bad", "good"])[labels], strict=True)] == [True] * 40
    model = imdb_transformer.fit(imdb_transformer.TINY, folder, batch_size=8)
    assert model.run.info.label_names == ("bad", "good")
    assert imdb_transformer.evaluate(model) == model.run.metrics["test"], "the folder is found again"
    assert imdb_transformer.evaluate(model, folder).keys() == {"accuracy", "loss", "nll", "brier", "calibration_error"}


def test_texts_that_cannot_be_read_are_explained(folder):
    (folder / "good" / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match="cannot read .*latin.txt as text in UTF-8"):
        imdb_transformer.load_data(imdb_transformer.TINY, folder)
    for data, message in (
        ((["a", 1], [0, 1]), "text 1 is a int, 1; expected a str"),
        ((["a", "caf\udce9"], [0, 1]), r"text 1 is no UTF-8 at position 3: 'caf\\udce9'; expected text in UTF-8"),
        (("ab", [0, 1]), "texts are a str; expected a list of str"),
        ((None, [0]), "texts are a NoneType; expected a list of str"),
        ((["a", "b"], [0]), "labels are int64 .1,.; expected one class index for each of the 2 texts"),
        (5, "data is a int; expected a folder"),
    ):
        with pytest.raises(DataError, match=message):
            imdb_transformer.load_data(imdb_transformer.TINY, data)


def test_labels_that_the_model_has_no_class_for_are_refused(fitted):
    model = fitted(imdb_transformer)
    with pytest.raises(DataError, match="reach 7, and this model has 2 classes; expected labels from 0 to 1"):
        imdb_transformer.evaluate(model, (["a good film", "a bad film"], [1, 7]))


def test_texts_whose_words_are_mostly_unknown_are_said_to_be(fitted, capsys):
    """A vocabulary of two words, another language, and a split of the data in another language than its training."""
    english, german = ["the film was good"] * 8, ["der Spielfilm war gut"] * 8
    config = replace(imdb_transformer.TINY, batch_size=4, validation_fraction=0.0)

    def printed(data, **changes):
        capsys.readouterr()
        imdb_transformer.load_data(replace(config, **changes), data)
        return capsys.readouterr().out

    labels = [0, 1] * 4
    assert printed((english, labels)) == ""
    assert "note: 100% of the tokens of test are unknown, not among the 6 of the vocabulary; expected text" in printed(
        ((english, labels), (german, labels))
    )
    assert "note: 75% of the tokens of train are unknown" in printed((english, labels), vocab_size=3)
    imdb_transformer.evaluate(fitted(imdb_transformer), (german, labels))
    assert "note: 100% of the tokens of train are unknown" in capsys.readouterr().out


def test_texts_in_scripts_without_spaces_are_learned_from(capsys):
    texts = [
        "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\uff0c\u6211\u559c\u6b22\u3002",
        "\u8fd9\u90e8\u7535\u5f71\u4e0d\u597d\u3002",
    ] * 20
    config = replace(imdb_transformer.TINY, batch_size=4)
    splits = imdb_transformer.load_data(config, (texts, [1, 0] * 20))
    assert "note" not in capsys.readouterr().out
    assert set("\u5f88\u559c\u6b22\u4e0d") <= set(splits.info.tokenizer.vocabulary), "characters, not sentences"


@pytest.mark.parametrize("recipe", [imdb_transformer, shakespeare_gpt, translate_seq2seq, word2vec])
def test_own_splits_are_followed_and_those_that_do_not_fit_refused(recipe):
    ours = recipe.load_data(recipe.TINY)
    info = replace(ours.info, follows={})
    own = replace(ours, info=info, train=ours.train.take(3), steps_per_epoch=None, train_from=None)
    sizes = recipe.load_data(recipe.TINY, own).info.sizes(Sizes())
    assert sizes.train_examples == 3 * recipe.TINY.batch_size
    assert sizes.vocab_size == len(info.tokenizer.vocabulary)
    for wrong in (tf.data.Dataset.from_tensors((tf.zeros((4, 5)), tf.zeros((4,)))), tf.data.Dataset.range(5)):
        with pytest.raises(DataError, match="train holds .*; expected batches of .*, integers all"):
            recipe.load_data(recipe.TINY, replace(own, train=wrong))
    with pytest.raises(DataError, match="train is endless; give Splits a steps_per_epoch"):
        recipe.load_data(recipe.TINY, replace(own, train=ours.train))
