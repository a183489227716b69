"""The input pipeline for images that fit in memory.

Images stay uint8 in memory; a batch is a gather. Which examples a batch holds, and how they are augmented, follows
from (seed, epoch, step) alone, so the stream can be entered at any step and is the same every time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits, label_follows, refuse_less_than_a_batch, train_examples
from recipes.errors import DataError

#: (images (B, H, W, C), seed (2,) int64, worker, workers) -> images of the same shape and dtype: those of one worker,
#: changed as they are in the whole batch
Augment = Callable[[tf.Tensor, tf.Tensor, int, int], tf.Tensor]

#: The same arguments -> (inputs, targets), in place of (images, labels), for models that learn from images alone
Pairing = Callable[[tf.Tensor, tf.Tensor, int, int], tuple[tf.Tensor, tf.Tensor]]


def image_splits(
    config: Any,
    data: Any = None,
    *,
    standin: str,
    image_shape: tuple[int, ...],
    augment: Augment | None = None,
    pairing: Pairing | None = None,
) -> Splits:
    """Returns the training, validation and test batches that a config asks for.

    Args:
        config: Reads `dataset`, `offline`, `on_bad_file`, `validation_fraction`, `max_examples`, `image_shape`,
            `crop_padding` (where there is one), `batch_size` and `seed`.
        data: A user's own: Splits, arrays, or a folder; see `find_images`.
        standin: The stand-in where the data set cannot be had: "shapes" or "digits".
        image_shape: H, W, C that images of varying size have where `config.image_shape` is None.
        augment: Applied to whole training batches.
        pairing: Makes (inputs, targets) of images, in training anew in each step, for validation and test once.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    from recipes.data.images import find_images, resized
    from recipes.data.in_memory import fingerprint, three_way, with_weights
    from recipes.data.labels import sizes_of_labels

    if isinstance(data, Splits):
        return _described(data, config)
    shape: Any = config.image_shape or image_shape
    how = {"offline": config.offline, "on_bad_file": config.on_bad_file}
    how["task"] = getattr(config, "task", "auto")
    arrays, info = find_images(config.dataset, standin=standin, image_shape=shape, data=data, **how)
    if config.image_shape is not None:
        arrays = arrays.mapped(lambda columns: (resized(columns[0], shape), *columns[1:]))
    uses_labels = hasattr(config, "task")  # where a model learns of images alone, all classes are one
    splits = three_way(arrays, config.validation_fraction, config.max_examples, stratified=uses_labels)
    train, validation, test = splits
    if uses_labels:
        config.refuse_for_task(arrays.task)
        train = with_weights(train, config.class_weight)
    images = train[0]
    padding = getattr(config, "crop_padding", 0)
    if padding >= min(images.shape[1:3]):
        raise DataError(
            f"crop_padding={padding} is no less than the {images.shape[1]}x{images.shape[2]} images of {info.name}"
        )
    refuse_less_than_a_batch(len(images), config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(pair[0]) for split, pair in named.items() if pair},
        follows={
            "image_shape": images.shape[1:],
            **sizes_of_labels(arrays.task, info.label_names, train[1]),
            "train_examples": len(images),
        },
        fingerprint=fingerprint(*train, *(validation or ())),
    )
    train_from = train_batches(images, train[1], config.batch_size, config.seed, augment, pairing, train[2:])
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
    weights: tuple[np.ndarray, ...] = (),
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
        weights: None, or those of the examples, (N,).
    """
    from recipes.data.tf_data import endless

    with tf.device("/CPU:0"):
        image_bank, *banks = map(tf.constant, (images, labels, *weights))
    steps = len(images) // batch_size

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = batch_size // workers

        def batch(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            epoch, position = step // steps, step % steps
            places = position * batch_size + worker * rows + tf.range(rows, dtype=tf.int64)
            # A pseudo-random permutation of [0, N), computed place by place: no shuffled list is kept or saved.
            index = tf.random.experimental.index_shuffle(
                places, seed=tf.stack([seed, epoch]), max_index=len(images) - 1
            )
            image, *others = (tf.gather(bank, index) for bank in (image_bank, *banks))
            seeds = tf.stack([seed, step])
            image = augment(image, seeds, worker, workers) if augment else image
            return pairing(image, seeds, worker, workers) if pairing else (image, *others)

        return endless(batch, start)

    return train_from


def eval_batches(columns: tuple[np.ndarray, ...], batch_size: int) -> tf.data.Dataset:
    """Returns all the examples once, in order."""
    from recipes.data.tf_data import evaluation_options, shared_evenly

    batch_size = shared_evenly(len(columns[0]), batch_size)
    return tf.data.Dataset.from_tensor_slices(columns).batch(batch_size).prefetch(2).with_options(evaluation_options())


def _paired(images: np.ndarray, pairing: Pairing, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (inputs, targets) of a split that is looked at again and again: always the same."""
    inputs, targets = pairing(tf.constant(images), tf.constant([seed, -1], tf.int64), 0, 1)
    return inputs.numpy(), targets.numpy()


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
        kind = spec[1].dtype, spec[1].shape.rank
        if spec[1].dtype == tf.string or kind[1] not in (1, 2, 4) or (kind[1] == 2 and spec[1].shape[1] is None):
            raise DataError(
                f"the labels of {name} are {spec[1].dtype.name} {spec[1].shape}; expected class indices, integers "
                "(B,), numbers to predict, floats (B,), or rows of 0 and 1 (B, V) (of names: their places in a list)"
            )
        if kind != (specs["train"][1].dtype, specs["train"][1].shape.rank):
            raise DataError(f"the labels of {name} are {spec[1]}; expected those of train, {specs['train'][1]}")
    image, label, *_ = specs["train"]
    follows: dict[str, Any] = {"image_shape": tuple(image.shape[1:]), **train_examples(splits, config.batch_size)}
    if label.shape.rank < 4:
        follows |= label_follows(splits)
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))
