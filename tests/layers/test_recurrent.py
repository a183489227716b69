"""Recurrent layers that multiply once for all steps, against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import classes_of_ours, read_model
from recipes.layers import recurrent

KINDS = {"lstm": recurrent.LSTM, "gru": recurrent.GRU, "rnn": recurrent.SimpleRNN}
STOCK = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
MASKS = {
    "none": None,
    "right": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool),
    "left": np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]], bool),
    "holes": np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool),
}
B, T, D, U = 3, 5, 4, 6


def draw(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), "float32")


def trained_step(layer, weights, mask, initial_state=None, graph=False, training=True):
    """Returns the outputs and the gradients in the input, the first state and the weights, of one training call."""
    inputs = draw(B, T, D)
    layer.build(inputs.shape)
    layer.set_weights(weights)
    state = {} if initial_state is None else {"initial_state": initial_state}

    def step(inputs):
        with tf.GradientTape() as tape:
            tape.watch([inputs, *(initial_state or ())])
            outputs = tf.nest.flatten(layer(inputs, mask=mask, training=training, **state))
            loss = tf.add_n(
                [tf.reduce_sum(tf.cast(o, "float32") * draw(*o.shape, seed=i)) for i, o in enumerate(outputs)]
            )
        sources = [inputs, *(initial_state or ()), *(weight.value for weight in layer.trainable_weights)]
        return outputs, tape.gradient(loss, sources, unconnected_gradients="zero")

    return tf.nest.flatten((tf.function(step) if graph else step)(inputs))


def random_weights(layer, scale=0.7):
    layer.build((B, T, D))
    return [np.asarray(draw(*weight.shape, seed=i + 9)) * scale for i, weight in enumerate(layer.get_weights())]


def compare(ours, theirs, rtol=1e-5, atol=2e-6):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        one, other = (np.asarray(tf.cast(part, "float32")) for part in (one, other))
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol * max(1, np.abs(other).max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
    ],
    ids=str,
)
def test_it_trains_as_keras_layer_does(kind, mask, settings):
    weights = random_weights(STOCK[kind](U))
    for graph in (False, True) if mask in ("none", "holes") else (False,):  # to trace takes its time
        ours = trained_step(KINDS[kind](U, **settings), weights, MASKS[mask], graph=graph)
        compare(ours, trained_step(STOCK[kind](U, **settings), weights, MASKS[mask], graph=graph))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", ["none", "holes"])
def test_it_begins_with_a_state_that_has_gradients(kind, mask):
    weights = random_weights(STOCK[kind](U))
    state = [draw(B, U, seed=i + 20) for i in range(2 if kind == "lstm" else 1)]
    settings = {"return_sequences": True, "return_state": True}
    ours = trained_step(KINDS[kind](U, **settings), weights, MASKS[mask], state, graph=True)
    compare(ours, trained_step(STOCK[kind](U, **settings), weights, MASKS[mask], state, graph=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{}, {"return_sequences": True, "return_state": True}], ids=str)
def test_in_both_directions(kind, settings):
    both = recurrent.Bidirectional(KINDS[kind](U, **settings))
    stock = keras.layers.Bidirectional(STOCK[kind](U, **settings))
    assert type(both.forward_layer) is type(both.backward_layer) is KINDS[kind]
    weights = random_weights(stock)
    compare(
        trained_step(both, weights, MASKS["right"], graph=True),
        trained_step(stock, weights, MASKS["right"], graph=True),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_as_near_to_float32_as_keras_layer_is(kind):
    weights, mask = random_weights(STOCK[kind](U), 0.5), MASKS["right"]
    settings = {"return_sequences": True, "return_state": True}
    ours = trained_step(KINDS[kind](U, dtype="mixed_bfloat16", **settings), weights, mask, graph=True)
    theirs = trained_step(STOCK[kind](U, dtype="mixed_bfloat16", **settings), weights, mask, graph=True)
    exact = trained_step(STOCK[kind](U, **settings), weights, mask, graph=True)
    for one, other, right in zip(ours, theirs, exact, strict=True):
        assert one.dtype == other.dtype
        scale = np.abs(right).max()
        np.testing.assert_allclose(tf.cast(one, "float32"), right, atol=0.03 * scale)
        np.testing.assert_allclose(tf.cast(one, "float32"), tf.cast(other, "float32"), atol=0.05 * scale)


def test_a_simple_step_by_hand():
    layer = recurrent.SimpleRNN(1, return_sequences=True)
    ours = trained_step(layer, [np.ones((D, 1)), np.full((1, 1), 2.0), np.full(1, 0.5)], None)[0]
    x = np.asarray(draw(B, T, D)).sum(-1) + 0.5
    first = np.tanh(x[:, 0])
    np.testing.assert_allclose(ours[:, 0, 0], first, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 1, 0], np.tanh(x[:, 1] + 2 * first), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_batches_that_are_not_known(kind):
    inputs = keras.Input((None, D))
    layer = recurrent.Bidirectional(KINDS[kind](U, return_sequences=True))
    model = keras.Model(inputs, layer(keras.layers.Masking()(inputs)))
    model.compile("sgd", "mse")
    model.fit(np.ones((5, 4, D)), np.ones((5, 4, 2 * U)), batch_size=3, verbose=0)
    model.train_on_batch(np.ones((2, 7, D)), np.ones((2, 7, 2 * U)))
    assert model.predict(np.ones((2, 7, D)), verbose=0).shape == (2, 7, 2 * U)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "relu"},
        {"use_bias": False},
        {"unroll": True},
        {"dropout": 0.5, "seed": 1},
        {"recurrent_dropout": 0.5, "seed": 1},
    ],
    ids=str,
)
def test_what_it_does_not_compute_is_left_to_keras(kind, settings, monkeypatch):
    for name in ("lstm", "gru", "simple_rnn"):
        monkeypatch.setattr(recurrent, name, None)
    weights = random_weights(STOCK[kind](U, **settings))
    compare(
        trained_step(KINDS[kind](U, **settings), weights, None),
        trained_step(STOCK[kind](U, **settings), weights, None),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_training_it_is_keras_layer_itself(kind, monkeypatch):
    for name in ("lstm", "gru", "simple_rnn"):
        monkeypatch.setattr(recurrent, name, None)
    weights = random_weights(STOCK[kind](U))
    ours, theirs = (trained_step(kinds[kind](U), weights, None, training=False) for kinds in (KINDS, STOCK))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_is_kept_from_batch_to_batch(kind):
    weights, x = random_weights(STOCK[kind](U)), draw(B, T, D)
    layers = [kinds[kind](U, stateful=True) for kinds in (KINDS, STOCK)]
    for layer in layers:
        layer.build((B, T, D))
        layer.set_weights([*weights, *layer.get_weights()[len(weights) :]])
    for _ in range(2):
        np.testing.assert_allclose(*(layer(x, training=True) for layer in layers), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_opens_with_keras_alone_and_with_ours(kind, tmp_path):
    inputs = keras.Input((None, D))
    x = KINDS[kind](U, return_sequences=True)(inputs)
    model = keras.Model(inputs, recurrent.Bidirectional(KINDS[kind](U))(x))
    path = tmp_path / "model.keras"
    model.save(path)
    assert classes_of_ours(path) == set()
    for read, kinds, both in (
        (keras.saving.load_model, STOCK, keras.layers.Bidirectional),
        (read_model, KINDS, recurrent.Bidirectional),
    ):
        opened = read(path)
        assert type(opened.layers[1]) is kinds[kind]
        assert type(opened.layers[2]) is both
        assert type(opened.layers[2].backward_layer) is kinds[kind]
        np.testing.assert_allclose(opened(draw(B, T, D)), model(draw(B, T, D)), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_two_replicas_train_as_one_device_does(kind):
    weights, x, y = random_weights(STOCK[kind](U)), np.asarray(draw(4, T, D)), np.asarray(draw(4, U, seed=1))
    trained = []
    to_one_device = tf.distribute.ReductionToOneDevice()  # collectives are not for two strategies in one process
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=to_one_device)
    for strategy in (two, tf.distribute.get_strategy()):
        with strategy.scope():
            model = keras.Sequential([keras.Input((None, D)), KINDS[kind](U)])
            model.set_weights(weights)
            model.compile("sgd", "mse")
        model.fit(tf.data.Dataset.from_tensors((x, y)), verbose=0)
        trained.append(model.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_gpu_is_left_to_keras(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"] if kind == "GPU" else [])
    monkeypatch.setattr(recurrent, "lstm", None)
    weights = random_weights(STOCK["lstm"](U))
    compare(trained_step(KINDS["lstm"](U), weights, None), trained_step(STOCK["lstm"](U), weights, None))


@pytest.mark.parametrize("graph", [False, True])
def test_kernels_get_after_a_loop_the_gradients_that_they_get_in_it(graph):
    kernel, a, first = draw(U, U), draw(T, B, U, seed=1), draw(B, U, seed=2)

    def gradients(late):
        states = []

        def step(h, a):
            h = keras.ops.tanh(a + h @ (tf.stop_gradient(kernel) if late else kernel))
            return h, h

        with tf.GradientTape() as tape:
            tape.watch([kernel, a, first])
            inputs = recurrent.gradients_after_loop(a, (kernel,), lambda: (recurrent.before(first, *states),))
            _, outputs = keras.ops.scan(step, first, inputs if late else a)
            states.append(outputs)
            loss = tf.reduce_sum(outputs**2)
        return tape.gradient(loss, [kernel, a, first])

    for one, other in zip(*(tf.function(gradients)(late) if graph else gradients(late) for late in (True, False))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
