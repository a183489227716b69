"""Augmentation of whole batches, drawn from a seed: the same seed gives the same batch."""

from collections.abc import Callable

import tensorflow as tf


def crop_and_flip(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, padding: int, flip: bool = True
) -> tf.Tensor:
    """Returns each image shifted by up to `padding` pixels and, for about every other one, mirrored left to right.

    Args:
        images: (B, H, W, C) of any dtype.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        padding: Pixels that are added on each side, by reflection, before a crop of the old size; less than H and W.
        flip: Whether to mirror.

    He et al. (2015), section 4.2, who pad 4 pixels of zeros; https://arxiv.org/abs/1512.03385.
    """
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    draws = tf.random.stateless_uniform((3, workers * batch, 1), seed, maxval=2**30, dtype=tf.int32)
    draws = draws[:, worker * batch : (worker + 1) * batch]
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]], mode="REFLECT")
    rows = draws[0] % (2 * padding + 1) + tf.range(height)  # (B, H)
    columns = draws[1] % (2 * padding + 1) + tf.range(width)  # (B, W)
    if flip:
        columns = tf.where(draws[2] % 2 == 0, columns, columns[:, ::-1])
    shifted = tf.gather(padded, rows, axis=1, batch_dims=1)
    moved = tf.gather(shifted, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(moved, images.shape)


def draw_per_pixel(
    draw: Callable[..., tf.Tensor], images: tf.Tensor, seed: tf.Tensor, worker: int, workers: int
) -> tf.Tensor:
    """Returns a random number for each pixel of this worker's images, of those drawn for the whole batch.

    Args:
        draw: (shape, seed) -> random numbers, such as `tf.random.stateless_normal`.
        images: (B, H, W, C), this worker's part of a batch.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut.
    """
    count = tf.shape(images)[0]
    shape = tf.concat([[workers * count], tf.shape(images)[1:]], 0)
    return draw(shape, seed)[worker * count : (worker + 1) * count]
