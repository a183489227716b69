"""Test-time augmentation: an image that a model doubts is classified by the mean of what it says to six views of it."""

from typing import Any

import tensorflow as tf

#: How far the views are moved, in pixels, down and to the right.
SHIFTS = ((0, 0), (-1, -1), (1, 1))
#: The probability of its class from which an image is not looked at again.
SURE = 0.8


def logits_of_views(model: Any, images: tf.Tensor) -> tf.Tensor:
    """Returns a model's logits of images (B, V), float32; of those it is less than SURE of, the mean of six views'.

    The views are the image as it is, moved by a pixel up to the left, and down to the right, with the edges reflected,
    and each of them mirrored. All count alike, and only doubtful images are seen in all of them, as in
    https://github.com/hiverge/cifar10-speedrun, which takes the least certain quarter. In K. Jordan (2024), section
    3.5, "multi-crop", https://arxiv.org/abs/2404.00498, all images are, and what is not moved counts twice.

    Args:
        model: (B, H, W, C) to logits (B, V).
        images: (B, H, W, C).
    """

    def logits(view: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(tf.ensure_shape(view, [None, *images.shape[1:]]), training=False), tf.float32)

    def in_doubt() -> tf.Tensor:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        padded = tf.pad(tf.gather_nd(images, places), [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
        moved = [padded[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width] for down, right in SHIFTS]
        views = [view for one in moved for view in (one, one[:, :, ::-1])]
        mean = tf.add_n([tf.gather_nd(first, places), *map(logits, views[1:])]) / len(views)
        return tf.tensor_scatter_nd_update(first, places, mean)

    first = logits(images)
    places = tf.where(tf.reduce_max(tf.nn.softmax(first), -1) < SURE)  # (doubtful, 1)
    return tf.cond(tf.size(places) > 0, in_doubt, lambda: first)  # convolutions take no empty batch


def accuracy_over_views(model: Any, test: tf.data.Dataset) -> float:
    """Returns the share of a split's examples whose label has the highest of the `logits_of_views`."""

    @tf.function(input_signature=[test.element_spec[0], test.element_spec[1]])
    def right(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        classes = labels if labels.shape.rank == 1 else tf.argmax(labels, -1)
        guesses = tf.argmax(logits_of_views(model, images), -1)
        return tf.reduce_sum(tf.cast(guesses == tf.cast(classes, guesses.dtype), tf.int64))

    counts = [(int(right(images, labels)), len(labels)) for images, labels, *_ in test]
    return sum(correct for correct, _ in counts) / sum(count for _, count in counts)
