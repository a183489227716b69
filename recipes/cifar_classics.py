"""Three convolutional networks of the years from 2012 to 2015, on CIFAR-10: 32x32 colour photographs, ten classes.

AlexNet, Krizhevsky et al. (2012), https://doi.org/10.1145/3065386: five convolutions of kernels that grow smaller, and
three dense layers; relu(x) = max(0, x), whose gradient does not vanish where x is large, as that of tanh does; pools
that overlap; dropout in the dense layers.

VGG, Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556: kernels of 3x3 alone, and more of them. Two in a
row see 5x5 pixels, with 18 C^2 weights where one kernel would take 25 C^2, and a relu in between.

All-CNN, Springenberg et al. (2015), https://arxiv.org/abs/1412.6806: a pool is a convolution with strides, and dense
layers are 1x1 convolutions, each class's map averaged over all places. Convolutions and relus are all that is left:

    x <- relu(W * x);   logit_k = mean over places of (w_k * x);   loss = -log p(label)

With so few parts, what a network looks at can be asked by *guided backpropagation* (their section 3.4): the gradient of
a logit with respect to the pixels, in which a relu also stops what is negative of the gradient itself. `explain` does.

    forward  y = max(0, x);   backward  dx = dy [x > 0];   guided  dx = dy [x > 0] [dy > 0]

The default is a small VGG; `ALEXNET` and `ALL_CNN` are as small. `PAPER` is All-CNN-C, to the weight (1,369,738),
`VGG_PAPER` VGG-16 with one dense layer of 512 units, `ALEXNET_PAPER` AlexNet's widths for small images. What differs:
batch normalisation before each relu (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167) but in `PAPER`, where
AlexNet normalises neighbouring channels, and the others nothing; one group of channels, not two, in AlexNet, and a
first kernel of 5x5 without strides; no relu after All-CNN's last layer; weight decay apart from the gradient; a rate
that climbs and falls once, where theirs is divided by ten at set epochs, or when the validation error stands; and in
the small ones a tenth of each target spread over all classes (label smoothing).

Result: 90.12 % test accuracy by the default (1 seed, bfloat16), in 21 min on two cores beside other work. With a tenth
of the training images held out, no smoothing, and 20 epochs it had 89.49 %, and `filters=(32, 64, 128, 256),
depths=(1, 2, 2, 2)` then 89.32 %. The others are not measured.
Command: `python benchmarks/accuracy.py cifar_classics --seeds 0`.
"""

from collections.abc import Iterator
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
from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.convolution import Conv2D
from recipes.optimization.losses import answers, objective
from recipes.optimization.optimizers import sgd, warmup_cosine
from recipes.runs.exhibits import Exhibit
from recipes.settings import (
    Count,
    Counts,
    ImageShape,
    LabelledImages,
    Natural,
    NotNegative,
    Positive,
    Share,
    ValidationShare,
)
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(LabelledImages):
    """Settings of cifar_classics. Change them by name: `fit(epochs=5)`, `recipes fit cifar_classics --epochs 5`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    validation_fraction: ValidationShare = 0.02  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = True  # mirror every other training image left to right; False for digits and other signs
    crop_padding: Natural = 4  # training images are shifted by up to so many pixels; 0: not at all
    # model
    network: Literal["alexnet", "vgg", "all_cnn"] = "vgg"  # whose idea the layers are, see the top of the page
    filters: Counts = (32, 64, 128)  # of each block, which halves the image; alexnet: of five convolutions
    depths: Counts = (2, 2, 2)  # vgg: convolutions in each block
    units: Counts = (256,)  # alexnet, vgg: width of each dense layer
    dropout: Share = 0.2  # before each dense layer; all_cnn: after each block, and less of the image itself
    batch_norm: bool = True  # normalise before each relu
    # training
    epochs: Count = 18
    label_smoothing: Share = 0.1  # probability that the targets spread over all classes; 0: none
    learning_rate: Positive = 0.1  # SGD's highest; climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.2  # share of all steps in which the rate climbs
    momentum: Share = 0.9  # Nesterov's
    weight_decay: NotNegative = 5e-3  # share of each kernel taken off per step, times the learning rate

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network == "vgg" and len(self.depths) != len(self.filters):
            raise ConfigError(f"filters={self.filters} and depths={self.depths}; expected one of each for each block")
        if self.network == "alexnet" and len(self.filters) != 5:
            raise ConfigError(f"filters={self.filters}; expected those of AlexNet's five convolutions")
        if self.network == "all_cnn":
            self.refuse_without_effect("units", "network='all_cnn' has no dense layers")
        if self.network != "vgg":
            self.refuse_without_effect("depths", f"network={self.network!r} has a depth of its own")


ALEXNET = Config(network="alexnet", filters=(32, 96, 128, 128, 96), units=(256, 256))
ALL_CNN = Config(network="all_cnn", filters=(40, 80), epochs=16)
PAPER = Config(
    network="all_cnn",
    filters=(96, 192),
    dropout=0.5,
    batch_norm=False,
    label_smoothing=0.0,
    epochs=350,
    learning_rate=0.05,
    weight_decay=1e-3,
)
VGG_PAPER = Config(
    filters=(64, 128, 256, 512, 512),
    depths=(2, 2, 3, 3, 3),
    units=(512,),
    dropout=0.5,
    label_smoothing=0.0,
    epochs=250,
)
ALEXNET_PAPER = Config(
    network="alexnet",
    filters=(96, 256, 384, 384, 256),
    units=(4096, 4096),
    dropout=0.5,
    label_smoothing=0.0,
    epochs=90,
)
TINY = Config(
    dataset="shapes",
    filters=(4, 8),
    depths=(1, 2),
    units=(8,),
    epochs=1,
    batch_size=32,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data

CIFAR10 = Sizes(train_examples=49_000, image_shape=(32, 32, 3), num_classes=10)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, 32, 32, 3) uint8 in [0, 255] and (B,) int32 labels.

    Training images are shifted and mirrored at random, drawn from (seed, step). `data` may be your own: arrays
    `(images, labels)`, two or three such pairs (training, (validation,) test), a folder with a sub-folder of images
    per class, a table, or Splits.
    """
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=config.flip)
    return image_splits(config, data, standin="shapes", image_shape=CIFAR10.image_shape, augment=augment)


