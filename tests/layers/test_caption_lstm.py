import keras
import numpy as np
import pytest
from keras import ops

from recipes.errors import ConfigError
from recipes.show_attend_tell import CaptionLSTM


def draw(*shape, seed=0):
    return ops.convert_to_tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def asked(attention, training=False, batch=3, steps=4):
    keras.utils.set_random_seed(1)
    layer = CaptionLSTM(8, attention, 5)
    x, annotations = draw(batch, steps, 6), draw(batch, 9, 7, seed=1)
    return layer, annotations, layer(x, annotations, draw(batch, 8, seed=2), draw(batch, 8, seed=3), training=training)


def test_soft_weights_add_up_to_one_and_are_where_it_looks():
    _, _, (hidden, seen, weights, looks) = asked("soft", training=True)
    assert (hidden.shape, seen.shape, weights.shape) == ((3, 4, 8), (3, 4, 7), (3, 4, 9))
    np.testing.assert_allclose(ops.sum(weights, -1), 1, rtol=1e-6)
    assert np.asarray(weights).std(-1).min() > 0
    np.testing.assert_array_equal(looks, weights)


def test_hard_looks_at_the_likeliest_place_outside_of_training():
    _, _, (*_, weights, looks) = asked("hard")
    np.testing.assert_array_equal(ops.argmax(looks, -1), ops.argmax(weights, -1))
    np.testing.assert_array_equal(ops.sum(looks, -1), 1)
    assert set(np.unique(looks)) == {0, 1}


def test_hard_draws_one_place_by_its_weight_for_half_of_the_captions():
    """Of 4,000 captions of one step from one state: each place as often as its weight says."""
    keras.utils.set_random_seed(1)
    layer, count = CaptionLSTM(8, "hard", 5), 4000
    given = [ops.repeat(part, count, 0) for part in (draw(1, 1, 6), draw(1, 3, 7), draw(1, 8, seed=2), draw(1, 8))]
    *_, weights, looks = layer(*given, training=True)
    looks, weights = np.asarray(looks)[:, 0], np.asarray(weights)[0, 0]
    drawn = looks.max(-1) == 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_allclose(looks[~drawn], np.tile(weights, ((~drawn).sum(), 1)), rtol=1e-5)
    np.testing.assert_allclose(looks[drawn].mean(0), weights, atol=0.04)
    again = np.asarray(layer(*given, training=True)[-1])[:, 0]
    assert (again != looks).any(), "drawn anew in each step"


def test_a_caption_is_of_one_kind_from_its_first_word_to_its_last():
    *_, looks = asked("hard", training=True, batch=64, steps=5)[2]
    one = np.asarray(looks).max(-1) == 1  # (B, T)
    np.testing.assert_array_equal(one.all(1), one.any(1))
    assert 10 < one.all(1).sum() < 54


def test_what_is_seen_is_the_gated_mean_of_the_annotations():
    layer, annotations, _ = asked("soft")
    state = layer.initial_state(annotations, draw(3, 8, seed=2), draw(3, 8, seed=3))
    _, _, seen, weights, _ = layer.step(layer.read(draw(3, 6)), state, *layer.project_annotations(annotations))
    gate = np.asarray(ops.sigmoid(state[0] @ layer.gate.kernel + layer.gate.bias))
    by_hand = gate * np.einsum("bl,bld->bd", np.asarray(weights), np.asarray(annotations))
    np.testing.assert_allclose(seen, by_hand, rtol=1e-5, atol=1e-6)


def test_weights_are_those_of_the_paper_by_hand():
    """e_i = v . tanh(U a_i + W h + b), alpha = softmax(e)."""
    layer, annotations, _ = asked("soft")
    state = layer.initial_state(annotations, draw(3, 8, seed=2), draw(3, 8, seed=3))
    weights = layer.step(layer.read(draw(3, 6)), state, *layer.project_annotations(annotations))[3]
    keys = np.asarray(annotations) @ np.asarray(layer.keys.kernel)
    query = np.asarray(state[0]) @ np.asarray(layer.query.kernel) + np.asarray(layer.query.bias)
    scores = np.exp((np.tanh(keys + query[:, None]) @ np.asarray(layer.score.kernel))[..., 0])
    np.testing.assert_allclose(weights, scores / scores.sum(-1, keepdims=True), rtol=1e-5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="attention='sharp' is unknown; expected 'soft' or 'hard'"):
        CaptionLSTM(8, "sharp", 5)
