"""Blood cells found and counted: boxes around what is in a photograph, from one pass of a network.

Liu et al., "SSD: Single Shot MultiBox Detector" (2016), https://arxiv.org/abs/1512.02325: maps of features of three
sizes, and at each of their places a few default boxes d of several sizes and shapes. Of each the network says which
class is in it, p = s(logits), and how to move and stretch it to fit, t (equation 2):

    t = ((y - y_d) / h_d, (x - x_d) / w_d, log(h / h_d), log(w / w_d)) / (0.1, 0.1, 0.2, 0.2)

A default box belongs to the object that it overlaps by half and more, and the one that overlaps an object the most to
that. All others, thousands for a dozen, show nothing; so that these do not drown the rest, the loss of what is easy is
turned down by the focal loss of Lin et al., "Focal Loss for Dense Object Detection" (2017),
https://arxiv.org/abs/1708.02002, equation 5:

    loss = 1/N (sum_d sum_c -a (1 - q)^2 log q + sum_{d of an object} huber(t - t_true))

where q is p for a class that is there, with a = 1/4, else 1 - p, with a = 3/4, and N counts a photograph's default
boxes that have an object. What differs: a residual network of a few convolutions that has learned nothing before, whose
larger maps get what the smaller ones know (Lin et al., "Feature Pyramid Networks", 2017,
https://arxiv.org/abs/1612.03144); sigmoids for each class in place of a softmax with one more for nothing; AdamW.

The default data is BCCD, 364 photographs of stained blood with boxes around red cells, white cells and platelets
(https://github.com/Shenggan/BCCD_Dataset). Yours: `fit(data=...)`, with COCO JSON, Pascal VOC XML, YOLO text files or a
table, see docs/data.md.

Result: mean average precision of 0.901 ± 0.007 (3 seeds, bfloat16) of boxes that overlap by half and more, on the 72
test photographs; red cells 0.831, white cells 0.980, platelets 0.892; over overlaps of 0.5 to 0.95, COCO's, 0.582 ±
0.003. A photograph's count is wrong by 3.3 of 11.2 red cells, not all of which its authors drew, 0.06 of 1.0 white
cells and 0.3 of 1.0 platelets, on average. 12 to 24 min on two cores beside other work. For comparison, of other splits
and 640x640 pixels: YOLOv8n 0.893, YOLOv5s 0.902. Command: `python benchmarks/accuracy.py cells_detector --seeds 0 1 2`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError
from recipes.kinds.detection import LIKELY, Detection, area, draw_answers, overlap
from recipes.layers.batch_norm import BatchNormalization
from recipes.optimization.optimizers import AdamW, warmup_cosine
from recipes.settings import Count, Counts, ImageShape, NotNegative, Positive, Settings, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of cells_detector. Change them by name: `fit(data="annotations.json", epochs=200)`."""

    # data
    dataset: str = "bccd"  # blood cells; or a set of tensorflow-datasets whose objects have a bbox, or "groups"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out where there is no validation
    image_shape: ImageShape = (256, 320, 3)  # height, width (multiples of 32), channels that photographs are resized to
    flip: Literal["none", "horizontal", "both"] = "both"  # mirror training photographs: cells have no up and down
    zoom: Share = 0.4  # training photographs are enlarged to show this much less of each side, or shrunk by half of it
    # model
    filters: Counts = (32, 64, 128, 128, 128)  # of the maps that have 1/2, 1/4, 1/8, 1/16 and 1/32 of a side
    box_scale: Positive = 2.5  # side of the smaller default boxes, in pixels from place to place of their map
    # training
    batch_size: Count = 8
    epochs: Count = 60
    learning_rate: Positive = 2e-3  # AdamW's highest
    weight_decay: NotNegative = 1e-2  # share of each kernel taken off per step, times the learning rate
    warmup_fraction: Share = 0.1  # share of the steps in which the rate climbs

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.filters) < 3:
            raise ConfigError(f"filters={self.filters}; expected three or more: the last three maps have default boxes")


TINY = Config(
    dataset="groups",
    image_shape=(96, 96, 3),
    filters=(4, 8, 8, 8, 8),
    epochs=1,
    learning_rate=5e-4,
    max_examples=64,
    precision="float32",
)

# ---------------------------------------------------------------- data

