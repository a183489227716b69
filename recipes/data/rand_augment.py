"""RandAugment: two operations, drawn for each image, of one strength. Whole batches, drawn from a seed.

Keras's RandAugment draws from a state of its own, so what a batch becomes would depend on what came before it.
"""

import math
from collections.abc import Callable

import tensorflow as tf

OPERATIONS_OF_AN_IMAGE = 2

#: (images (n, H, W, C) float32 in [0, 255], strengths (n,) in [-1, 1]) -> images, which may leave that range
Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def rand_augment(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, strength: float
) -> tf.Tensor:
    """Returns each image changed by two operations, drawn for it; about half go the other way, where they have one.

    The 14 operations and their greatest strengths are those of Cubuk et al. (2020), https://arxiv.org/abs/1909.13719,
    figure 2, and of AutoAugment, https://arxiv.org/abs/1805.09501, table 6. What comes in from outside of an image is
    its reflection, as of `crop_and_flip`.

    Args:
        images: (B, H, W, C) in [0, 255]; integers are rounded to. 1 channel or 3.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        strength: In (0, 1]; 1 is the paper's magnitude of 10 in 10.
    """
    count = tf.shape(images)[0]
    seed = tf.random.experimental.stateless_fold_in(seed, 3)
    draws = tf.random.stateless_uniform(
        (2, OPERATIONS_OF_AN_IMAGE, workers * count), seed, maxval=2**30, dtype=tf.int32
    )
    draws = draws[:, :, worker * count : (worker + 1) * count]
    operations = list(OPERATIONS.values())
    x = tf.cast(images, tf.float32)
    for which, sign in zip(tf.unstack(draws[0] % len(operations)), tf.unstack(draws[1] % 2), strict=True):
        strengths = strength * (1 - 2 * tf.cast(sign, tf.float32))  # (B,)
        parts = tf.dynamic_partition(x, which, len(operations))
        parts_strengths = tf.dynamic_partition(strengths, which, len(operations))
        places = tf.dynamic_partition(tf.range(count), which, len(operations))
        changed = [do(part, each) for do, part, each in zip(operations, parts, parts_strengths, strict=True)]
        x = tf.clip_by_value(tf.dynamic_stitch(places, changed), 0, 255)
    x = tf.cast(tf.round(x) if images.dtype.is_integer else x, images.dtype)
    return tf.ensure_shape(x, images.shape)


# ---------------------------------------------------------------- where pixels are


def transformed(images: tf.Tensor, rows: list[tf.Tensor | float]) -> tf.Tensor:
    """Returns images whose pixel (x, y), from the middle, is that at (a x + b y + c, d x + e y + f) before.

    Args:
        images: (n, H, W, C)
        rows: a, b, c, d, e, f, each (n,) or a number.
    """
    count, size = tf.shape(images)[0], tf.shape(images)[1:3]
    a, b, c, d, e, f = (tf.broadcast_to(tf.cast(value, tf.float32), (count,)) for value in rows)
    height, width = tf.unstack(tf.cast(size, tf.float32))
    x, y = (width - 1) / 2, (height - 1) / 2
    zeros = tf.zeros((count,))
    matrix = [a, b, c + x - a * x - b * y, d, e, f + y - d * x - e * y, zeros, zeros]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(matrix, axis=1),
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def rotate(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Turns by up to 30 degrees."""
    angle = strengths * math.radians(30)
    return transformed(images, [tf.cos(angle), -tf.sin(angle), 0.0, tf.sin(angle), tf.cos(angle), 0.0])


def shear_x(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Shifts each row by up to 0.3 times its distance from the middle."""
    return transformed(images, [1.0, 0.3 * strengths, 0.0, 0.0, 1.0, 0.0])


def shear_y(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Shifts each column likewise."""
    return transformed(images, [1.0, 0.0, 0.0, 0.3 * strengths, 1.0, 0.0])


def translate_x(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Shifts by up to 0.45 of the width."""
    return transformed(images, [1.0, 0.0, 0.45 * strengths * tf.cast(tf.shape(images)[2], tf.float32), 0.0, 1.0, 0.0])


def translate_y(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Shifts by up to 0.45 of the height."""
    return transformed(images, [1.0, 0.0, 0.0, 0.0, 1.0, 0.45 * strengths * tf.cast(tf.shape(images)[1], tf.float32)])


# ---------------------------------------------------------------- what pixels are


def identity(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Changes nothing."""
    return images


def auto_contrast(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Stretches each channel to [0, 255]; a channel of one value stays."""
    low, high = tf.reduce_min(images, (1, 2), keepdims=True), tf.reduce_max(images, (1, 2), keepdims=True)
    return tf.where(high > low, (images - low) * 255 / tf.maximum(high - low, 1e-6), images)


def equalize(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Gives each channel's levels equally many pixels: of N, a pixel is the share that is no brighter."""
    count, height, width, channels = tf.unstack(tf.shape(images))
    values = tf.reshape(tf.transpose(tf.round(images), [0, 3, 1, 2]), (count * channels, height * width))
    ordered = tf.sort(values, axis=-1)
    no_brighter = tf.cast(tf.searchsorted(ordered, values, side="right"), tf.float32)  # (n C, H W), 1 to N
    darkest = tf.reduce_min(no_brighter, -1, keepdims=True)
    pixels = tf.cast(height * width, tf.float32)
    levels = tf.where(darkest < pixels, (no_brighter - darkest) * 255 / tf.maximum(pixels - darkest, 1), values)
    return tf.transpose(tf.reshape(levels, (count, channels, height, width)), [0, 2, 3, 1])


def solarize(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Inverts what is above a threshold, of 256 down to 0."""
    threshold = 256 * (1 - tf.abs(strengths))[:, None, None, None]
    return tf.where(images < threshold, images, 255 - images)


def posterize(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Keeps the first of a pixel's 8 bits, down to 4."""
    step = 2 ** tf.round(4 * tf.abs(strengths))[:, None, None, None]
    return tf.floor(images / step) * step


def blended(images: tf.Tensor, dull: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Returns images from 0.1 to 1.9 times as far from what they are without a quality."""
    return dull + (1 + 0.9 * strengths)[:, None, None, None] * (images - dull)


def color(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Changes saturation; of one channel nothing."""
    return blended(images, grey(images), strengths)


def contrast(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Changes contrast."""
    return blended(images, tf.reduce_mean(grey(images), (1, 2, 3), keepdims=True), strengths)


def brightness(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Changes brightness."""
    return blended(images, tf.zeros_like(images), strengths)


def sharpness(images: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Changes sharpness, against means of 3 x 3 pixels, the middle one five times; the edge stays."""
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])[:, :, None, None] / 13
    kernel = tf.tile(kernel, (1, 1, images.shape[-1], 1))
    smooth = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
    rows, columns = tf.range(tf.shape(images)[1]), tf.range(tf.shape(images)[2])
    inner = ((rows > 0) & (rows < rows[-1]))[:, None, None] & ((columns > 0) & (columns < columns[-1]))[None, :, None]
    return blended(images, tf.where(inner, smooth, images), strengths)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Returns the luminance, (n, H, W, 1), by ITU-R 601."""
    return images if images.shape[-1] != 3 else tf.tensordot(images, [0.299, 0.587, 0.114], 1)[..., None]


OPERATIONS: dict[str, Operation] = {
    function.__name__: function
    for function in (
        identity,
        auto_contrast,
        equalize,
        rotate,
        solarize,
        color,
        posterize,
        contrast,
        brightness,
        sharpness,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
    )
}
