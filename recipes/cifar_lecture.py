"""The convolutional network of a first lecture, on CIFAR-10: 32x32 colour photographs, ten classes.

Two blocks of two 3x3 convolutions, each followed by max pooling and dropout, then a dense layer:

    conv 32, conv 32, pool | conv 64, conv 64, pool | dense 512 | logits 10;  loss = -log p(label)

It is the network of Keras 2.3.1's `cifar10_cnn.py` (1,250,858 parameters, RMSprop at a rate of 1e-4 that falls as
1 / (1 + 1e-6 t), batches of 32): 75 % after 25 epochs and 79 % after 50, as its docstring says
(https://github.com/keras-team/keras/blob/2.3.1/examples/cifar10_cnn.py). What differs: images are shifted by whole
pixels, up to 3, with reflection at the border, where there it is by any part of one, up to 3.2, and the nearest pixel;
a tenth of the training images is held out, so that an epoch has 1,406 steps for 1,563. `cifar_convnet` is what has come
of it since.

Result: 75.68 % test accuracy (one seed) after 25 epochs, in 23 min on two cores (AVX-512, about 300 GFLOP/s in
float32), other work beside. Command: `python benchmarks/accuracy.py cifar_lecture`.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import keras
from keras import layers
from pydantic import Field

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.optimization.losses import answers, objective
from recipes.settings import Count, Counts, ImageShape, LabelledImages, Natural, Positive, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(LabelledImages):
    """Settings of cifar_lecture. Change them by name: `fit(epochs=50)`, `recipes fit cifar_lecture --epochs 50`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = True  # mirror every other training image left to right; False for digits and other signs
    crop_padding: Natural = 3  # training images are shifted by up to so many pixels; 0: not at all
    # model
    filters: Counts = (32, 64)  # of both convolutions of each block, which halves the image
    units: Count = 512  # width of the dense layer
    dropout: Annotated[float, Field(ge=0, lt=0.5)] = 0.25  # after each pooling, and twice that after the dense layer
    # training
    batch_size: Count = 32
    epochs: Count = 25
    learning_rate: Positive = 1e-4  # RMSprop's

    # of runs from before, when this was cifar_convnet's CLASSIC
    former = {
        "network": "classic",
        **dict.fromkeys(("warmup_fraction", "momentum", "weight_decay")),
    }


TINY = Config(dataset="shapes", filters=(4, 4), units=8, epochs=1, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data

CIFAR10 = Sizes(train_examples=45_000, image_shape=(32, 32, 3), num_classes=10)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, 32, 32, 3) uint8 in [0, 255] and (B,) int32 labels.

    Training images are shifted and mirrored at random, drawn from (seed, step). `data` may be your own: arrays
    `(images, labels)`, two or three such pairs (training, (validation,) test), a folder with a sub-folder of images
    per class, a table, or Splits.
    """
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=config.flip)
    return image_splits(config, data, standin="shapes", image_shape=CIFAR10.image_shape, augment=augment)


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = CIFAR10) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits.

    Raises:
        ConfigError: If the blocks halve the image to nothing.
    """
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 255)(image)  # [0, 1]
    for filters in config.filters:
        if min(x.shape[1:3]) < 4:  # a convolution takes off two pixels, the pool halves what is left
            raise ConfigError(
                f"{len(config.filters)} blocks halve a {image.shape[1]}x{image.shape[2]} image to nothing; expected "
                "fewer filters, or larger images"
            )
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.Conv2D(filters, 3, activation="relu")(x)  # (B, 30, 30, 32), (B, 13, 13, 64)
        x = layers.MaxPooling2D()(x)  # (B, 15, 15, 32), (B, 6, 6, 64)
        x = layers.Dropout(config.dropout)(x)
    x = layers.Flatten()(x)  # (B, 2304)
    x = layers.Dense(config.units, activation="relu")(x)
    x = layers.Dropout(2 * config.dropout)(x)
    logits = layers.Dense(sizes.num_outputs, dtype="float32", name="logits")(x)  # (B, 10)

    model = keras.Model(image, answers(logits, sizes), name="cifar_lecture")
    rate = keras.optimizers.schedules.InverseTimeDecay(config.learning_rate, decay_steps=1, decay_rate=1e-6)
    model.compile(
        optimizer=keras.optimizers.RMSprop(rate),
        **objective(sizes, config.label_smoothing),  # of classes: the cross-entropy, in nats
    )
    return model


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        units=hp.Choice("units", [128, 256, 512]),
        dropout=hp.Float("dropout", 0.0, 0.4, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-5, 3e-3, sampling="log"),
    )


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=ImageClassification(), objective=("val_accuracy", "max"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
