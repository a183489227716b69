"""On the real data sets, where TFDS_DATA_DIR has them; otherwise skipped, saying so."""

import numpy as np
import pytest
import tensorflow as tf

from recipes import cifar_convnet, imdb_lstm, mnist_dense, shakespeare_gpt, show_attend_tell, translate_seq2seq
from recipes.data.caption_sources import find_captions
from recipes.data.plain_text import find_text
from recipes.data.sentence_pairs import find_pairs
from recipes.data.sources import data_dir, prepared_datasets

pytestmark = pytest.mark.real_data


def needs(dataset):
    if dataset not in prepared_datasets():
        pytest.skip(f"{dataset} is not in {data_dir()}; set TFDS_DATA_DIR to a folder that holds it")


def test_cifar10_is_the_original():
    needs("cifar10")
    splits = cifar_convnet.load_data(cifar_convnet.Config(validation_fraction=0.0, crop_padding=0, flip=False))
    assert splits.info.examples == {"train": 50_000, "test": 10_000}
    assert splits.info.label_names[:3] == ("airplane", "automobile", "bird")
    labels = np.concatenate([label for _, label in splits.test])
    assert np.bincount(labels).tolist() == [1000] * 10
    pixels = np.concatenate([image for image, _ in splits.test.take(4)]) / 255
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), [0.491, 0.482, 0.447], atol=0.02)


def test_imdb_is_the_original():
    needs("imdb_reviews")
    splits = imdb_lstm.load_data(imdb_lstm.Config(validation_fraction=0.0))
    assert splits.info.examples == {"train": 25_000, "test": 25_000}
    assert splits.info.label_names == ("neg", "pos")
    assert splits.info.tokenizer.vocabulary[2:6] == ("the", "and", "a", "of")


def test_tiny_shakespeare_is_the_original():
    needs("tiny_shakespeare")
    splits = shakespeare_gpt.load_data()
    tokenizer = splits.info.tokenizer
    assert len(tokenizer.vocabulary) == 65
    texts, _ = find_text("tiny_shakespeare", "error")
    assert [len(str(split[0][0])) for split in texts[:3]] == [1_003_854, 55_770, 55_770]
    assert str(texts.train[0][0]).startswith("First Citizen:")


def test_multi30k_is_the_original():
    needs("multi30k")
    splits = translate_seq2seq.load_data(translate_seq2seq.Config(max_examples=500, vocab_size=1000))
    assert splits.info.version == "1.0.0"
    arrays, _ = find_pairs(translate_seq2seq.Config())
    assert {name: len(split[0]) for name, split in arrays.named.items()} == {
        "train": 29_000,
        "validation": 1_014,
        "test": 1_000,
    }
    assert "A man in an orange hat starring at something." in arrays.test[0]


def test_flickr8k_is_the_original():
    needs("flickr8k")
    arrays, info, images = find_captions(show_attend_tell.Config(image_size=64, offline="error"))
    assert info.version == "1.0.0"
    counts = {"train": 6_000, "validation": 1_000, "test": 1_000}
    assert {name: len(split[0]) for name, split in arrays.named.items()} == counts
    assert all(len(told) == 5 for split in arrays.named.values() for told in split[1])
    assert any(
        "A child in a pink dress is climbing up a set of stairs in an entry way ." in told for told in arrays.train[1]
    )
    pixels = images[arrays.test[0][:8]].stacked()
    assert pixels.shape == (8, 64, 64, 3)
    assert pixels.std((1, 2)).min() > 10, "photographs"


def test_one_epoch_of_softmax_regression_on_mnist():
    needs("mnist")
    model = mnist_dense.fit(mnist_dense.LINEAR, epochs=1, offline="error")
    assert model.run.info.examples == {"train": 54_000, "validation": 6_000, "test": 10_000}
    assert model.run.metrics["test"]["accuracy"] > 0.88


@pytest.mark.slow
def test_the_perceptron_reaches_its_figure():
    needs("mnist")
    assert mnist_dense.fit(offline="error").run.metrics["test"]["accuracy"] >= 0.984


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [cifar_convnet, imdb_lstm, translate_seq2seq], ids=lambda recipe: recipe.__name__)
def test_real_data_is_the_same_in_memory_and_on_the_disk(recipe):
    needs(recipe.Config().dataset)
    kept, read = (recipe.load_data(recipe.Config(in_memory=how)) for how in ("yes", "no"))
    assert kept.info == read.info
    for one, other in zip(kept.train.take(20), read.train.take(20), strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
