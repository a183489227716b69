"""Residual networks on CIFAR-10: 32x32 colour photographs, ten classes.

He et al., "Deep Residual Learning" (2015), https://arxiv.org/abs/1512.03385, section 4.2: a 3x3 convolution, three
stages of n residual blocks with 16, 32 and 64 filters on 32, 16 and 8 pixels, global average pooling; 6 n + 2 layers in
all, shortcuts without parameters. `version=2` is He et al., "Identity Mappings" (2016),
https://arxiv.org/abs/1603.05027, figure 4e: normalise and activate before each convolution, nothing after the sum.

`PAPER` is the first paper's training: 164 epochs, a rate of 0.1 divided by ten at half and three quarters, L2 decay of
1e-4 (here decoupled, and ten times that, which a momentum of 0.9 makes the same). What differs: crops are padded by
reflection, not by zeros; a tenth of the training images is held out, as in the paper.

The default is the same network of 20 layers on a short schedule: 72 epochs, one cycle of the rate, Nesterov
momentum. Published for 20 layers: 91.25 % (He et al. 2015, table 6).

Result: 91.86 % test accuracy (1 seed), 97.8 % of the training images, in 2 h 47 min with other work beside. Two cores
(about 200 GFLOP/s in float32). Command: `python benchmarks/accuracy.py cifar_resnet`.
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
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of cifar_resnet. Change them by name: `fit(epochs=5)`, `recipes fit cifar_resnet --epochs 5`."""

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
    num_layers: int = 20  # layers with weights, 6 n + 2: 20, 32, 44, 56, 110
    version: Literal[1, 2] = 1  # 1: activation after the sum (2015); 2: before each convolution (2016)
    filters: int = 16  # of the first stage; each of the three stages has twice those of the one before
    # training
    batch_size: int = 128  # examples per step, over all replicas
    epochs: int = 72  # passes over the training split, 1 or more
    learning_rate: float = 0.2  # the highest of the schedule
    schedule: Literal["cycle", "steps"] = "cycle"  # cycle: up and down as a cosine; steps: divided by 10 at 1/2 and 3/4
    warmup_fraction: float = 0.2  # cycle: share of all steps in which the rate climbs from 0 to its highest
    momentum: float = 0.9  # of SGD
    nesterov: bool = True  # whether the momentum looks ahead
    weight_decay: float = 5e-3  # share of each kernel taken off per step, times the learning rate
    label_smoothing: float = 0.0  # probability that the targets spread over all classes, at most 0.999; 0: none
    seed: int = 0  # decides on weights, order, augmentation and dropout, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)
        if (self.num_layers - 2) % 6:
            raise ConfigError(f"num_layers={self.num_layers} is not 6 n + 2; expected 8, 14, 20, 32, 44, 56, 110, ...")


PAPER = Config(
    epochs=164,
    learning_rate=0.1,
    schedule="steps",
    nesterov=False,
    weight_decay=1e-3,
)
TINY = Config(dataset="shapes", num_layers=8, filters=4, epochs=1, batch_size=32, max_examples=256, precision="float32")

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


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits."""
    image = keras.Input(config.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)  # [-1, 1]
    x = convolution(x, config.filters)
    if config.version == 1:
        x = normalised(x)
    for stage in range(3):  # (B, 32, 32, 16), (B, 16, 16, 32), (B, 8, 8, 64)
        for block in range((config.num_layers - 2) // 6):
            halve = stage > 0 and block == 0
            x = (block_v1 if config.version == 1 else block_v2)(x, config.filters * 2**stage, 2 if halve else 1)
    if config.version == 2:
        x = normalised(x)
    x = layers.GlobalAveragePooling2D()(x)  # (B, 64)
    logits = layers.Dense(config.num_classes, dtype="float32", name="logits")(x)  # (B, 10)
    model = keras.Model(image, logits, name="cifar_resnet")
    model.compile(
        decayed_sgd(rate(config), config, config.nesterov),
        loss=SmoothedCrossentropy(config.label_smoothing),  # nats
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def block_v1(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns relu(x + F(x)): (B, H, W, C) to (B, H / stride, W / stride, filters). He et al. (2015), equation 1."""
    y = normalised(convolution(x, filters, stride))
    y = normalised(convolution(y, filters), activation=False)
    return layers.Activation("relu")(layers.Add()([shortcut(x, filters, stride), y]))


def block_v2(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns x + F(x) with normalisation and activation first. He et al. (2016), figure 4e."""
    y = convolution(normalised(x), filters, stride)
    y = convolution(normalised(y), filters)
    return layers.Add()([shortcut(x, filters, stride), y])


def shortcut(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns x, where the block halves it every other pixel and zeros for the new filters: option A, no parameters."""
    if stride > 1:
        x = layers.MaxPooling2D(1, strides=stride)(x)  # a pool of one pixel: every other one
    missing = filters - x.shape[-1]
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]]) if missing else x


def convolution(x: keras.KerasTensor, filters: int, stride: int = 1) -> keras.KerasTensor:
    """Returns a 3x3 convolution without bias, of He et al.'s own initialisation (https://arxiv.org/abs/1502.01852)."""
    return layers.Conv2D(filters, 3, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)


def normalised(x: keras.KerasTensor, activation: bool = True) -> keras.KerasTensor:
    """Returns x batch-normalised, and rectified if asked for."""
    x = BatchNormalization()(x)
    return layers.Activation("relu")(x) if activation else x


def rate(config: Config) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate over the steps."""
    if config.schedule == "steps":
        steps, highest = config.epochs * (config.train_examples // config.batch_size), config.learning_rate
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [steps // 2, steps * 3 // 4], [highest, highest / 10, highest / 100]
        )
    return one_cycle(config)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: its depth and schedule, for one.
    """
    return replace(
        config,
        version=hp.Choice("version", [1, 2]),
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
        runs: The run folder is `<runs>/cifar_resnet/<id>`.
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
        runs: The search is kept in `<runs>/cifar_resnet/tune-<id>`, with the best config in best.json.
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
    """Writes `<path>/cifar_resnet/<version>/`, a SavedModel: encoded images in, labels out; returns that folder.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/cifar_resnet`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    # The names of the labels, and images to check the answers with: of the run that a model of fit carries, else of the
    # default data.
    source = getattr(model, "run", None) or load_data()
    return export_classifier(model, source, Path(path) / recipe_name(Config))


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
