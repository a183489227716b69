from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.tokenizers import END, PAD, START
from recipes.kinds.decoding import beam_search, filter_top_k_top_p, sample_token, sample_tokens

SIZE = 6


def bigrams(seed):
    """Logits of the next token, by the token and its place: a language model that can be enumerated."""
    table = tf.constant(np.random.default_rng(seed).normal(size=(4, SIZE, SIZE)) * 2, tf.float32)

    def step(token, place, state):
        return tf.gather(table[place % 4], token) + state, state  # the state must follow its row

    return table, step


def enumerated(table, bias, length, penalty):
    """The best sequence and its score, by looking at every one."""
    log_p = np.log(np.asarray(tf.nn.softmax(table + bias)))
    found = {}
    for tokens in product(range(SIZE), repeat=length):
        said, score, token = [], 0.0, START
        for place, following in enumerate(tokens):
            if following <= START:  # padding, unknown and start are no part of a sentence
                break
            score += log_p[place % 4, token, following]
            said.append(following)
            token = following
            if token == END:
                break
        if len(said) == length or token == END:
            found[tuple(said + [PAD] * (length - len(said)))] = score / ((5 + len(said)) / 6) ** penalty
    best = max(found, key=found.get)
    return best, found[best]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), penalty=st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_as_wide_as_all_there_is_finds_the_best(seed, penalty):
    table, step = bigrams(seed)
    bias = np.random.default_rng(seed + 1).normal(size=(2, SIZE)).astype(np.float32)
    tokens, scores = beam_search(step, tf.constant(bias), tf.constant([START, START]), 3, SIZE**3, penalty)
    for row in range(2):
        best, score = enumerated(table, bias[row], 3, penalty)
        said = tokens[row, 0].numpy().tolist()
        assert tuple(said + [PAD] * (3 - len(said))) == best
        assert scores[row, 0].numpy() == pytest.approx(score, rel=1e-4)


def test_a_beam_of_one_is_greedy():
    table, step = bigrams(3)
    tokens, _ = beam_search(step, tf.zeros((1, SIZE)), tf.constant([START]), 8)
    token, greedy = START, []
    for place in range(8):
        token = END + int(np.argmax(table[place % 4, token, END:]))
        greedy.append(token)
        if token == END:
            break
    assert tokens[0, 0].numpy().tolist() == greedy


def test_each_sequence_has_its_own_length_and_knows_nothing_of_its_neighbours():
    _, step = bigrams(3)
    states = tf.constant(np.random.default_rng(1).normal(size=(2, SIZE)), tf.float32)
    both, _ = beam_search(step, states, tf.constant([START, START]), tf.constant([2, 7]), 3)
    for row, length in enumerate((2, 7)):
        alone, _ = beam_search(step, states[row : row + 1], tf.constant([START]), length, 3)
        width = alone.shape[2]
        np.testing.assert_array_equal(both[row, :, :width], alone[0])
        np.testing.assert_array_equal(both[row, :, width:], PAD)


def test_a_wider_beam_is_never_worse():
    _, step = bigrams(11)
    best = [
        float(beam_search(step, tf.zeros((1, SIZE)), tf.constant([START]), 5, width, 0.0)[1][0, 0])
        for width in (1, 4, 6**3)
    ]
    assert best == sorted(best)


def test_only_the_likeliest_are_kept():
    logits = tf.math.log([[0.5, 0.1, 0.25, 0.15]])
    for how, left in (
        ({}, [1, 1, 1, 1]),
        ({"top_k": 2}, [1, 0, 1, 0]),
        ({"top_k": 9}, [1, 1, 1, 1]),
        ({"top_p": 0.6}, [1, 0, 1, 0]),
        ({"top_p": 0.0}, [1, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.5}, [1, 0, 0, 0]),
    ):
        np.testing.assert_array_equal(
            np.isfinite(filter_top_k_top_p(logits, **how))[0], np.array(left, bool), err_msg=str(how)
        )


def test_of_equals_the_first_are_kept_and_all_where_all_may_come():
    np.testing.assert_array_equal(
        np.isfinite(filter_top_k_top_p(tf.constant([[1.0, 1.0, 0.0]]), top_k=1)), [[True, False, False]]
    )
    np.testing.assert_array_equal(
        np.isfinite(filter_top_k_top_p(tf.constant([[0.0, -90.0]]), top_p=1.0)), [[True, True]]
    )


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = tf.repeat(tf.math.log([[0.2, 0.5, 0.3]]), 4000, 0)
    seeds = tf.stack([tf.zeros(4000, tf.int32), tf.range(4000)], -1)
    shares = np.bincount(sample_token(logits, seeds), minlength=3) / 4000
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    sharper = np.bincount(sample_token(logits, seeds, temperature=0.5), minlength=3) / 4000
    assert sharper == pytest.approx(np.square([0.2, 0.5, 0.3]) / np.square([0.2, 0.5, 0.3]).sum(), abs=0.03)
    assert set(sample_token(logits, seeds, temperature=0.0).numpy()) == {1}


def test_a_sample_follows_its_seed_and_not_its_neighbours():
    _, step = bigrams(5)
    prompts = tf.ragged.constant([[4], [4, 5, 4], [5, 5]], dtype=tf.int32)
    together = sample_tokens(step, tf.zeros((3, SIZE)), prompts, 6, seed=7)
    assert together.row_lengths().numpy().tolist() == [7, 9, 8]
    for row in range(3):
        said = together[row].numpy().tolist()
        assert said[: len(prompts[row])] == prompts[row].numpy().tolist()
        alone = sample_tokens(step, tf.zeros((1, SIZE)), prompts[row : row + 1], 6, seed=7)
        assert alone[0].numpy().tolist() == said
    other = sample_tokens(step, tf.zeros((3, SIZE)), prompts, 6, seed=8)
    assert other.to_list() != together.to_list()
