import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.errors import ConfigError
from recipes.kinds.image_quality import (
    BANDWIDTHS,
    KernelDistance,
    classifier_metrics,
    classifier_score,
    frechet_distance,
    mean_pairwise_distance,
)


def test_classifier_score_runs_from_one_to_the_number_of_classes():
    assert classifier_score(np.tile(np.eye(5), (4, 1))) == pytest.approx(5)
    assert classifier_score(np.full((10, 5), 0.2)) == pytest.approx(1), "unclear"
    assert classifier_score(np.tile(np.eye(5)[2], (10, 1))) == pytest.approx(1), "all alike"
    half = np.array([[0.75, 0.25], [0.25, 0.75]])  # KL of each to (0.5, 0.5)
    assert classifier_score(half) == pytest.approx(np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5)))


def test_frechet_distance_of_known_sets():
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # covariance 4/3 of the identity
    assert frechet_distance(square, square) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(square, np.add(square, [3, 4])) == pytest.approx(25)
    assert frechet_distance(square, 2 * square) == pytest.approx(2 * 4 / 3), "of each axis (2 s - s)^2"
    line = np.array([[1.0, 0], [-1, 0]])  # a covariance without an inverse
    assert frechet_distance(line, line[:, ::-1]) == pytest.approx(4), "Tr C + Tr C', whose product is 0"


def test_kernel_distance_is_that_of_the_kernel():
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (40, 4, 4, 1)).astype("float32")
    generated = rng.uniform(-1, 0.5, (40, 4, 4, 1)).astype("float32")

    def kernel(one, other):
        squared = np.square(one.reshape(40, 1, 16) - other.reshape(1, 40, 16)).sum(-1)
        return np.mean([np.exp(-squared / (2 * 16 * bandwidth)) for bandwidth in BANDWIDTHS])

    exact = np.sqrt(kernel(real, real) + kernel(generated, generated) - 2 * kernel(real, generated))
    metric = KernelDistance(features=4096)
    metric.update_state(real[:25], generated[:25])
    metric.update_state(real[25:], generated[25:])
    assert float(metric.result()) == pytest.approx(exact, rel=0.05)
    metric.reset_state()
    metric.update_state(real, real[::-1].copy())
    assert float(metric.result()) == pytest.approx(0, abs=1e-3)


def test_kernel_distance_survives_serialisation():
    metric = keras.metrics.deserialize(keras.metrics.serialize(KernelDistance(features=8)))
    assert metric.features == 8


def test_mean_pairwise_distance_by_hand():
    images = np.stack([np.zeros((2, 2, 1)), np.full((2, 2, 1), 255.0)])
    assert mean_pairwise_distance(images) == pytest.approx(2)
    assert mean_pairwise_distance(np.stack([images[0]] * 3)) == 0


def test_the_judge_tells_generated_images_from_real_ones():
    """A judge of one pixel, whose answers are known."""
    image = keras.Input((1, 1, 2))
    logits = keras.layers.Dense(2, kernel_initializer="identity")(keras.layers.Flatten()(image))
    judge = keras.Model(image, logits)
    real = 255 * np.eye(2)[np.arange(40) % 2].reshape(40, 1, 1, 2)
    figures = classifier_metrics(real[::-1], real, judge)
    assert figures["score"] == figures["score_of_real"] == pytest.approx(2)
    assert figures["classes"] == 2
    assert figures["frechet"] == pytest.approx(figures["frechet_of_real"], abs=1e-3)
    collapsed = classifier_metrics(real[:1].repeat(40, 0), real, judge)
    assert collapsed["score"] == pytest.approx(1)
    assert (collapsed["classes"], collapsed["classes_of_real"]) == (1, 2)
    assert collapsed["frechet"] > 1000


def test_what_is_no_judge_is_refused(tmp_path):
    images = np.zeros((4, 28, 28, 1))
    with pytest.raises(ConfigError, match="holds no classifier .*; expected the folder of a finished run"):
        classifier_metrics(images, images, tmp_path)
    wrong = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(
        ConfigError, match=r"the judge takes \(8, 8, 1\) to \(10,\); expected a classifier of \(28, 28, 1\)"
    ):
        classifier_metrics(images, images, wrong)


def test_kernel_distance_is_the_same_on_two_replicas():
    images = tf.random.stateless_normal((8, 4, 4, 1), [0, 0])
    generated = tf.random.stateless_normal((8, 4, 4, 1), [0, 1])
    whole = KernelDistance(features=16)
    whole.update_state(images, generated)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        parts = KernelDistance(features=16)

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        parts.update_state(images[4 * replica :][:4], generated[4 * replica :][:4])

    strategy.run(update)
    assert float(parts.result()) == pytest.approx(float(whole.result()), rel=1e-4)
