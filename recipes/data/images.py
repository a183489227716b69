"""Labelled images: decoded and resized the same in training (image folders) and in a served model."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.bad_files import complaint, listed, note_skipped
from recipes.data.folders import FileContents, Reader, folder_info, read_folder, setting_of
from recipes.data.image_bytes import ENDINGS, UNREAD_ENDINGS
from recipes.data.image_files import check_channels, decode_bytes, decode_many
from recipes.data.image_items import are_items, resized
from recipes.data.in_memory import Arrays, Columns, EvaluationData, from_pairs, known_labels, without_hidden_labels
from recipes.data.lazy_images import LazyImages, identity_of_files, of_array, of_files, of_items, of_records
from recipes.data.read_once import read_once
from recipes.data.sources import (
    Kind,
    find_arrays,
    read_columns,
    read_splits,
    stays_in_memory,
)
from recipes.data.splits import DataInfo
from recipes.data.standins.images import digits, shapes
from recipes.data.tfds_records import Records, identity_of_split
from recipes.errors import DataError, one_line


def find_images(
    dataset: str,
    *,
    standin: str,
    offline: str,
    image_shape: tuple[int, int, int],
    data: Any = None,
    on_bad_file: str = "error",
    in_memory: str = "auto",
    task: str = "auto",
) -> tuple[Arrays, DataInfo]:
    """Returns the examples of an image-classification data set and what they are.

    Args:
        dataset: A tensorflow-datasets name ("cifar10") or a stand-in's ("shapes", "digits").
        standin: The stand-in to use where the data set is neither on disk nor to be downloaded.
        offline: "stand-in" to use it, "error" to refuse.
        image_shape: (H, W, C) that images of varying size are resized to.
        data: A user's own data instead: a folder with a sub-folder per class; arrays `(images, labels)`, or two or
            three such pairs: training, (validation,) test. Images are (N, H, W) or (N, H, W, C) in [0, 255].
        on_bad_file: Of a folder: "error", or "skip" to leave out files that cannot be read.
        in_memory: Whether images are decoded now and kept ("yes"), or whenever they are needed ("no"); "auto": kept
            where they take less than half of the memory that is free.
        task: What a user's labels are; see `read_labels`.

    Raises:
        DataError: If the data is unknown, unavailable with offline="error", damaged or of another kind.
    """
    if isinstance(data, (str, Path)):
        key: tuple = ("images", str(Path(data).absolute()), image_shape, on_bad_file, in_memory)
        arrays = read_once(key, lambda: read_images(data, image_shape, on_bad_file, in_memory))
        return arrays, folder_info(data, arrays)
    if data is not None:
        arrays = from_arrays(data, task, image_shape=image_shape, on_bad_file=on_bad_file, in_memory=in_memory)
        return arrays, DataInfo("your own arrays", label_names=arrays.label_names, skipped=listed(arrays.skipped))
    kind = Kind(_features, lambda builder: _read(builder, image_shape, in_memory), {"digits": digits, "shapes": shapes})
    return find_arrays(dataset, kind, standin=standin, offline=offline, reads_as=("images", image_shape, in_memory))


def from_arrays(
    data: Any,
    task: str = "auto",
    names: tuple[str, ...] = (),
    *,
    image_shape: tuple[int, int, int] = (0, 0, 0),
    on_bad_file: str = "error",
    in_memory: str = "auto",
) -> Arrays:
    """Returns a user's `(images, labels)`, or two or three such pairs, checked; see `from_pairs`.

    Args:
        data: Training, (validation,) test. Images are an array, or a list of them in any form; see `image_items`.
        task: What the labels are.
        names: Of a trained model's labels.
        image_shape: (H, W, C) that images of a list are resized to.
        on_bad_file: Of a list: "error", or "skip" to leave out images that cannot be read.
        in_memory: As of `find_images`, for images of a list.

    Raises:
        DataError: Names what does not fit: the nesting, lengths, shapes, labels or weights.
    """
    bad: list[dict[int, str]] = []  # of each split, in their order

    def check(images: Any) -> Any:
        bad.append({})
        if not are_items(images):
            return _checked_images(images)
        lazy = of_items(images, image_shape)
        stays = stays_in_memory(f"data, {len(lazy):,} images,", 2 * int(np.prod(lazy.shape)), in_memory)
        if on_bad_file == "error":
            return lazy.stacked() if stays else lazy
        read, bad[-1] = lazy.readable() if stays else (lazy, lazy.unreadable())
        return read

    arrays = _without(bad, from_pairs(data, check, "images", task, names))
    shapes = {columns[0].shape[1:] for columns in arrays[:3] if columns}
    if len(shapes) > 1:
        raise DataError(f"the images of the splits differ in shape: {sorted(shapes)}; expected one shape")
    return arrays


def _without(bad: list[dict[int, str]], arrays: Arrays) -> Arrays:
    """Returns examples without those that cannot be read: of each split, their places and why; says so."""
    if not any(bad):
        return arrays
    splits = arrays.named
    counts = {name: len(columns[0]) for name, columns in splits.items()}
    skipped = {
        f"image {place} of {name}": why for name, some in zip(splits, bad, strict=True) for place, why in some.items()
    }
    for (name, columns), places in zip(splits.items(), bad, strict=True):
        kept = np.setdiff1d(np.arange(counts[name]), [*places])
        if not len(kept):
            raise DataError(complaint(skipped, sum(counts.values()), "images"))
        splits[name] = tuple(column[kept] for column in columns)
    note_skipped(skipped, sum(counts.values()), "images")
    validation, test = splits.get("validation"), splits.get("test")
    return arrays._replace(train=splits["train"], validation=validation, test=test, skipped=skipped)


def evaluation_images(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate on: the test split of a user's data, or all of it."""
    if isinstance(data, (str, Path)):
        how = setting_of(model, "on_bad_file", "error"), setting_of(model, "in_memory", "auto")
        arrays = read_images(data, tuple(model.input_shape[1:]), *how)
    else:
        skip = setting_of(model, "on_bad_file", "error")
        arrays = from_arrays(data, *known_labels(model), image_shape=tuple(model.input_shape[1:]), on_bad_file=skip)
    test = (arrays.test or arrays.train)[:2]
    return EvaluationData((test, test), len(test[0]), arrays.label_names)


