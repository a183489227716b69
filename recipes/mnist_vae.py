"""Variational autoencoder on MNIST: a code that can be drawn from, and so digits that nobody wrote.

Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), https://arxiv.org/abs/1312.6114. The encoder gives a
Gaussian over codes, q(z|x) = N(mu(x), sigma(x)^2), the decoder a Bernoulli probability per pixel, p(x|z), and codes are
N(0, 1) before anything is seen of them, p(z). Both networks are trained to minimise, in nats per image,

    -ELBO = E_q(z|x) [-log p(x|z)] + beta KL(q(z|x) || p(z))  >=  -log p(x)     for beta = 1
    KL    = 1/2 sum_j mu_j^2 + sigma_j^2 - 1 - log sigma_j^2
    z     = mu + sigma noise,  noise ~ N(0, 1)

with one code z drawn per image (section 2.3, equation 7, and appendix B). What is random in z does not depend on the
encoder, so gradients pass through it: the reparametrisation trick (section 2.4). What differs: both networks are
convolutional where theirs have one hidden layer of 500 units with tanh; Adam, whose rate climbs and falls, in place of
Adagrad, in batches of 128, not 100; no prior on the weights; a tenth of the training images held out; and pixels are
drawn as 0 or 1 with their brightness as probability, anew in each step; those of test images once.

`evaluate(samples=k)` adds Burda et al.'s tighter bound (2016, equation 8), https://arxiv.org/abs/1509.00519:

    bound = -E log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)

Their table 1 has 86.76 nats, by 5,000 codes, for a plain VAE of 50 latent numbers with two dense layers of 200 in each
network (425,284 parameters; ours has 32 latent numbers and 1,751,425), trained for 3,280 epochs of 60,000 images, whose
pixels are drawn likewise. With fewer codes, as here, the bound is looser, and the figure higher.

`CATEGORICAL` is Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (2017),
https://arxiv.org/abs/1611.01144: a code of 20 categories, each one of ten. A category cannot move a little, so no
gradient would pass through a draw. In training it is relaxed: `gumbel_softmax` draws what is nearly one-hot, and the
temperature that it falls with ends at what is nearly a draw. All figures are of true draws, and of the exact KL:

    KL = sum_j sum_k q_jk (log q_jk + log 10)        (p(z): all categories alike)

Their section 4.2 has 101.5 nats (table 1). What differs, besides the networks: the rate of the temperature's fall.

Result: -ELBO of 90.59 ± 0.29 nats per test image after 15 epochs, 86.48 ± 0.10 by the bound with 64 codes (3 seeds,
float32), in 9 to 13 min on one core. Command: `python benchmarks/accuracy.py mnist_vae --judge RUN --samples 64 --seeds
0 1 2`.
`CATEGORICAL` has 106.3 nats after 20 epochs, in 16 min; with a temperature that falls to 0.53 alone, 15 epochs had
108.9 (1 seed each, bfloat16).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.augment import crop_and_flip, draw_per_pixel
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.devices.keras_fixes import named_in_files
from recipes.devices.replicas import replica_rows, replicas_here
from recipes.errors import ConfigError, DataError
from recipes.kinds.autoencoding import Autoencoding, encoder_and_decoder
from recipes.layers.activation import Activation
from recipes.layers.relaxation import GumbelSoftmax, gumbel_noise, one_hot_of_largest
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.runs.exhibits import Exhibit
from recipes.settings import Count, Counts, Images, ImageShape, Natural, NotNegative, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(Images):
    """Settings of mnist_vae. Change them by name: `fit(beta=4.0)`."""

    # data
    dataset: str = "mnist"  # image-classification data set of tensorflow-datasets, or "digits", "shapes"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    crop_padding: Natural = 0  # training images are shifted by up to so many pixels; 0: not at all
    # model
    filters: Counts = (32, 64)  # of the encoder's convolutions, each of which halves the image
    units: Count = 256  # width of the dense layer on both sides of the code
    latent_dim: Count = 32  # numbers in the code, or categories
    categories: Natural = 0  # out of which each part of the code is one; 0: each is a number, of a Gaussian
    straight_through: bool = False  # of categories: draws are one-hot in training, too
    temperature_decay: NotNegative = 0.0  # of categories: by which the logarithm of the temperature falls in a step
    lowest_temperature: Positive = 0.5  # of categories: it begins at 1
    beta: NotNegative = 1.0  # weight of the KL term; 1: the paper's ELBO, 0: an autoencoder
    # training
    epochs: Count = 15
    learning_rate: Positive = 2e-3  # Adam's highest; climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.1  # share of all steps in which the rate climbs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.categories == 1:
            raise ConfigError("categories=1 is no choice; expected 2 or more, or 0 for a code of numbers")
        if not self.categories:
            names = "straight_through temperature_decay lowest_temperature"
            self.refuse_without_effect(names, "categories=0 is a code of numbers")


CATEGORICAL = Config(latent_dim=20, categories=10, temperature_decay=3e-4, lowest_temperature=0.1, epochs=20)
TINY = Config(dataset="digits", filters=(4, 8), units=8, epochs=1, batch_size=32, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data

MNIST = Sizes(train_examples=54_000, image_shape=(28, 28, 1))


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (input, target) of (B, H, W, C) float32 each.

    The target is the image of 0 and 1, the input 255 times that. Pixels of training images are drawn anew in each
    epoch, from (seed, step); those of the others once. `data` may be your own: an array of images or `(images,
    labels)`, two or three of either (training, (validation,) test), a folder of images, with or without a
    sub-folder per class, a table, or Splits. Labels are not used.
    """
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=False)  # a mirrored digit is another sign
    return image_splits(
        config, data, standin="digits", image_shape=MNIST.image_shape, augment=augment, pairing=binary_pairs
    )


