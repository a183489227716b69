"""Residual networks on CIFAR-10: 32x32 colour photographs, ten classes.

A block does not learn an image's next representation but what to add to the one that it has, so that a deep network
can do no worse than a shallow one, and gradients reach the first layer along the sums:

    y = relu(x + F(x)),   F(x) = BN(W_2 * relu(BN(W_1 * x)));   loss = -log p(label)

He et al., "Deep Residual Learning" (2015), https://arxiv.org/abs/1512.03385, section 4.2: a 3x3 convolution, three
stages of n residual blocks with 16, 32 and 64 filters on 32, 16 and 8 pixels, global average pooling; 6 n + 2 layers in
all, shortcuts without parameters. `version=2` is He et al., "Identity Mappings" (2016),
https://arxiv.org/abs/1603.05027, figure 4e: normalise and activate before each convolution, nothing after the sum.

The default trains the 20 layers by Muon (https://kellerjordan.github.io/posts/muon; the formula is in `cifar_convnet`),
whose steps of a kernel are nearly orthogonal matrices; its rate falls straight to 0, and an image that was mirrored in
one epoch is not in the next. 32 epochs are 3,040 steps of 512 images; a fiftieth of the training images is held out.

`PAPER` is the first paper's training: 63,882 steps (182 epochs of 45,000 images; 64,000 in the paper), SGD at a rate of
0.1 divided by ten at 31,941 and 47,911 (32,000, 48,000), L2 decay of 1e-4 (here decoupled, and ten times that, which a
momentum of 0.9 makes the same). What differs: kernels alone decay, not biases and batch norm; crops are padded by
reflection, not by zeros; pixels are scaled to [-1, 1], not less the mean image; images are mirrored in turns, not by
chance; a tenth of the training images is held out, as the paper does to settle the schedule; 110 layers begin at the
full rate, not at 0.01. It is not measured.

Result: 91.72 ± 0.17 % test accuracy (5 seeds, bfloat16), 92.68 ± 0.11 % of six views (`evaluate(model, views=True)`),
and an `ensemble` of the five 93.59 %; published for 20 layers: 91.25 % (He et al. 2015, table 6). 28 min 54 s on two
cores, up to 85 min beside other work. By SGD, once up to a rate of 0.2 and down, 36 epochs gave 90.80 %, 72 (25,272
steps of 128) 91.86 % (1 seed each). Command: `python benchmarks/accuracy.py cifar_resnet --seeds 0 1 2 3 4 --views`.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.layers.batch_norm import BatchNormalization
from recipes.optimization.losses import answers, objective
from recipes.optimization.muon import muon
from recipes.optimization.optimizers import sgd
from recipes.settings import Count, ImageShape, LabelledImages, Natural, NotNegative, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(LabelledImages):
    """Settings of cifar_resnet. Change them by name: `fit(epochs=5)`, `recipes fit cifar_resnet --epochs 5`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    validation_fraction: ValidationShare = 0.02  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = True  # mirror each training image in every other epoch; False for digits and other signs
    crop_padding: Natural = 4  # training images are shifted by up to so many pixels; 0: not at all
    # model
    num_layers: Count = 20  # layers with weights, 6 n + 2: 20, 32, 44, 56, 110
    version: Literal[1, 2] = 1  # 1: activation after the sum (2015); 2: before each convolution (2016)
    filters: Count = 16  # of the first stage; each of the three stages has twice those of the one before
    # training
    batch_size: Count = 512
    epochs: Count = 32
    optimizer: Literal["muon", "sgd"] = "muon"  # muon: the rate falls straight to 0; sgd: divided by 10 at 1/2 and 3/4
    learning_rate: Positive = 0.06  # the highest; Muon's of the convolutions, a share of each kernel's norm
    bias_rate: Positive = 4.0  # muon: SGD's for biases, batch norm and the last layer, times the learning rate
    momentum: Share = 0.9  # of both
    nesterov: bool = True  # sgd: whether the momentum looks ahead, as Muon's does
    weight_decay: NotNegative = 5e-3  # share taken off per step, times the learning rate; sgd: of kernels alone

    # of runs from before Muon, whose rate went once up and down
    former = {"schedule": None, "warmup_fraction": None}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.num_layers - 2) % 6 or self.num_layers < 8:
            raise ConfigError(f"num_layers={self.num_layers} is not 6 n + 2; expected 8, 14, 20, 32, 44, 56, 110, ...")
        if self.optimizer == "muon":
            self.refuse_without_effect("nesterov", "Muon's momentum looks ahead always")
        else:
            self.refuse_without_effect("bias_rate", "SGD has one rate for all")


