from dataclasses import replace

import numpy as np
import pytest

from recipes import imdb_transformer
from recipes.errors import ConfigError, DataError


def test_padding_changes_nothing():
    model = imdb_transformer.build(replace(imdb_transformer.TINY, num_layers=2))
    token_ids = np.array([[5, 3, 9, 2]])
    np.testing.assert_allclose(model(np.pad(token_ids, [[0, 0], [0, 7]])), model(token_ids), atol=1e-5)


def test_padding_alone_is_classified_by_the_bias_alone():
    """Of no words there is no average: 0, not 0 / 0; and others in the batch do not notice."""
    model = imdb_transformer.build(imdb_transformer.TINY)
    bias = np.array([0.25, -0.5], "f")
    model.get_layer("logits").bias.assign(bias)
    np.testing.assert_array_equal(model(np.zeros((1, 2))), [bias])
    logits = model(np.array([[0, 0, 0, 0], [5, 3, 9, 2]]))
    np.testing.assert_array_equal(logits[0], bias)
    np.testing.assert_allclose(logits[1:], model(np.array([[5, 3, 9, 2]])), atol=1e-6)
    for weights in imdb_transformer.attention_weights(model, np.zeros((1, 3))):
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a"], "caf\udce9"])
def test_what_is_no_text_is_not_explained(text, fitted):
    with pytest.raises(DataError, match=r"text is (a .*; expected a str|no UTF-8 at position 3)"):
        imdb_transformer.explain(text, model=fitted(imdb_transformer))


def test_parameters_by_hand():
    d, ff = 64, 128
    embeddings = 20_000 * d + 512 * d
    block = 4 * d * d + 3 * d + (d * ff + ff) + (ff * d + d) + 2 * 2 * d
    assert imdb_transformer.build().count_params() == embeddings + block + 2 * d + (d + 1) * 2


def test_a_length_need_not_be_a_multiple_of_what_batches_are_padded_to():
    model = imdb_transformer.fit(imdb_transformer.TINY, sequence_length=13)
    long = "a film that nobody who has seen it will forget so soon and so on and on"
    words, weights = imdb_transformer.explain(long, model=model)
    assert len(words) == 13 == weights[0].shape[-1]


def test_words_are_dropped_whole_and_only_while_it_trains():
    model = imdb_transformer.build(replace(imdb_transformer.TINY, dropout=0.0, word_dropout=0.9))
    token_ids = np.arange(2, 18)[None]
    assert len({float(model(token_ids, training=True)[0, 0]) for _ in range(8)}) > 1
    assert len({float(model(token_ids, training=False)[0, 0]) for _ in range(8)}) == 1


def test_each_word_looks_at_all_and_the_report_shows_it(fitted):
    model = fitted(imdb_transformer)
    words, weights = imdb_transformer.explain("The plot was NOT dull!", model=model)
    assert words == ["the", "plot", "was", "not", "dull"]
    assert [layer.shape for layer in weights] == [(2, 5, 5)]
    np.testing.assert_allclose(weights[0].sum(-1), 1, rtol=1e-5)
    assert (model.run.folder / "attention.png").exists()


@pytest.mark.slow
def test_it_learns_what_counting_words_cannot():
    from test_imdb_lstm import counting_words

    model = imdb_transformer.fit(
        imdb_transformer.TINY,
        max_examples=None,
        sequence_length=96,
        embed_dim=32,
        ff_dim=32,
        num_layers=2,
        epochs=4,
        batch_size=64,
        dropout=0.0,
        word_dropout=0.0,
        learning_rate=3e-3,
    )
    splits = imdb_transformer.load_data(model.run.config)
    assert model.run.metrics["test"]["accuracy"] > counting_words(splits) + 0.05


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(ConfigError, match="embed_dim=8 cannot be shared by num_heads=3"):
        imdb_transformer.build(replace(imdb_transformer.TINY, num_heads=3))