BCCD = Sizes(train_examples=205, image_shape=(256, 320, 3), num_classes=3)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns batches of (photographs (B, H, W, C) uint8, what each default box is to answer (B, A, 5)).

    Training photographs are mirrored, zoomed and lit otherwise, and their boxes with them, drawn from (seed, step).
    `data` may be your own: a folder or a file, COCO's .json, Pascal VOC's XML files, YOLO's text files or a table with
    a line for each box; `(images, boxes, labels)`, of each image boxes (x_min, y_min, x_max, y_max) in its pixels; two
    or three of these (training, (validation,) test), or Splits.
    """
    from recipes.data.boxes import box_splits

    def encoder(image_shape: tuple[int, ...]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        return partial(encode, default_boxes=default_boxes(image_shape, len(config.filters), config.box_scale))

    augment = partial(changed, flip=config.flip, zoom=config.zoom)
    return box_splits(config, data, augment=augment, encoder=encoder)


def changed(
    batch: tuple[tf.Tensor, ...], seed: tf.Tensor, worker: int, workers: int, *, flip: str, zoom: float
) -> tuple[tf.Tensor, ...]:
    """Returns (images (B, H, W, C), boxes (B, M, 4), labels (B, M)) mirrored and zoomed, each as drawn for it.

    A box of which less than a third is still seen is no box any more: its label is -1.
    """
    from recipes.data.augment import jitter_light

    images, boxes, labels = batch
    count = tf.shape(images)[0]
    draws = tf.random.stateless_uniform((5, workers * count), seed)[:, worker * count : (worker + 1) * count]
    side = 1 - zoom + 1.5 * zoom * draws[0]  # of what is seen, from 1 - zoom to 1 + zoom / 2
    top, left = draws[1] * (1 - side), draws[2] * (1 - side)  # below 0 where it is shrunk: black is seen around it
    view = tf.stack([top, left, top + side, left + side], 1)  # (B, 4)
    size = tf.stack([side, side, side, side], 1)[:, tf.newaxis]
    moved = (boxes - tf.gather(view, [0, 1, 0, 1], axis=1)[:, tf.newaxis]) / size
    seen = tf.clip_by_value(moved, 0, 1)
    labels = tf.where((area(seen) >= area(moved) / 3) & (area(seen) > 0), labels, -1)
    may_be = [flip == "both", flip != "none"]  # top to bottom, left to right
    is_mirrored = (tf.transpose(draws[3:5]) < 0.5) & may_be  # (B, 2)
    seen = mirrored(seen, is_mirrored[:, tf.newaxis])
    first, last = view[:, :2], view[:, 2:]
    view = tf.concat([tf.where(is_mirrored, last, first), tf.where(is_mirrored, first, last)], 1)
    images = tf.image.crop_and_resize(images, view, tf.range(count), images.shape[1:3])
    images = jitter_light(images, seed, worker, workers, brightness=20, contrast=0.2)
    return tf.cast(tf.round(images), tf.uint8), seen, labels


def mirrored(boxes: tf.Tensor, is_mirrored: tf.Tensor) -> tf.Tensor:
    """Returns boxes (..., 4) of mirrored photographs; is_mirrored (..., 2): top to bottom, left to right."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return tf.concat([tf.where(is_mirrored, 1 - last, first), tf.where(is_mirrored, 1 - first, last)], -1)


# ---------------------------------------------------------------- default boxes

VARIANCES = (0.1, 0.1, 0.2, 0.2)  # what t is divided by: about its deviation
SHAPES = [(size * ratio**0.5, size / ratio**0.5) for size in (1, 2**0.5) for ratio in (1, 2, 1 / 2)]  # heights, widths
MAPS = 3  # of how many sizes there are


