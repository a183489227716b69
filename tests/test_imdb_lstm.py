from dataclasses import replace

import keras
import numpy as np
import pytest

from recipes import imdb_lstm
from recipes.data.splits import Sizes


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(cell, bidirectional):
    model = imdb_lstm.build(replace(imdb_lstm.TINY, cell=cell, bidirectional=bidirectional, num_layers=2))
    token_ids = np.array([[5, 3, 9, 2]])
    np.testing.assert_allclose(model(np.pad(token_ids, [[0, 0], [0, 7]])), model(token_ids), atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_alone_is_classified_by_the_bias_alone(cell, bidirectional):
    """No word moves the states from 0; and others in the batch do not notice."""
    model = imdb_lstm.build(replace(imdb_lstm.TINY, cell=cell, bidirectional=bidirectional, num_layers=2))
    logits = model(np.array([[0, 0, 0, 0], [5, 3, 9, 2]])).numpy()
    np.testing.assert_allclose(logits[0], model.get_layer("logits").bias, atol=1e-6)
    np.testing.assert_allclose(logits[1:], model(np.array([[5, 3, 9, 2]])), atol=1e-6)


def test_parameters_by_hand():
    embedding, units = 20_000 * 128, 64
    lstm = 4 * units * (128 + units + 1)
    assert imdb_lstm.build().count_params() == embedding + 2 * lstm + (2 * units + 1) * 2


@pytest.mark.parametrize(("scale", "low", "high"), [(0.5, 0, 1e-10), (1.0, 0.1, 10), (2.0, 1e3, np.inf)])
def test_gradients_of_a_simple_network_vanish_stay_or_explode(scale, low, high):
    """As its orthogonal matrix is made smaller or larger; the words hardly matter, so that tanh is nearly linear."""
    model = reader("rnn")
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.SimpleRNN)]
    layer.cell.recurrent_kernel.assign(scale * layer.cell.recurrent_kernel)
    layer.cell.kernel.assign(1e-3 * layer.cell.kernel)
    assert low <= reach(model) < high


@pytest.mark.parametrize(("forget_bias", "low", "high"), [(0.0, 0, 1e-10), (5.0, 0.1, 10)])
def test_gradients_reach_back_through_an_lstm_that_forgets_nothing(forget_bias, low, high):
    model = reader("lstm")
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.LSTM)]
    bias = layer.cell.bias.numpy()
    bias[16:32] = forget_bias  # input, forget, cell, output: 16 each
    layer.cell.bias.assign(bias)
    layer.cell.recurrent_kernel.assign(0 * layer.cell.recurrent_kernel)
    assert low <= reach(model) < high


def reader(cell):
    keras.utils.set_random_seed(0)
    return imdb_lstm.build(
        replace(imdb_lstm.TINY, cell=cell, bidirectional=False, units=16), Sizes(num_classes=2, vocab_size=200)
    )


def reach(model):
    """How large the gradient at the first of 60 words is, for that at the last."""
    token_ids = np.random.default_rng(0).integers(2, 200, (16, 60))
    by_place, hidden, of_weights = imdb_lstm.gradient_norms_function(model)(token_ids, np.zeros(16, int))
    assert by_place.shape == (60,)
    assert min(hidden, of_weights) > 0
    return by_place[-1] / by_place[0]


def test_the_norm_of_gradients_is_that_of_the_step():
    """A step of plain gradient descent moves the weights by as much."""
    model = imdb_lstm.build(replace(imdb_lstm.TINY, dropout=0.0), Sizes(num_classes=2, vocab_size=50))
    token_ids, labels = np.random.default_rng(0).integers(2, 50, (8, 12)), np.arange(8) % 2
    _, _, of_weights = imdb_lstm.gradient_norms_function(model)(token_ids, labels)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), loss=model.loss)
    model.train_on_batch(token_ids, labels)
    moved = np.sqrt(sum(((one - other) ** 2).sum() for one, other in zip(before, model.get_weights(), strict=True)))
    np.testing.assert_allclose(of_weights, moved, rtol=1e-4)


def test_it_learns_what_counting_words_cannot_and_logs_its_norms(tmp_path):
    model = imdb_lstm.fit(
        imdb_lstm.TINY,
        max_examples=4000,
        sequence_length=96,
        embed_dim=24,
        units=24,
        epochs=6,
        batch_size=64,
        learning_rate=1e-2,
    )
    accuracy = model.run.metrics["test"]["accuracy"]
    splits = imdb_lstm.load_data(model.run.config)
    assert accuracy > counting_words(splits) + 0.05
    assert {"hidden_norm", "gradient_norm", "gradient_near", "gradient_far"} <= set(model.history.history)
    report = (model.run.folder / "report.md").read_text()
    assert "gradients.png" in report
    assert "taken for" in report


def counting_words(splits):
    """The accuracy of logistic regression on the counts of words."""
    from sklearn.linear_model import LogisticRegression

    size = len(splits.info.tokenizer.vocabulary)

    def counts(dataset):
        found = [(np.apply_along_axis(np.bincount, 1, x, minlength=size)[:, 1:], y.numpy()) for x, y in dataset]
        return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])

    x, y = counts(splits.train.take(splits.steps_per_epoch))
    return LogisticRegression(max_iter=500).fit(x, y).score(*counts(splits.test))
