"""GoogLeNet on CIFAR-10: 32x32 colour photographs, ten classes, seen at several scales at once.

Szegedy et al., "Going Deeper with Convolutions" (2014), https://arxiv.org/abs/1409.4842. An Inception module (figure
2b) concatenates four branches of the same image, so that the next layer chooses its scale itself:

    y = [conv_1(x), conv_3(conv_1(x)), conv_5(conv_1(x)), conv_1(maxpool(x))],  conv_k(x) = relu(BN(W_k * x))
    loss = -sum_k q(k) log p(k) with smoothed targets q; with auxiliary heads + 0.3 (loss_1 + loss_2) while it trains

The default is small, for 32x32 images and two cores. `PAPER` has the paper's table 1: 224x224 images, nine modules,
7,005,832 trained parameters, dropout of 0.4, and, with `auxiliary=True`, the two classifiers of section 5; it is not
measured. What differs: every convolution is batch-normalised, as in the authors' next paper
(https://arxiv.org/abs/1502.03167), and has no bias; no local response normalisation; label smoothing, which is in
`evaluate`'s loss too; Nesterov SGD with decoupled decay and a rate that climbs and falls as a cosine, not steps of 4 %
every 8 epochs; no averaging of weights (Polyak's); images shifted and mirrored, not crops of 8 to 100 % of the area
with other colours; a tenth of the training images held out; one network and view of an image, not 7 networks and 144.

Published on CIFAR-10: 93.64 % by table 1's widths on 32x32 (https://github.com/conan7882/GoogLeNet-Inception), with
Adam, more than 50 epochs, and strides that were chosen by the test images.

Result: 90.17 % test accuracy (1 seed) after 15 epochs with 286,074 parameters, in 46 min, other work beside. Two cores
(about 220 GFLOP/s in float32). Command: `python benchmarks/accuracy.py cifar_googlenet`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import keras
from keras import layers
from pydantic import Field

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.devices.keras_fixes import named_in_files
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.convolution import Conv2D
from recipes.optimization.losses import answers, objective
from recipes.optimization.optimizers import sgd, warmup_cosine
from recipes.settings import Count, ImageShape, LabelledImages, Natural, NotNegative, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(LabelledImages):
    """Settings of cifar_googlenet. Change them by name: `fit(epochs=5)`, `recipes fit cifar_googlenet --epochs 5`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = True  # mirror every other training image left to right; False for digits and other signs
    crop_padding: Natural = 4  # training images are shifted by up to so many pixels; 0: not at all
    # model
    network: Literal["small", "paper"] = "small"  # small: for 32x32 images; paper: table 1, for 224x224 and up from 64
    modules: Annotated[int, Field(ge=1, le=5)] = 5  # small: how many of its five modules, from the input on
    width: Annotated[float, Field(ge=0.01)] = 1.0  # times the filters of every branch
    dropout: Share = 0.0  # before the output layer
    auxiliary: bool = False  # paper: two more classifiers half way, with 0.3 of their losses, while it trains
    # training
    epochs: Count = 15
    learning_rate: Positive = 0.2  # the highest of the schedule, which climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.2  # share of all steps in which the rate climbs
    momentum: Share = 0.9  # of Nesterov's SGD
    weight_decay: NotNegative = 5e-3  # share of each kernel taken off per step, times the learning rate
    label_smoothing: Share = 0.1  # probability that the targets spread over all classes; 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network == "paper":
            self.refuse_without_effect("modules", "network='paper' has the nine modules of table 1")
        else:
            self.refuse_without_effect("auxiliary", "only network='paper' has auxiliary classifiers")


PAPER = Config(network="paper", dropout=0.4, epochs=60, batch_size=256)
TINY = Config(dataset="shapes", modules=2, width=0.125, epochs=1, batch_size=32, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data

CIFAR10 = Sizes(train_examples=45_000, image_shape=(32, 32, 3), num_classes=10)
IMAGENET = Sizes(train_examples=1_281_167, image_shape=(224, 224, 3), num_classes=1000)  # what PAPER is made for


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, 32, 32, 3) uint8 in [0, 255] and (B,) int32 labels.

    Training images are shifted and mirrored at random, drawn from (seed, step). `data` may be your own: arrays
    `(images, labels)`, two or three such pairs (training, (validation,) test), a folder with a sub-folder of images
    per class, a table, or Splits.
    """
    augment = partial(crop_and_flip, padding=config.crop_padding, flip=config.flip)
    return image_splits(config, data, standin="shapes", image_shape=CIFAR10.image_shape, augment=augment)


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


def build(config: Config = Config(), sizes: Sizes = CIFAR10) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits."""
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)  # [-1, 1]
    convolution = partial(normalized_convolution, width=config.width)
    half_way: list[keras.KerasTensor] = []  # where the auxiliary classifiers look: after 4a and 4d
    if config.network == "small":
        x = convolution(x, 64, 3)  # (B, 32, 32, 64)
        x = pool(x)
        modules = SMALL[: config.modules + (config.modules > 3)]  # the pool before the fourth does not count
    else:
        x = convolution(x, 64, 7, stride=2)  # (B, 112, 112, 64)
        x = convolution(pool(x), 64, 1)
        x = pool(convolution(x, 192, 3))  # (B, 28, 28, 192)
        modules = TABLE_1
    for i, filters in enumerate(modules):
        x = pool(x) if filters is None else inception(x, filters, config.width)
        if modules is TABLE_1 and i in (3, 6):
            half_way.append(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(sizes.num_outputs, dtype="float32", name="logits")(x)
    if config.auxiliary:
        heads = [answers(auxiliary_head(x, sizes.num_outputs, config.width), sizes) for x in half_way]
        model = AuxiliaryHeads(keras.Model(image, [answers(logits, sizes), *heads]), weight=0.3, name="cifar_googlenet")
    else:
        model = keras.Model(image, answers(logits, sizes), name="cifar_googlenet")

    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=sgd(rate, config.momentum, config.weight_decay),
        **objective(sizes, config.label_smoothing),  # of classes: the cross-entropy, in nats
    )
    return model