# ---------------------------------------------------------------- models


def build(config: Config = Config(), sizes: Sizes = CIFAR10) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits.

    Raises:
        ConfigError: If the network halves the image to nothing.
    """
    blocks = 2 ** len(config.filters)  # by which they divide the image's sides
    least = {"alexnet": 8, "vgg": blocks, "all_cnn": 2 * blocks + 1}[config.network]  # the last kernel takes 3x3 places
    height, width, _ = sizes.image_shape
    if min(height, width) < least:
        raise ConfigError(
            f"network={config.network!r} halves a {height}x{width} image to nothing; expected fewer filters, or images "
            f"of at least {least}x{least}"
        )
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 64, offset=-2)(image)  # about mean 0 and variance 1
    network = {"alexnet": alexnet, "vgg": vgg, "all_cnn": all_cnn}[config.network]
    model = keras.Model(image, answers(network(x, config, sizes.num_outputs), sizes), name="cifar_classics")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=sgd(rate, config.momentum, config.weight_decay),
        **objective(sizes, config.label_smoothing),  # of classes: the cross-entropy, in nats
    )
    return model


def alexnet(x: keras.KerasTensor, config: Config, outputs: int) -> keras.KerasTensor:
    """Returns the logits, (B, outputs). Krizhevsky et al. (2012), section 3."""
    kernels = (5, 5, 3, 3, 3)
    for place, (filters, kernel) in enumerate(zip(config.filters, kernels, strict=True)):
        x = convolution(x, filters, config, kernel)
        if place in (0, 1, 4):  # (B, 16, 16, 32), (B, 8, 8, 96), (B, 4, 4, 96)
            x = layers.MaxPooling2D(3, 2, padding="same")(x)  # 3x3, every other place: they overlap
    return dense_layers(x, config, outputs)


def vgg(x: keras.KerasTensor, config: Config, outputs: int) -> keras.KerasTensor:
    """Returns the logits, (B, outputs). Simonyan and Zisserman (2015), section 2."""
    for filters, depth in zip(config.filters, config.depths, strict=True):
        for _ in range(depth):
            x = convolution(x, filters, config)
        x = layers.MaxPooling2D()(x)  # (B, 16, 16, 32), (B, 8, 8, 64), (B, 4, 4, 128)
    return dense_layers(x, config, outputs)


def all_cnn(x: keras.KerasTensor, config: Config, outputs: int) -> keras.KerasTensor:
    """Returns the logits, (B, outputs). Springenberg et al. (2015), table 1, model C, with strides: "All-CNN-C"."""
    x = layers.Dropout(0.4 * config.dropout)(x) if config.dropout else x  # of the image: 20 % where others are 50 %
    for filters in config.filters:
        x = convolution(x, filters, config)
        x = convolution(x, filters, config)
        x = convolution(x, filters, config, strides=2)  # (B, 16, 16, 40), (B, 8, 8, 80)
        x = layers.Dropout(config.dropout)(x) if config.dropout else x
    x = convolution(x, filters, config, padding="valid")  # (B, 6, 6, 80)
    x = convolution(x, filters, config, kernel=1)
    x = layers.Conv2D(outputs, 1, dtype="float32", name="class_maps")(x)  # (B, 6, 6, 10)
    return layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)


def dense_layers(x: keras.KerasTensor, config: Config, outputs: int) -> keras.KerasTensor:
    """Returns the logits that dense layers make of maps, (B, h, w, C) to (B, outputs)."""
    x = layers.Flatten()(x)
    for units in config.units:
        x = layers.Dropout(config.dropout)(x) if config.dropout else x
        x = layers.Dense(units, use_bias=not config.batch_norm, kernel_initializer="he_normal")(x)
        x = rectified(x, config)
    x = layers.Dropout(config.dropout)(x) if config.dropout else x
    return layers.Dense(outputs, dtype="float32", name="logits")(x)


def convolution(
    x: keras.KerasTensor, filters: int, config: Config, kernel: int = 3, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """Returns relu(W * x), with batch normalisation before the relu where the config has it."""
    bias = not config.batch_norm  # which it would take out again
    x = Conv2D(filters, kernel, strides, padding=padding, use_bias=bias, kernel_initializer="he_normal")(x)
    return rectified(x, config)


def rectified(x: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    """Returns relu(x), of x that was normalised where the config says so."""
    return layers.Activation("relu")(BatchNormalization()(x) if config.batch_norm else x)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        dropout=hp.Float("dropout", 0.0, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 0.02, 0.5, sampling="log"),
        weight_decay=hp.Float("weight_decay", 5e-4, 2e-2, sampling="log"),
    )


# ---------------------------------------------------------------- where a network looks


@tf.custom_gradient
def guided_relu(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Returns relu(x), whose gradient lets through what is positive, where x was. Springenberg et al., section 3.4."""
    y = tf.nn.relu(x)
    return y, lambda upstream: tf.where((y > 0) & (upstream > 0), upstream, 0.0)


