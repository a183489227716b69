from dataclasses import replace

import keras
import keras_tuner
import numpy as np
import processes
import pytest
import tensorflow as tf

from recipes import mnist_autoencoder
from recipes.data.splits import Sizes
from recipes.devices.keras_fixes import classes_of_ours
from recipes.errors import ConfigError


def test_the_code_keeps_its_place_in_the_image():
    model = mnist_autoencoder.build()
    assert model.get_layer("encoder").output_shape == (None, 7, 7, 16)
    assert model.get_layer("decoder").output_shape == model.output_shape == (None, 28, 28, 1)
    dense = mnist_autoencoder.build(mnist_autoencoder.DENSE)
    assert dense.get_layer("encoder").output_shape == (None, 32)


def test_parameters_by_hand_are_those_of_the_docstring():
    norm = 4  # per channel: gamma, beta, and the averages of mean and variance
    encoder = 9 * 32 + 9 * 32 * 64 + 9 * 64 * 128 + 9 * 128 * 128 + norm * (32 + 64 + 128 + 128) + (128 * 16 + 16)
    decoder = 9 * 16 * 128 + 16 * 128 * 64 + 16 * 64 * 32 + norm * (128 + 64 + 32) + (9 * 32 + 1)
    model = mnist_autoencoder.build()
    assert model.get_layer("encoder").count_params() == encoder
    assert model.get_layer("decoder").count_params() == decoder
    keras_io = (9 + 1) * 32 + 3 * (9 * 32 + 1) * 32 + 9 * 32 + 1
    assert f"{encoder + decoder:,} parameters where it has {keras_io:,}, 15 times" in mnist_autoencoder.__doc__
    assert round((encoder + decoder) / keras_io) == 15
    assert f"7x7 places, {7 * 7 * 16}, as many as the image has pixels" in mnist_autoencoder.__doc__
    dense = (784 * 512 + 512) + (512 * 128 + 128) + (128 * 32 + 32)
    assert mnist_autoencoder.build(mnist_autoencoder.DENSE).get_layer("encoder").count_params() == dense


def test_the_loss_is_the_formula():
    target, logits = np.array([[[[0.25], [1.0]]]], np.float32), np.array([[[[0.0], [np.log(3)]]]], np.float32)
    half, three_quarters = -0.25 * np.log(0.5) - 0.75 * np.log(0.5), -np.log(0.75)
    loss = mnist_autoencoder.build(mnist_autoencoder.DENSE).loss
    assert float(loss(target, logits)) == pytest.approx((half + three_quarters) / 2, rel=1e-5)