def binary_pairs(images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (pixels 0 or 255, pixels 0 or 1), (B, H, W, C) float32, each drawn with its brightness as probability.

    Args:
        images: (B, H, W, C) in [0, 255].
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.

    Salakhutdinov and Murray (2008), section 5.2; https://doi.org/10.1145/1390156.1390266.
    """
    own_seed = seed + tf.constant([0, 2], seed.dtype)  # not that of the augmentation
    uniform = draw_per_pixel(tf.random.stateless_uniform, images, own_seed, worker, workers)
    pixels = tf.ensure_shape(tf.cast(uniform < tf.cast(images, tf.float32) / 255, tf.float32), images.shape)
    return 255 * pixels, pixels


# ---------------------------------------------------------------- model and objective


def build(config: Config = Config(), sizes: Sizes = MNIST) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to logits of each pixel, (B, H, W, C) float32.

    Raises:
        ConfigError: If the image cannot be halved as often as there are filters.
    """
    factor = 2 ** len(config.filters)
    height, width, channels = sizes.image_shape
    if height % factor or width % factor:
        raise ConfigError(
            f"{len(config.filters)} filters halve a {height}x{width} image as often; expected sides that are multiples "
            f"of {factor}, or fewer filters"
        )
    image = keras.Input(sizes.image_shape, name="image")
    x = layers.Rescaling(1 / 255)(image)  # [0, 1]
    for filters in config.filters:
        x = Activation("gelu")(layers.Conv2D(filters, 3, 2, padding="same")(x))  # (B, 14, 14, 32), (B, 7, 7, 64)
    small = x.shape[1:]
    x = Activation("gelu")(layers.Dense(config.units)(layers.Flatten()(x)))
    draw: layers.Layer
    shape: tuple[int, ...] = (config.latent_dim,)  # L
    if config.categories:
        shape = (config.latent_dim, config.categories)  # L, K
        x = layers.Dense(int(np.prod(shape)), dtype="float32")(x)
        z_logits = layers.Reshape(shape, dtype="float32", name="z_logits")(x)
        encoder = keras.Model(image, [one_hot_of_largest(z_logits), z_logits], name="encoder")  # (B, L, K) each
        how = (config.temperature_decay, config.lowest_temperature, config.straight_through)
        draw = CategoricalSampling(config.beta, config.seed, *how, dtype="float32", name="draw")
    else:
        z_mean = layers.Dense(config.latent_dim, dtype="float32", name="z_mean")(x)  # (B, L)
        z_log_var = layers.Dense(config.latent_dim, dtype="float32", name="z_log_var")(x)  # (B, L)
        encoder = keras.Model(image, [z_mean, z_log_var], name="encoder")
        draw = Sampling(config.beta, config.seed, dtype="float32", name="draw")

    x = z = keras.Input(shape, name="z")
    x = layers.Flatten()(x) if config.categories else x
    x = Activation("gelu")(layers.Dense(config.units)(x))
    x = layers.Reshape(small)(Activation("gelu")(layers.Dense(int(np.prod(small)))(x)))
    for filters in reversed(config.filters):
        x = Activation("gelu")(layers.Conv2DTranspose(filters, 4, 2, padding="same")(x))  # 4 = 2 * stride: even
    logits = layers.Conv2D(channels, 3, padding="same", dtype="float32", name="logits")(x)  # (B, 28, 28, 1)
    decoder = keras.Model(z, logits, name="decoder")

    model = keras.Model(image, decoder(draw(encoder(image))), name="mnist_vae")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(Adam(rate), loss=PixelCrossentropy(), metrics=[Reconstruction()])
    return model


@named_in_files("Draw")
class Sampling(layers.Layer):
    """Draws a code from each image's Gaussian, and adds beta times the KL term to the model's loss (section 2.4)."""

    def __init__(self, beta: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta, self.seed = beta, seed
        self.draws = keras.random.SeedGenerator(seed)
        self.kl = keras.metrics.Mean(name="kl")  # one of the model's metrics, nats per image

    def call(self, distribution: list, training: bool = False) -> Any:
        """Returns [z_mean, z_log_var], (B, L) each, to z (B, L); outside of training the draw is always the same."""
        z_mean, z_log_var = distribution
        kl = kl_divergence(z_mean, z_log_var)  # (B,)
        self.add_loss(self.beta * ops.mean(kl))
        self.kl.update_state(kl)
        whole_batch = (ops.shape(z_mean)[0] * replicas_here(), z_mean.shape[1])
        noise = replica_rows(keras.random.normal(whole_batch, seed=self.draws if training else self.seed))
        return reparametrise(z_mean, z_log_var, noise)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}


@keras.saving.register_keras_serializable("recipes")
class CategoricalSampling(GumbelSoftmax):
    """Draws a code of one-hot rows, relaxed in training, and adds beta times the KL term to the model's loss."""

    def __init__(self, beta: float, seed: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(seed, *args, **kwargs)
        self.beta = beta
        self.kl = keras.metrics.Mean(name="kl")  # one of the model's metrics, nats per image

    def build(self, shapes: list) -> None:
        """Makes the count of training steps."""
        super().build(shapes[1])

    def call(self, distribution: list, training: bool = False) -> Any:
        """Returns [the likeliest code, z_logits], (B, L, K) each, to z (B, L, K)."""
        _, z_logits = distribution
        kl = categorical_kl_divergence(z_logits)  # (B,)
        self.add_loss(self.beta * ops.mean(kl))
        self.kl.update_state(kl)
        return super().call(z_logits, training)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "beta": self.beta}


def categorical_kl_divergence(z_logits: Any) -> Any:
    """Returns KL(q || p) in nats, (B, L, K) to (B,), of L independent categories; p has all K alike."""
    log_q = ops.log_softmax(z_logits, axis=-1)
    return ops.sum(ops.exp(log_q) * (log_q + float(np.log(z_logits.shape[-1]))), axis=(1, 2))


def reparametrise(z_mean: Any, z_log_var: Any, noise: Any) -> Any:
    """Returns z of N(z_mean, exp(z_log_var)) for noise of N(0, 1), (B, L) each; gradients pass through z to both."""
    return z_mean + ops.exp(0.5 * z_log_var) * noise


def kl_divergence(z_mean: Any, z_log_var: Any) -> Any:
    """Returns KL(N(z_mean, exp(z_log_var)) || N(0, 1)) in nats, (B, L) twice to (B,). Appendix B."""
    return 0.5 * ops.sum(ops.exp(z_log_var) + ops.square(z_mean) - 1 - z_log_var, axis=-1)


def pixel_cross_entropy(target: Any, logits: Any) -> Any:
    """Returns -log p(x|z) of independent Bernoulli pixels in nats, (B, H, W, C) twice to (B,). Appendix C.1."""
    return ops.sum(ops.softplus(logits) - target * logits, axis=(1, 2, 3))


@named_in_files("PixelNats")
class PixelCrossentropy(keras.losses.Loss):
    """The mean of `pixel_cross_entropy`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each image, (B,)."""
        return pixel_cross_entropy(y_true, y_pred)


@keras.saving.register_keras_serializable("recipes")
class Reconstruction(keras.metrics.MeanMetricWrapper):
    """The mean of `pixel_cross_entropy`, as a metric."""

    def __init__(self, name: str = "reconstruction", **kwargs: Any) -> None:
        super().__init__(pixel_cross_entropy, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {"name": self.name, "dtype": self.dtype}


def importance_weighted_bound(model: keras.Model, batches: tf.data.Dataset, samples: int) -> float:
    """Returns -log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), the mean over images in nats.

    Args:
        model: Of `build`.
        batches: (input, target) with targets 0 or 1.
        samples: k, the codes drawn for each image, always the same.

    Burda et al. (2016), equation 8; https://arxiv.org/abs/1509.00519.
    """
    encoder, decoder = encoder_and_decoder(model)

    @tf.function
    def log_weight(distribution: list, target: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        z, log_ratio = drawn_code(distribution, tf.stack([0, i]))
        return log_ratio - pixel_cross_entropy(target, decoder(z, training=False))  # (B,)

    bounds = []
    for image, target in batches:
        distribution = encoder(image, training=False)
        log_weights = tf.stack([log_weight(distribution, target, tf.constant(i)) for i in range(samples)])  # (k, B)
        bounds.append(np.log(samples) - tf.reduce_logsumexp(log_weights, 0).numpy())
    return float(np.concatenate(bounds).mean())


def drawn_code(distribution: list, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (codes z drawn from q(z|x), (B, L) or (B, L, K); log p(z) - log q(z|x), (B,)).

    Args:
        distribution: Both outputs of an encoder.
        seed: (2,) integer.
    """
    if distribution[1].shape.rank == 3:
        log_q = tf.nn.log_softmax(distribution[1])  # (B, L, K)
        z = one_hot_of_largest(log_q + gumbel_noise(tf.random.stateless_uniform(tf.shape(log_q), seed)))
        return z, -tf.reduce_sum(z * (log_q + np.log(log_q.shape[-1])), (1, 2))
    z_mean, z_log_var = distribution
    noise = tf.random.stateless_normal(tf.shape(z_mean), seed)
    z = reparametrise(z_mean, z_log_var, noise)
    log_p = -0.5 * tf.reduce_sum(tf.square(z), -1)  # without the constant, which log q has too
    return z, log_p + 0.5 * tf.reduce_sum(tf.square(noise) + z_log_var, -1)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    `config` is what the space leaves alone: its code, beta and data, or the figures could not be compared.
    """
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        units=max(1, round(width * config.units)),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
    )


# ---------------------------------------------------------------- verbs


def figures(
    model: keras.Model, splits: Splits, *, samples: int = 0, judge: keras.Model | str | Path | None = None
) -> dict[str, float]:
    """Returns {"loss": -ELBO, "reconstruction", "kl"} on the test split, nats per image.

    Args:
        model: The model.
        splits: The data.
        samples: With so many codes drawn per image, "bound" is the importance-weighted one; 0: leave it out.
        judge: A classifier of such images, or its run's folder: adds `classifier_metrics` of samples.
    """
    values = kind.evaluate(model, splits)
    if samples:
        values["bound"] = importance_weighted_bound(model, splits.test, samples)
    if judge is not None:
        from recipes.kinds.image_quality import judge_samples

        values |= judge_samples(draw_samples, model, splits, judge)
    return values


def report(model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
    """Yields samples, and walks along the code of a test image."""
    from recipes.kinds.plots import draw_images

    images = splits.examples(1000)
    codes, is_categorical = kind.encode(model, images), len(encoder_and_decoder(model)[1].input_shape) == 3
    prior = "of categories, each as likely as the others" if is_categorical else "from N(0, 1)"
    title = f"Digits that nobody wrote: decoded draws {prior}"
    yield title, "samples.png", lambda: draw_images(draw_samples(model, 64))
    if is_categorical:
        _, z_logits = encoder_and_decoder(model)[0](images.astype(np.float32), training=False)
        spread = information(np.asarray(ops.softmax(z_logits)))
        walked, walks = walk_categories(codes, spread)
        title = "One test image's code with one of its parts at each of its categories, the others kept"
    else:
        spread = codes.var(0)
        walked, walks = walk_along(codes, STEPS)
        title = "One test image's code with one of its numbers from -2.5 to 2.5, the others kept"
    title += f"; {(spread > 0.01).sum()} of {codes.shape[1]} are used"  # Burda et al. (2016), section 5.2
    yield title, "traversals.png", lambda: draw_traversals(model, walked, walks)


STEPS = np.linspace(-2.5, 2.5, 11)


def draw_traversals(model: keras.Model, walked: np.ndarray, walks: np.ndarray) -> Any:
    """Draws what walks along the parts `walked` of a code, (8, S, L) or (8, K, L, K), are decoded to."""
    from recipes.kinds.plots import draw_images

    if walks.ndim == 3:
        what, value, steps = "numbers of the code that vary most", "value of that number", STEPS
    else:
        what, value = "parts of the code that tell most", "category of that part"
        steps = np.arange(walks.shape[1], dtype=float)
    return draw_images(
        kind.decode(model, walks.reshape(-1, *walks.shape[2:])),
        columns=len(steps),
        row_labels=[f"z[{index}]" for index in walked],
        column_labels=[f"{step:g}" for step in steps],
        row_title=what,
        column_title=f"{value} (above each column); the others are those of one test image",
    )


def walk_along(codes: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the indices of the numbers that vary most over (N, L) codes, at most eight; a walk along each of them).

    A walk is the first code with one of its numbers at each of the S steps in turn: (8, S, L) in all.
    """
    walked = np.argsort(-codes.var(0))[:8]
    walks = np.tile(codes[0], (len(walked), len(steps), 1))
    for walk, index in zip(walks, walked, strict=True):
        walk[:, index] = steps
    return walked, walks


def walk_categories(codes: np.ndarray, nats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the at most eight parts of (N, L, K) one-hot codes with the most `information`; a walk along each).

    A walk is the first code with one of its parts at each of the K categories: (8, K, L, K) in all.
    """
    walked = np.argsort(-nats)[:8]
    categories = np.eye(codes.shape[2], dtype=codes.dtype)
    walks = np.tile(codes[0], (len(walked), len(categories), 1, 1))
    for walk, index in zip(walks, walked, strict=True):
        walk[:, index] = categories
    return walked, walks


def information(probabilities: np.ndarray) -> np.ndarray:
    """Returns what each part of a code tells of the images, in nats, (N, L, K) to (L,): H(mean of q) - mean of H(q)."""

    def entropy(q: np.ndarray) -> np.ndarray:
        return -np.sum(q * np.log(np.maximum(q, 1e-30)), -1)

    return entropy(probabilities.mean(0)) - entropy(probabilities).mean(0)


def draw_samples(model: keras.Model, count: int = 64, seed: int = 0) -> np.ndarray:
    """Returns decoded draws from p(z), (count, H, W, C) float32 in [0, 255]; the same seed gives the same."""
    shape = encoder_and_decoder(model)[1].input_shape[1:]  # L, or L and K
    generator = np.random.default_rng(seed)
    if len(shape) == 1:
        return kind.decode(model, generator.normal(size=(count, *shape)))
    return decode_codes(model, generator.integers(0, shape[1], (count, shape[0])))


def category_codes(model: keras.Model, images: Any) -> np.ndarray:
    """Returns the likeliest categories of images, (N, H, W, C) in [0, 255] to (N, L) int64 in [0, K).

    Raises:
        ConfigError: If the code is one of numbers.
    """
    codes = kind.encode(model, images)
    if codes.ndim == 2:
        raise ConfigError("the code of this model is one of numbers, not of categories; `encode` returns them")
    return codes.argmax(-1)


def decode_codes(model: keras.Model, codes: Any) -> np.ndarray:
    """Returns the images that codes stand for, (N, H, W, C) float32 in [0, 255].

    Args:
        model: The model.
        codes: (N, L) numbers; of a code of categories, (N, L) integers in [0, K), or (N, L, K) probabilities.

    Raises:
        DataError: If the codes are no such.
    """
    codes, expected = np.asarray(codes), encoder_and_decoder(model)[1].input_shape[1:]
    if len(expected) == 2 and codes.ndim == 2:
        wrong = codes[(codes < 0) | (codes >= expected[1]) | (codes != np.floor(codes))]
        if wrong.size:
            raise DataError(f"the codes have {wrong.flat[0]}; expected whole numbers from 0 to {expected[1] - 1}")
        codes = np.eye(expected[1], dtype=np.float32)[codes.astype(int)]
    if codes.shape[1:] != expected:
        raise DataError(f"the codes are {codes.shape}; expected (N, {', '.join(map(str, expected))})")
    return kind.decode(model, codes)


kind = Autoencoding()
recipe = Recipe(
    Config, load_data, build, search_space, kind=kind, objective=("val_loss", "min"), report=report, figures=figures
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
encode, decode, reconstruct = recipe.verb(kind.encode), recipe.verb(decode_codes), recipe.verb(kind.reconstruct)
sample, codes = recipe.verb(draw_samples), recipe.verb(category_codes)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
