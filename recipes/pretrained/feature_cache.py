"""Disk cache of an encoder's features."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock
from tqdm import tqdm

from recipes.devices.environment import cache_dir
from recipes.errors import DataError


def computed_once(
    encoder: keras.Model, key: str, count: int, batches: Iterator[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Returns an encoder's features of images, (N, L, D) float16 read from disk as they are needed.

    Where the file is there, nothing is computed, unless it is damaged or holds something else. It is written whole or
    not at all; processes that want the same at once compute it once.

    Args:
        encoder: (B, H, W, 3) in [0, 255] to (B, L, D).
        key: Tells weights and images from all others.
        count: N.
        batches: (places of the N, images (B, H, W, 3) uint8); not begun where the file is there.

    Raises:
        DataError: If the folder cannot be written to.
    """
    path, shape = cache_dir() / "annotations" / f"{encoder.name}-{key}.npy", (count, *encoder.output_shape[1:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            features = _kept(path, shape)
            if features is None:
                _compute(encoder, shape, batches, path)
                features = np.lib.format.open_memmap(path, "r")
            return features
    except OSError as error:
        raise DataError(
            f"cannot keep the features of {encoder.name} for {count:,} images in {path}: {error}. Make space there, or "
            "set RECIPES_CACHE_DIR to another folder"
        ) from error


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the features in a file, or None where there is none or, which is said, none of this shape in float16."""
    if not path.exists():
        return None
    try:
        features = np.lib.format.open_memmap(path, "r")  # of an .npy alone, and of nothing pickled
    except Exception as error:  # whatever a torn header is taken for
        problem = f"is damaged ({(str(error).splitlines() or [type(error).__name__])[0]})"
    else:
        if (features.shape, features.dtype) == (shape, np.float16):
            return features
        problem = f"holds {features.dtype} {features.shape}, not float16 {shape}"
    print(f"note: {path} {problem}; its features are computed again")
    return None


def _compute(encoder: keras.Model, shape: tuple[int, ...], batches: Iterator, path: Path) -> None:
    """Writes the file, or leaves nothing."""
    encode = tf.function(lambda image: encoder(image, training=False), reduce_retracing=True)
    part = path.with_suffix(".part")
    try:
        features = np.lib.format.open_memmap(part, "w+", np.float16, shape)
        if hasattr(os, "posix_fallocate"):  # a disk that is too full says so now, not by a signal that kills later
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        with tqdm(total=shape[0], desc=f"{encoder.name} reads", unit=" images", mininterval=1.0, disable=None) as bar:
            for places, images in batches:
                features[places] = encode(tf.cast(images, tf.float32)).numpy()
                bar.update(len(places))
        features.flush()
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
