"""Deep convolutional generative adversarial network: images that nobody took, from noise.

Two networks play against each other (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661). The generator G makes an
image of noise z, evenly from [-1, 1]; the discriminator D says how probably an image x is real. Each minimises a loss
of its own, over its own weights alone, in nats, with the mean over a batch:

    min over D   -(1 - a) log D(x) - a log(1 - D(x)) - log(1 - D(G(z)))        a: label_smoothing
    min over G   -log D(G(z))

G's is the loss of their section 3 that does not saturate: log(1 - D(G(z))), which D maximises, has hardly a gradient
for G while D is sure of itself, as it is at the beginning.

The networks are Radford, Metz and Chintala's (2016), https://arxiv.org/abs/1511.06434, whose rules (section 3) are
kept: strides in place of pooling, batch normalisation in both networks but not at the generator's output nor the
discriminator's input, no hidden dense layer, ReLU and a last tanh in the generator, LeakyReLU of 0.2 in the
discriminator, weights from N(0, 0.02), Adam with a momentum of 0.5.

What differs from Goodfellow et al.'s Algorithm 1: a step updates both networks from the same weights, images and noise,
where theirs updates D first, draws noise anew, and then updates G against the D that there is by then. From Radford et
al.'s: an eighth of their width, and three halvings of 32x32 where they have four of 64x64; kernels of 4x4, a multiple
of the stride, where 5x5 overlaps unevenly and draws checkerboards (Odena et al. 2016,
https://distill.pub/2016/deconv-checkerboard/); the target of real images is 0.9 (one-sided label smoothing: Salimans et
al. 2016, section 3.4, https://arxiv.org/abs/1606.03498), in `evaluate`'s loss of D too; the rate falls to 0, for at a
constant one the two circle each other to the end, and begins at 4e-4 where theirs was 2e-4. The distance is of the
features of a classifier of digits: it cannot be compared with published ones, which are of Inception's.

The default makes handwritten digits of 28x28 pixels; `CIFAR` small colour photographs of 32x32: `fit(CIFAR)`.
`evaluate(judge=...)` asks a classifier that another recipe has trained what it sees in the images.

Result: classifier score 8.4 (real images 9.7), Fréchet distance 6.9 (1.5), all ten digits (1 seed, by mnist_dense),
after 20 epochs, in 13 min on two cores. Command: `python benchmarks/accuracy.py dcgan --judge RUN --seeds 0`.
"""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.devices.keras_fixes import named_in_files
from recipes.devices.replicas import replica_rows, replicas_here
from recipes.errors import ConfigError, DataError
from recipes.kinds.image_quality import KernelDistance
from recipes.layers.batch_norm import BatchNormalization
from recipes.optimization.optimizers import Adam
from recipes.runs.exhibits import Exhibit
from recipes.settings import Count, Counts, Images, ImageShape, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(Images):
    """Settings of dcgan. Change them by name: `fit(epochs=5)`, `recipes fit dcgan --epochs 5`."""

    # data
    dataset: str = "mnist"  # image-classification data set of tensorflow-datasets, or "digits", "shapes"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = False  # mirror every other training image left to right
    # model
    filters: Counts = (32, 64, 128)  # of the discriminator's convolutions, each halves the image; and back
    latent_dim: Count = 100  # numbers in the noise that an image is made from, uniform in [-1, 1]
    # training
    epochs: Count = 20
    learning_rate: Positive = 4e-4  # Adam's first, of both networks; falls to 0 as a cosine
    momentum: Share = 0.5  # Adam's beta_1
    label_smoothing: Share = 0.1  # the target of real images is 1 less this


CIFAR = Config(dataset="cifar10", flip=True, filters=(64, 128, 256), epochs=30, learning_rate=2e-4)
TINY = Config(
    dataset="digits", filters=(4, 8), latent_dim=4, epochs=1, batch_size=32, max_examples=256, precision="float32"
)

# ---------------------------------------------------------------- data

