"""Augmentation of whole batches, drawn from a seed: the same seed gives the same batch."""

import math
from collections.abc import Callable

import tensorflow as tf

from recipes.errors import DataError


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


def jitter_light(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, brightness: float, contrast: float
) -> tf.Tensor:
    """Returns each image brighter or darker, and with more or less contrast, by numbers drawn for it.

        (x - 127.5 + brightness u) (1 + contrast v) + 127.5,   u, v ~ U(-1, 1)

    Args:
        images: (B, H, W, C) in [0, 255], to which it is clipped; integers are rounded to.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        brightness: The most that is added, in [0, 255].
        contrast: The most by which the difference from grey grows or shrinks, a share.
    """
    count = tf.shape(images)[0]
    seed = tf.random.experimental.stateless_fold_in(seed, 4)
    draws = tf.random.stateless_uniform((2, workers * count, 1, 1, 1), seed, minval=-1, maxval=1)
    shift, stretch = tf.unstack(draws[:, worker * count : (worker + 1) * count])
    x = tf.cast(images, tf.float32) - 127.5
    x = tf.clip_by_value((x + brightness * shift) * (1 + contrast * stretch) + 127.5, 0, 255)
    return tf.cast(tf.round(x) if images.dtype.is_integer else x, images.dtype)


def crop_and_mirror(
    images: tf.Tensor,
    seed: tf.Tensor,
    worker: int = 0,
    workers: int = 1,
    *,
    area: float,
    mirror: bool,
    proportions: float = 1.0,
) -> tf.Tensor:
    """Returns a part of each image at the size of the whole; about every other one is mirrored left to right.

    Args:
        images: (B, H, W, C) of any dtype; integers are rounded to.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        area: Its share of the image's area, at least; 0: no part is cut out.
        mirror: Whether to mirror.
        proportions: In its proportions it is so many times as wide, or as high, as the image, at most; 1: they stay.

    Szegedy et al. (2015), section 6, from 8 % of the area on, 4/3; https://arxiv.org/abs/1409.4842.
    """
    size = tf.shape(images)[0]

    def drawn(rows: int, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform((rows, workers * size), seed)[:, worker * size : (worker + 1) * size]

    draws = drawn(4, seed)
    height = width = tf.sqrt(area + (1 - area) * draws[0]) if area else tf.ones(size)
    if proportions > 1 and area:
        wider = proportions ** (drawn(1, tf.random.experimental.stateless_fold_in(seed, 6))[0] - 0.5)
        height, width = tf.minimum(height / wider, 1), tf.minimum(width * wider, 1)
    top, left = draws[1] * (1 - height), draws[2] * (1 - width)
    right = left + width
    is_mirrored = (draws[3] < 0.5) & mirror
    left, right = tf.where(is_mirrored, right, left), tf.where(is_mirrored, left, right)
    boxes = tf.stack([top, left, top + height, right], 1)
    parts = tf.image.crop_and_resize(images, boxes, tf.range(size), images.shape[1:3])
    return tf.cast(tf.round(parts) if images.dtype.is_integer else parts, images.dtype)


GREY = (0.299, 0.587, 0.114)  # of red, green and blue, in how light a colour is (ITU-R BT.601)


def jitter_colours(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, strength: float, grey: float
) -> tf.Tensor:
    """Returns four in five of the images in other colours, and some images without any.

    With strength s and draws u ~ U(-1, 1), brightness, contrast and saturation change by factors 1 + 0.8 s u, contrast
    around the mean grey of the image, saturation around the grey of each pixel, and hues turn by 0.2 s u of the circle;
    of images with one channel brightness and contrast alone. All four at once, in this order, as one matrix for each
    image; hues turn around the greys of the colour space YIQ, where Chen et al. (2020), appendix A,
    https://arxiv.org/abs/2002.05709, take the four in a random order, and HSV's hues.

    Args:
        images: (B, H, W, C) in [0, 255], to which it is clipped; integers are rounded to.
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        strength: s, in [0, 1].
        grey: Share of the images that lose their colours.
    """
    count, channels = tf.shape(images)[0], images.shape[-1]
    seed = tf.random.experimental.stateless_fold_in(seed, 5)
    draws = tf.random.stateless_uniform((6, workers * count), seed)[:, worker * count : (worker + 1) * count]
    changes = tf.where(draws[4] < 0.8, strength * (2 * draws[:4] - 1), 0.0)  # s u, (4, B)
    bright, contrast, saturation = tf.unstack(1 + 0.8 * changes[:3])
    x = tf.cast(images, tf.float32)
    weights = tf.constant(GREY if channels == 3 else [1 / channels] * channels)
    mean = tf.reduce_mean(tf.linalg.matvec(x, weights), (1, 2))  # (B,)
    matrix = tf.eye(channels, batch_shape=[count])
    if channels == 3:
        saturation = tf.where(draws[5] < grey, 0.0, saturation)[:, None, None]
        matrix = saturation * matrix + (1 - saturation) * weights  # each row is what a colour takes of the three
        matrix = tf.matmul(_hue_turns(0.2 * 2 * math.pi * changes[3]), matrix)
    matrix *= (bright * contrast)[:, None, None]
    x = tf.einsum("bhwc,bdc->bhwd", x, matrix) + ((1 - contrast) * bright * mean)[:, None, None, None]
    x = tf.clip_by_value(x, 0, 255)
    return tf.ensure_shape(tf.cast(tf.round(x) if images.dtype.is_integer else x, images.dtype), images.shape)


def _hue_turns(angle: tf.Tensor) -> tf.Tensor:
    """Returns matrices (B, 3, 3) of red, green and blue that turn hues by an angle (B,), in radians."""
    to_yiq = tf.constant([GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    one, cosine, sine = tf.ones_like(angle), tf.cos(angle), tf.sin(angle)
    rows = [(one, 0 * one, 0 * one), (0 * one, cosine, -sine), (0 * one, sine, cosine)]
    turn = tf.stack([tf.stack(row, -1) for row in rows], -2)
    return tf.matmul(tf.linalg.inv(to_yiq), tf.matmul(turn, to_yiq))


def mirror_in_turns(images: tf.Tensor, begins_mirrored: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """Returns each image mirrored left to right in every other epoch.

    Mirrored at random, an image would be seen in the same way in two epochs that follow each other every other time,
    and teach less: K. Jordan (2024), section 3.6, https://arxiv.org/abs/2404.00498.

    Args:
        images: (B, H, W, C).
        begins_mirrored: (B,) integer, 1 for those that are mirrored in epoch 0, and 0.
        epoch: Scalar integer.
    """
    mirrored = (tf.cast(begins_mirrored, epoch.dtype) + epoch) % 2 == 1
    return tf.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


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


def mix(
    columns: tuple[tf.Tensor, ...],
    seed: tf.Tensor,
    worker: int = 0,
    workers: int = 1,
    *,
    num_classes: int,
    mixup: float = 0.0,
    cutmix: float = 0.0,
) -> tuple[tf.Tensor, ...]:
    """Returns each image mixed with its neighbour, rows 0 and 1, 2 and 3, ..., and the label with its label.

    One share lambda ~ Beta(alpha, alpha) is drawn for the whole batch. With mixup, an image becomes lambda times itself
    plus 1 - lambda times its neighbour; with cutmix, a box of 1 - lambda of its area, at a place drawn for the batch,
    is the neighbour's, and lambda is what the box, cut at the edges, has left. With both, one of them is drawn for each
    batch. A batch is shuffled, so a neighbour is any other image; that it is next to it gives the same mixtures on any
    number of workers. The last of an odd number of images stays as it is.

    Zhang et al. (2018), https://arxiv.org/abs/1710.09412; Yun et al. (2019), algorithm A1,
    https://arxiv.org/abs/1905.04899.

    Args:
        columns: Images (B, H, W, C) in [0, 255], of which integers are rounded to; labels, (B,) integer class indices,
            or (B, ...) float, which are mixed as they are; and the examples' weights (B,), if they have any.
        seed: (2,) integer.
        worker: Which part of a batch these are.
        workers: In how many parts it was cut.
        num_classes: V, of class indices.
        mixup: alpha; 0: never.
        cutmix: alpha; 0: never.

    Returns:
        Images as they came; labels (B, V) float32, the probabilities of the classes, or as they came; and weights, with
        which the loss of a mixture is that of its two labels, each with its own weight.

    Raises:
        DataError: If a pair would be on two workers.
    """
    images, labels, *weights = columns
    batch, height, width, _ = images.shape
    if workers > 1 and batch is not None and batch % 2:
        raise DataError(
            f"mixup and cutmix mix pairs of images, and each of {workers} workers has {batch} of a batch; expected an "
            f"even number, such as batch_size={(batch + 1) * workers}"
        )
    if labels.dtype.is_integer and labels.shape.rank == 1:
        labels = tf.one_hot(labels, num_classes)  # (B, V)
    uniform = tf.random.stateless_uniform((3,), tf.random.experimental.stateless_fold_in(seed, 1))
    cuts = cutmix > 0 if not (mixup and cutmix) else uniform[0] < 0.5
    alpha = tf.where(cuts, cutmix or mixup, mixup or cutmix)
    gammas = tf.random.stateless_gamma(
        (2,), tf.random.experimental.stateless_fold_in(seed, 2), tf.cast(alpha, tf.float64), dtype=tf.float64
    )
    share = tf.cast(tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1]), tf.float32)  # lambda

    # what of each pixel is the image's own, (1, H, W, 1): 0 or 1 with cutmix
    side = tf.sqrt(1 - share)
    inside_rows = inside_interval(uniform[1], side, height)
    inside_columns = inside_interval(uniform[2], side, width)
    outside_box = 1 - tf.cast(inside_rows[:, None] & inside_columns[None, :], tf.float32)[None, :, :, None]
    own = tf.where(cuts, outside_box, share)
    share = tf.reduce_mean(own)

    index = tf.range(tf.shape(images)[0])
    neighbour = tf.minimum(tf.bitwise.bitwise_xor(index, 1), tf.shape(images)[0] - 1)
    pixels = tf.cast(images, tf.float32)
    mixed = own * pixels + (1 - own) * tf.gather(pixels, neighbour)
    mixed = tf.cast(tf.round(mixed) if images.dtype.is_integer else mixed, images.dtype)
    mixed = tf.ensure_shape(mixed, images.shape)
    if not weights:
        return mixed, share * labels + (1 - share) * tf.gather(labels, neighbour)
    own_weight = share * tf.cast(weights[0], tf.float32)
    other_weight = (1 - share) * tf.gather(tf.cast(weights[0], tf.float32), neighbour)
    weight = own_weight + other_weight
    own_part = tf.reshape(tf.math.divide_no_nan(own_weight, weight), (-1, *[1] * (labels.shape.rank - 1)))
    return mixed, own_part * labels + (1 - own_part) * tf.gather(labels, neighbour), weight


def inside_interval(centre: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Returns which of `size` pixels are in an interval, (size,) bool; centre and length are shares of the size."""
    middle, half = tf.floor(centre * size), tf.floor(tf.floor(length * size) / 2)
    pixels = tf.range(size, dtype=tf.float32)
    return (pixels >= middle - half) & (pixels < middle + half)
