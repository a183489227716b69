"""Sources of examples and the input pipeline. Knows no recipe."""

from recipes.data.augment import binary_pairs, crop_and_flip, noisy_pairs
from recipes.data.images import decode_image
from recipes.data.pipeline import image_splits, train_batches
from recipes.data.splits import DataInfo, Splits

__all__ = [
    "DataInfo",
    "Splits",
    "binary_pairs",
    "crop_and_flip",
    "decode_image",
    "image_splits",
    "noisy_pairs",
    "train_batches",
]
