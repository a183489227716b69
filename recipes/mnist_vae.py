"""Variational autoencoder on MNIST: a code that can be drawn from, and so digits that nobody wrote.

Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), https://arxiv.org/abs/1312.6114. The encoder tells a
normal distribution of codes for an image, the decoder a coin for each pixel of a code, and both are trained to make

    -ELBO = E_q(z|x) [-log p(x|z)] + beta KL(q(z|x) || N(0, 1))

small, in nats per image, with one code drawn per image (section 2.3, equation 7 and appendix B). What differs: both are
convolutional where theirs are dense, and pixels are drawn as 0 or 1 with their brightness as probability, anew in each
step; test images once.

`evaluate(samples=k)` adds Burda et al.'s tighter bound (2016, equation 8), https://arxiv.org/abs/1509.00519: 86.76 nats
for a plain VAE of 50 latent numbers and k = 1 in its training, its table 1.

Result: -ELBO of 90.2 nats per test image after 15 epochs, 86.3 by the bound with 64 codes (1 seed).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from recipes.data.augment import binary_pairs, crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Splits
from recipes.devices.replicas import replica_rows, replicas_here
from recipes.devices.strategies import training_scope
from recipes.errors import ConfigError
from recipes.kinds.autoencoding import apply, draw_reconstructions, draw_walks, export_halves, pixels
from recipes.kinds.image_quality import judge_samples
from recipes.kinds.plots import draw_images
from recipes.optimization.losses import PixelNats, Reconstruction, importance_weighted_bound
from recipes.optimization.optimizers import one_cycle
from recipes.runs.atomic_files import save_picture
from recipes.runs.finish import evaluate_model
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of mnist_vae. Change them by name: `fit(beta=4.0)`."""

    # data
    dataset: str = "mnist"  # image-classification data set of tensorflow-datasets, or "digits", "shapes"
    offline: Literal["stand-in", "error"] = "stand-in"  # when the data set cannot be had: train on "digits", or stop
    validation_fraction: float = 0.1  # share of the training split held out for choosing, at most 0.9; 0: none
    max_examples: int | None = None  # most examples of each split to use; None: all
    image_shape: tuple[int, int, int] = (28, 28, 1)  # height, width, channels; follows the data
    train_examples: int = 54_000  # follows the data; with batch_size and epochs the length of the schedule
    crop_padding: int = 0  # training images are shifted by up to so many pixels; 0: not at all
    # model
    filters: tuple[int, ...] = (32, 64)  # of the encoder's convolutions, each of which halves the image
    units: int = 256  # width of the dense layer on both sides of the code
    latent_dim: int = 32  # numbers in the code
    beta: float = 1.0  # weight of the KL term; 1: the paper's ELBO, 0: an autoencoder
    # training
    batch_size: int = 128  # examples per step, over all replicas
    epochs: int = 15  # passes over the training split, 1 or more
    learning_rate: float = 2e-3  # Adam's highest; climbs from 0 and falls as a cosine
    warmup_fraction: float = 0.1  # share of all steps in which the rate climbs
    seed: int = 0  # decides on weights, order and every draw, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


TINY = Config(dataset="digits", filters=(4, 8), units=8, epochs=1, batch_size=32, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, **changes: Any) -> Splits:
    """Returns the training, validation and test batches: (input, target) of (B, H, W, C) float32 each.

    The target is the image in [0, 1], the input 255 times that. Pixels of training images are drawn anew in each epoch,
    from (seed, step); those of the others once.

    Args:
        config: The settings.
        data: Your own instead: Splits, arrays `(images, labels)` or two or three such pairs (training, (validation,)
            test), or a folder with a sub-folder of images per class. Labels are not used.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    config = change(config, **changes)
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=False)  # a mirrored digit is another sign
    return image_splits(config, data, standin="digits", augment=augment, pairing=binary_pairs)


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to logits of each pixel, (B, H, W, C) float32."""
    factor = 2 ** len(config.filters)
    height, width, channels = config.image_shape
    if height % factor or width % factor:
        raise ConfigError(
            f"{len(config.filters)} filters halve a {height}x{width} image as often; expected sides that are multiples "
            f"of {factor}, or fewer filters"
        )
    image = keras.Input(config.image_shape, name="image")
    x = layers.Rescaling(1 / 255)(image)  # [0, 1]
    for filters in config.filters:
        x = layers.Conv2D(filters, 3, 2, padding="same", activation="gelu")(x)  # (B, 14, 14, 32), (B, 7, 7, 64)
    small = x.shape[1:]
    x = layers.Dense(config.units, activation="gelu")(layers.Flatten()(x))
    z_mean = layers.Dense(config.latent_dim, dtype="float32", name="z_mean")(x)  # (B, L)
    z_log_var = layers.Dense(config.latent_dim, dtype="float32", name="z_log_var")(x)  # (B, L)
    encoder = keras.Model(image, [z_mean, z_log_var], name="encoder")

    z = keras.Input((config.latent_dim,), name="z")
    x = layers.Dense(config.units, activation="gelu")(z)
    x = layers.Reshape(small)(layers.Dense(int(np.prod(small)), activation="gelu")(x))
    for filters in reversed(config.filters):
        x = layers.Conv2DTranspose(filters, 4, 2, padding="same", activation="gelu")(x)  # 4 = 2 * stride: even
    logits = layers.Conv2D(channels, 3, padding="same", dtype="float32", name="logits")(x)  # (B, 28, 28, 1)
    decoder = keras.Model(z, logits, name="decoder")

    drawn = Draw(config.beta, config.seed, dtype="float32", name="draw")(encoder(image))
    model = keras.Model(image, decoder(drawn), name="mnist_vae")
    model.compile(keras.optimizers.Adam(one_cycle(config)), loss=PixelNats(), metrics=[Reconstruction()])
    return model


