"""Data for when the real thing cannot be had: generated or packaged, from a seed, and never in silence.

`shapes` stands in for photographs: 32x32 colour scenes of ten shape classes. Position, size, rotation, colours,
lighting and noise vary, so that pixels alone say little: softmax regression got 14 % of the test scenes, the default
network of cifar_convnet 99.9 % after 10 epochs (and 21 % while its logits were too large at the start). `digits` stands
in for MNIST: the 1,797 real handwritten digits (8x8 pixels, from 43 people) that come with scikit-learn, enlarged to
28x28; softmax regression reached 95.8 %, mnist_dense 98.3 % (`benchmarks/standins.py`).
"""

import numpy as np
import tensorflow as tf

from recipes.data.in_memory import Arrays, Columns

SHAPES = ("bar", "circle", "crescent", "cross", "pentagon", "ring", "semicircle", "square", "star", "triangle")


def shapes(train: int = 4000, test: int = 1000, seed: int = 0) -> Arrays:
    """Returns generated scenes of one coloured shape each.

    Args:
        train: Number of training examples.
        test: Number of test examples, drawn apart from the training examples.
        seed: The same seed gives the same scenes.
    """
    return Arrays(draw_scenes(train, seed), None, draw_scenes(test, seed + 1_000_003), SHAPES)


def digits() -> Arrays:
    """Returns scikit-learn's handwritten digits as (28, 28, 1) uint8 images: 1,437 for training, 360 for testing."""
    from sklearn.datasets import load_digits

    packaged = load_digits()
    small = packaged.images[..., np.newaxis] * (255 / 16)  # (1797, 8, 8, 1), [0, 255]
    images = tf.image.resize(small, (28, 28), method="bilinear").numpy().round().astype(np.uint8)
    labels = packaged.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    return Arrays((images[train], labels[train]), None, (images[test], labels[test]), tuple("0123456789"))


def draw_scenes(count: int, seed: int, size: int = 32) -> Columns:
    """Returns (images, labels): (count, size, size, 3) uint8 and (count,) int32, the index in SHAPES."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(SHAPES), count).astype(np.int32)
    radius = rng.uniform(0.22, 0.4, (count, 1, 1)) * size  # pixels
    centre = rng.uniform(0.36, 0.64, (2, count, 1, 1)) * size
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    dy, dx = (rows - centre[0]) / radius, (columns - centre[1]) / radius  # (count, size, size), in radii
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx

    distance = np.empty((count, size, size), np.float32)  # to the outline, in radii; negative inside
    for index, name in enumerate(SHAPES):
        chosen = labels == index
        distance[chosen] = outline_distance(name, u[chosen], v[chosen])
    coverage = np.clip(0.5 - distance * radius, 0, 1)[..., np.newaxis]  # soft over one pixel

    ground, paint = rng.uniform(0, 255, (2, count, 1, 1, 3))
    too_close = np.abs(ground - paint).sum(-1, keepdims=True) < 200
    paint = np.where(too_close, (paint + 128) % 256, paint)
    slope = rng.uniform(-40, 40, (2, count, 1, 1, 3))  # lighting, from edge to edge
    light = slope[0] * (rows / size - 0.5)[..., np.newaxis] + slope[1] * (columns / size - 0.5)[..., np.newaxis]
    noise = rng.normal(0, 12, (count, size, size, 3))
    images = ground + coverage * (paint - ground) + light + noise
    return np.clip(images, 0, 255).round().astype(np.uint8), labels


def outline_distance(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns the signed distance (about) to the outline of a shape of radius 1 at the points (u, v)."""
    r, theta = np.hypot(u, v), np.arctan2(v, u)

    def box(half_width: float, half_height: float) -> np.ndarray:
        return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)

    def polygon(corners: int) -> np.ndarray:
        half = np.pi / corners
        return r * np.cos(np.mod(theta, 2 * half) - half) - np.cos(half)

    match name:
        case "bar":
            return box(1.0, 0.3)
        case "circle":
            return r - 0.9
        case "crescent":
            return np.maximum(r - 1.0, 0.8 - np.hypot(u - 0.55, v))
        case "cross":
            return np.minimum(box(1.0, 0.3), box(0.3, 1.0))
        case "pentagon":
            return polygon(5)
        case "ring":
            return np.abs(r - 0.75) - 0.22
        case "semicircle":
            return np.maximum(r - 1.0, v - 0.1)
        case "square":
            return box(0.8, 0.8)
        case "star":
            spike = np.abs(np.mod(theta * 5 / (2 * np.pi), 1) * 2 - 1)  # 1 at a point, 0 between two
            return r - (0.4 + 0.65 * spike)
        case "triangle":
            return polygon(3)
    raise ValueError(f"unknown shape {name!r}; expected one of {', '.join(SHAPES)}")
