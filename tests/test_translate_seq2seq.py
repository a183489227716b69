from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import translate_seq2seq
from recipes.data.standins.texts import dates

KINDS = ("none", "bahdanau", "luong")


@pytest.mark.parametrize("kind", KINDS)
def test_no_target_piece_sees_its_future_and_padding_changes_nothing(kind):
    model = translate_seq2seq.build(replace(translate_seq2seq.TINY, attention=kind))
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


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_attention_add_up_to_one_on_what_is_there(kind):
    model = translate_seq2seq.build(replace(translate_seq2seq.TINY, attention=kind))
    weights = translate_seq2seq.align(model, tf.constant([[7, 8, 3, 0]]), tf.constant([[2, 5]])).numpy()
    assert weights.shape == (1, 2, 4)
    np.testing.assert_allclose(weights.sum(-1), 0 if kind == "none" else 1, rtol=1e-5)
    np.testing.assert_array_equal(weights[:, :, 3], 0)


@pytest.mark.slow
def test_it_learns():
    settings = {"max_examples": None, "embed_dim": 32, "units": 64, "epochs": 3, "learning_rate": 5e-3, "dropout": 0.0}
    pairs = dates(train=3000, test=100)
    model = translate_seq2seq.fit(
        translate_seq2seq.TINY, (pairs.train, pairs.test), attention="bahdanau", label_smoothing=0.0, **settings
    )
    assert model.run.metrics["test"]["perplexity"] < 15 < 0.1 * len(model.run.info.tokenizer.vocabulary)
    report = (model.run.folder / "report.md").read_text()
    assert "translated:" in report
    assert "alignment.png" in report
