import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.text_batches import POOL, bucketed_batches, sorted_batches, window_batches, windows_and_steps
from recipes.errors import DataError


def numbered(count, seed=0):
    """Sequences of different lengths whose every token is their own number, from 1."""
    lengths = np.random.default_rng(seed).integers(1, 40, count)
    rows = [np.full(length, number + 1, np.int32) for number, length in enumerate(lengths)]
    return [tf.RaggedTensor.from_row_lengths(np.concatenate(rows), lengths), np.arange(1, count + 1)]


def plain(token_ids, label):
    return token_ids, label


def labels_of(dataset, steps):
    return [label.numpy().tolist() for _, label in dataset.take(steps)]


@settings(max_examples=10, deadline=None)
@given(count=st.integers(1, 400), batch_size=st.integers(1, 9), seed=st.integers(0, 2**31 - 1))
def test_an_epoch_takes_no_example_twice_and_leaves_out_less_than_a_batch(count, batch_size, seed):
    batch_size = min(count, batch_size)
    steps = count // batch_size
    train = bucketed_batches(numbered(count), batch_size, seed, plain)
    first, second = np.split(np.ravel(labels_of(train(0, 0, 1), 2 * steps)), 2)
    for epoch in (first, second):
        assert len(set(epoch)) == len(epoch) == steps * batch_size
        assert set(epoch) <= set(range(1, count + 1))


def test_a_batch_holds_its_sequences_and_zeros_after_them():
    columns = numbered(50)
    for token_ids, labels in bucketed_batches(columns, 8, 3, plain)(0, 0, 1).take(6):
        assert token_ids.shape[1] % 8 == 0
        for row, label in zip(token_ids.numpy(), labels.numpy(), strict=True):
            length = columns[0][label - 1].shape[0]
            np.testing.assert_array_equal(row[:length], label)
            np.testing.assert_array_equal(row[length:], 0)


def test_batches_are_of_one_length_and_come_in_no_order_of_lengths():
    batches = [row.numpy() for row, _ in bucketed_batches(numbered(POOL * 8), 8, 0, plain)(0, 0, 1).take(POOL)]
    padding = np.mean([np.mean(batch == 0) for batch in batches])
    assert padding < 0.25, "at random it would be twice as much"
    widths = [batch.shape[1] for batch in batches]
    assert sorted(widths) != widths != sorted(widths, reverse=True)


@settings(max_examples=10, deadline=None)
@given(start=st.integers(0, 200), seed=st.integers(0, 1000))
def test_the_stream_can_be_entered_at_any_step(start, seed):
    train = bucketed_batches(numbered(300), 4, seed, plain)
    assert labels_of(train(0, 0, 1).skip(start), 3) == labels_of(train(start, 0, 1), 3)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_share_each_batch_at_one_width(workers):
    train = bucketed_batches(numbered(60), 8, 7, plain)
    [(whole, labels)] = train(5, 0, 1).take(1)
    parts = [next(iter(train(5, worker, workers))) for worker in range(workers)]
    np.testing.assert_array_equal(np.concatenate([token_ids for token_ids, _ in parts]), whole)
    np.testing.assert_array_equal(np.concatenate([label for _, label in parts]), labels)


def test_looking_at_all_takes_each_once_the_longest_first():
    columns = numbered(45)
    batches = list(sorted_batches(columns, 8, plain))
    assert sorted(np.concatenate([label for _, label in batches])) == list(range(1, 46))
    widths = [token_ids.shape[1] for token_ids, _ in batches]
    assert widths == sorted(widths, reverse=True)
    assert sorted_batches(columns, 8, plain).options().autotune.enabled is False


@settings(max_examples=20, deadline=None)
@given(tokens=st.integers(12, 200), length=st.integers(1, 9), seed=st.integers(0, 1000))
def test_windows_take_no_token_twice_in_an_epoch(tokens, length, seed):
    batch_size = 2
    try:
        windows, steps = windows_and_steps(tokens, length, batch_size)
    except DataError:
        assert (tokens - 1) // length < batch_size
        return
    text = np.arange(tokens)
    read = [(x.numpy(), y.numpy()) for x, y in window_batches(text, length, batch_size, seed)(0, 0, 1).take(steps)]
    for x, y in read:
        np.testing.assert_array_equal(y, x + 1)
        np.testing.assert_array_equal(x, x[:, :1] + np.arange(length))
    seen = np.concatenate([x.ravel() for x, _ in read])
    assert len(set(seen)) == len(seen) == steps * batch_size * length
    assert windows * length < tokens


def test_epochs_cut_a_text_at_different_places():
    train = window_batches(np.arange(1000), 10, 4, 0)(0, 0, 1)
    steps = windows_and_steps(1000, 10, 4)[1]
    firsts = {int(x[0, 0]) % 10 for x, _ in train.take(steps * 8)}
    assert len(firsts) > 2


def test_too_short_a_text_is_refused():
    with pytest.raises(DataError, match="a text of 20 tokens holds 1 windows of sequence_length=16; expected at least"):
        window_batches(np.arange(20), 16, 2, 0)
