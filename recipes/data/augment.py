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


def noisy_pairs(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, noise: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (images with noise in [0, 255], images in [0, 1]), both (B, H, W, C) float32, for a denoiser.

    Args:
        images: (B, H, W, C) in [0, 255].
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the noise is that of the whole batch.
        noise: Standard deviation as a share of the full range.
    """
    images = tf.cast(images, tf.float32)
    own = seed + tf.constant([0, 1], seed.dtype)  # not that of the other augmentation
    drawn = _drawn(tf.random.stateless_normal, images, own, worker, workers)
    noisy = tf.clip_by_value(images + 255 * noise * drawn, 0, 255) if noise else images
    return tf.ensure_shape(noisy, images.shape), images / 255


def binary_pairs(images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (pixels 0 or 255, pixels 0 or 1), (B, H, W, C) float32, each drawn with its brightness as probability.

    Args:
        images: (B, H, W, C) in [0, 255].
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.

    Salakhutdinov and Murray (2008), section 5.2; https://doi.org/10.1145/1390156.1390266.
    """
    own = seed + tf.constant([0, 2], seed.dtype)  # not that of the other augmentation
    drawn = _drawn(tf.random.stateless_uniform, images, own, worker, workers)
    pixels = tf.ensure_shape(tf.cast(drawn < tf.cast(images, tf.float32) / 255, tf.float32), images.shape)
    return 255 * pixels, pixels


def _drawn(draw: Callable[..., tf.Tensor], images: tf.Tensor, seed: tf.Tensor, worker: int, workers: int) -> tf.Tensor:
    """Returns a number for each pixel of this worker's images, of those drawn for the whole batch."""
    count = tf.shape(images)[0]
    shape = tf.concat([[workers * count], tf.shape(images)[1:]], 0)
    return draw(shape, seed)[worker * count : (worker + 1) * count]
