"""Learning without labels: the papers' losses by hand, views from (seed, step), a probe that moves no feature."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from recipes import cifar_simclr as recipe
from recipes import photos_transfer
from recipes.data.splits import Sizes
from recipes.devices.strategies import choose_strategy
from recipes.errors import ConfigError
from recipes.settings import with_changes

SIZES = Sizes(train_examples=64, image_shape=(8, 8, 3), num_classes=3)


def test_nt_xent_by_hand():
    pairs = np.array([[2, 0], [3, 0], [0, 1], [0, 5]], np.float32)  # of any length, for cosines are compared
    assert float(recipe.nt_xent(pairs, 0.5)) == pytest.approx(0.2395, abs=1e-4)
    assert float(recipe.nt_xent(pairs, 0.5)) == pytest.approx(math.log(1 + 2 * math.exp(-2)), abs=1e-6)
    assert float(recipe.nt_xent(np.ones((8, 3), np.float32), 0.5)) == pytest.approx(math.log(7), abs=1e-6)
    apart = pairs[[0, 2, 1, 3]]  # rows that follow each other belong together: here those do not that are alike
    assert float(recipe.nt_xent(apart, 0.5)) == pytest.approx(math.log(math.exp(2) + 2), abs=1e-6)


def test_barlow_twins_by_hand():
    one = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)  # numbers that tell nothing of each other
    assert float(recipe.barlow_loss(np.repeat(one, 2, 0), 0.1)) == pytest.approx(0, abs=1e-6)
    same = np.repeat(one[:, :1], 2, 1)  # both tell the same: C is all ones
    assert float(recipe.barlow_loss(np.repeat(same, 2, 0), 0.1)) == pytest.approx(2 * 0.1 / 2, abs=1e-4)
    opposite = np.stack([one, -one], 1).reshape(8, 2)  # C_ii = -1
    assert float(recipe.barlow_loss(opposite, 0.1)) == pytest.approx((4 + 4) / 2, abs=1e-3)


def test_turns_by_hand():
    sure = np.eye(4, dtype=np.float32)[[0, 1, 2, 3] * 2] * 50
    assert float(recipe.rotation_loss(sure)) == pytest.approx(0, abs=1e-6)
    assert float(recipe.rotation_loss(np.zeros((8, 4), np.float32))) == pytest.approx(math.log(4))


@pytest.mark.parametrize("loss", [lambda z: recipe.nt_xent(z, 0.5), lambda z: recipe.barlow_loss(z, 0.1)])
def test_negatives_are_those_of_all_replicas(loss):
    """The gradient of all rows is on two replicas what it is on one."""
    rows = tf.constant(np.random.default_rng(0).normal(size=(8, 3)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = loss(rows)
    expected = tape.gradient(value, rows)
    strategy = choose_strategy("mirrored")
    assert strategy.num_replicas_in_sync == 2

    @tf.function
    def on_replicas():
        def step():
            place = 4 * tf.distribute.get_replica_context().replica_id_in_sync_group
            own = rows[place : place + 4]
            with tf.GradientTape() as tape:
                tape.watch(own)
                value, share = loss(own), loss(own) / 2  # of the mean over both
            return value, tape.gradient(share, own)

        return strategy.run(step)

    values, gradients = map(strategy.experimental_local_results, on_replicas())
    assert np.mean(values) == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(np.concatenate(gradients), expected, rtol=1e-4, atol=1e-6)


def test_two_views_of_each_image_follow_from_seed_and_step():
    config = with_changes(recipe.TINY, max_examples=64, batch_size=16)
    splits = recipe.load_data(config)
    views, labels = next(iter(splits.train))
    assert (views.shape, views.dtype) == ((32, 32, 32, 3), tf.uint8)
    assert labels.numpy()[0::2].tolist() == labels.numpy()[1::2].tolist()
    assert not (views[0::2].numpy() == views[1::2].numpy()).all((1, 2, 3)).any()
    third = list(splits.train.take(3))[2]
    np.testing.assert_array_equal(next(iter(splits.train_from(2, 0, 1)))[0], third[0])
    parts = [next(iter(splits.train_from(2, worker, 2))) for worker in (0, 1)]
    for column in (0, 1):
        np.testing.assert_array_equal(np.concatenate([part[column] for part in parts]), third[column])
    again = recipe.load_data(with_changes(config, seed=1)).train
    assert (next(iter(again))[0].numpy() != views.numpy()).any()
    plain = with_changes(config, crop_area=0.0, colour_strength=0.0, flip=False)
    same, _ = next(iter(recipe.load_data(plain).train))
    np.testing.assert_array_equal(same[0::2], same[1::2])


def test_turned_images_are_in_a_row_upright_first():
    config = with_changes(recipe.TINY, method="rotation", projection=(256, 128), crop_area=0.0, colour_strength=0.0)
    splits = recipe.load_data(with_changes(config, flip=False, batch_size=4))
    rows, labels = next(iter(splits.train))
    upright, _ = next(iter(splits.originals))
    assert len(rows) == len(labels) == 16
    for turns in range(4):
        np.testing.assert_array_equal(rows.numpy()[turns::4], np.rot90(upright, turns, axes=(1, 2)))
    wide = np.zeros((64, 8, 12, 3), np.uint8), np.arange(64) % 2
    with pytest.raises(ConfigError, match="turns images of 8x12; expected squares"):
        recipe.load_data(config, (wide, wide))


@pytest.mark.parametrize("method", ["simclr", "random"])
def test_the_probe_moves_no_feature(method):
    widths = {} if method == "simclr" else {"projection": (256, 128)}
    model = recipe.build(with_changes(recipe.TINY, method=method, **widths), SIZES)
    model.pretext = lambda outputs: 0.0 * tf.reduce_sum(outputs)
    model.optimizer.weight_decay = None
    network = keras.Model(model.inputs[0], model.get_layer("features").output)
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype(np.float32)
    averages = [weight for weight in network.weights if "moving" in weight.name]
    before = [weight.numpy() for weight in network.trainable_weights]
    kernel = model.get_layer("logits").kernel.numpy()
    model.fit(images, np.arange(32) % 3, epochs=2, verbose=0)
    for old, new in zip(before, network.trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new)
    assert (model.get_layer("logits").kernel.numpy() != kernel).any()
    assert (averages[0].numpy() != 0).any(), "batch normalisation sees the images all the same"


def test_logged_are_the_probe_s_loss_and_the_features_own():
    model = recipe.build(recipe.TINY, SIZES)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.float32)
    logs = model.fit(images, np.zeros(16, int), batch_size=16, validation_data=(images, np.zeros(16, int)), verbose=0)
    assert set(logs.history) == {"loss", "accuracy", "pretext", "val_loss", "val_accuracy"}
    views, labels = np.repeat(images, 2, 0), np.zeros(32, int)
    logits, z = model.learner(views, training=True)
    nats = float(-tf.reduce_mean(tf.nn.log_softmax(logits)[:, 0]))
    logged = model.fit(views, labels, batch_size=32, shuffle=False, verbose=0).history
    assert logged["pretext"][0] == pytest.approx(float(recipe.nt_xent(z, 0.2)), rel=1e-4)
    assert logged["loss"][0] == pytest.approx(nats, rel=1e-3)


def test_the_probe_is_logistic_regression_of_the_features():
    config = with_changes(recipe.TINY, epochs=2, probe_decay=2.0)
    model, splits = recipe.fit(config), recipe.load_data(config)
    images, labels = (np.concatenate(each) for each in zip(*splits.originals.as_numpy_iterator(), strict=True))
    h = recipe.embed(images, model=model)
    h = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-3)
    expected = LogisticRegression(C=0.5, max_iter=1_000).fit(h, labels)
    probabilities = tf.nn.softmax(model.predict(images, verbose=0)).numpy()
    assert (probabilities.argmax(-1) == expected.predict(h)).mean() > 0.97
    np.testing.assert_allclose(probabilities, expected.predict_proba(h), atol=0.05)


def test_the_probe_counts_examples_by_their_weights_and_an_ensemble_has_no_neighbours():
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8, 3)).astype(np.uint8)
    data = (images, np.repeat([0, 1], [72, 8]))
    few = with_changes(recipe.TINY, probe_decay=1e4)  # so strong that the bias alone tells, of how many there are
    plain, balanced = (recipe.fit(few, (data, data), class_weight=name) for name in ("none", "balanced"))
    shares = [tf.nn.softmax(each.predict(images, verbose=0)).numpy()[:, 1].mean() for each in (plain, balanced)]
    assert shares == pytest.approx([0.1, 0.5], abs=0.12)
    both = recipe.ensemble([plain, recipe.fit(few, (data, data), seed=1)], (data, data))
    assert "knn_accuracy" in plain.run.metrics["test"]
    assert "knn_accuracy" not in both.run.metrics["test"]
    with pytest.raises(ConfigError, match="label_smoothing=0.1 would change nothing"):
        recipe.fit(few, (data, data), label_smoothing=0.1)


def test_of_one_class_the_probe_is_not_solved():
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    splits = recipe.load_data(recipe.TINY, (images, np.zeros(64, int)))
    model = recipe.build(recipe.TINY, splits.info.sizes(SIZES))
    probe = recipe.solved_probe(model, splits, recipe.TINY)
    for weight, same in zip(probe.get_weights(), model.probe().get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_the_label_of_most_neighbours_each_by_its_cosine():
    bank, labels = np.array([[1, 0], [1, 0.1], [0, 1], [0, 2], [0.1, 1]], float), np.array([2, 2, 0, 0, 1])
    assert recipe.nearest_label(np.array([[3.0, 0], [0, 1]]), bank, labels, k=3).tolist() == [2, 0]
    assert recipe.nearest_label(np.array([[3.0, 0]]), bank, labels, k=200).tolist() == [2], "at most all there are"
    assert recipe.nearest_label(np.array([[0.1, 1.0]]), bank, labels, k=1).tolist() == [1]


def test_features_are_embedded_found_and_an_encoder_of_photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = recipe.fit(recipe.TINY)
    assert 0 <= model.run.metrics["test"]["knn_accuracy"] <= 1
    images = model.run.examples(5)
    embedded = recipe.embed(images, model=model)
    assert (embedded.shape, embedded.dtype) == ((5, 8), np.float32)
    (name, cosine), *_ = recipe.similar(images[3], images, k=2, model=model)
    assert (name, cosine) == ("image 3", pytest.approx(1, abs=1e-5))
    assert type(model) is not recipe.Probed, "what training alone needs is gone"
    plain = keras.models.load_model(model.run.folder / "model.keras")
    np.testing.assert_allclose(plain.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5)
    of_run = with_changes(photos_transfer.TINY, encoder=str(model.run.folder), filters=(32, 64, 128))
    network = photos_transfer.build(of_run, replace(SIZES, image_shape=(32, 32, 3)))
    features = keras.Model(network.inputs[0], network.get_layer("features").output)
    np.testing.assert_allclose(features(images.astype(np.float32)), embedded, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "barlow", "temperature": 0.3}, "temperature=0.3 would change nothing"),
        ({"redundancy": 0.1}, "redundancy=0.1 would change nothing"),
        ({"method": "rotation", "projection": (8,)}, "would change nothing: method='rotation' does not compare views"),
    ],
)
def test_settings_of_another_method_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        recipe.Config(**changes)


def test_too_many_blocks_are_refused():
    with pytest.raises(ConfigError, match="4 blocks halve a 8x8 image to nothing"):
        recipe.build(replace(recipe.TINY, filters=(4, 4, 4, 4)), SIZES)
