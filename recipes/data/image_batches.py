"""The input pipeline for images.

Images that fit in memory stay there, as uint8, and a batch is a gather; others are decoded as they are needed, on all
processors. Which examples a batch holds, and how they are augmented, follows from (seed, epoch, step) alone, so the
stream can be entered at any step, is the same every time, and the same wherever the images are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from recipes.data.splits import DataInfo, Splits, label_follows, refuse_less_than_a_batch, train_examples
from recipes.errors import DataError

if TYPE_CHECKING:
    from recipes.data.in_memory import Arrays, Columns

#: How many images are decoded at a time: while one is handed on, each processor has another
DECODED_AHEAD = 2 * (os.cpu_count() or 1)

#: (images (B, H, W, C), seed (2,) int64, worker, workers) -> images of the same shape and dtype: those of one worker,
#: changed as they are in the whole batch
Augment = Callable[[tf.Tensor, tf.Tensor, int, int], tf.Tensor]

#: (images and what goes with them, seed, worker, workers) -> the same, those of several examples mixed
Mixing = Callable[[tuple[tf.Tensor, ...], tf.Tensor, int, int], tuple[tf.Tensor, ...]]

#: The arguments of an `Augment` -> (inputs, targets), in place of (images, labels), for models that learn from images
#: alone
Pairing = Callable[[tf.Tensor, tf.Tensor, int, int], tuple[tf.Tensor, tf.Tensor]]


def image_splits(
    config: Any,
    data: Any = None,
    *,
    standin: str,
    image_shape: tuple[int, ...],
    augment: Augment | None = None,
    pairing: Pairing | None = None,
    in_turns: bool = False,
) -> Splits:
    """Returns the training, validation and test batches that a config asks for.

    Args:
        config: Reads `dataset`, `offline`, `on_bad_file`, `in_memory`, `validation_fraction`, `max_examples`,
            `image_shape`, `crop_padding` (where there is one), `batch_size` and `seed`.
        data: A user's own: Splits, arrays, a folder, or a table; see `find_images` and `plain_data`.
        standin: The stand-in where the data set cannot be had: "shapes" or "digits".
        image_shape: H, W, C that images of varying size have where `config.image_shape` is None.
        augment: Applied to whole training batches.
        pairing: Makes (inputs, targets) of images, in training anew in each step, for validation and test once.
        in_turns: Whether each training image is mirrored in every other epoch; see `mirror_in_turns`.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    from recipes.data.images import at_shape, find_images
    from recipes.data.in_memory import three_way, with_weights
    from recipes.data.labels import sizes_of_labels
    from recipes.data.own_data import plain_data, with_origin

    if isinstance(data, Splits):
        return _described(data, config)
    shape: Any = config.image_shape or image_shape
    how = {"offline": config.offline, "on_bad_file": config.on_bad_file, "in_memory": config.in_memory}
    how["task"] = getattr(config, "task", "auto")
    plain = plain_data(data, config)
    arrays, info = find_images(config.dataset, standin=standin, image_shape=shape, data=plain, **how)
    info = with_origin(info, data)
    if config.image_shape is not None:
        arrays = arrays.mapped(lambda columns: (at_shape(columns[0], shape), *columns[1:]))
    uses_labels = hasattr(config, "task")  # where a model learns of images alone, all classes are one
    splits = three_way(arrays, config.validation_fraction, config.max_examples, stratified=uses_labels)
    if uses_labels:
        config.refuse_for_task(arrays.task)
    train, validation, test = with_weights(splits, getattr(config, "class_weight", "none"))
    image_shape = train[0].shape[1:]
    padding = getattr(config, "crop_padding", 0)
    if padding >= min(image_shape[:2]):
        raise DataError(
            f"crop_padding={padding} is no less than the {image_shape[0]}x{image_shape[1]} images of {info.name}"
        )
    count = len(train[0])
    refuse_less_than_a_batch(count, config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(columns[0]) for split, columns in named.items() if columns},
        follows={
            "image_shape": image_shape,
            **sizes_of_labels(arrays.task, info.label_names, train[1]),
            "train_examples": count,
        },
        fingerprint=arrays.fingerprint(train, validation),
    )
    augment, mixing = augmentations(config, augment, len(info.label_names))
    train_from = train_batches(train, config.batch_size, config.seed, augment, pairing, mixing, in_turns)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_batches(validation, config.batch_size, config.seed, pairing) if validation else None,
        test=eval_batches(test, config.batch_size, config.seed, pairing),
        info=info,
        steps_per_epoch=count // config.batch_size,
        train_from=train_from,
    )