PAPER = Config(
    validation_fraction=0.1,
    batch_size=128,
    epochs=182,
    optimizer="sgd",
    learning_rate=0.1,
    nesterov=False,
    weight_decay=1e-3,
)
TINY = Config(dataset="shapes", num_layers=8, filters=4, epochs=1, batch_size=32, max_examples=256, precision="float32")

# ---------------------------------------------------------------- data

CIFAR10 = Sizes(train_examples=49_000, image_shape=(32, 32, 3), num_classes=10)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, 32, 32, 3) uint8 in [0, 255] and (B,) int32 labels.

    Training images are mirrored in turns, and shifted, drawn from (seed, step). `data` may be your own: arrays
    `(images, labels)`, two or three such pairs (training, (validation,) test), a folder with a sub-folder of images
    per class, a table, or Splits.
    """
    return image_splits(
        config,
        data,
        standin="shapes",
        image_shape=CIFAR10.image_shape,
        augment=partial(crop_and_flip, padding=config.crop_padding, flip=False),
        in_turns=config.flip,
    )


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = CIFAR10) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits."""
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)  # [-1, 1]
    x = convolution(x, config.filters)
    if config.version == 1:
        x = normalized_relu(x)
    for stage in range(3):  # (B, 32, 32, 16), (B, 16, 16, 32), (B, 8, 8, 64)
        for block in range((config.num_layers - 2) // 6):
            stride = 2 if stage > 0 and block == 0 else 1
            residual_block = block_v1 if config.version == 1 else block_v2
            x = residual_block(x, config.filters * 2**stage, stride)
    if config.version == 2:
        x = normalized_relu(x)
    x = layers.GlobalAveragePooling2D()(x)  # (B, 64)
    logits = layers.Dense(sizes.num_outputs, dtype="float32", name="logits")(x)  # (B, 10)

    model = keras.Model(image, answers(logits, sizes), name="cifar_resnet")
    model.compile(
        optimizer=optimizer(config, sizes),
        **objective(sizes, config.label_smoothing),  # of classes: the cross-entropy, in nats
    )
    return model


def block_v1(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns relu(x + F(x)): (B, H, W, C) to (B, H / stride, W / stride, filters). He et al. (2015), equation 1."""
    y = normalized_relu(convolution(x, filters, stride))
    y = BatchNormalization()(convolution(y, filters))
    return layers.Activation("relu")(layers.Add()([shortcut(x, filters, stride), y]))


def block_v2(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns x + F(x) with normalisation and activation first. He et al. (2016), figure 4e."""
    y = convolution(normalized_relu(x), filters, stride)
    y = convolution(normalized_relu(y), filters)
    return layers.Add()([shortcut(x, filters, stride), y])


def shortcut(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Returns x; of a block that halves it, every other pixel, and zeros for the new filters: option A."""
    if stride > 1:
        x = layers.MaxPooling2D(1, strides=stride)(x)  # a pool of one pixel: every other one
    missing = filters - x.shape[-1]
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]]) if missing else x


def convolution(x: keras.KerasTensor, filters: int, stride: int = 1) -> keras.KerasTensor:
    """Returns a 3x3 convolution without bias, of He et al.'s own initialisation (https://arxiv.org/abs/1502.01852)."""
    return layers.Conv2D(filters, 3, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)


def normalized_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns x batch-normalised and rectified."""
    return layers.Activation("relu")(BatchNormalization()(x))


def optimizer(config: Config, sizes: Sizes) -> keras.optimizers.Optimizer:
    """Returns Muon, or the papers' SGD, with the learning rate over the steps."""
    steps, peak = sizes.steps(config.epochs, config.batch_size), config.learning_rate
    if config.optimizer == "muon":
        rate = keras.optimizers.schedules.PolynomialDecay(peak, max(1, steps), 0.0)  # straight down
        return muon(rate, config.momentum, config.bias_rate, config.weight_decay)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [peak, peak / 10, peak / 100]
    )
    return sgd(rate, config.momentum, config.weight_decay, config.nesterov)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        version=hp.Choice("version", [1, 2]),
        learning_rate=hp.Float("learning_rate", 0.01, 0.5, sampling="log"),
        weight_decay=hp.Float("weight_decay", 5e-4, 5e-2, sampling="log"),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=ImageClassification(), objective=("val_accuracy", "max"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
