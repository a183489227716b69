import numpy as np
import pytest
import tensorflow as tf

from recipes import translate_transformer
from recipes.data.standins.texts import dates


def test_parameters_by_hand():
    d, ff, size = 192, 512, 4_000
    attention, feed_forward, norm = 4 * d * d + 3 * d, d * ff + ff + ff * d + d, 2 * d
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    assert translate_transformer.build().count_params() == size * d + 3 * (encoder + decoder) + 2 * norm


def test_no_target_piece_sees_its_future_and_padding_changes_nothing():
    model = translate_transformer.build(translate_transformer.TINY)
    source, target = np.array([[7, 8, 9, 3]]), np.array([[2, 5, 6, 7, 8]])
    whole = model([source, target])
    for place in range(5):
        later = target.copy()
        later[:, place:] = 11
        after = model([source, later])
        np.testing.assert_allclose(after[:, :place], whole[:, :place], atol=1e-5)
        assert np.abs(after[:, place] - whole[:, place]).max() > 1e-4
    padded = model([np.pad(source, [[0, 0], [0, 4]]), np.pad(target, [[0, 0], [0, 3]])])
    np.testing.assert_allclose(padded[:, :5], whole, atol=1e-5)


def test_the_report_shows_where_pieces_looked():
    model = translate_transformer.build(translate_transformer.TINY)
    weights = translate_transformer.align(model, tf.constant([[7, 8, 3]]), tf.constant([[2, 5]])).numpy()
    assert weights.shape == (1, 2, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


@pytest.mark.slow
def test_it_learns():
    settings = {"max_examples": None, "embed_dim": 64, "ff_dim": 64, "epochs": 4, "learning_rate": 3e-3, "dropout": 0.0}
    pairs = dates(train=3000, test=100)
    model = translate_transformer.fit(
        translate_transformer.TINY, (pairs.train, pairs.test), label_smoothing=0.0, **settings
    )
    assert model.run.metrics["test"]["perplexity"] < 15 < 0.1 * len(model.run.info.tokenizer.vocabulary)
    assert "alignment.png" in (model.run.folder / "report.md").read_text()
