"""Labelled images in memory, before they are batched."""

import hashlib
from typing import Any, NamedTuple

import numpy as np

from recipes.errors import DataError

MOST_CLASSES = 100_000  # an index beyond is taken for a mistake
Pair = tuple[np.ndarray, np.ndarray]  # images (N, H, W, C) uint8 or float32, labels (N,) int32


class Arrays(NamedTuple):
    """Examples in memory, before they are split and batched."""

    train: Pair
    validation: Pair | None  # None: to be held out of train
    test: Pair | None  # None: likewise
    label_names: tuple[str, ...]


def from_arrays(data: Any) -> Arrays:
    """Returns a user's `(images, labels)`, or two or three such pairs, checked.

    Raises:
        DataError: Names what does not fit: the nesting, lengths, shapes, or labels that are no class indices.
    """
    expected = "expected a folder, (images, labels), ((images, labels), (images, labels)), or three such pairs"
    if not isinstance(data, (tuple, list)) or not 1 < len(data) < 4:
        raise DataError(f"data is a {type(data).__name__}; {expected}")
    pairs = list(data) if isinstance(data[0], (tuple, list)) and len(data[0]) == 2 else [tuple(data)]
    checked = []
    for pair in pairs:
        if len(pair) != 2:
            raise DataError(f"data holds {len(pair)} items where a pair (images, labels) was expected; {expected}")
        checked.append(_checked_pair(*pair))
    shapes = {images.shape[1:] for images, _ in checked}
    if len(shapes) > 1:
        raise DataError(f"the images of the splits differ in shape: {sorted(shapes)}; expected one shape")
    classes = 1 + max(int(labels.max()) for _, labels in checked)
    train, *rest = checked
    return Arrays(
        train,
        validation=rest[0] if len(rest) == 2 else None,
        test=rest[-1] if rest else None,
        label_names=tuple(map(str, range(max(2, classes)))),
    )


def hold_out(images: np.ndarray, labels: np.ndarray, fraction: float) -> tuple[Pair, Pair]:
    """Returns ((images, labels) kept, (images, labels) held out), chosen the same way every time."""
    order = np.random.default_rng(20090408).permutation(len(images))  # of no run's seed: runs share their splits
    held = round(len(images) * fraction)
    kept, out = order[held:], order[:held]
    return (images[kept], labels[kept]), (images[out], labels[out])


def _checked_pair(images: Any, labels: Any) -> Pair:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.number):
        raise DataError(f"images are {images.dtype} {images.shape}; expected numbers (N, H, W) or (N, H, W, C)")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if len(labels) != len(images) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels are {labels.dtype} {labels.shape}; expected one class index for each of the {len(images)} images"
        )
    if len(images) == 0:
        raise DataError("data holds no examples; expected at least one image in each split")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise DataError(
            f"labels lie in [{labels.min()}, {labels.max()}]; expected class indices from 0, less than {MOST_CLASSES:,}"
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 255) or (np.issubdtype(images.dtype, np.floating) and high <= 1):
        raise DataError(f"images lie in [{low:g}, {high:g}]; expected [0, 255] (the model does its own scaling)")
    return (images if images.dtype == np.uint8 else images.astype(np.float32)), labels.astype(np.int32)


def fingerprint(*arrays: np.ndarray) -> str:
    """Returns a short text that differs where any of the arrays differs in shape, type or content."""
    digest = hashlib.blake2b(digest_size=12)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
