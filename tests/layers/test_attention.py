import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from recipes.errors import ConfigError
from recipes.layers.attention import MultiHeadAttention, weighted_average
from recipes.layers.positions import PositionEmbedding, sinusoids
from recipes.layers.transformer import TransformerBlock


def draw(*shape, seed=0):
    return ops.convert_to_tensor(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def test_one_head_by_hand():
    """With the identity for every projection: softmax(x x^T / sqrt(2)) x."""
    layer = MultiHeadAttention(1)
    x = np.array([[[1.0, 0.0], [0.0, 2.0]]], np.float32)
    layer.build(x.shape)
    for projection in (layer.query_projection, layer.key_projection, layer.value_projection, layer.output_projection):
        projection.kernel.assign(np.eye(2))
    answer, weights = layer(x, x)
    scores = np.array([[1, 0], [0, 4]]) / np.sqrt(2)
    by_hand = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights[0, 0], by_hand, rtol=1e-6)
    np.testing.assert_allclose(answer[0], by_hand @ x[0], rtol=1e-6)


def test_it_is_what_keras_computes():
    ours, theirs = MultiHeadAttention(2), keras.layers.MultiHeadAttention(2, 4)
    query, memory = draw(3, 5, 8), draw(3, 7, 8, seed=1)
    mask = np.random.default_rng(2).random((3, 5, 7)) < 0.7
    mask[..., 0] = True
    theirs(query, memory)
    ours.build((3, 5, 8))
    for name in ("query", "key", "value", "output"):
        kernel, bias = getattr(theirs, f"{name}_dense").get_weights()
        own = [kernel.reshape(8, 8), *([] if name == "key" else [bias.reshape(8)])]
        getattr(ours, f"{name}_projection").set_weights(own)
    expected, expected_weights = theirs(query, memory, attention_mask=mask, return_attention_scores=True)
    answer, weights = ours(query, memory, mask[:, None])
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-6), ("bfloat16", 0.02)])
def test_the_gradient_that_is_written_out_is_that_of_the_operations(rate, dtype, atol):
    scores, values = draw(2, 3, 4, 5), tf.cast(draw(2, 3, 5, 6, seed=1), dtype)
    factors = tf.cast(np.random.default_rng(2).random((2, 3, 4, 5)) > rate, dtype) / (1 - rate) if rate else None
    cotangent = tf.cast(draw(2, 3, 4, 6, seed=3), dtype)

    def operations(scores, values, factors):
        weights = tf.cast(tf.nn.softmax(scores), dtype)
        return tf.matmul(weights if factors is None else weights * factors, values)

    results = []
    for function in (weighted_average, operations):
        with tf.GradientTape() as tape:
            tape.watch([scores, values])
            context = function(scores, values, factors)
        results.append([context, *tape.gradient(context, [scores, values], cotangent)])
    for ours, plain in zip(*results, strict=True):
        assert ours.dtype == plain.dtype
        np.testing.assert_allclose(np.array(ours, "float32"), np.array(plain, "float32"), atol=atol)


def test_attention_weights_are_dropped_in_training_alone():
    layer, x = MultiHeadAttention(2, dropout=0.5), draw(2, 6, 8)
    (answer, weights), (again, same_weights) = layer(x, x), layer(x, x, training=True)
    np.testing.assert_array_equal(same_weights, weights)  # they are returned whole
    assert np.abs(again - answer).max() > 1e-3
    np.testing.assert_array_equal(layer(x, x)[0], answer)


def test_weights_add_up_to_one_and_hidden_places_have_none():
    mask = np.array([[True, True, False], [True, False, False]])[:, None, None]
    _, weights = MultiHeadAttention(2)(draw(2, 4, 8), draw(2, 3, 8), mask)
    np.testing.assert_allclose(ops.sum(weights, -1), 1, atol=1e-6)
    assert np.asarray(weights)[np.broadcast_to(~mask, weights.shape)].max() == 0


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match="embed_dim=6 cannot be shared by num_heads=4; expected a multiple"):
        MultiHeadAttention(4)(draw(1, 2, 6), draw(1, 2, 6))


