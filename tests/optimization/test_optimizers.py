"""Adam and AdamW: an embedding's row is one weight, and replicas are clipped as one device is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.optimization.optimizers import SGD, Adam, AdamW

RATE = 0.01
TOKEN_IDS = np.array([[1, 1, 1, 1], [1, 1, 1, 2]])  # the first token seven times, the second once, the others never


def moved(optimizer):
    """How far each row of an embedding is moved by one step."""
    embedding = keras.layers.Embedding(5, 2)
    average = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), embedding, *average])
    model.compile(optimizer, loss="mse")
    before = embedding.embeddings.numpy()
    model.train_on_batch(TOKEN_IDS, np.ones((2, 1)))
    return np.abs(embedding.embeddings.numpy() - before).max(1)


@pytest.mark.parametrize("optimizer", [Adam, AdamW])
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_the_first_step_of_a_token_is_the_rate_however_often_it_is_there(optimizer, clip_norm):
    settings = {"weight_decay": 0.0} if optimizer is AdamW else {}
    rate = moved(optimizer(RATE, global_clipnorm=clip_norm, **settings))
    np.testing.assert_allclose(rate, [0, RATE, RATE, 0, 0], rtol=1e-3)  # Kingma and Ba (2015): m / sqrt(v) is 1


def test_keras_itself_still_takes_another():
    assert moved(keras.optimizers.Adam(RATE))[1] == pytest.approx(RATE * 7**0.5, rel=1e-3)


CLASSES = [
    (Adam, keras.optimizers.Adam, {"epsilon": 1e-3}),
    (Adam, keras.optimizers.Adam, {"amsgrad": True, "clipnorm": 0.1}),
    (AdamW, keras.optimizers.AdamW, {"weight_decay": 0.1, "beta_2": 0.9, "global_clipnorm": 0.5}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (SGD, keras.optimizers.SGD, {"momentum": 0.9}),
    (SGD, keras.optimizers.SGD, {}),
]


@pytest.mark.parametrize(("ours", "stock", "settings"), CLASSES)
@pytest.mark.parametrize("accumulate", [None, 2])
def test_a_fused_step_is_keras_own(ours, stock, settings, accumulate, tmp_path):
    """Over ten steps; and what one has saved, the other resumes from."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 1)).astype(np.float32)
    models = []
    for optimizer in (ours, stock):
        keras.utils.clear_session()  # which counts names
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
        rate = keras.optimizers.schedules.CosineDecay(0.05, 20)
        model.compile(optimizer(rate, gradient_accumulation_steps=accumulate, **settings), loss="mse")
        model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
        models.append(model)
    for one, other in zip(models[0].optimizer.variables, models[1].optimizer.variables, strict=True):
        assert (one.path, one.dtype, one.shape) == (other.path, other.dtype, other.shape)
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    models[0].save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is stock
    for model in (again, models[0]):
        model.fit(x, y, batch_size=4, verbose=0, shuffle=False)
    for one, other in zip(again.get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [1e-3, 1e3])
def test_replicas_are_clipped_as_one_device_is(clip_norm):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    weights = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
            model.compile(Adam(0.1, epsilon=1e-2, global_clipnorm=clip_norm), loss="mse")  # by epsilon, length counts
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
