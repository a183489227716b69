import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_vae
from recipes.data.splits import Sizes
from recipes.errors import ConfigError, DataError


def test_kl_of_known_normals():
    assert np.asarray(mnist_vae.kl_divergence(np.zeros((3, 2)), np.zeros((3, 2)))) == pytest.approx([0, 0, 0])
    one_away = mnist_vae.kl_divergence(np.array([[1.0, 0.0]]), np.zeros((1, 2)))
    assert float(one_away[0]) == pytest.approx(0.5)
    narrow = mnist_vae.kl_divergence(np.zeros((1, 1)), np.array([[2 * np.log(0.1)]]))
    assert float(narrow[0]) == pytest.approx(0.5 * (0.01 - 1) - np.log(0.1), rel=1e-5)


def test_the_parameters_are_those_of_the_two_networks():
    """3x3 convolutions with a bias each, two dense layers on each side of the code; 4x4 kernels back."""
    encoder = (9 * 32 + 32) + (9 * 32 * 64 + 64) + (7 * 7 * 64 * 256 + 256) + 2 * (256 * 32 + 32)
    decoder = (
        (32 * 256 + 256) + (256 * 7 * 7 * 64 + 7 * 7 * 64) + (64 * 64 * 16 + 64) + (64 * 32 * 16 + 32) + (9 * 32 + 1)
    )
    model = mnist_vae.build()
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == encoder + decoder
    dense = [
        (784, 200),
        (200, 200),
        (200, 100),
        (50, 200),
        (200, 200),
        (200, 784),
    ]  # Burda et al.'s
    theirs = sum((inputs + 1) * outputs for inputs, outputs in dense)
    assert f"({theirs:,} parameters; ours has 32 latent numbers and {encoder + decoder:,})" in mnist_vae.__doc__


def test_cross_entropy_of_coins():
    fair = mnist_vae.pixel_cross_entropy(np.ones((2, 3, 3, 1)), np.zeros((2, 3, 3, 1)))
    assert np.asarray(fair) == pytest.approx([9 * np.log(2)] * 2)
    sure = mnist_vae.pixel_cross_entropy(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 3.0))
    assert float(sure[0]) == pytest.approx(-np.log(1 / (1 + np.exp(-3.0))), rel=1e-5)


def test_the_loss_is_the_reconstruction_plus_beta_times_the_kl(fitted):
    for model in (fitted(mnist_vae), mnist_vae.fit(mnist_vae.TINY, beta=3.0)):
        figures, beta = model.run.metrics["test"], model.run.config.beta
        assert figures["loss"] == pytest.approx(figures["reconstruction"] + beta * figures["kl"], rel=1e-5)


def test_pixels_are_drawn_with_their_brightness_as_probability():
    images = tf.fill((4, 50, 50, 1), tf.constant(51, tf.uint8))  # a fifth
    inputs, targets = mnist_vae.binary_pairs(images, tf.constant([0, 1], tf.int64))
    assert set(np.unique(targets)) == {0, 1}
    np.testing.assert_array_equal(inputs, 255 * targets)
    assert float(tf.reduce_mean(targets)) == pytest.approx(0.2, abs=0.02)
    again, _ = mnist_vae.binary_pairs(images, tf.constant([0, 2], tf.int64))
    assert (again != inputs).numpy().any()
    second, _ = mnist_vae.binary_pairs(images[2:], tf.constant([0, 1], tf.int64), 1, 2)
    np.testing.assert_array_equal(second, inputs[2:])


def test_the_importance_weighted_bound_tends_to_the_true_likelihood():
    """A decoder that does not look at its code has log p(x) = log p(x|z), whatever the encoder's distribution is."""

    def constant(value, units=1):
        return keras.layers.Dense(units, "linear", True, "zeros", keras.initializers.Constant(value))

    image, z = keras.Input((2, 2, 1)), keras.Input((1,))
    flat = keras.layers.Flatten()(image)
    encoder = keras.Model(image, [constant(0.5)(flat), constant(0.0)(flat)], name="encoder")  # N(0.5, 1)
    decoder = keras.Model(z, keras.layers.Reshape((2, 2, 1))(constant(0.5, 4)(z)), name="decoder")
    model = keras.Model(image, decoder(encoder(image)[0]))
    target = np.array([[1, 0], [0, 1]], np.float32).reshape(1, 2, 2, 1)
    batches = tf.data.Dataset.from_tensors((255 * target, target))
    truth = float(mnist_vae.pixel_cross_entropy(target, np.full((1, 2, 2, 1), 0.5, np.float32))[0])
    assert mnist_vae.importance_weighted_bound(model, batches, 2000) == pytest.approx(truth, abs=0.04)