def splits_of_rows(
    arrays: Arrays, config: Any, info: DataInfo, follows: Callable[[Columns], dict[str, Any]] = lambda train: {}
) -> Splits:
    """Returns the training, validation and test batches of rows (N, n) with targets, as they are, in memory.

    Args:
        arrays: The rows and their targets.
        config: Reads `validation_fraction`, `max_examples`, `batch_size` and `seed`.
        info: What the rows are.
        follows: The training columns -> what the data decides, besides how many there are.

    Raises:
        DataError: If there are less than one batch.
    """
    from recipes.data.in_memory import fingerprint, three_way

    train, validation, test = three_way(arrays, config.validation_fraction, config.max_examples, stratified=False)
    refuse_less_than_a_batch(len(train[0]), config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(columns[0]) for split, columns in named.items() if columns},
        follows={**follows(train), "train_examples": len(train[0])},
        fingerprint=fingerprint(*(column for split in (train, validation) if split for column in split)),
    )
    train_from = train_batches(train, config.batch_size, config.seed)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_batches(validation, config.batch_size) if validation else None,
        test=eval_batches(test, config.batch_size),
        info=info,
        steps_per_epoch=len(train[0]) // config.batch_size,
        train_from=train_from,
    )


def augmentations(config: Any, augment: Augment | None, num_classes: int) -> tuple[Augment | None, Mixing | None]:
    """Returns (a recipe's own augmentation and RandAugment after it, mixup and CutMix), where a config asks for them.

    Args:
        config: Reads `rand_augment`, `mixup` and `cutmix`, where there are such settings.
        augment: The recipe's own.
        num_classes: Of labels that are class indices.
    """
    strength, mixup, cutmix = (getattr(config, name, 0.0) for name in ("rand_augment", "mixup", "cutmix"))
    mixing: Mixing | None = None
    if mixup or cutmix:
        from recipes.data.augment import mix

        mixing = partial(mix, num_classes=num_classes, mixup=mixup, cutmix=cutmix)
    if not strength:
        return augment, mixing
    from recipes.data.rand_augment import rand_augment

    def both(images: tf.Tensor, seed: tf.Tensor, worker: int, workers: int) -> tf.Tensor:
        images = augment(images, seed, worker, workers) if augment else images
        return rand_augment(images, seed, worker, workers, strength=strength)

    return both, mixing


