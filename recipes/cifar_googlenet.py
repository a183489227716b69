"""GoogLeNet on CIFAR-10: 32x32 colour photographs, ten classes, seen at several scales at once.

Szegedy et al., "Going Deeper with Convolutions" (2014), https://arxiv.org/abs/1409.4842. An Inception module (figure
2b) concatenates four branches: 1x1, 1x1 then 3x3, 1x1 then 5x5, and 3x3 max pooling then 1x1. What differs: every
convolution is batch-normalised, as in the authors' next paper (https://arxiv.org/abs/1502.03167), and has no bias.

The default is small, for 32x32 images and two cores. `PAPER` has the paper's table 1: 224x224 images, nine modules,
6.8 M parameters, dropout of 0.4, and, with `auxiliary=True`, the two classifiers of section 5 whose losses are added
with a weight of 0.3 while it trains.

Result: 90.17 % test accuracy (1 seed) after 15 epochs with 286,074 parameters, in 46 min, other work beside. Two cores
(about 220 GFLOP/s in float32). Command: `python benchmarks/accuracy.py cifar_googlenet`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
from keras import layers

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Splits
from recipes.devices.strategies import training_scope
from recipes.errors import ConfigError
from recipes.kinds.image_classification import export_classifier
from recipes.kinds.plots import classifier_pictures
from recipes.layers.batch_norm import BatchNormalization
from recipes.optimization.losses import SmoothedCrossentropy
from recipes.optimization.optimizers import decayed_sgd, one_cycle
from recipes.runs.finish import evaluate_model
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.tasks.auxiliary import WithAuxiliary
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of cifar_googlenet. Change them by name: `fit(epochs=5)`, `recipes fit cifar_googlenet --epochs 5`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    offline: Literal["stand-in", "error"] = "stand-in"  # when the data set cannot be had: train on "shapes", or stop
    validation_fraction: float = 0.1  # share of the training split held out for choosing, at most 0.9; 0: none
    max_examples: int | None = None  # most examples of each split to use; None: all
    image_shape: tuple[int, int, int] = (32, 32, 3)  # height, width, channels; follows the data
    num_classes: int = 10  # follows the data
    train_examples: int = 45_000  # follows the data; with batch_size and epochs the length of the schedule
    flip: bool = True  # mirror every other training image left to right; False for digits and other signs
    crop_padding: int = 4  # training images are shifted by up to so many pixels; 0: not at all
    # model
    network: Literal["small", "paper"] = "small"  # small: for 32x32 images; paper: table 1, for 224x224 and up from 64
    modules: int = 5  # small: how many of its five modules, from the input on
    width: float = 1.0  # times the filters of every branch
    dropout: float = 0.0  # before the last layer
    auxiliary: bool = False  # paper: two more classifiers half way, with 0.3 of their losses, while it trains
    # training
    batch_size: int = 128  # examples per step, over all replicas
    epochs: int = 15  # passes over the training split, 1 or more
    learning_rate: float = 0.2  # the highest of the schedule, which climbs from 0 and falls as a cosine
    warmup_fraction: float = 0.2  # share of all steps in which the rate climbs
    momentum: float = 0.9  # of Nesterov's SGD
    weight_decay: float = 5e-3  # share of each kernel taken off per step, times the learning rate
    label_smoothing: float = 0.1  # probability that the targets spread over all classes, at most 0.999; 0: none
    seed: int = 0  # decides on weights, order, augmentation and dropout, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)
        if self.auxiliary and self.network != "paper":
            raise ConfigError("auxiliary=True needs network='paper'; the small network has no auxiliary classifiers")


PAPER = Config(network="paper", image_shape=(224, 224, 3), num_classes=1000, dropout=0.4, epochs=60, batch_size=256)
TINY = Config(dataset="shapes", modules=2, width=0.125, epochs=1, batch_size=32, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, **changes: Any) -> Splits:
    """Returns the training, validation and test batches: (B, 32, 32, 3) uint8 in [0, 255] and (B,) int32 labels.

    Training images are shifted and mirrored at random, drawn from (seed, step).

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
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=config.flip)
    return image_splits(config, data, standin="shapes", augment=augment)


# ---------------------------------------------------------------- model