@keras.saving.register_keras_serializable("recipes")
class Draw(layers.Layer):
    """Draws a code from each image's distribution; adds beta times the KL term to the model's loss (section 2.4)."""

    def __init__(self, beta: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta, self.seed = beta, seed
        self.draws = keras.random.SeedGenerator(seed)
        self.kl = keras.metrics.Mean(name="kl")  # one of the model's metrics, nats per image

    def call(self, distribution: list, training: bool = False) -> Any:
        """Returns [z_mean, z_log_var], (B, L) each, to z (B, L); outside of training the draw is always the same."""
        z_mean, z_log_var = distribution
        kl = kl_divergence(z_mean, z_log_var)
        self.add_loss(self.beta * keras.ops.mean(kl))
        self.kl.update_state(kl)
        whole = (keras.ops.shape(z_mean)[0] * replicas_here(), z_mean.shape[1])
        noise = replica_rows(keras.random.normal(whole, seed=self.draws if training else self.seed))
        return z_mean + keras.ops.exp(0.5 * z_log_var) * noise

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}


def kl_divergence(z_mean: Any, z_log_var: Any) -> Any:
    """Returns KL(N(z_mean, exp(z_log_var)) || N(0, 1)) in nats, (B, L) twice to (B,). Appendix B."""
    return 0.5 * keras.ops.sum(keras.ops.exp(z_log_var) + keras.ops.square(z_mean) - 1 - z_log_var, axis=-1)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: its code, beta and data, or the figures could not be compared.
    """
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        units=max(1, round(width * config.units)),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
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
    """Returns the trained model; its run folder holds the weights, curves, metrics and a report.

    Args:
        config: The settings.
        data: Your own data; see `load_data`.
        callbacks: Your own Keras callbacks.
        runs: The run folder is `<runs>/mnist_vae/<id>`.
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
    return fit_model(model, splits, run, callbacks, pictures)


def pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes the pictures of the report: reconstructions, samples, and walks along the code of a test image."""
    shown = draw_reconstructions(lambda images: decode(encode(images, model), model), splits, folder)
    save_picture(draw_images(sample(64, model=model)), folder / "samples.png")
    shown["Digits that nobody wrote: decoded draws from N(0, 1)"] = "samples.png"
    return shown | draw_walks(partial(decode, model=model), encode(splits.examples(1000), model), folder)


def evaluate(
    model: keras.Model | str | Path | None = None,
    data: Any = None,
    *,
    samples: int = 0,
    judge: keras.Model | str | Path | None = None,
    runs: str | Path = "runs",
    **changes: Any,
) -> dict[str, float]:
    """Returns {"loss": -ELBO, "reconstruction", "kl"} on the test split, nats per image.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        samples: With so many codes drawn per image, "bound" is the importance-weighted one; 0: leave it out.
        judge: A classifier of such images, or its run's folder: adds `recipes.kinds.image_quality.judged` of samples.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data)
    splits = load_data(config, data, **changes)
    figures = evaluate_model(model, splits)  # refuses Splits without a test split
    if samples:
        figures["bound"] = importance_weighted_bound(*halves(model), splits.test, samples)
    return figures | (judge_samples(sample, model, splits, judge) if judge is not None else {})


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation loss) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/mnist_vae/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(build, search_space, load_data, config, data=data, trials=trials, objective="val_loss", runs=runs)


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/mnist_vae/<version>/`, a SavedModel of both halves; returns that folder.

    `serving_default` (encoded images), `image` and `image_uint8` answer with `code` and the reconstructed `image`
    (B, H, W, C) float32 in [0, 255]; `decode` takes a `code` and answers with `image`.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/mnist_vae`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    run = getattr(model, "run", None)
    return export_halves(*halves(model), run or load_data(), Path(path) / recipe_name(Config), run)


def halves(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the encoder, images to [z_mean, z_log_var], and the decoder, a code to logits."""
    return model.get_layer("encoder"), model.get_layer("decoder")


def encode(images: Any, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs") -> np.ndarray:
    """Returns the middle of each image's distribution of codes, (B, H, W, C) in [0, 255] to (B, L) float32.

    Args:
        images: As the model was trained on: of 0 and 255 alone by default.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.
    """
    return apply(halves(trained(Config, model, runs))[0], images)


def decode(codes: Any, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs") -> np.ndarray:
    """Returns the images that codes stand for, (B, H, W, C) float32 in [0, 255]; `model`, `runs` as for `encode`."""
    return pixels(apply(halves(trained(Config, model, runs))[1], codes))


def sample(
    count: int = 64, seed: int = 0, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> np.ndarray:
    """Returns decoded draws from N(0, 1), (count, H, W, C) float32 in [0, 255]; the same seed gives the same."""
    model = trained(Config, model, runs)
    return decode(np.random.default_rng(seed).normal(size=(count, halves(model)[1].input_shape[-1])), model)


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
