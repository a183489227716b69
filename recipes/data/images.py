"""Decoding and resizing, the same in training (image folders) and in a served model."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from recipes.data.arrays import Arrays, Pair
from recipes.errors import DataError

ENDINGS = (".gif", ".jpeg", ".jpg", ".png")


def decode_image(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns one encoded image as (H, W, C) float32 in [0, 255].

    Args:
        encoded: Scalar string: the bytes of a JPEG, PNG or GIF (its first frame), of any size, colour or grey.
        image_shape: (H, W, C); the image is resized to H x W without keeping its aspect ratio, with antialiasing, and
            turned to grey or colour for C of 1 or 3. An image of that size already keeps its exact pixels.
    """
    height, width, channels = image_shape
    # Colour first: decoding a palette or colour PNG straight to one channel drops colours instead of mixing them.
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    if channels == 1:
        # ITU-R BT.601 luma; a grey image has three equal channels and keeps its exact values.
        red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=-1)
        image = ((299 * red + 587 * green + 114 * blue + 500) // 1000)[..., tf.newaxis]
    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.ensure_shape(resized, image_shape)


def check_channels(image_shape: tuple[int, int, int]) -> None:
    """Refuses an image shape whose channels no image file gives: others than 1 (grey) or 3 (colour)."""
    if image_shape[-1] not in (1, 3):
        raise DataError(f"image files are read in 1 or 3 channels; expected one of these in place of {image_shape}")


def decode_file(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns an image file as (H, W, C) float32 in [0, 255].

    Raises:
        DataError: If the file cannot be read or is not an image, or its channels cannot be had.
    """
    check_channels(image_shape)
    try:
        return decode_image(tf.constant(path.read_bytes()), image_shape).numpy()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except tf.errors.InvalidArgumentError:
        raise DataError(f"{path} is not a readable image; expected a JPEG, PNG or GIF file") from None


def read_folder(folder: str | Path, image_shape: tuple[int, int, int]) -> Arrays:
    """Returns a folder of images with one sub-folder per class, resized to `image_shape`.

    The classes are the names of the sub-folders, sorted. Where the folder holds `train` and `test` (and perhaps
    `validation`), each of those holds the sub-folders and is that split; otherwise there is no test split yet.

    Raises:
        DataError: If the folder is missing, has fewer than two classes, or holds a file that is not an image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected a folder of images with a sub-folder per class")
    splits = [folder / split for split in ("train", "validation", "test") if _sub_folders(folder / split)]
    if folder / "train" not in splits:  # or a class of that name
        splits = [folder]
    names = _class_names(splits[0])
    read: dict[str, Pair] = {}
    for split in splits:
        if _class_names(split) != names:
            raise DataError(f"{split} has the classes {', '.join(_class_names(split))}; expected {', '.join(names)}")
        read[split.name if len(splits) > 1 else "train"] = _read_classes(split, names, image_shape)
    return Arrays(read["train"], read.get("validation"), read.get("test"), names)


def _sub_folders(folder: Path) -> tuple[str, ...]:
    found = folder.iterdir() if folder.is_dir() else ()
    return tuple(sorted(path.name for path in found if path.is_dir() and not path.name.startswith(".")))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = _sub_folders(folder)
    if len(names) < 2:
        raise DataError(f"{folder} has {len(names)} sub-folders; expected one per class, two or more")
    return names


def _read_classes(folder: Path, names: tuple[str, ...], image_shape: tuple[int, int, int]) -> Pair:
    paths, labels = [], []
    for label, name in enumerate(names):
        found = sorted(
            path
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        )
        if not found:
            raise DataError(f"{folder / name} has no images; expected files ending in {', '.join(ENDINGS)}")
        paths += found
        labels += [label] * len(found)
    images = np.stack([np.rint(decode_file(path, image_shape)).astype(np.uint8) for path in paths])
    return images, np.asarray(labels, np.int32)
