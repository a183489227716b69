"""Deep convolutional generative adversarial network: images that nobody took, from noise.

Radford, Metz and Chintala (2016), https://arxiv.org/abs/1511.06434, whose rules (section 3) are kept: strides in place
of pooling, batch normalisation in both networks but not at the generator's output nor the discriminator's input, no
hidden dense layer, ReLU and a last tanh in the generator, LeakyReLU of 0.2 in the discriminator, weights from
N(0, 0.02), Adam with a momentum of 0.5. The losses are Goodfellow et al.'s (2014, section 3, the generator's not
saturating), https://arxiv.org/abs/1406.2661.

What differs: kernels of 4x4, a multiple of the stride, where 5x5 overlaps unevenly and draws checkerboards (Odena et
al. 2016, https://distill.pub/2016/deconv-checkerboard/); the discriminator is told 0.9 for real images (one-sided label
smoothing: Salimans et al. 2016, section 3.4, https://arxiv.org/abs/1606.03498); the rate falls to 0, for at a constant
one the two go round each other to the end, and begins at 4e-4 where the paper's, eight times as wide, had 2e-4.

The default makes handwritten digits of 28x28 pixels; `CIFAR` small colour photographs of 32x32.

Result: classifier score 8.4 (real images 9.7), Frechet distance 6.9 (1.5), all ten digits (1 seed, by mnist_dense).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Splits
from recipes.devices.strategies import training_scope
from recipes.errors import ConfigError
from recipes.kinds.autoencoding import apply
from recipes.kinds.image_quality import SampleGrids, judge_samples, spread
from recipes.kinds.plots import draw_images
from recipes.layers.batch_norm import BatchNormalization
from recipes.runs.atomic_files import save_picture
from recipes.runs.finish import evaluate_model
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.tasks.adversaries import Adversaries
from recipes.verbs.export import Signature, export_signatures, in_float32
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of dcgan. Change them by name: `fit(epochs=5)`, `recipes fit dcgan --epochs 5`."""

    # data
    dataset: str = "mnist"  # image-classification data set of tensorflow-datasets, or "digits", "shapes"
    offline: Literal["stand-in", "error"] = "stand-in"  # data cannot be had: train on "digits" ("shapes"), or stop
    validation_fraction: float = 0.1  # share of the training split held out for choosing, at most 0.9; 0: none
    max_examples: int | None = None  # most examples of each split to use; None: all
    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels; follows the data
    train_examples: int = 54_000  # follows the data; with batch_size and epochs the length of the schedule
    flip: bool = False  # mirror every other training image left to right
    # model
    filters: tuple[int, ...] = (32, 64, 128)  # of the discriminator's convolutions, each halves the image; and back
    latent_dim: int = 100  # numbers in the noise that an image is made from, uniform in [-1, 1]
    # training
    batch_size: int = 128  # examples per step, over all replicas
    epochs: int = 20  # passes over the training split, 1 or more
    learning_rate: float = 4e-4  # Adam's first, of both networks; falls to 0 as a cosine
    momentum: float = 0.5  # Adam's beta_1
    label_smoothing: float = 0.1  # real images are called real with a probability of 1 less this
    seed: int = 0  # decides on weights, order and noise, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


