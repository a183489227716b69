import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_vae
from recipes.data.augment import binary_pairs
from recipes.errors import ConfigError
from recipes.kinds.autoencoding import draw_walks
from recipes.optimization.losses import importance_weighted_bound, pixel_nats


def test_kl_of_known_normals():
    assert np.asarray(mnist_vae.kl_divergence(np.zeros((3, 2)), np.zeros((3, 2)))) == pytest.approx([0, 0, 0])
    one_away = mnist_vae.kl_divergence(np.array([[1.0, 0.0]]), np.zeros((1, 2)))
    assert float(one_away[0]) == pytest.approx(0.5)
    narrow = mnist_vae.kl_divergence(np.zeros((1, 1)), np.array([[2 * np.log(0.1)]]))
    assert float(narrow[0]) == pytest.approx(0.5 * (0.01 - 1) - np.log(0.1), rel=1e-5)


def test_nats_of_coins():
    fair = pixel_nats(np.ones((2, 3, 3, 1)), np.zeros((2, 3, 3, 1)))
    assert np.asarray(fair) == pytest.approx([9 * np.log(2)] * 2)
    sure = pixel_nats(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 3.0))
    assert float(sure[0]) == pytest.approx(-np.log(1 / (1 + np.exp(-3.0))), rel=1e-5)


def test_the_loss_is_the_reconstruction_plus_beta_times_the_kl(fitted):
    for model in (fitted(mnist_vae), mnist_vae.fit(mnist_vae.TINY, beta=3.0)):
        figures, beta = model.run.metrics["test"], model.run.config.beta
        assert figures["loss"] == pytest.approx(figures["reconstruction"] + beta * figures["kl"], rel=1e-5)


def test_pixels_are_drawn_with_their_brightness_as_probability():
    images = tf.fill((4, 50, 50, 1), tf.constant(51, tf.uint8))  # a fifth
    inputs, targets = binary_pairs(images, tf.constant([0, 1], tf.int64))
    assert set(np.unique(targets)) == {0, 1}
    np.testing.assert_array_equal(inputs, 255 * targets)
    assert float(tf.reduce_mean(targets)) == pytest.approx(0.2, abs=0.02)
    again, _ = binary_pairs(images, tf.constant([0, 2], tf.int64))
    assert (again != inputs).numpy().any()
    second, _ = binary_pairs(images[2:], tf.constant([0, 1], tf.int64), 1, 2)
    np.testing.assert_array_equal(second, inputs[2:])


def test_the_importance_weighted_bound_tends_to_the_true_likelihood():
    """A decoder that does not look at its code has log p(x) = log p(x|z), whatever the encoder says."""

    def constant(value, units=1):
        return keras.layers.Dense(units, "linear", True, "zeros", keras.initializers.Constant(value))

    image, z = keras.Input((2, 2, 1)), keras.Input((1,))
    flat = keras.layers.Flatten()(image)
    encoder = keras.Model(image, [constant(0.5)(flat), constant(0.0)(flat)])  # N(0.5, 1)
    decoder = keras.Model(z, keras.layers.Reshape((2, 2, 1))(constant(0.5, 4)(z)))
    target = np.array([[1, 0], [0, 1]], np.float32).reshape(1, 2, 2, 1)
    batches = tf.data.Dataset.from_tensors((255 * target, target))
    truth = float(pixel_nats(target, np.full((1, 2, 2, 1), 0.5, np.float32))[0])
    assert importance_weighted_bound(encoder, decoder, batches, 2000) == pytest.approx(truth, abs=0.04)


def test_draws_differ_in_training_and_are_the_same_outside():
    model = mnist_vae.build(mnist_vae.TINY)
    image = np.full((4, 28, 28, 1), 255.0, np.float32)
    trained_on = [np.asarray(model(image, training=True)) for _ in range(2)]
    assert (trained_on[0] != trained_on[1]).any()
    np.testing.assert_array_equal(model(image, training=False), model(image, training=False))


def test_samples_follow_their_seed_and_pictures_are_shown(fitted):
    model = fitted(mnist_vae)
    first, again, other = (mnist_vae.sample(3, seed=seed, model=model) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (3, 28, 28, 1)
    report = (model.run.folder / "report.md").read_text()
    for name in ("reconstructions.png", "samples.png", "traversals.png"):
        assert (model.run.folder / name).exists()
        assert name in report


def test_walks_go_along_the_numbers_that_are_used(tmp_path):
    codes = np.random.default_rng(0).normal(size=(100, 3)) * [0.001, 1, 0.5]
    asked = []

    def decode(walked):
        asked.append(walked)
        return np.zeros((len(walked), 4, 4, 1))

    [title] = draw_walks(decode, codes, tmp_path)
    assert title.endswith("2 of 3 are used")
    first, second, third = asked[0].reshape(3, 11, 3)
    np.testing.assert_allclose(first[:, 1], np.linspace(-2.5, 2.5, 11))
    np.testing.assert_allclose(first[:, [0, 2]], np.tile(codes[0, [0, 2]], (11, 1)))
    assert np.ptp(second[:, 2]) == np.ptp(third[:, 0]) == 5
    assert (tmp_path / "traversals.png").exists()


def test_evaluate_adds_the_bound(fitted):
    figures = mnist_vae.evaluate(fitted(mnist_vae), samples=2)
    assert figures["bound"] == pytest.approx(figures["loss"], rel=0.01)


def test_it_learns_and_both_halves_are_served(tmp_path):
    model = mnist_vae.fit(dataset="digits", filters=(8, 16), units=64, latent_dim=8, epochs=6, precision="float32")
    assert model.run.metrics["test"]["loss"] < 420, "a fair coin for each pixel costs 543 nats"
    served = tf.saved_model.load(str(mnist_vae.export(model, path=tmp_path))).signatures
    image = 255 * np.random.default_rng(0).integers(0, 2, (2, 28, 28, 1))
    answer = served["image"](image=tf.constant(image, tf.float32))
    np.testing.assert_allclose(answer["code"], mnist_vae.encode(image, model), atol=1e-4)
    decoded = mnist_vae.decode(answer["code"].numpy(), model)
    np.testing.assert_allclose(served["decode"](code=answer["code"])["image"], decoded, atol=1e-2)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ConfigError, match="2 filters halve a 30x28 image as often; expected sides that are multiples"):
        mnist_vae.build(mnist_vae.Config(image_shape=(30, 28, 1)))
