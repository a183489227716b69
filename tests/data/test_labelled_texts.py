"""Labelled texts of a user: folders, lists, Splits, and what is wrong with them."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import imdb_transformer, shakespeare_gpt, translate_seq2seq, word2vec
from recipes.data.folders import Reader, read_folder
from recipes.data.splits import Sizes
from recipes.data.text_files import column, read_text_file
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
    arrays = read_folder(folder, Reader(read_text_file, (".txt",), "texts", column))
    texts, labels = arrays.train
    assert (arrays.label_names, texts.dtype, len(texts)) == (("bad", "good"), object, 40), "each as long as it is"
    assert [names in text for text, names in zip(texts, np.array(["bad", "good"])[labels], strict=True)] == [True] * 40
    model = imdb_transformer.fit(imdb_transformer.TINY, folder, batch_size=8)
    assert model.run.info.label_names == ("bad", "good")
    assert imdb_transformer.evaluate(model) == model.run.metrics["test"], "the folder is found again"
    assert imdb_transformer.evaluate(model, folder).keys() == {"loss", "accuracy"}


def test_texts_that_cannot_be_read_are_explained(folder):
    (folder / "good" / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DataError, match="cannot read .*latin.txt as text in UTF-8"):
        imdb_transformer.load_data(imdb_transformer.TINY, folder)
    for data, message in (
        ((["a", 1], [0, 1]), "text 1 is a int, 1; expected a str"),
        (("ab", [0, 1]), "texts are a str; expected a list of str"),
        ((None, [0]), "texts are a NoneType; expected a list of str"),
        ((["a", "b"], [0]), "labels are int64 .1,.; expected one class index for each of the 2 texts"),
        (5, "data is a int; expected a folder"),
    ):
        with pytest.raises(DataError, match=message):
            imdb_transformer.load_data(imdb_transformer.TINY, data)


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