MNIST = Sizes(train_examples=54_000, image_shape=(28, 28, 1))
CIFAR10 = Sizes(train_examples=45_000, image_shape=(32, 32, 3))


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, H, W, C) uint8 in [0, 255] and (B,) int32 labels.

    Labels are not used. `data` may be your own: an array of images or `(images, labels)`, two or three of either
    (training, (validation,) test), a folder of images, with or without a sub-folder per class, a table, or Splits.
    """
    standin, sizes = ("digits", MNIST) if config.dataset == "mnist" else ("shapes", CIFAR10)
    augment = partial(crop_and_flip, padding=0, flip=config.flip)
    return image_splits(config, data, standin=standin, image_shape=sizes.image_shape, augment=augment)


# ---------------------------------------------------------------- the two networks


def build(config: Config = Config(), sizes: Sizes = MNIST) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, 1) float32 logits of being real.

    Its `generator` makes images, its `discriminator` judges them, both in [-1, 1].

    Raises:
        ConfigError: If there are more filters than an image can be halved.
    """
    height, width, _ = sizes.image_shape
    count, most = len(config.filters), (min(height, width) - 1).bit_length()
    if count > most:
        raise ConfigError(f"{count} filters halve a {height}x{width} image to nothing; expected at most {most}")
    generator = build_generator(config.filters, config.latent_dim, sizes.image_shape)
    discriminator = build_discriminator(config.filters, sizes.image_shape)

    model = GAN(generator, discriminator, config.label_smoothing, config.seed, name="dcgan")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, max(1, steps))
    adam = partial(
        Adam,
        config.learning_rate if config.constant_rate else rate,
        beta_1=config.momentum,
        gradient_accumulation_steps=config.accumulate_steps if config.accumulate_steps > 1 else None,
    )
    model.compile(optimizer=adam(), discriminator_optimizer=adam())
    return model


