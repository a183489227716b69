"""Test-time augmentation: an image is classified by the mean of what a model says to six views of it."""

from typing import Any

import tensorflow as tf

#: How far the shifted views are moved, in pixels, down and to the right.
SHIFTS = ((0, 0), (-1, -1), (1, 1))


def mean_logits(model: Any, images: tf.Tensor) -> tf.Tensor:
    """Returns the mean (B, V) float32 of a model's logits of six views of each image.

    They are the image as it is, moved by a pixel up to the left, and down to the right, with the edges reflected, and
    each of them mirrored. All count alike, as in https://github.com/hiverge/cifar10-speedrun; those that are not moved
    count twice in K. Jordan (2024), section 3.5, "multi-crop", https://arxiv.org/abs/2404.00498.

    Args:
        model: (B, H, W, C) to logits (B, V).
        images: (B, H, W, C).
    """
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
    total = tf.constant(0.0)
    for down, right in SHIFTS:
        view = padded[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        view = tf.ensure_shape(view, images.shape)
        for one in (view, view[:, :, ::-1]):
            total += tf.cast(model(one, training=False), tf.float32)
    return total / (2 * len(SHIFTS))


def accuracy_over_views(model: Any, test: tf.data.Dataset) -> float:
    """Returns the share of a split's examples whose label has the highest of the `mean_logits`."""

    @tf.function(input_signature=[test.element_spec[0], test.element_spec[1]])
    def right(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        classes = labels if labels.shape.rank == 1 else tf.argmax(labels, -1)
        guesses = tf.argmax(mean_logits(model, images), -1)
        return tf.reduce_sum(tf.cast(guesses == tf.cast(classes, guesses.dtype), tf.int64))

    counts = [(int(right(images, labels)), len(labels)) for images, labels, *_ in test]
    return sum(correct for correct, _ in counts) / sum(count for _, count in counts)