CIFAR = Config(
    dataset="cifar10", image_shape=(32, 32, 3), flip=True, filters=(64, 128, 256), epochs=30, learning_rate=2e-4
)
TINY = Config(
    dataset="digits", filters=(4, 8), latent_dim=4, epochs=1, batch_size=32, max_examples=256, precision="float32"
)

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, **changes: Any) -> Splits:
    """Returns the training, validation and test batches: (B, H, W, C) uint8 in [0, 255] and (B,) int32 labels.

    Labels are not used.

    Args:
        config: The settings.
        data: Your own instead: Splits, arrays `(images, labels)` or two or three such pairs (training, (validation,)
            test), or a folder with a sub-folder of images per class.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    config = change(config, **changes)
    standin = "digits" if config.image_shape[-1] == 1 else "shapes"
    return image_splits(config, data, standin=standin, augment=partial(crop_and_flip, padding=0, flip=config.flip))


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, 1) float32 logits of being real.

    Its `generator` makes images, its `discriminator` judges them, both in [-1, 1].

    Raises ConfigError if there are more filters than an image can be halved.
    """
    height, width, channels = config.image_shape
    count, most = len(config.filters), (min(height, width) - 1).bit_length()
    if count > most:
        raise ConfigError(f"{count} filters halve a {height}x{width} image to nothing; expected at most {most}")
    small = (-(-height // 2**count), -(-width // 2**count), config.filters[-1])  # rounded up; what is too much is cut
    noise = x = keras.Input((config.latent_dim,), name="noise")
    x = layers.Dense(int(np.prod(small)), use_bias=False, kernel_initializer=normal())(x)
    x = layers.Activation("relu")(BatchNormalization()(layers.Reshape(small)(x)))  # (B, 4, 4, 128)
    for filters in reversed(config.filters[:-1]):  # (B, 8, 8, 64), (B, 16, 16, 32)
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=normal())(x)
        x = layers.Activation("relu")(BatchNormalization()(x))
    x = layers.Conv2DTranspose(channels, 4, 2, "same", kernel_initializer=normal())(x)  # (B, 32, 32, 1)
    x = layers.CenterCrop(height, width)(x)  # (B, 28, 28, 1)
    generator = keras.Model(noise, layers.Activation("tanh", dtype="float32")(x), name="generator")

    image = x = keras.Input(config.image_shape, name="image")  # [-1, 1]
    for number, filters in enumerate(config.filters):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=not number, kernel_initializer=normal())(x)
        x = layers.LeakyReLU(0.2)(BatchNormalization()(x) if number else x)  # (B, 14, 14, 32) ... (B, 4, 4, 128)
    logit = layers.Dense(1, dtype="float32", kernel_initializer=normal(), name="logit")(layers.Flatten()(x))
    discriminator = keras.Model(image, logit, name="discriminator")

    model = Adversaries(generator, discriminator, config.label_smoothing, config.seed, name="dcgan")
    steps = config.epochs * (config.train_examples // config.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, max(1, steps))
    adam = partial(keras.optimizers.Adam, rate, beta_1=config.momentum)
    model.compile(optimizer=adam(), discriminator_optimizer=adam())
    return model


def normal() -> keras.initializers.Initializer:
    """Returns the weights that both networks begin with: normal with a standard deviation of 0.02."""
    return keras.initializers.RandomNormal(stddev=0.02)


def codes(seed: Any, latent_dim: int) -> Any:
    """Returns the noise that each seed stands for: (B,) int64 to (B, latent_dim) in [-1, 1]."""
    return tf.map_fn(
        lambda number: tf.random.stateless_uniform((latent_dim,), tf.stack([number, 0]), -1, 1),
        tf.convert_to_tensor(seed, tf.int64),
        fn_output_signature=tf.TensorSpec((latent_dim,), tf.float32),
    )


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: its noise and data, for one.
    """
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        learning_rate=hp.Float("learning_rate", 5e-5, 1e-3, sampling="log"),
        momentum=hp.Float("momentum", 0.0, 0.9, step=0.1),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- verbs


def fit(
    config: Config = Config(),
    data: Any = None,
    *,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    runs: str | Path = "runs",
    resume: bool = True,
    **changes: Any,
) -> keras.Model:
    """Returns the trained model; its run folder holds the weights, curves, metrics, a report and samples of each epoch.

    Args:
        config: The settings.
        data: Your own data; see `load_data`.
        callbacks: Your own Keras callbacks.
        runs: The run folder is `<runs>/dcgan/<id>`.
        resume: Whether to continue the unfinished run of the same settings and data, where there is one.
        **changes: Settings to change by name: `fit(epochs=5)`.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: See `load_data`.
        TrainingError: Out of memory, disk full, or a loss that is no number.
    """
    config = change(config, **changes)
    with training_scope(config):  # the strategy first: several machines must meet before TensorFlow does anything else
        splits = load_data(config, data)
        config = follow_data(config, splits)  # image_shape, train_examples
        run = open_run(config, splits, runs, resume)  # a new run, or an unfinished one; its precision
        keras.utils.set_random_seed(config.seed)
        model = build(config)
    return fit_model(model, splits, run, [*callbacks, SampleGrids(sample)], pictures)


def pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes the pictures of the report: samples, real images beside them, and whether the samples are alike."""
    made = sample(64, model=model)
    save_picture(draw_images(made), folder / "samples.png")
    shown = {"Samples, of the seeds 0 to 63; samples/ has those of each epoch": "samples.png"}
    if splits.test is None:
        return shown
    real = splits.examples(64)
    save_picture(draw_images(real), folder / "real.png")
    apart, real_apart = spread(made), spread(real)
    guard = f"two real images are {real_apart:.2f} apart on average, two samples {apart:.2f}"
    if apart < 0.5 * real_apart:
        guard += ": COLLAPSED, the samples are alike"
        print(f"note: {guard}. Try another seed, more epochs or a lower learning_rate")
    return shown | {f"Real images, to compare; {guard}": "real.png"}


def evaluate(
    model: keras.Model | str | Path | None = None,
    data: Any = None,
    *,
    judge: keras.Model | str | Path | None = None,
    runs: str | Path = "runs",
    **changes: Any,
) -> dict[str, float]:
    """Returns both losses in nats, "told_apart" in [0, 1], "diversity" and "distance" on the test split.

    "told_apart" is the share of images that the discriminator sorts rightly; "diversity" how far two samples are apart
    (`spread`); "distance" how far samples are from real images (`KernelDistance`). The discriminator's figures differ
    from those in training, where batch normalisation knows real images from made ones by the batch they come in.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        judge: A classifier of such images, or its run's folder: adds `recipes.kinds.image_quality.judged` of samples.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        ConfigError: If the judge is no classifier of such images.
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data)
    splits = load_data(config, data, **changes)
    return evaluate_model(model, splits) | (judge_samples(sample, model, splits, judge) if judge is not None else {})


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation distance) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/dcgan/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(
        build, search_space, load_data, config, data=data, trials=trials, objective="val_distance", runs=runs
    )


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/dcgan/<version>/`, a SavedModel of the generator; returns that folder.

    `serving_default` takes `seed` (B,) int64 and answers with `image_bytes` (B,) string, PNG files, and `image`
    (B, H, W, C) float32 in [0, 255]: what `sample(1, seed)` returns.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/dcgan`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    adversaries = trained(Config, model, runs)
    run = getattr(adversaries, "run", None)
    generator, info = in_float32(adversaries.generator), (run or load_data()).info

    def make(seed: tf.Tensor) -> dict[str, tf.Tensor]:
        image = 127.5 * (generator(codes(seed, generator.input_shape[-1]), training=False) + 1)
        pixels = tf.cast(tf.round(image), tf.uint8)
        png = tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.TensorSpec((), tf.string))
        return {"image_bytes": png, "image": image}

    seeds = np.arange(8)
    answer = {"image": make(tf.constant(seeds))["image"].numpy()}
    spec = {"seed": tf.TensorSpec((None,), tf.int64)}
    signatures = {"serving_default": Signature(make, spec, {"seed": seeds}, answer)}
    return export_signatures([generator], info, Path(path) / recipe_name(Config), signatures, run=run)


def sample(
    count: int = 64, seed: int = 0, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> np.ndarray:
    """Returns generated images, (count, H, W, C) float32 in [0, 255]: those of the seeds seed, seed + 1, and so on.

    Args:
        count: How many.
        seed: The first one's.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.
    """
    generator = trained(Config, model, runs).generator
    noise = codes(tf.range(seed, seed + count, dtype=tf.int64), generator.input_shape[-1])
    return 127.5 * (apply(generator, noise.numpy()) + 1)


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