def test_no_position_sees_its_future():
    block = TransformerBlock(2, 16, causal=True)
    x = np.asarray(draw(1, 6, 8))
    before, _ = block(x)
    for place in range(6):
        later = x.copy()
        later[:, place:] += 1
        after, _ = block(later)
        np.testing.assert_allclose(after[:, :place], before[:, :place], atol=1e-6)
        assert np.abs(after[:, place] - before[:, place]).max() > 1e-3


def test_padding_changes_nothing():
    block, memory = TransformerBlock(2, 16, cross=True), draw(1, 4, 8, seed=1)
    x = draw(1, 5, 8)
    answer, _ = block(x, None, memory, None)
    padded = ops.pad(x, [[0, 0], [0, 3], [0, 0]]) + 0.0
    longer = ops.concatenate([memory, draw(1, 2, 8, seed=3)], 1)
    there, of_memory = np.arange(8) < 5, np.arange(6) < 4
    again, _ = block(padded, there[None, None, None], longer, of_memory[None, None, None])
    np.testing.assert_allclose(again[:, :5], answer, atol=1e-6)


@pytest.mark.parametrize("cross", [False, True])
def test_a_cache_says_the_same_as_none(cross):
    block = TransformerBlock(2, 16, causal=True, cross=cross)
    x, memory = draw(3, 5, 8), draw(3, 4, 8, seed=1) if cross else None
    whole, _ = block(x, None, memory)
    projected = ops.stack(block.attentions[1].project(memory), axis=1) if cross else None
    cache = ops.zeros((3, 2, 2, 5, 4))
    for place in range(5):
        here = (np.arange(5) <= place)[None, None, None]
        answer, cache = block.step(x[:, place : place + 1], cache, place, here, projected)
        np.testing.assert_allclose(answer[:, 0], whole[:, place], atol=1e-5)


def test_a_filled_cache_goes_on_as_the_whole():
    block = TransformerBlock(2, 16, causal=True)
    x = draw(3, 5, 8)
    whole, _ = block(x)
    filled, cache = block.fill(x[:, :4], 5)
    np.testing.assert_allclose(filled, whole[:, :4], atol=1e-6)
    answer, _ = block.step(x[:, 4:], cache, 4, np.ones((1, 1, 1, 5), bool))
    np.testing.assert_allclose(answer, whole[:, 4:], atol=1e-5)


def test_positions_by_hand():
    places = sinusoids(3, 4)
    np.testing.assert_allclose(places[0], [0, 1, 0, 1])
    np.testing.assert_allclose(places[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)], rtol=1e-6)
    fixed = PositionEmbedding(3, learned=False)(ops.zeros((1, 2, 4)), start=1)
    np.testing.assert_allclose(fixed[0], places[1:3])
    learned = PositionEmbedding(7)
    assert learned(ops.zeros((2, 3, 4))).shape == (2, 3, 4)
    assert learned.positions.shape == (7, 4)


def test_a_bias_of_keys_would_change_nothing():
    theirs = keras.layers.MultiHeadAttention(2, 4)
    x = draw(3, 5, 8)
    before = theirs(x, x)
    theirs.key_dense.bias.assign(draw(2, 4, seed=4))
    np.testing.assert_allclose(theirs(x, x), before, atol=1e-5)


def test_padding_may_lie_beyond_the_last_position():
    for learned in (False, True):
        positions = PositionEmbedding(3, learned)
        x = ops.zeros((1, 8, 4))
        np.testing.assert_allclose(positions(x)[:, :3], positions(x[:, :3]))


def test_blocks_come_back_from_a_file(tmp_path):
    x = keras.Input((None, 8))
    y, _ = TransformerBlock(2, 16, dropout=0.1)(PositionEmbedding(9)(x), None)
    model = keras.Model(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(draw(2, 5, 8)), model(draw(2, 5, 8)), atol=1e-6)