def read_images(
    folder: str | Path, image_shape: tuple[int, int, int], on_bad_file: str = "error", in_memory: str = "auto"
) -> Arrays:
    """Returns the images of a folder with a sub-folder per class, resized to `image_shape`; see `read_folder`.

    Those that do not stay in memory are looked through at once only where bad files are to be left out.
    """
    check_channels(image_shape)
    name = one_line(folder)

    def read(paths: list[str]) -> FileContents:
        images = of_files(paths, image_shape, identity_of_files(paths, Path(folder)))
        needed = 2 * int(np.prod(images.shape))  # all of them, then those of each split
        if stays_in_memory(f"{name}, {len(paths):,} images,", needed, in_memory):
            return FileContents(*images.readable(), images.identity)
        bad = images.unreadable() if on_bad_file == "skip" else {}
        return FileContents(images, bad, images.identity)

    return read_folder(folder, Reader(read, ENDINGS + UNREAD_ENDINGS, "images"), on_bad_file)


def at_shape(images: Any, image_shape: tuple[int, int, int]) -> Any:
    """Returns images, an array or lazy ones, as `resized` does."""
    if images.shape[1:] == tuple(image_shape) or not isinstance(images, LazyImages):
        return resized(images, image_shape)
    return images.changed(lambda image: resized(image[np.newaxis], image_shape)[0], image_shape)


def _read(builder: Any, image_shape: tuple[int, int, int], in_memory: str) -> Arrays:
    """Returns the splits of a prepared data set."""
    image, label = _features(builder)
    fixed = None not in image.shape
    shape = tuple(image.shape) if fixed else image_shape
    # Photographs of any size are decoded here, as everywhere: turned as their EXIF says.
    photographs = not fixed and image.dtype == np.uint8 and shape[-1] in (1, 3)
    name = f"an image of {builder.name}"

    def shaped(pixels: tf.Tensor) -> tf.Tensor:
        if fixed or photographs:
            return pixels
        return tf.cast(tf.round(tf.image.resize(pixels, shape[:2], antialias=True)), tf.uint8)

    def example(features: dict) -> tuple[tf.Tensor, tf.Tensor]:
        return shaped(features["image"]), tf.cast(features["label"], tf.int32)

    def decode_one(encoded: bytes) -> np.ndarray:
        if photographs:
            return np.rint(decode_bytes(encoded, shape, name)).astype(np.uint8)
        return shaped(image.decode_example(encoded)).numpy()

    def read(split: str) -> Columns:
        if stays:
            return read_columns(builder, split, example, decode)
        records = Records(builder, split)
        return of_records(records, shape, decode_one), records.column("label").astype(np.int32)

    count = sum(split.num_examples for split in builder.info.splits.values())
    stays = stays_in_memory(builder.name, count * int(np.prod(shape)), in_memory)
    decode = partial(decode_many, image_shape=shape, name=name) if photographs else None
    identity = f"{[identity_of_split(builder, split) for split in sorted(builder.info.splits)]} {shape}"
    arrays = Arrays(*read_splits(builder, read), tuple(label.names), identity=identity)
    return without_hidden_labels(arrays, builder.name)


def _features(builder: Any) -> tuple[Any, Any]:
    """Returns the features "image" and "label" of a data set, refusing one of another kind."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise DataError(
            f"{builder.name} has the features {', '.join(features)}; expected an image-classification data set with "
            "an 'image' and a 'label'"
        )
    return image, label


def _checked_images(images: Any) -> Any:
    if isinstance(images, LazyImages):
        return images
    on_disk = isinstance(images, np.memmap)
    images = images if on_disk else np.asarray(images)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.number):
        raise DataError(f"images are {images.dtype} {images.shape}; expected numbers (N, H, W) or (N, H, W, C)")
    if not len(images):
        raise DataError("data holds no examples; expected at least one of the images in each split")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 255) or (np.issubdtype(images.dtype, np.floating) and high <= 1):
        raise DataError(f"images lie in [{low:g}, {high:g}]; expected [0, 255] (the model does its own scaling)")
    if on_disk:
        return of_array(images)
    return images if images.dtype == np.uint8 else images.astype(np.float32)
