from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from recipes import dcgan, mnist_dense
from recipes.errors import ConfigError, DataError


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


@pytest.mark.parametrize("setting", ["Config", "CIFAR"])
def test_the_papers_rules(setting):
    """Radford et al. (2016), section 3: the box of architecture guidelines."""
    model = dcgan.build(dcgan.CIFAR, dcgan.CIFAR10) if setting == "CIFAR" else dcgan.build()
    generator, discriminator = model.generator, model.discriminator
    assert not [kind for kind in kinds(generator) + kinds(discriminator) if "Pool" in kind or "Upsampl" in kind]
    assert kinds(generator).count("Dense") == kinds(discriminator).count("Dense") == 1, "no hidden dense layer"
    assert kinds(discriminator)[1:3] == ["Conv2D", "LeakyReLU"], "no batch normalisation of the images"
    assert kinds(generator)[-3:] == ["Conv2DTranspose", "CenterCrop", "Activation"], "nor of what is generated"
    assert generator.layers[-1].activation is keras.activations.tanh
    normalised = kinds(discriminator).count("BatchNormalization")
    assert normalised == kinds(discriminator).count("Conv2D") - 1
    slopes = [layer.negative_slope for layer in discriminator.layers if isinstance(layer, layers.LeakyReLU)]
    assert slopes == pytest.approx([0.2] * len(slopes))
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        first, last = (float(optimizer._learning_rate(step)) for step in (0, 10**9))
        assert (first, last, optimizer.beta_1) == (pytest.approx(2e-4 if setting == "CIFAR" else 4e-4), 0, 0.5)
    kernels = np.concatenate(
        [weight.numpy().ravel() for weight in generator.trainable_weights if len(weight.shape) > 1]
    )
    assert kernels.std() == pytest.approx(0.02, rel=0.01)


def test_sizes_and_parameters_by_hand():
    model = dcgan.build()
    assert model.generator.output_shape == model.discriminator.input_shape == model.input_shape == (None, 28, 28, 1)
    assert [layer.output.shape[1] for layer in model.generator.layers if "Conv" in type(layer).__name__] == [8, 16, 32]
    generator = 100 * 4 * 4 * 128 + 2 * 128 + 128 * 64 * 16 + 2 * 64 + 64 * 32 * 16 + 2 * 32 + (32 * 16 + 1)
    discriminator = (32 * 16 + 32) + (32 * 64 * 16 + 2 * 64) + (64 * 128 * 16 + 2 * 128) + (4 * 4 * 128 + 1)
    for network, by_hand in ((model.generator, generator), (model.discriminator, discriminator)):
        assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == by_hand
    assert dcgan.build(dcgan.CIFAR, dcgan.CIFAR10).generator.output_shape == (None, 32, 32, 3)


def test_the_generator_draws_no_checkerboards():
    """With all weights alike, every pixel of a transposed convolution is covered alike; one of 5x5 would not do it."""

    def covered(size):
        layer = layers.Conv2DTranspose(1, size, 2, "same", kernel_initializer="ones")
        return np.asarray(layer(np.ones((1, 6, 6, 1))))[0, 2:-2, 2:-2, 0]

    assert np.unique(covered(4)) == [4]
    assert len(np.unique(covered(5))) > 1
    generator = dcgan.build(dcgan.CIFAR, dcgan.CIFAR10).generator
    sizes = [layer.kernel_size for layer in generator.layers if isinstance(layer, layers.Conv2DTranspose)]
    assert sizes == [(4, 4)] * 3


def test_losses_by_hand():
    undecided = tf.zeros((3, 1))
    assert float(dcgan.generator_loss(undecided)) == pytest.approx(np.log(2))
    assert float(dcgan.discriminator_loss(undecided, undecided, 0.1)) == pytest.approx(2 * np.log(2))
    real, generated = tf.constant([[1.5], [1.5]]), tf.constant([[-0.5], [-0.5]])
    d_real, d_generated = 1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(0.5))
    assert float(dcgan.generator_loss(generated)) == pytest.approx(-np.log(d_generated)), "not saturating: -log D(G(z))"
    # real images smoothed, generated ones not
    expected = -0.8 * np.log(d_real) - 0.2 * np.log(1 - d_real) - np.log(1 - d_generated)
    assert float(dcgan.discriminator_loss(real, generated, 0.2)) == pytest.approx(expected, rel=1e-5)


def test_accuracy_by_hand():
    real, generated = tf.constant([[2.0], [-1.0]]), tf.constant([[3.0], [-3.0], [-1.0], [-2.0]])
    assert float(dcgan.discriminator_accuracy(real, generated)) == pytest.approx(4 / 6)


def test_a_generator_that_is_found_out_still_has_a_gradient():
    """Where D(G(z)) is near 0, log(1 - D(G(z))) is flat and -log D(G(z)) has a slope of -1."""
    logit = tf.Variable([[-20.0]])
    with tf.GradientTape() as tape:
        loss = dcgan.generator_loss(logit)
    assert float(tape.gradient(loss, logit)[0, 0]) == pytest.approx(-1)


def test_each_optimizer_moves_its_own_network_alone():
    model = dcgan.build(dcgan.TINY)
    batch = next(iter(dcgan.load_data(dcgan.TINY).train))
    networks = {"optimizer": model.generator, "discriminator_optimizer": model.discriminator}
    for moving in networks:
        model.compile(**{name: keras.optimizers.SGD(0.1 if name == moving else 0.0) for name in networks})
        before = {name: [w.numpy() for w in network.trainable_weights] for name, network in networks.items()}
        model.train_step(batch)
        for name, network in networks.items():
            pairs = zip(network.trainable_weights, before[name], strict=True)
            assert any((weight.numpy() != old).any() for weight, old in pairs) == (name == moving)