def test_gradients_reach_mean_and_variance_through_a_draw():
    z_mean, z_log_var = tf.constant([[1.0]]), tf.constant([[2 * np.log(3.0)]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([z_mean, z_log_var])
        z = mnist_vae.reparametrise(z_mean, z_log_var, tf.constant([[0.5]]))
    assert float(z[0, 0]) == pytest.approx(1 + 3 * 0.5)
    of_mean, of_log_var = tape.gradient(z, [z_mean, z_log_var])
    assert (float(of_mean[0, 0]), float(of_log_var[0, 0])) == (1, pytest.approx(0.5 * 3 * 0.5)), "d sigma / d log var"


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


def test_walks_go_along_the_numbers_that_are_used():
    codes = np.random.default_rng(0).normal(size=(100, 3)) * [0.001, 1, 0.5]
    steps = np.linspace(-2.5, 2.5, 11)
    walked, walks = mnist_vae.walk_along(codes, steps)
    assert walked.tolist() == [1, 2, 0], "that which varies most first"
    np.testing.assert_allclose(walks[0][:, 1], steps)
    np.testing.assert_allclose(walks[0][:, [0, 2]], np.tile(codes[0, [0, 2]], (11, 1)))
    assert np.ptp(walks[1][:, 2]) == np.ptp(walks[2][:, 0]) == 5
    assert mnist_vae.walk_along(np.zeros((2, 32)), steps)[1].shape == (8, 11, 32)


def test_evaluate_adds_the_bound(fitted):
    model = fitted(mnist_vae)
    figures = mnist_vae.evaluate(model, samples=2)
    assert figures["bound"] == pytest.approx(figures["loss"], rel=0.01)
    assert figures.items() >= model.run.metrics["test"].items()


def test_evaluate_asks_a_judge(fitted):
    judge = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    figures = mnist_vae.evaluate(fitted(mnist_vae), judge=judge)
    assert figures["frechet"] > figures["frechet_of_real"] > 0
    assert "bound" not in figures


def test_it_learns_and_both_halves_are_served(tmp_path):
    model = mnist_vae.fit(dataset="digits", filters=(8, 16), units=64, latent_dim=8, epochs=6, precision="float32")
    assert model.run.metrics["test"]["loss"] < 420, "a fair coin for each pixel costs 543 nats"
    served = tf.saved_model.load(str(mnist_vae.export(model, path=tmp_path))).signatures
    image = 255 * np.random.default_rng(0).integers(0, 2, (2, 28, 28, 1))
    answer = served["image"](image=tf.constant(image, tf.float32))
    np.testing.assert_allclose(answer["code"], mnist_vae.encode(image, model=model), atol=1e-4)
    decoded = mnist_vae.decode(answer["code"].numpy(), model=model)
    np.testing.assert_allclose(served["decode"](code=answer["code"])["image"], decoded, atol=1e-2)
    reconstructed = mnist_vae.reconstruct(image, model=model)
    np.testing.assert_allclose(answer["image"], reconstructed, atol=1e-2)
    np.testing.assert_allclose(mnist_vae.predict(image, model)[1]["image"], reconstructed[1], atol=1e-2)


def test_an_empty_batch_has_an_empty_answer(fitted, exported):
    model = fitted(mnist_vae)
    served = tf.saved_model.load(str(exported(mnist_vae))).signatures
    for name, dtype in (("image", tf.float32), ("image_uint8", tf.uint8)):
        answer = served[name](image=tf.zeros((0, 28, 28, 1), dtype))
        assert (answer["code"].shape, answer["image"].shape) == ((0, 32), (0, 28, 28, 1))
    assert served["serving_default"](image_bytes=tf.constant([], tf.string))["image"].shape == (0, 28, 28, 1)
    assert served["decode"](code=tf.zeros((0, 32)))["image"].shape == (0, 28, 28, 1)
    assert mnist_vae.encode(np.zeros((0, 28, 28, 1)), model=model).shape == (0, 32)
    assert mnist_vae.decode(np.zeros((0, 32)), model=model).shape == (0, 28, 28, 1)


# ---------------------------------------------------------------- a code of categories


def test_kl_of_known_categories():
    """Sure of one of ten: log 10 nats for each part of the code; as likely as before: none; 1 and 3 in 4, by hand."""
    sure = np.zeros((1, 3, 10), np.float32)
    sure[..., 4] = 50
    assert float(mnist_vae.categorical_kl_divergence(sure)[0]) == pytest.approx(3 * np.log(10), rel=1e-6)
    assert float(mnist_vae.categorical_kl_divergence(np.full((1, 3, 10), 2.0, np.float32))[0]) == pytest.approx(0)
    quarters = np.log(np.array([[[1, 3]]], np.float32))
    assert float(mnist_vae.categorical_kl_divergence(quarters)[0]) == pytest.approx(
        0.25 * np.log(0.5) + 0.75 * np.log(1.5), rel=1e-5
    )


def test_a_drawn_code_of_categories_comes_with_its_log_ratio():
    logits = tf.tile(tf.math.log([[[0.2, 0.8]]]), (5000, 1, 1))
    z, log_ratio = mnist_vae.drawn_code([None, logits], (0, 1))
    assert float(tf.reduce_mean(z[:, 0, 1])) == pytest.approx(0.8, abs=0.02)  # three standard deviations are 0.017
    expected = np.where(z[:, 0, 0] == 1, np.log(0.5 / 0.2), np.log(0.5 / 0.8))
    np.testing.assert_allclose(log_ratio, expected, rtol=1e-5)
    ratio = float(tf.reduce_mean(tf.exp(log_ratio)))
    assert ratio == pytest.approx(1, abs=0.04), "the mean of p(z) / q(z|x) over q is 1"


@pytest.fixture(scope="module")
def categorical(tmp_path_factory):
    settings = {"latent_dim": 5, "categories": 4, "temperature_decay": 0.01}
    return mnist_vae.fit(mnist_vae.TINY, runs=tmp_path_factory.mktemp("runs"), **settings)


def test_the_temperature_falls_with_the_steps_of_a_run(categorical):
    assert float(categorical.get_layer("draw").temperature) == pytest.approx(np.exp(-0.08), rel=1e-5), "8 steps"
    loaded = mnist_vae.load(categorical.run.folder)
    assert float(loaded.get_layer("draw").steps) == 8
    figures = categorical.run.metrics["test"]
    assert figures["loss"] == pytest.approx(figures["reconstruction"] + figures["kl"], rel=1e-5)
    assert mnist_vae.evaluate(categorical, samples=2)["bound"] == pytest.approx(figures["loss"], rel=0.01)


def test_codes_are_categories_and_are_decoded(categorical):
    image = 255 * np.random.default_rng(0).integers(0, 2, (2, 28, 28, 1))
    codes = mnist_vae.codes(image, model=categorical)
    assert codes.shape == (2, 5)
    assert set(codes.flat) <= set(range(4))
    one_hot = mnist_vae.encode(image, model=categorical)
    np.testing.assert_array_equal(one_hot, np.eye(4)[codes])
    decoded = mnist_vae.decode(codes, model=categorical)
    np.testing.assert_array_equal(decoded, mnist_vae.decode(one_hot, model=categorical))
    assert mnist_vae.sample(3, model=categorical).shape == (3, 28, 28, 1)
    for wrong, message in (
        ([[4, 0, 0, 0, 0]], "the codes have 4; expected whole numbers from 0 to 3"),
        ([[0.5, 0, 0, 0, 0]], "the codes have 0.5; expected whole"),
        ([[1, 2]], r"the codes are \(1, 2, 4\); expected \(N, 5, 4\)"),
    ):
        with pytest.raises(DataError, match=message):
            mnist_vae.decode(wrong, model=categorical)


def test_a_code_of_numbers_has_no_categories(fitted):
    with pytest.raises(ConfigError, match="one of numbers, not of categories; `encode`"):
        mnist_vae.codes(np.zeros((1, 28, 28, 1)), model=fitted(mnist_vae))
    with pytest.raises(DataError, match=r"the codes are \(1, 3\); expected \(N, 32\)"):
        mnist_vae.decode(np.zeros((1, 3)), model=fitted(mnist_vae))


def test_settings_of_categories_need_categories():
    with pytest.raises(ConfigError, match="categories=1 is no choice"):
        mnist_vae.Config(categories=1)
    for change in ({"temperature_decay": 0.1}, {"lowest_temperature": 0.2}, {"straight_through": True}):
        with pytest.raises(ConfigError, match="would change nothing: categories=0 is a code of numbers"):
            mnist_vae.Config(**change)


def test_walks_go_through_the_categories_of_parts_that_tell_most():
    codes = np.eye(3, dtype=np.float32)[np.array([[0, 1], [0, 2], [0, 0]])]  # (3, 2, 3): the first is always 0
    walked, walks = mnist_vae.walk_categories(codes, np.array([0.1, 0.9]))
    assert walked.tolist() == [1, 0]
    assert walks.shape == (2, 3, 2, 3)
    assert walks[0].argmax(-1).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert walks[1].argmax(-1).tolist() == [[0, 1], [1, 1], [2, 1]]


def test_what_a_part_of_a_code_tells_by_hand():
    """Sure, and another for each of two images: log 2 nats; sure, and always the same, or a coin for each: nothing."""
    sure_and_other = [[1.0, 0.0], [0.0, 1.0]]
    q = np.stack([sure_and_other, [[1.0, 0.0]] * 2, [[0.5, 0.5]] * 2], 1)  # (2, 3, 2)
    np.testing.assert_allclose(mnist_vae.information(q), [np.log(2), 0, 0], atol=1e-12)


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ConfigError, match="2 filters halve a 30x28 image as often; expected sides that are multiples"):
        mnist_vae.build(sizes=Sizes(image_shape=(30, 28, 1)))
