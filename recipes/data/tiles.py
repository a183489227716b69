"""Images cut into tiles, which are shuffled, and put together again."""

from collections.abc import Sequence
from functools import partial
from math import isqrt
from typing import Any

import tensorflow as tf

from recipes.data.augment import draw_per_pixel
from recipes.data.image_batches import image_splits
from recipes.data.splits import Splits
from recipes.errors import DataError


def tile_splits(config: Any, data: Any, image_shape: tuple[int, ...]) -> Splits:
    """Returns the batches of `shuffled_tiles`, in an order of their own in each epoch; see `image_splits`.

    Args:
        config: Reads `tiles`, and what `image_splits` does.
        data: A user's own images; None: those of `config.dataset`, or the stand-in "digits".
        image_shape: H, W, C that images of varying size have where `config.image_shape` is None.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        raise DataError("data is Splits; expected images, which are then cut into tiles")
    pairing = partial(shuffled_tiles, tiles=config.tiles)
    return image_splits(config, data, standin="digits", image_shape=image_shape, pairing=pairing)


def shuffled_tiles(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, tiles: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (tiles in an order drawn for each image, in [0, 255], tiles in their own, in [0, 1]), (B, n, h, w, C).

    Args:
        images: (B, H, W, C) in [0, 255].
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        tiles: In a row and in a column.
    """
    in_place = cut(images, tiles)
    draws = draw_per_pixel(tf.random.stateless_uniform, in_place[:, :, 0, 0, 0], seed, worker, workers)  # (B, n)
    shuffled = tf.gather(in_place, tf.argsort(draws), batch_dims=1)
    return tf.ensure_shape(shuffled, in_place.shape), in_place / 255


def tile_shape(image_shape: Sequence[int], tiles: int) -> tuple[int, int, int]:
    """Returns h, w, C of the tiles of images; sides that cannot be shared out evenly are stretched before.

    >>> tile_shape((28, 28, 1), 3)
    (10, 10, 1)
    """
    height, width, channels = image_shape
    return -(-height // tiles), -(-width // tiles), channels


def cut(images: tf.Tensor, tiles: int) -> tf.Tensor:
    """Returns the tiles of images (B, H, W, C), row by row: (B, n, h, w, C) float32."""
    h, w, channels = tile_shape(images.shape[1:], tiles)
    images = tf.cast(images, tf.float32)
    if images.shape[1:3] != (tiles * h, tiles * w):
        images = tf.image.resize(images, (tiles * h, tiles * w))
    grid = tf.reshape(images, (-1, tiles, h, tiles, w, channels))
    return tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, tiles**2, h, w, channels))


def put_together(tiles: Any) -> tf.Tensor:
    """Returns the images (B, H, W, C) whose tiles, row by row, are (B, n, h, w, C): what `cut` cut."""
    n, h, w, channels = tiles.shape[1:]
    side = isqrt(n)
    grid = tf.reshape(tiles, (-1, side, side, h, w, channels))
    return tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, side * h, side * w, channels))


def of_orders(tiles: Any, indices: Any) -> tf.Tensor:
    """Returns the tiles (B, n, h, w, C) that stand at each position, by their indices (B, n)."""
    return tf.ensure_shape(tf.gather(tiles, indices, batch_dims=1), tiles.shape)
