"""Generated images of several shapes with the box of each, for when photographs with boxes cannot be had.

A group is one to six shapes of five kinds on a ground of another colour; position, size, rotation, colours and noise
vary. Boxes are those of the pixels that a shape covers by half and more.
"""

from typing import Any

import numpy as np

from recipes.data.in_memory import Arrays, Columns
from recipes.data.standins.images import outline_distance

SIZE = 96  # pixels of a side
CELL = 32  # pixels of a side of the part of the image that holds a shape
MOST = 6  # shapes in an image
KINDS = ("circle", "cross", "ring", "star", "triangle")


def groups(train: int = 1500, validation: int = 250, test: int = 250, seed: int = 0) -> Arrays:
    """Returns generated images with boxes: (images, boxes, labels) of each split; see `draw_groups`.

    Args:
        train: Number of training images.
        validation: Number of validation images.
        test: Number of test images.
        seed: The same seed gives the same images; splits are drawn apart.
    """
    parts = [draw_groups(count, seed + 1_000_003 * place) for place, count in enumerate((train, validation, test))]
    return Arrays(parts[0], parts[1], parts[2], KINDS)


def draw_groups(count: int, seed: int) -> Columns:
    """Returns (images (N, 96, 96, 3) uint8, boxes (N, 6, 4) float32, labels (N, 6) int32).

    A box is (y_min, x_min, y_max, x_max), shares of height and width; labels are places in KINDS, -1 where there is no
    more shape, whose box is zeros.
    """
    rng = np.random.default_rng(seed)
    rows, every = np.arange(count), np.mgrid[0:CELL, 0:CELL]
    labels = rng.integers(0, len(KINDS), (count, MOST)).astype(np.int32)
    labels[np.arange(MOST) >= rng.integers(1, MOST + 1, (count, 1))] = -1
    cells = rng.permuted(np.tile(np.arange((SIZE // CELL) ** 2), (count, 1)), axis=1)[:, :MOST]  # one shape in each
    radius = rng.uniform(8, 15, (count, MOST))
    ground = rng.uniform(40, 215, (count, 1, 1, 3))
    images = np.broadcast_to(ground, (count, SIZE, SIZE, 3)).astype(np.float32)
    boxes = np.zeros((count, MOST, 4), np.float32)
    for which in range(MOST):
        corner = CELL * np.stack(np.divmod(cells[:, which], SIZE // CELL), 1)
        size = radius[:, which, None, None]
        middle = CELL / 2 + rng.uniform(-1, 1, (2, count, 1, 1)) * (CELL / 2 - size)
        dy, dx = ((every[axis] + 0.5 - middle[axis]) / size for axis in (0, 1))
        angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
        u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        distance = np.full(u.shape, 9.0)  # to the outline, in radii
        for label, kind in enumerate(KINDS):
            chosen = labels[:, which] == label
            distance[chosen] = outline_distance(kind, u[chosen], v[chosen])
        coverage = np.clip(0.5 - distance * size, 0, 1)
        shift = rng.uniform(70, 128, (count, 1, 1, 3)) * rng.choice([-1, 1], (count, 1, 1, 3))
        y, x = (corner[:, axis, None, None] + every[axis] for axis in (0, 1))
        place = rows[:, None, None], y, x
        images[place] += coverage[..., None] * ((ground + shift) % 256 - images[place])
        boxes[:, which] = (corner[:, [0, 1, 0, 1]] + _extents(coverage >= 0.5)) / SIZE
    boxes[labels < 0] = 0
    images += rng.normal(0, 8, images.shape)
    return np.clip(images, 0, 255).round().astype(np.uint8), boxes, labels


def _extents(is_covered: Any) -> np.ndarray:
    """Returns (y_min, x_min, y_max, x_max), (N, 4), of the pixels (N, h, w) that are covered; of none, anything."""
    by_row, by_column = is_covered.any(2), is_covered.any(1)
    first = [each.argmax(1) for each in (by_row, by_column)]
    end = [each.shape[1] - each[:, ::-1].argmax(1) for each in (by_row, by_column)]
    return np.stack([*first, *end], 1)