def build_generator(filters: Sequence[int], latent_dim: int, image_shape: Sequence[int]) -> keras.Model:
    """Returns the generator: noise (B, L) to images (B, H, W, C) in [-1, 1]."""
    height, width, channels = image_shape
    halvings = len(filters)
    smallest = (-(-height // 2**halvings), -(-width // 2**halvings), filters[-1])  # rounded up; the rest is cut off
    noise = keras.Input((latent_dim,), name="noise")
    x = layers.Dense(int(np.prod(smallest)), use_bias=False, kernel_initializer=normal())(noise)
    x = layers.Reshape(smallest)(x)  # (B, 4, 4, 128)
    x = layers.Activation("relu")(BatchNormalization()(x))
    for size in reversed(filters[:-1]):  # (B, 8, 8, 64), (B, 16, 16, 32)
        x = layers.Conv2DTranspose(size, 4, 2, "same", use_bias=False, kernel_initializer=normal())(x)
        x = layers.Activation("relu")(BatchNormalization()(x))
    x = layers.Conv2DTranspose(channels, 4, 2, "same", kernel_initializer=normal())(x)  # (B, 32, 32, 1)
    x = layers.CenterCrop(height, width)(x)  # (B, 28, 28, 1)
    return keras.Model(noise, layers.Activation("tanh", dtype="float32")(x), name="generator")


def build_discriminator(filters: Sequence[int], image_shape: Sequence[int]) -> keras.Model:
    """Returns the discriminator: images (B, H, W, C) in [-1, 1] to (B, 1) logits of being real."""
    image = keras.Input(image_shape, name="image")
    x = layers.Conv2D(filters[0], 4, 2, "same", kernel_initializer=normal())(image)  # (B, 14, 14, 32)
    x = layers.LeakyReLU(0.2)(x)
    for size in filters[1:]:  # (B, 7, 7, 64), (B, 4, 4, 128)
        x = layers.Conv2D(size, 4, 2, "same", use_bias=False, kernel_initializer=normal())(x)
        x = layers.LeakyReLU(0.2)(BatchNormalization()(x))
    logit = layers.Dense(1, dtype="float32", kernel_initializer=normal(), name="logit")(layers.Flatten()(x))
    return keras.Model(image, logit, name="discriminator")


def normal() -> keras.initializers.Initializer:
    """Returns the weights that both networks begin with: normal with a standard deviation of 0.02."""
    return keras.initializers.RandomNormal(stddev=0.02)


# ---------------------------------------------------------------- the game


def discriminator_loss(logits_real: Any, logits_generated: Any, label_smoothing: float) -> Any:
    """Returns -(1 - a) log D(x) - a log(1 - D(x)) - log(1 - D(G(z))) in nats, the mean of logits (B, 1) each."""
    real_as_real = tf.reduce_mean(tf.nn.softplus(-logits_real))  # -log D(x), for D = sigmoid(logit)
    real_as_generated = tf.reduce_mean(tf.nn.softplus(logits_real))  # -log(1 - D(x))
    generated_as_generated = tf.reduce_mean(tf.nn.softplus(logits_generated))  # -log(1 - D(G(z)))
    return (1 - label_smoothing) * real_as_real + label_smoothing * real_as_generated + generated_as_generated


def generator_loss(logits_generated: Any) -> Any:
    """Returns -log D(G(z)) in nats, the mean of logits (B, 1): low where the discriminator is deceived."""
    return tf.reduce_mean(tf.nn.softplus(-logits_generated))


def discriminator_accuracy(logits_real: Any, logits_generated: Any) -> Any:
    """Returns the share of images that the discriminator sorts rightly, of logits (B, 1) each."""
    is_right = tf.concat([logits_real > 0, logits_generated < 0], 0)
    return tf.reduce_mean(tf.cast(is_right, tf.float32))


@named_in_files("Adversaries")
class GAN(keras.Model):
    """A generator and a discriminator that learn from each other; called on images in [0, 255], it judges them.

    Args:
        generator: Noise (B, L) to images (B, H, W, C) in [-1, 1].
        discriminator: Such images to (B, 1) logits of being real.
        label_smoothing: The target of real images is 1 less this.
        seed: Of the noise.
    """

    def __init__(
        self, generator: keras.Model, discriminator: keras.Model, label_smoothing: float, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.label_smoothing, self.seed = label_smoothing, seed
        self.draws = keras.random.SeedGenerator(seed)
        names = "loss", "discriminator_loss", "told_apart", "diversity"
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        self.distance = KernelDistance()
        self.built = True  # both networks are

    def compile(self, optimizer: Any, discriminator_optimizer: Any, **kwargs: Any) -> None:
        """Takes the generator's optimizer and the discriminator's."""
        super().compile(optimizer=optimizer, **kwargs)
        self.discriminator_optimizer = discriminator_optimizer
        optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, image: Any, training: bool = False) -> Any:
        """Returns the discriminator's logits, (B, 1)."""
        return self.discriminator(to_unit_range(image), training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step of both networks, from the same real images, noise and weights; returns the means so far."""
        real, replicas = to_unit_range(data[0]), replicas_here()  # (B, H, W, C)
        whole_batch = (tf.shape(real)[0] * replicas, self.generator.input_shape[-1])
        noise = replica_rows(keras.random.uniform(whole_batch, -1, 1, seed=self.draws))  # (B, L)

        with tf.GradientTape(persistent=True) as tape:
            generated = self.generator(noise, training=True)  # (B, H, W, C)
            logits_real = self.discriminator(real, training=True)  # (B, 1)
            logits_generated = self.discriminator(generated, training=True)
            d_loss = discriminator_loss(logits_real, logits_generated, self.label_smoothing)
            g_loss = generator_loss(logits_generated)
            # Optimizers sum gradients over the replicas; the mean over the whole batch is asked for.
            d_share, g_share = d_loss / replicas, g_loss / replicas

        # Both losses depend on both networks. Each network's gradient is for its own weights alone: what makes the
        # discriminator wrong must move the generator only, or the discriminator would learn to be deceived.
        d_gradients = tape.gradient(d_share, self.discriminator.trainable_variables)
        g_gradients = tape.gradient(g_share, self.generator.trainable_variables)
        self.discriminator_optimizer.apply(d_gradients, self.discriminator.trainable_variables)
        self.optimizer.apply(g_gradients, self.generator.trainable_variables)

        accuracy = discriminator_accuracy(logits_real, logits_generated)
        return self.update_means({"loss": g_loss, "discriminator_loss": d_loss, "told_apart": accuracy})

    def test_step(self, data: Any) -> dict[str, Any]:
        """Returns the losses on images of a split, "diversity" and "distance"; the same noise in each evaluation.

        "told_apart" is the discriminator's accuracy; "diversity" how far two samples are apart; "distance" how far
        samples are from real images (`KernelDistance`). The discriminator's figures differ from those in training,
        where batch normalisation knows real images from generated ones by the batch they come in.
        """
        real = to_unit_range(data[0])
        shape = (2, tf.shape(real)[0] * replicas_here(), self.generator.input_shape[-1])
        seed = [self.seed, tf.cast(self.distance.steps.value, tf.int32)]  # counted from 0 in each evaluation
        noise, other_noise = map(replica_rows, tf.unstack(tf.random.stateless_uniform(shape, seed, -1, 1)))
        generated = self.generator(noise, training=False)
        logits_real = self.discriminator(real, training=False)
        logits_generated = self.discriminator(generated, training=False)
        difference = tf.square(generated - self.generator(other_noise, training=False))
        means = {
            "loss": generator_loss(logits_generated),
            "discriminator_loss": discriminator_loss(logits_real, logits_generated, self.label_smoothing),
            "told_apart": discriminator_accuracy(logits_real, logits_generated),
            "diversity": tf.reduce_mean(tf.sqrt(tf.reduce_mean(difference, axis=(1, 2, 3)))),
        }
        self.distance.update_state(real, generated)
        return {**self.update_means(means), "distance": self.distance.result()}

    def update_means(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Returns the means so far of what is logged in a step."""
        for name, value in logs.items():
            self.means[name].update_state(value)
        return {name: self.means[name].result() for name in logs}

    @property
    def input_shape(self) -> tuple:
        """(None, H, W, C)."""
        return self.discriminator.input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("generator", "discriminator")
        }
        return {"name": self.name, **networks, "label_smoothing": self.label_smoothing, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "GAN":
        """Returns the model that `get_config` described."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` takes."""
        names = "optimizer", "discriminator_optimizer"
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def to_unit_range(image: Any) -> Any:
    """Returns pixels in [0, 255] as float32 in [-1, 1]."""
    return tf.cast(image, tf.float32) / 127.5 - 1


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        learning_rate=hp.Float("learning_rate", 5e-5, 1e-3, sampling="log"),
        momentum=hp.Float("momentum", 0.0, 0.9, step=0.1),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- samples


def noise_of(seeds: Any, latent_dim: int) -> Any:
    """Returns the noise that each seed stands for: (B,) int64 to (B, L) in [-1, 1]."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform((latent_dim,), tf.stack([seed, 0]), -1, 1),
        tf.convert_to_tensor(seeds, tf.int64),
        fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32),
    )


def generate(generator: keras.Model, seeds: Any) -> Any:
    """Returns the image that each seed stands for, (B,) int64 to (B, H, W, C) float32 in [0, 255]."""
    return to_pixels(generator(noise_of(seeds, generator.input_shape[-1]), training=False))


def to_pixels(image: Any) -> Any:
    """Returns images in [-1, 1] as pixels in [0, 255]."""
    return 127.5 * (image + 1)


def draw_samples(model: keras.Model, count: int = 64, seed: int = 0) -> np.ndarray:
    """Returns generated images, (count, H, W, C) float32 in [0, 255]: those of the seeds seed, seed + 1, and so on."""
    seeds = np.arange(seed, seed + count)
    batches = np.split(seeds, range(256, count, 256))
    return np.concatenate([generate(model.generator, batch).numpy() for batch in batches])


class ImagesFromNoise:
    """The kind of a generator: `predict` takes seeds and answers with the "image" of each.

    The signatures of an export answer with `image_bytes` (B,) string, PNG files, and `image` (B, H, W, C) float32 in
    [0, 255]: `serving_default` takes `seed` (B,) int64, `noise` takes `noise` (B, L) float32 in [-1, 1].
    """

    name = "image_generation"

    def evaluate(
        self, model: keras.Model, splits: Splits, *, judge: keras.Model | str | Path | None = None
    ) -> dict[str, float]:
        """Returns both losses in nats, "told_apart" in [0, 1], "diversity" and "distance" on the test split.

        With a `judge`, a classifier of such images or its run's folder, also `classifier_metrics` of samples.
        """
        from recipes.kinds.image_quality import judge_samples
        from recipes.verbs.evaluate import compiled_metrics

        values = compiled_metrics(model, splits)
        return values if judge is None else values | judge_samples(draw_samples, model, splits, judge)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields samples, real images beside them, and whether the samples are alike."""
        from recipes.kinds.image_quality import mean_pairwise_distance
        from recipes.kinds.plots import draw_images

        samples = draw_samples(model, 64)
        seeds = [f"{first} to {first + 7}" for first in range(0, 64, 8)]
        title = "Samples, of the seeds 0 to 63; samples/ has those of each epoch"
        yield title, "samples.png", lambda: draw_images(samples, row_labels=seeds, row_title="seeds")
        if splits.test is None:
            return
        real = splits.examples(64)
        apart, real_apart = mean_pairwise_distance(samples), mean_pairwise_distance(real)
        guard = f"two real images are {real_apart:.2f} apart on average, two samples {apart:.2f}"
        if apart < 0.5 * real_apart:
            guard += ": COLLAPSED, the samples are alike"
            print(f"note: {guard}. Try another seed, more epochs or a lower learning_rate")
        yield f"Real images, to compare; {guard}", "real.png", lambda: draw_images(real)

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test split of a user's images, or all of them."""
        from recipes.data.images import evaluation_images

        return evaluation_images(data, model)

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (seed, {"image": (H, W, C) float32 in [0, 255]}) of seeds: whole numbers, or their digits as text."""
        from recipes.kinds.inputs import predict_each
        from recipes.verbs.export import in_float32

        generator = in_float32(model.generator)
        compiled = tf.function(lambda seeds: generate(generator, seeds), reduce_retracing=True)

        def predict(seeds: list[int]) -> list[dict[str, Any]]:
            return [{"image": image} for image in compiled(tf.constant(seeds, tf.int64)).numpy()]

        return predict_each(read_seeds(inputs), predict)

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the generator, and the signatures that the class docstring describes."""
        from recipes.data.batch_rows import graph_of, with_one_if_empty
        from recipes.kinds.image_classification import png_files
        from recipes.verbs.export import Signature, in_float32

        generator = in_float32(model.generator)
        latent_dim = generator.input_shape[-1]
        noise_spec = {"noise": tf.TensorSpec((None, latent_dim), tf.float32)}

        def with_files(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            image = to_pixels(generator(noise, training=False))
            return {"image_bytes": png_files(image), "image": image}

        of_any_noise = graph_of(lambda noise: with_one_if_empty(with_files, noise), *noise_spec.values())

        def of_noise(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            return of_any_noise(noise)

        def of_seeds(seed: tf.Tensor) -> dict[str, tf.Tensor]:
            return of_any_noise(noise_of(seed, latent_dim))

        seeds = np.arange(8)
        noise = noise_of(seeds, latent_dim).numpy()
        answer = {"image": generate(generator, seeds).numpy()}
        spec = {"seed": tf.TensorSpec((None,), tf.int64)}
        return [generator], {
            "serving_default": Signature(of_seeds, spec, {"seed": seeds}, answer, "The image that a seed stands for"),
            "noise": Signature(of_noise, noise_spec, {"noise": noise}, answer, "The image that is made of noise"),
        }

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `noise` (B, L) in [-1, 1] to `image` (B, H, W, C) in [0, 255]}."""
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        generator = in_float32(model.generator)
        latent_dim = generator.input_shape[-1]
        network = Network(
            lambda noise: {"image": 127.5 * (generator(noise, training=False) + 1)},
            {"noise": tf.TensorSpec((None, latent_dim), tf.float32)},
            {"noise": noise_of(np.arange(count), latent_dim).numpy()},
            models=[generator],
            outside="draw the noise evenly from [-1, 1], write the image file",
        )
        return {"model": network}


def read_seeds(inputs: Any) -> Iterator[tuple[str, int | DataError]]:
    """Yields (name, seed) of one seed or many, or why it is none."""
    if isinstance(inputs, (str, bytes)) or not hasattr(inputs, "__iter__") or getattr(inputs, "shape", None) == ():
        inputs = [inputs]
    for item in inputs:
        try:
            seed = int(item) if isinstance(item, str) else operator.index(item)  # text: of the command line
        except (TypeError, ValueError):
            seed = 2**63  # none
        if -(2**63) <= seed < 2**63:
            yield str(seed), seed
        else:
            yield str(item), DataError(f"{item!r} is no seed; expected a whole number of 64 bits, to make an image of")


def sample_grids(splits: Splits) -> list[keras.callbacks.Callback]:
    """Returns the callback that writes a grid of samples after each epoch."""
    from recipes.kinds.image_quality import SampleGrids

    return [SampleGrids(draw_samples)]


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config,
    load_data,
    build,
    search_space,
    kind=ImagesFromNoise(),
    objective=("val_distance", "min"),
    callbacks=sample_grids,
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
sample = recipe.verb(draw_samples)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