def test_a_sample_follows_its_seed_alone(fitted):
    model = fitted(dcgan)
    four = dcgan.sample(4, seed=5, model=model)
    assert four.shape == (4, 28, 28, 1)
    assert 0 <= four.min() <= four.max() <= 255
    np.testing.assert_allclose(dcgan.sample(2, seed=7, model=model), four[2:], atol=1e-3)
    assert dcgan.sample(257, model=model).shape == (257, 28, 28, 1), "in more than one batch"
    noise = dcgan.noise_of(tf.range(1000, dtype=tf.int64), 4).numpy()
    assert len(np.unique(noise, axis=0)) == 1000
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(3**-0.5, abs=0.02)


def test_predict_takes_seeds(fitted):
    model = fitted(dcgan)
    samples = dcgan.sample(3, seed=7, model=model)
    for inputs in ([7, "9"], np.array([7, 9]), iter((7, 9)), tf.constant([7, 9])):
        first, last = dcgan.predict(inputs, model)
        np.testing.assert_allclose([first["image"], last["image"]], samples[[0, 2]], atol=1e-3)
    assert dcgan.predict(-1, model)[0]["image"].shape == (28, 28, 1)
    with pytest.raises(
        DataError, match=r"3 of 4 inputs cannot be read: 'x' is no seed; expected a whole number.*; 1.5 "
    ):
        dcgan.predict(["x", 3, 1.5, 2**63], model)


def test_it_learns_and_shows_its_samples(tmp_path):
    model = dcgan.fit(
        dataset="digits",
        filters=(8, 16),
        latent_dim=16,
        batch_size=32,
        epochs=6,
        learning_rate=1e-3,
        precision="float32",
    )
    history = model.history.history
    assert history["val_distance"][-1] < 0.6 * history["val_distance"][0], history["val_distance"]
    assert history["val_diversity"][-1] > 0.2, "two samples are not alike"
    folder = model.run.folder
    assert [path.name for path in sorted((folder / "samples").iterdir())] == [f"epoch-0{n}.png" for n in range(1, 7)]
    report = (folder / "report.md").read_text()
    assert "samples.png" in report
    assert "COLLAPSED" not in report
    judge = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(4), layers.Dense(10)])
    figures = dcgan.evaluate(model, judge=judge)
    assert figures.items() >= model.run.metrics["test"].items()
    assert figures["frechet"] > figures["frechet_of_real"] > 0
    assert 1 <= figures["classes"] <= 10


def test_a_judge_without_test_images_is_refused_as_any_evaluation_is(fitted):
    splits = replace(dcgan.load_data(dcgan.TINY), test=None)
    with pytest.raises(DataError, match="digits has no test split; pass Splits with one as data="):
        dcgan.evaluate(fitted(dcgan), splits, judge=fitted(mnist_dense))


def test_a_collapse_is_reported(fitted, tmp_path, capsys):
    model = keras.models.load_model(fitted(dcgan).run.folder / "model.keras")
    kernel = model.generator.layers[-3].kernel
    kernel.assign(tf.zeros_like(kernel))
    titles = [title for title, *_ in dcgan.recipe.kind.report(model, dcgan.load_data(dcgan.TINY))]
    assert "COLLAPSED, the samples are alike" in " ".join(titles)
    assert "COLLAPSED" in capsys.readouterr().out


def test_the_generator_is_served_from_seeds_to_png(fitted, exported):
    model = fitted(dcgan)
    served = tf.saved_model.load(str(exported(dcgan))).signatures["serving_default"]
    answer = served(seed=tf.constant([3, 2**40, 3], tf.int64))
    images = answer["image"].numpy()
    np.testing.assert_allclose(images[0], dcgan.sample(1, seed=3, model=model)[0], atol=1e-2)
    np.testing.assert_array_equal(images[0], images[2])
    for png, image in zip(answer["image_bytes"].numpy(), images, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(png), np.rint(image))
    empty = served(seed=tf.constant([], tf.int64))
    assert (empty["image_bytes"].shape, empty["image"].shape) == ((0,), (0, 28, 28, 1))


def test_a_generator_trained_in_bfloat16_predicts_in_float32_as_it_is_served(tmp_path):
    model = dcgan.fit(dcgan.TINY, precision="mixed_bfloat16")
    served = tf.saved_model.load(str(dcgan.export(model, path=tmp_path))).signatures["serving_default"]
    [prediction] = dcgan.predict(3, model)
    np.testing.assert_allclose(prediction["image"], served(seed=tf.constant([3], tf.int64))["image"][0], atol=1e-3)


@pytest.mark.parametrize(("dataset", "standin"), [("mnist", "digits"), ("cifar10", "shapes")])
def test_the_stand_in_looks_like_the_data(dataset, standin):
    assert dcgan.load_data(dcgan.Config(dataset=dataset)).info.name == standin


def test_more_filters_than_an_image_can_be_halved_are_refused():
    assert dcgan.build(dcgan.Config(filters=(4,) * 5)).generator.output_shape == (None, 28, 28, 1)
    with pytest.raises(ConfigError, match="6 filters halve a 28x28 image to nothing; expected at most 5"):
        dcgan.build(dcgan.Config(filters=(4,) * 6))
    with pytest.raises(ConfigError, match=r"filters=\(\) is empty; expected at least one number"):
        dcgan.Config(filters=())
