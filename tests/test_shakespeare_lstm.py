from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from recipes import shakespeare_lstm


def test_parameters_by_hand():
    config, size = shakespeare_lstm.Config(), 65
    layers = 4 * 256 * (64 + 256 + 1) + 4 * 256 * (256 + 256 + 1)
    assert shakespeare_lstm.build(config).count_params() == size * 64 + layers + (256 + 1) * size


def test_no_position_sees_its_future():
    model = shakespeare_lstm.build(shakespeare_lstm.TINY)
    token_ids = np.arange(10)[None] % 60
    before = model(token_ids)
    for place in range(10):
        later = token_ids.copy()
        later[:, place:] += 1
        np.testing.assert_allclose(model(later)[:, :place], before[:, :place], atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_step_at_a_time_says_what_the_whole_says(cell):
    model = shakespeare_lstm.build(replace(shakespeare_lstm.TINY, cell=cell))
    begin, step = shakespeare_lstm.decoder(model)
    text = np.random.default_rng(0).integers(0, 60, (2, 20)).astype(np.int32)
    state, whole = begin(2), model(text)
    for place in range(20):
        logits, state = step(tf.constant(text[:, place]), tf.constant(place), state)
        np.testing.assert_allclose(logits, whole[:, place], atol=1e-5)


@pytest.mark.slow
def test_it_learns():
    model = shakespeare_lstm.fit(
        shakespeare_lstm.TINY,
        max_examples=None,
        embed_dim=32,
        units=64,
        epochs=2,
        learning_rate=1e-2,
        sequence_length=32,
    )
    assert model.run.metrics["test"]["loss"] < 2.7
    assert "--- the model goes on:" in (model.run.folder / "report.md").read_text()