def default_boxes(image_shape: tuple[int, ...], halvings: int, scale: float) -> np.ndarray:
    """Returns the default boxes of all maps, (A, 4) float32: y_min, x_min, y_max, x_max, shares of height and width.

    Args:
        image_shape: H, W, C.
        halvings: How often the smallest map is halved.
        scale: Side of the smaller squares, in pixels from place to place of their map.
    """
    height, width = image_shape[:2]
    boxes = []
    for level in range(halvings - MAPS + 1, halvings + 1):
        stride = 2**level
        y, x = (stride * (np.arange(side // stride) + 0.5) for side in (height, width))
        sizes = stride * scale * np.array(SHAPES)  # (k, 2)
        centres = np.stack(np.meshgrid(y, x, indexing="ij"), -1)[:, :, np.newaxis]  # (h, w, 1, 2)
        corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], -1)  # (h, w, k, 4)
        boxes.append(corners.reshape(-1, 4) / [height, width, height, width])
    return np.concatenate(boxes).astype(np.float32)


def encode(boxes: tf.Tensor, labels: tf.Tensor, *, default_boxes: np.ndarray) -> tf.Tensor:
    """Returns what each default box is to answer, (B, A, 5) float32: t, and the class, -1 for nothing, -2 for either.

    Liu et al. (2016), section 2.2. What overlaps by 0.4 to 0.5 is neither: Lin et al. (2017), section 4.

    Args:
        boxes: (B, M, 4).
        labels: (B, M), -1 where there is no box.
        default_boxes: (A, 4).
    """
    is_there = labels >= 0
    shared = overlap(default_boxes[:, np.newaxis], boxes[:, np.newaxis])  # (B, A, M)
    shared = tf.where(is_there[:, np.newaxis], shared, -1.0)
    best_default = tf.one_hot(tf.argmax(shared, 1), len(default_boxes), axis=1)  # (B, A, M): 1 for one of each object
    shared = tf.where((best_default > 0) & is_there[:, np.newaxis], 1 + shared, shared)
    which, most = tf.argmax(shared, -1), tf.reduce_max(shared, -1)  # (B, A)
    label = tf.cast(tf.gather(labels, which, batch_dims=1), tf.float32)
    label = tf.where(most >= 0.5, label, tf.where(most < 0.4, -1.0, -2.0))
    t = to_offsets(tf.gather(boxes, which, batch_dims=1), default_boxes)
    return tf.concat([tf.where((label >= 0)[..., tf.newaxis], t, 0.0), label[..., tf.newaxis]], -1)


def centres_and_sizes(boxes: Any) -> tuple[Any, Any]:
    """Returns (centres, sizes) of boxes, (..., 4) to (..., 2) each: y, x and height, width."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def to_offsets(boxes: tf.Tensor, default_boxes: np.ndarray) -> tf.Tensor:
    """Returns t (..., A, 4) of boxes (..., A, 4)."""
    (centre, size), (of_default, its_size) = centres_and_sizes(boxes), centres_and_sizes(default_boxes)
    t = tf.concat([(centre - of_default) / its_size, tf.math.log(tf.maximum(size, 1e-6) / its_size)], -1)
    return t / VARIANCES


def to_boxes(t: tf.Tensor, default_boxes: np.ndarray) -> tf.Tensor:
    """Returns the boxes (..., A, 4) of t (..., A, 4): the inverse of `to_offsets`."""
    t = t * tf.constant(VARIANCES)
    of_default, its_size = centres_and_sizes(default_boxes)
    centre, size = of_default + t[..., :2] * its_size, its_size * tf.exp(tf.minimum(t[..., 2:], 5.0))
    return tf.concat([centre - size / 2, centre + size / 2], -1)


def decoder(model: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns what makes boxes (B, A, 4) and their probabilities (B, A, C) of a model's outputs (B, A, 4 + C)."""
    from recipes.verbs.load import run_of

    config = run_of(model).config
    defaults = default_boxes(model.input_shape[1:], len(config.filters), config.box_scale)
    return lambda outputs: (to_boxes(outputs[..., :4], defaults), tf.sigmoid(outputs[..., 4:]))


# ---------------------------------------------------------------- model


@keras.saving.register_keras_serializable("recipes")
class DetectionLoss(keras.losses.Loss):
    """The loss that the page begins with, of (B, A, 5) targets and (B, A, 4 + C) outputs: t, and C logits."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each photograph, (B,)."""
        label, logits = y_true[..., 4], y_pred[..., 4:]
        has_object = ops.cast(label >= 0, "float32")  # (B, A)
        objects = ops.maximum(ops.sum(has_object, -1), 1.0)
        is_class = ops.one_hot(ops.cast(label, "int32"), logits.shape[-1])  # (B, A, C); of -1 and -2 zeros
        signed = ops.where(is_class > 0, logits, -logits)  # q = s(signed)
        focal = ops.where(is_class > 0, 0.25, 0.75) * ops.sigmoid(-signed) ** 2 * ops.softplus(-signed)
        classes = ops.sum(ops.sum(focal, -1) * ops.cast(label > -2, "float32"), -1)
        error = ops.abs(y_true[..., :4] - y_pred[..., :4])
        huber = ops.where(error < 1, 0.5 * error**2, error - 0.5)
        return (classes + ops.sum(ops.sum(huber, -1) * has_object, -1)) / objects


def build(config: Config = Config(), sizes: Sizes = BCCD) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, A, 4 + num_classes) float32, t and logits.

    Raises:
        ConfigError: If height or width is no multiple of what the maps halve.
    """
    height, width, _ = sizes.image_shape
    smallest = 2 ** len(config.filters)
    if height % smallest or width % smallest:
        raise ConfigError(
            f"image_shape={tuple(sizes.image_shape)}; expected a height and a width that are multiples of {smallest}, "
            f"which {len(config.filters)} filters halve"
        )
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 128, offset=-1)(image)
    x = convolution(config.filters[0], strides=2)(x)
    x = activation()(normalization()(x))
    maps = []
    for filters in config.filters[1:]:
        x = layers.MaxPooling2D()(x)
        x = activation()(normalization()(convolution(filters)(x)))
        x = layers.Add()([x, normalization()(convolution(filters)(x))])
        x = activation()(x)
        maps.append(x)
    maps = maps[-MAPS:]  # (B, 32, 40, 128), (B, 16, 20, 128), (B, 8, 10, 128)
    for place in reversed(range(MAPS - 1)):  # what a smaller map knows, to the larger
        above = layers.UpSampling2D()(layers.Conv2D(maps[place].shape[-1], 1)(maps[place + 1]))
        maps[place] = activation()(
            normalization()(convolution(maps[place].shape[-1])(layers.Add()([maps[place], above])))
        )
    outputs = []
    for each in maps:
        logit_bias = keras.initializers.Constant(
            -float(np.log(99))
        )  # p = 0.01 at first: Lin et al. (2017), section 4.1
        t = layers.Conv2D(4 * len(SHAPES), 3, padding="same", dtype="float32")(each)
        logits = layers.Conv2D(
            sizes.num_classes * len(SHAPES), 3, padding="same", bias_initializer=logit_bias, dtype="float32"
        )(each)
        both = [
            layers.Reshape((-1, width), dtype="float32")(one) for one, width in ((t, 4), (logits, sizes.num_classes))
        ]
        outputs.append(layers.Concatenate(dtype="float32")(both))  # (B, h w k, 4 + C)
    model = keras.Model(image, layers.Concatenate(1, dtype="float32", name="outputs")(outputs), name="cells_detector")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(AdamW(rate, weight_decay=config.weight_decay), DetectionLoss())
    return model


def convolution(filters: int, strides: int = 1) -> layers.Layer:
    """Returns a 3x3 convolution without a bias, which batch normalisation would take out again."""
    return layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal")


def normalization() -> layers.Layer:
    """Returns batch normalisation, whose averages are of the last tens of batches."""
    return BatchNormalization(momentum=0.97)


def activation() -> layers.Layer:
    """Returns the activation of all hidden layers."""
    return layers.Activation("relu")


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    width = hp.Float("width", 0.5, 1.5, step=0.25)
    return replace(
        config,
        filters=tuple(max(1, round(width * filters)) for filters in config.filters),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-3, 0.1, sampling="log"),
        zoom=hp.Float("zoom", 0.0, 0.6, step=0.2),
    )


# ---------------------------------------------------------------- verbs


def detect_objects(
    model: keras.Model, photos: Any, min_probability: float = LIKELY, picture: str = ""
) -> list[dict[str, Any]]:
    """Returns the objects in photographs, as `predict` does, and draws them.

    Args:
        model: A trained model.
        photos: As `predict` takes them: paths of files or folders, bytes, arrays, PIL images.
        min_probability: An object is there from this probability on.
        picture: The path of a picture of the photographs with their boxes, such as "found.png"; "": none.

    Raises:
        DataError: If some cannot be read.
    """
    from recipes.runs.atomic_files import save_picture

    photos = [*photos] if isinstance(photos, Iterator) else photos
    answers = predict(photos, model, min_probability=min_probability)
    if picture:
        save_picture(draw_answers(model, photos, answers), Path(picture))
    return answers


def count_objects(model: keras.Model, photos: Any, min_probability: float = LIKELY) -> list[dict[str, int]]:
    """Returns how many objects of each class are in photographs, {label: how many} each; see `detect`.

    Args:
        model: A trained model.
        photos: As `predict` takes them.
        min_probability: An object is there from this probability on.
    """
    return [answer["counts"] for answer in predict(photos, model, min_probability=min_probability)]


recipe = Recipe(Config, load_data, build, search_space, kind=Detection(decoder), objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
detect, count = recipe.verb(detect_objects), recipe.verb(count_objects)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