# (1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool's 1x1) filters of each module; None: max pooling, which halves the image
Modules = tuple[tuple[int, int, int, int, int, int] | None, ...]
SMALL: Modules = (
    (32, 32, 48, 8, 16, 16),  # (B, 16, 16, 112)
    (32, 32, 64, 8, 16, 16),  # (B, 16, 16, 128)
    (48, 48, 80, 12, 24, 24),  # (B, 16, 16, 176)
    None,
    (64, 48, 96, 12, 32, 32),  # (B, 8, 8, 224)
    (64, 48, 96, 12, 32, 32),  # (B, 8, 8, 224)
)
TABLE_1: Modules = (
    (64, 96, 128, 16, 32, 32),  # 3a
    (128, 128, 192, 32, 96, 64),  # 3b
    None,
    (192, 96, 208, 16, 48, 64),  # 4a
    (160, 112, 224, 24, 64, 64),  # 4b
    (128, 128, 256, 24, 64, 64),  # 4c
    (112, 144, 288, 32, 64, 64),  # 4d
    (256, 160, 320, 32, 128, 128),  # 4e
    None,
    (256, 160, 320, 32, 128, 128),  # 5a
    (384, 192, 384, 48, 128, 128),  # 5b
)


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits."""
    image = keras.Input(config.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)  # [-1, 1]
    half_way: list[keras.KerasTensor] = []  # where the auxiliary classifiers look: after 4a and 4d
    if config.network == "small":
        x = convolution(x, 64, 3, config)  # (B, 32, 32, 64)
        x = pool(x)
        modules = SMALL[: config.modules + (config.modules > 3)]  # the pool before the fourth does not count
    else:
        x = convolution(x, 64, 7, config, stride=2)  # (B, 112, 112, 64)
        x = convolution(pool(x), 64, 1, config)
        x = pool(convolution(x, 192, 3, config))  # (B, 28, 28, 192)
        modules = TABLE_1
    for number, filters in enumerate(modules):
        x = pool(x) if filters is None else inception(x, filters, config)
        if modules is TABLE_1 and number in (3, 6):
            half_way.append(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="logits")(x)
    if config.auxiliary:
        network = keras.Model(image, [logits, *(classifier(x, config) for x in half_way)])
        model = WithAuxiliary(network, 0.3, name="cifar_googlenet")
    else:
        model = keras.Model(image, logits, name="cifar_googlenet")
    model.compile(
        decayed_sgd(one_cycle(config), config),
        loss=SmoothedCrossentropy(config.label_smoothing),  # nats
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def inception(x: keras.KerasTensor, filters: tuple[int, ...], config: Config) -> keras.KerasTensor:
    """Returns the four branches of figure 2b, concatenated: (B, H, W, C) to (B, H, W, sum of the branches')."""
    one, three_reduce, three, five_reduce, five, pooled = filters
    return layers.Concatenate()(
        [
            convolution(x, one, 1, config),
            convolution(convolution(x, three_reduce, 1, config), three, 3, config),
            convolution(convolution(x, five_reduce, 1, config), five, 5, config),
            convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pooled, 1, config),
        ]
    )


def convolution(x: keras.KerasTensor, filters: int, size: int, config: Config, stride: int = 1) -> keras.KerasTensor:
    """Returns a convolution, batch-normalised and rectified."""
    filters = max(1, round(config.width * filters))
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = BatchNormalization()(x)
    return layers.Activation("relu")(x)


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns 3x3 max pooling, which halves height and width."""
    return layers.MaxPooling2D(3, 2, padding="same")(x)


def classifier(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Returns the logits of an auxiliary classifier: average pooling, 1x1 convolution, dense, dropout (section 5)."""
    x = layers.AveragePooling2D(min(5, x.shape[1]), 3)(x)  # (B, 4, 4, 512) of 224x224 images
    x = layers.Flatten()(convolution(x, 128, 1, config))
    x = layers.Dropout(0.7)(layers.Dense(1024, activation="relu")(x))
    return layers.Dense(config.num_classes, dtype="float32")(x)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: its network and schedule, for one.
    """
    return replace(
        config,
        width=hp.Float("width", 0.5, 1.5, step=0.25),
        learning_rate=hp.Float("learning_rate", 0.02, 1.0, sampling="log"),
        weight_decay=hp.Float("weight_decay", 5e-4, 5e-2, sampling="log"),
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
    """Returns the trained model; its run folder holds the weights, curves, metrics and a report.

    Args:
        config: The settings.
        data: Your own data; see `load_data`.
        callbacks: Your own Keras callbacks.
        runs: The run folder is `<runs>/cifar_googlenet/<id>`.
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
        config = follow_data(config, splits)  # image_shape, num_classes, train_examples
        run = open_run(config, splits, runs, resume)  # a new run, or an unfinished one; its precision
        keras.utils.set_random_seed(config.seed)
        model = build(config)
    return fit_model(model, splits, run, callbacks, classifier_pictures)


def evaluate(
    model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs", **changes: Any
) -> dict[str, float]:
    """Returns {"loss": nats, "accuracy": in [0, 1]} on the test split.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data)
    return evaluate_model(model, load_data(config, data, **changes))


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation accuracy) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/cifar_googlenet/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(build, search_space, load_data, config, data=data, trials=trials, runs=runs)


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/cifar_googlenet/<version>/`, a SavedModel: encoded images in, labels out; returns that folder.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/cifar_googlenet`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    # The names of the labels, and images to check the answers with: of the run that a model of fit carries, else of the
    # default data.
    source = getattr(model, "run", None) or load_data()
    return export_classifier(getattr(model, "main", model), source, Path(path) / recipe_name(Config))


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