def guided(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, of the same weights, each relu of which is a `guided_relu`."""

    def copied(layer: layers.Layer) -> layers.Layer:
        is_relu = isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu
        return GuidedRelu(name=layer.name) if is_relu else layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=copied, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


class GuidedRelu(layers.Layer):
    """A layer of `guided_relu`."""

    def call(self, x: Any) -> Any:
        """Returns relu(x)."""
        return guided_relu(x)


def explain_images(model: keras.Model, images: Any, picture: str | Path | None = None) -> list[dict[str, Any]]:
    """Returns of each image what it is taken for, and which of its pixels speak for that: guided backpropagation.

    "label" and "probability" are as of `predict`; "saliency" (H, W, C) float32 is the guided gradient of the predicted
    class's logit with respect to the pixels, and "image" (H, W, C) what the network saw.

    Args:
        model: A trained model.
        images: As `predict` takes them.
        picture: A PNG file to write, of the images and what speaks for their classes.

    Raises:
        ConfigError: If the labels are no classes, or the picture cannot be written.
        DataError: If some cannot be read.
    """
    from recipes.kinds.classes import names_of, refuse_other_than_classes
    from recipes.kinds.contact_sheet import write_picture
    from recipes.kinds.inputs import image_batches
    from recipes.verbs.export import in_float32
    from recipes.verbs.load import run_of

    info = run_of(model).info
    refuse_other_than_classes(info, "explain")
    names = names_of(info, model.output_shape[-1])
    network = guided(in_float32(model))
    explained = []
    for _, some in image_batches(images, tuple(model.input_shape[1:])):
        pixels = tf.constant(some, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            logits = network(pixels, training=False)
            of_class = tf.reduce_sum(tf.reduce_max(logits, -1))
        saliency = tape.gradient(of_class, pixels).numpy()
        probabilities = tf.nn.softmax(logits).numpy()
        for image, row, gradient in zip(some, probabilities, saliency, strict=True):
            label = names[row.argmax()]
            explained.append({"label": label, "probability": float(row.max()), "saliency": gradient, "image": image})
    if picture is not None:
        write_picture(draw_explanations(explained), picture)
    return explained


def draw_explanations(explained: list[dict[str, Any]], columns: int = 8) -> Any:
    """Draws images, and below each what speaks for its class: grey is nothing, colours are those of pixels."""
    from recipes.kinds.plots import draw_images

    images, titles, width = [], [], min(columns, len(explained))
    for start in range(0, len(explained), width):
        row = explained[start : start + width]
        blank = [np.full_like(row[0]["image"], 255)] * (width - len(row))
        saliencies = [one["saliency"] / (3 * one["saliency"].std() + 1e-12) for one in row]
        images += [one["image"] for one in row] + blank
        images += [np.clip(127.5 * (1 + saliency), 0, 255) for saliency in saliencies] + blank
        titles += [f"{one['label']} ({one['probability']:.0%})" for one in row] + [""] * (2 * width - len(row))
    return draw_images(np.stack(images), titles, columns=width)


def report(model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
    """Yields what speaks for the classes of the first test images: explanations.png."""
    if splits.test is None or splits.info.task != "classification":
        return
    explained = explain_images(model, splits.examples(8))
    title = "The first test images, what they are taken for, and which pixels speak for that, by guided backpropagation"
    yield title, "explanations.png", lambda: draw_explanations(explained)


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config,
    load_data,
    build,
    search_space,
    kind=ImageClassification(),
    objective=("val_accuracy", "max"),
    report=report,
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)
explain = recipe.verb(explain_images)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
