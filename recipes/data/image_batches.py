"""The input pipeline for images that fit in memory.

Images stay uint8 in memory; a batch is a gather. Which examples a batch holds, and how they are augmented, follows
from (seed, epoch, step) alone, so the stream can be entered at any step and is the same every time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from recipes.data.images import find_images
from recipes.data.in_memory import Columns, fingerprint, three_way
from recipes.data.splits import Splits, train_examples
from recipes.data.tf_data import endless, in_turns, shared_evenly
from recipes.errors import DataError

#: (images (B, H, W, C), seed (2,) int64, worker, workers) -> images of the same shape and dtype: those of one worker,
#: changed as they are in the whole batch
Augment = Callable[[tf.Tensor, tf.Tensor, int, int], tf.Tensor]

#: The same arguments -> (inputs, targets), in place of (images, labels), for models that learn from images alone
Pairing = Callable[[tf.Tensor, tf.Tensor, int, int], tuple[tf.Tensor, tf.Tensor]]


class ImageSettings(Protocol):
    """The fields of a recipe's Config that decide on its data."""

    @property
    def dataset(self) -> str: ...  # noqa: D102
    @property
    def image_shape(self) -> tuple[int, int, int]: ...  # noqa: D102
    @property
    def validation_fraction(self) -> float: ...  # noqa: D102
    @property
    def max_examples(self) -> int | None: ...  # noqa: D102
    @property
    def offline(self) -> str: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def image_splits(
    config: ImageSettings,
    data: Any = None,
    *,
    standin: str,
    augment: Augment | None = None,
    pairing: Pairing | None = None,
) -> Splits:
    """Returns the training, validation and test batches that a config asks for.

    Args:
        config: Reads the fields of `ImageSettings`.
        data: A user's own: Splits, arrays, or a folder; see `find_images`.
        standin: The stand-in where the data set cannot be had: "shapes" or "digits".
        augment: Applied to whole training batches.
        pairing: Makes (inputs, targets) of images, in training anew in each step, for validation and test once.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return _described(data, config)
    arrays, info = find_images(
        config.dataset, standin=standin, offline=config.offline, image_shape=config.image_shape, data=data
    )
    train, validation, test = three_way(arrays, config.validation_fraction, config.max_examples)
    images, labels = train
    padding = getattr(config, "crop_padding", 0)
    if padding >= min(images.shape[1:3]):
        raise DataError(
            f"crop_padding={padding} is no less than the {images.shape[1]}x{images.shape[2]} images of {info.name}"
        )
    if len(images) < config.batch_size:
        raise DataError(
            f"batch_size={config.batch_size} is more than the {len(images)} training examples of {info.name}; "
            f"expected at most {len(images)}"
        )
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(pair[0]) for split, pair in named.items() if pair},
        follows={
            "image_shape": images.shape[1:],
            "num_classes": len(info.label_names),
            "train_examples": len(images),
        },
        fingerprint=fingerprint(*train, *(validation or ())),
    )
    train_from = train_batches(images, labels, config.batch_size, config.seed, augment, pairing)
    if pairing:
        validation = validation and _paired(validation[0], pairing, config.seed)
        test = _paired(test[0], pairing, config.seed)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_batches(validation, config.batch_size) if validation else None,
        test=eval_batches(test, config.batch_size),
        info=info,
        steps_per_epoch=len(images) // config.batch_size,
        train_from=train_from,
    )


def train_batches(
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    augment: Augment | None = None,
    pairing: Pairing | None = None,
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless shuffled batches of (B, H, W, C) images and (B,) int32 labels.

    An epoch is `len(images) // batch_size` steps, in an order of its own. No example comes twice in it; the few that
    do not fill a batch are left out, others in each epoch. The stream begins at any step, counted from the first
    epoch's first, and each of several workers gets its own rows of each batch, which must share out evenly.

    Args:
        images: (N, H, W, C), N at least `batch_size`.
        labels: (N,).
        batch_size: Examples per step, over all replicas and workers.
        seed: Decides on the order and the augmentation.
        augment: Applied to each batch.
        pairing: Makes (inputs, targets) of each batch's images.
    """
    with tf.device("/CPU:0"):
        image_bank, label_bank = tf.constant(images), tf.constant(labels)
    steps = len(images) // batch_size

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = batch_size // workers

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            epoch, position = step // steps, step % steps
            places = position * batch_size + worker * rows + tf.range(rows, dtype=tf.int64)
            # A pseudo-random permutation of [0, N), computed place by place: no shuffled list is kept or saved.
            index = tf.random.experimental.index_shuffle(
                places, seed=tf.stack([seed, epoch]), max_index=len(images) - 1
            )
            image, label = tf.gather(image_bank, index), tf.gather(label_bank, index)
            seeds = tf.stack([seed, step])
            image = augment(image, seeds, worker, workers) if augment else image
            return pairing(image, seeds, worker, workers) if pairing else (image, label)

        return endless(batch, start)

    return train_from


def eval_batches(columns: Columns, batch_size: int) -> tf.data.Dataset:
    """Returns all the examples once, in order."""
    batch_size = shared_evenly(len(columns[0]), batch_size)
    return tf.data.Dataset.from_tensor_slices(columns).batch(batch_size).prefetch(2).with_options(in_turns())


def _paired(images: np.ndarray, pairing: Pairing, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (inputs, targets) of a split that is looked at again and again: always the same."""
    inputs, targets = pairing(tf.constant(images), tf.constant([seed, -1], tf.int64), 0, 1)
    return inputs.numpy(), targets.numpy()


def _described(splits: Splits, config: ImageSettings) -> Splits:
    """Returns a user's own Splits with what the config must follow, refusing those that do not fit."""
    spec = splits.train.element_spec
    rank = spec[0].shape.rank if isinstance(spec, tuple) and len(spec) == 2 else None
    if rank != 4 or None in spec[0].shape[1:]:
        raise DataError(f"train holds {spec}; expected batches of (image (B, H, W, C), label (B,)), with H, W, C known")
    highest, classes = int(tf.reduce_max(next(iter(splits.train))[1])), getattr(config, "num_classes", None)
    if classes is not None and highest >= splits.info.follows.get("num_classes", classes):
        raise DataError(f"the labels of train reach {highest} and num_classes={classes}; set num_classes")
    follows: dict[str, Any] = {"image_shape": tuple(spec[0].shape[1:]), **train_examples(splits, config.batch_size)}
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))