def inception(x: keras.KerasTensor, filters: Sequence[int], width: float) -> keras.KerasTensor:
    """Returns the four branches of figure 2b, concatenated: (B, H, W, C) to (B, H, W, sum of the branches').

    1x1 convolutions before the larger ones keep them cheap: they see `three_reduce` and `five_reduce` channels, not C.
    """
    one, three_reduce, three, five_reduce, five, pooled = filters
    convolution = partial(normalized_convolution, width=width)
    return layers.Concatenate()(
        [
            convolution(x, one, 1),
            convolution(convolution(x, three_reduce, 1), three, 3),
            convolution(convolution(x, five_reduce, 1), five, 5),
            convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pooled, 1),
        ]
    )


def normalized_convolution(
    x: keras.KerasTensor, filters: int, size: int, width: float, stride: int = 1
) -> keras.KerasTensor:
    """Returns a convolution of `width` times the filters, batch-normalised and rectified."""
    filters = max(1, round(width * filters))
    x = Conv2D(filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = BatchNormalization()(x)
    return layers.Activation("relu")(x)


def pool(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns 3x3 max pooling, which halves height and width."""
    return layers.MaxPooling2D(3, 2, padding="same")(x)


def auxiliary_head(x: keras.KerasTensor, num_outputs: int, width: float) -> keras.KerasTensor:
    """Returns the logits of an auxiliary classifier: average pooling, 1x1 convolution, dense, dropout (section 5)."""
    x = layers.AveragePooling2D(min(5, x.shape[1]), 3)(x)  # (B, 4, 4, 512) of 224x224 images
    x = layers.Flatten()(normalized_convolution(x, 128, 1, width))
    x = layers.Dropout(0.7)(layers.Dense(1024, activation="relu")(x))
    return layers.Dense(num_outputs, dtype="float32")(x)


@named_in_files("WithAuxiliary")
class AuxiliaryHeads(keras.Model):
    """A network whose further outputs are classifiers that count only while it trains.

        loss = L(logits) + weight * (L(logits of head 1) + L(logits of head 2))

    Args:
        network: Image to [logits, logits of a head, ...].
        weight: Of each head's loss.

    Szegedy et al. (2014), section 5; https://arxiv.org/abs/1409.4842.
    """

    def __init__(self, network: keras.Model, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network, self.weight = network, weight
        self.main = keras.Model(network.inputs, network.outputs[0])  # what is exported
        self.built = True

    input_shape = property(lambda self: self.main.input_shape)
    output_shape = property(lambda self: self.main.output_shape)

    def call(self, image: Any, training: bool = False) -> Any:
        """Returns the logits, (B, V); while training, a list of those of all classifiers."""
        return self.network(image, training=True) if training else self.main(image, training=False)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the loss of the logits plus, while training, the weighted ones of the heads."""
        logits, *heads = y_pred if isinstance(y_pred, (list, tuple)) else [y_pred]
        losses = [super(AuxiliaryHeads, self).compute_loss(x, y, each, sample_weight) for each in (logits, *heads)]
        return losses[0] + self.weight * sum(losses[1:])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Returns the metrics of the logits."""
        return super().compute_metrics(x, y, y_pred[0] if isinstance(y_pred, (list, tuple)) else y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AuxiliaryHeads":
        """Returns the model that get_config described."""
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        width=hp.Float("width", 0.5, 1.5, step=0.25),
        learning_rate=hp.Float("learning_rate", 0.02, 1.0, sampling="log"),
        weight_decay=hp.Float("weight_decay", 5e-4, 5e-2, sampling="log"),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=ImageClassification(), objective=("val_accuracy", "max"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