def train_batches(
    columns: Columns,
    batch_size: int,
    seed: int,
    augment: Augment | None = None,
    pairing: Pairing | None = None,
    mixing: Mixing | None = None,
    in_turns: bool = False,
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless shuffled batches of (B, H, W, C) images and what goes with them.

    An epoch is `N // batch_size` steps, in an order of its own. No example comes twice in it; the few that do not fill
    a batch are left out, others in each epoch. The stream begins at any step, counted from the first epoch's first, and
    each of several workers gets its own rows of each batch, which must share out evenly; it decodes no others.

    Args:
        columns: Images, an array (N, H, W, C) or `LazyImages`, and arrays of N, such as labels; N at least
            `batch_size`.
        batch_size: Examples per step, over all replicas and workers.
        seed: Decides on the order and the augmentation.
        augment: Applied to each batch.
        pairing: Makes (inputs, targets) of each batch's images.
        mixing: Applied to each batch after that, in place of a pairing.
        in_turns: Whether each image is mirrored in every other epoch, before all else.
    """
    from recipes.data.augment import mirror_in_turns
    from recipes.data.lazy_images import LazyImages
    from recipes.data.tf_data import endless, steps_from

    images = columns[0]
    count, steps = len(images), len(images) // batch_size
    with tf.device("/CPU:0"):
        bank = None if isinstance(images, LazyImages) else tf.constant(images)
        others = [tf.constant(column) for column in columns[1:]]
        coins = tf.random.stateless_uniform((count if in_turns else 0,), (seed, -2), maxval=2, dtype=tf.int32)

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = batch_size // workers

        def places_of(step: tf.Tensor) -> tf.Tensor:
            epoch, position = step // steps, step % steps
            places = position * batch_size + worker * rows + tf.range(rows, dtype=tf.int64)
            # A pseudo-random permutation of [0, N), computed place by place: no shuffled list is kept or saved.
            return tf.random.experimental.index_shuffle(places, seed=tf.stack([seed, epoch]), max_index=count - 1)

        def batch(step: tf.Tensor, image: tf.Tensor | None = None) -> tuple[tf.Tensor, ...]:
            places, seeds = places_of(step), tf.stack([seed, step])
            image = tf.gather(bank, places) if image is None else image
            image = mirror_in_turns(image, tf.gather(coins, places), step // steps) if in_turns else image
            image = augment(image, seeds, worker, workers) if augment else image
            if pairing:
                return pairing(image, seeds, worker, workers)
            whole = (image, *(tf.gather(other, places) for other in others))
            return mixing(whole, seeds, worker, workers) if mixing else whole

        if not isinstance(images, LazyImages):
            return endless(batch, start)
        decoded = steps_from(start).map(places_of).unbatch().map(images.at, DECODED_AHEAD, deterministic=True)
        steps_and_images = tf.data.Dataset.zip((steps_from(start), decoded.batch(rows, drop_remainder=True)))
        return steps_and_images.map(batch, tf.data.AUTOTUNE, deterministic=True).prefetch(2)

    return train_from


def eval_batches(columns: Columns, batch_size: int, seed: int = 0, pairing: Pairing | None = None) -> tf.data.Dataset:
    """Returns all the examples once, in order; of a `pairing`, (inputs, targets), the same each time."""
    from recipes.data.lazy_images import LazyImages
    from recipes.data.tf_data import evaluation_options, rows_on_disk, shared_evenly

    images, *others = columns
    batch_size = shared_evenly(len(images), batch_size)

    def pair(number: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        assert pairing
        return pairing(batch[0], tf.stack([seed, -1 - number]), 0, 1)  # none of training's steps

    if isinstance(images, LazyImages):
        dataset = tf.data.Dataset.range(len(images)).map(images.at, num_parallel_calls=DECODED_AHEAD)
        dataset = tf.data.Dataset.zip((dataset, *map(tf.data.Dataset.from_tensor_slices, others)))
    elif isinstance(images, np.memmap):  # windows of a text, and the next of each token
        dataset = tf.data.Dataset.zip(tuple(map(rows_on_disk, columns)))
    else:
        dataset = tf.data.Dataset.from_tensor_slices(tuple(columns))
    batches = dataset.batch(batch_size)
    batches = batches.enumerate().map(pair) if pairing else batches
    return batches.prefetch(2).with_options(evaluation_options())


def _described(splits: Splits, config: Any) -> Splits:
    """Returns a user's own Splits with the sizes that a model must have, refusing those that do not fit."""
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    specs = {name: split.element_spec for name, split in named.items() if split is not None}
    for name, spec in specs.items():
        rank = spec[0].shape.rank if isinstance(spec, tuple) and len(spec) in (2, 3) else None
        if rank != 4 or None in spec[0].shape[1:]:
            raise DataError(
                f"{name} holds {spec}; expected batches of (image (B, H, W, C), label (B,)), with H, W, C known"
            )
        kind = spec[1].dtype.is_integer, spec[1].shape.rank
        if spec[1].dtype == tf.string or kind[1] not in (1, 2, 4) or (kind[1] == 2 and spec[1].shape[1] is None):
            raise DataError(
                f"the labels of {name} are {spec[1].dtype.name} {spec[1].shape}; expected class indices, integers "
                "(B,), numbers to predict, floats (B,), or rows of 0 and 1 (B, V) (of names: their places in a list)"
            )
        if kind != (specs["train"][1].dtype.is_integer, specs["train"][1].shape.rank):
            ours, theirs = (f"{label.dtype.name} {label.shape}" for label in (spec[1], specs["train"][1]))
            raise DataError(f"the labels of {name} are {ours}; expected what those of train are, {theirs}")
    image, label, *_ = specs["train"]
    follows: dict[str, Any] = {"image_shape": tuple(image.shape[1:]), **train_examples(splits, config.batch_size)}
    if label.shape.rank < 4:
        follows |= label_follows(splits, getattr(config, "task", "auto"))
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))