def test_kernels_of_the_decoder_cover_every_pixel_alike():
    """A transposed convolution leaves a checkerboard unless its stride divides its kernel (distill.pub, 2016)."""
    layers = mnist_autoencoder.build().get_layer("decoder").layers
    transposed = [layer for layer in layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert transposed
    assert all(layer.kernel_size[0] % layer.strides[0] == 0 for layer in transposed)


def test_noise_is_new_in_each_step_shared_out_among_workers_and_clipped():
    images = tf.constant(np.full((4, 8, 8, 1), 100, np.uint8))
    noisy, clean = mnist_autoencoder.noisy_pairs(images, tf.constant([0, 1], tf.int64), noise=0.4)
    np.testing.assert_allclose(clean, 100 / 255, rtol=1e-6)
    assert float(tf.reduce_min(noisy)) == 0
    assert float(tf.reduce_max(noisy)) == 255
    other, _ = mnist_autoencoder.noisy_pairs(images, tf.constant([0, 2], tf.int64), noise=0.4)
    assert (noisy != other).numpy().any()
    second, _ = mnist_autoencoder.noisy_pairs(images[2:], tf.constant([0, 1], tf.int64), 1, 2, noise=0.4)
    np.testing.assert_array_equal(second, noisy[2:])
    unchanged, _ = mnist_autoencoder.noisy_pairs(images, tf.constant([0, 1], tf.int64), noise=0.0)
    np.testing.assert_array_equal(unchanged, images)


def test_validation_noise_is_always_the_same():
    first, again = (next(iter(mnist_autoencoder.load_data(mnist_autoencoder.TINY).test))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_it_takes_noise_out():
    model = mnist_autoencoder.fit(dataset="digits", filters=(8, 16), latent_dim=4, epochs=5, precision="float32")
    noisy, clean = next(iter(mnist_autoencoder.load_data(model.run.config).test))
    restored = mnist_autoencoder.reconstruct(noisy, model=model)
    assert np.square(restored / 255 - clean).mean() < 0.6 * np.square(noisy / 255 - clean).mean()
    assert (model.run.folder / "reconstructions.png").exists()
    assert "reconstructions.png" in (model.run.folder / "report.md").read_text()


def test_both_halves_are_served_and_predict_answers_likewise(fitted, exported):
    model = fitted(mnist_autoencoder)
    served = tf.saved_model.load(str(exported(mnist_autoencoder))).signatures
    image = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    png = tf.constant([tf.io.encode_png(each).numpy() for each in image])
    answer = served["serving_default"](image_bytes=png)
    np.testing.assert_allclose(answer["code"], mnist_autoencoder.encode(image, model=model), atol=1e-4)
    np.testing.assert_allclose(answer["image"], mnist_autoencoder.reconstruct(image, model=model), atol=1e-2)
    again = served["decode"](code=answer["code"])["image"]
    np.testing.assert_allclose(again, answer["image"], atol=1e-2)
    for index, prediction in enumerate(mnist_autoencoder.predict(list(image), model)):
        np.testing.assert_allclose(prediction["code"], answer["code"][index], atol=1e-4)
        np.testing.assert_allclose(prediction["image"], answer["image"][index], atol=1e-2)
        assert prediction["image"].shape == (28, 28, 1)


def test_an_empty_batch_has_an_empty_answer(fitted, exported):
    model = fitted(mnist_autoencoder)
    code = model.get_layer("encoder").output_shape[1:]
    served = tf.saved_model.load(str(exported(mnist_autoencoder))).signatures
    for name in ("image", "image_uint8"):
        [spec] = served[name].structured_input_signature[1].values()
        answer = served[name](image=tf.zeros((0, 28, 28, 1), spec.dtype))
        assert (answer["code"].shape, answer["image"].shape) == ((0, *code), (0, 28, 28, 1))
    assert served["serving_default"](image_bytes=tf.constant([], tf.string))["code"].shape == (0, *code)
    assert served["decode"](code=tf.zeros((0, *code)))["image"].shape == (0, 28, 28, 1)
    assert mnist_autoencoder.encode(np.zeros((0, 28, 28, 1)), model=model).shape == (0, *code)
    assert mnist_autoencoder.decode(np.zeros((0, *code)), model=model).shape == (0, 28, 28, 1)


def test_a_model_trained_in_bfloat16_is_served_in_float32(tmp_path):
    model = mnist_autoencoder.fit(mnist_autoencoder.TINY, precision="mixed_bfloat16")
    folder = mnist_autoencoder.export(model, path=tmp_path)
    answer = tf.saved_model.load(str(folder)).signatures["image"](image=tf.fill((1, 28, 28, 1), 99.0))
    [prediction] = mnist_autoencoder.predict(np.full((28, 28), 99), model)
    np.testing.assert_allclose(prediction["code"], answer["code"][0], atol=1e-5)


@pytest.mark.parametrize("network", ["conv", "dense"])
def test_plain_keras_opens_it_and_gives_the_same_answers(network, tmp_path):
    config = mnist_autoencoder.TINY if network == "conv" else replace(mnist_autoencoder.DENSE, units=(8,), latent_dim=2)
    model = mnist_autoencoder.build(config)
    model.save(tmp_path / "model.keras")
    assert classes_of_ours(tmp_path / "model.keras") == set()
    inputs = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1))
    np.savez(tmp_path / "asked.npz", inputs=inputs, answers=model.predict(inputs, verbose=0))
    processes.open_with_plain_keras(tmp_path / "model.keras", tmp_path / "asked.npz")


def test_settings_of_the_other_network_are_refused():
    with pytest.raises(ConfigError, match=r"filters=\(8,\) would change nothing: network='dense' has no convolutions"):
        mnist_autoencoder.Config(network="dense", filters=(8,))
    with pytest.raises(ConfigError, match=r"units=\(8,\) would change nothing: network='conv' has no dense layers"):
        mnist_autoencoder.Config(units=(8,))


@pytest.mark.parametrize(("setting", "widths"), [("CLEAN", (16, 32, 64)), ("DENSE", (256, 64))])
def test_a_search_is_of_the_network_that_there_is(setting, widths):
    hp = keras_tuner.HyperParameters()
    hp.Fixed("width", 0.5)
    config = getattr(mnist_autoencoder, setting)
    trial = mnist_autoencoder.search_space(hp, config)
    name = "filters" if config.network == "conv" else "units"
    assert trial == replace(config, **{name: widths}, learning_rate=hp.get("learning_rate"))


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ConfigError, match="3 filters halve a 30x28 image 2 times; expected sides that are multiples"):
        mnist_autoencoder.build(sizes=Sizes(image_shape=(30, 28, 1)))
