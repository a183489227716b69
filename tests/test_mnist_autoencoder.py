import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_autoencoder
from recipes.data.augment import noisy_pairs
from recipes.errors import ConfigError


def test_the_code_keeps_its_place_in_the_image():
    model = mnist_autoencoder.build()
    assert model.get_layer("encoder").output_shape == (None, 7, 7, 16)
    assert model.get_layer("decoder").output_shape == model.output_shape == (None, 28, 28, 1)
    dense = mnist_autoencoder.build(mnist_autoencoder.DENSE)
    assert dense.get_layer("encoder").output_shape == (None, 32)
    by_hand = (784 * 512 + 512) + (512 * 128 + 128) + (128 * 32 + 32)
    assert dense.get_layer("encoder").count_params() == by_hand


def test_the_loss_of_a_grey_guess_is_ln_2():
    model = mnist_autoencoder.build(mnist_autoencoder.DENSE)
    target = np.random.default_rng(0).uniform(size=(2, 28, 28, 1))
    assert float(model.loss(target, np.zeros_like(target))) == pytest.approx(np.log(2), rel=1e-5)


def test_kernels_of_the_decoder_cover_every_pixel_alike():
    """A transposed convolution leaves a checkerboard unless its stride divides its kernel (distill.pub, 2016)."""
    layers = mnist_autoencoder.build().get_layer("decoder").layers
    transposed = [layer for layer in layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert transposed
    assert all(layer.kernel_size[0] % layer.strides[0] == 0 for layer in transposed)


def test_noise_is_new_in_each_step_shared_out_among_workers_and_clipped():
    images = tf.constant(np.full((4, 8, 8, 1), 100, np.uint8))
    noisy, clean = noisy_pairs(images, tf.constant([0, 1], tf.int64), noise=0.4)
    np.testing.assert_allclose(clean, 100 / 255, rtol=1e-6)
    assert float(tf.reduce_min(noisy)) == 0
    assert float(tf.reduce_max(noisy)) == 255
    other, _ = noisy_pairs(images, tf.constant([0, 2], tf.int64), noise=0.4)
    assert (noisy != other).numpy().any()
    second, _ = noisy_pairs(images[2:], tf.constant([0, 1], tf.int64), 1, 2, noise=0.4)
    np.testing.assert_array_equal(second, noisy[2:])
    unchanged, _ = noisy_pairs(images, tf.constant([0, 1], tf.int64), noise=0.0)
    np.testing.assert_array_equal(unchanged, images)


def test_validation_noise_is_always_the_same():
    first, again = (next(iter(mnist_autoencoder.load_data(mnist_autoencoder.TINY).test))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_it_takes_noise_out():
    model = mnist_autoencoder.fit(dataset="digits", filters=(8, 16), latent_dim=4, epochs=5, precision="float32")
    noisy, clean = next(iter(mnist_autoencoder.load_data(model.run.config).test))
    restored = mnist_autoencoder.reconstruct(noisy, model)
    assert np.square(restored / 255 - clean).mean() < 0.6 * np.square(noisy / 255 - clean).mean()
    assert (model.run.folder / "reconstructions.png").exists()
    assert "reconstructions.png" in (model.run.folder / "report.md").read_text()


def test_both_halves_are_served(fitted, tmp_path):
    model = fitted(mnist_autoencoder)
    served = tf.saved_model.load(str(mnist_autoencoder.export(model, path=tmp_path))).signatures
    image = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    png = tf.constant([tf.io.encode_png(each).numpy() for each in image])
    answer = served["serving_default"](image_bytes=png)
    np.testing.assert_allclose(answer["code"], mnist_autoencoder.encode(image, model), atol=1e-4)
    np.testing.assert_allclose(answer["image"], mnist_autoencoder.reconstruct(image, model), atol=1e-2)
    again = served["decode"](code=answer["code"])["image"]
    np.testing.assert_allclose(again, answer["image"], atol=1e-2)


def test_a_model_trained_in_bfloat16_is_served_in_float32(tmp_path):
    model = mnist_autoencoder.fit(mnist_autoencoder.TINY, precision="mixed_bfloat16")
    assert mnist_autoencoder.export(model, path=tmp_path).name == "1"


def test_images_that_cannot_be_halved_are_refused():
    with pytest.raises(ConfigError, match="3 filters halve a 30x28 image 2 times; expected sides that are multiples"):
        mnist_autoencoder.build(mnist_autoencoder.Config(image_shape=(30, 28, 1)))
