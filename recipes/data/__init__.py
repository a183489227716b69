"""Sources of examples and the input pipeline. Knows no recipe."""

from recipes.data.augment import binary_pairs, crop_and_flip, noisy_pairs
from recipes.data.caption_sources import captions_for_testing
from recipes.data.captions import caption_splits
from recipes.data.images import decode_image
from recipes.data.language import character_splits, text_for_testing
from recipes.data.pipeline import image_splits, train_batches
from recipes.data.skipgrams import skipgram_splits, words_for_testing
from recipes.data.splits import DataInfo, Splits
from recipes.data.texts import labelled_text_splits, texts_for_testing
from recipes.data.translation import pairs_for_testing, translation_splits

__all__ = [
    "DataInfo",
    "Splits",
    "binary_pairs",
    "caption_splits",
    "captions_for_testing",
    "character_splits",
    "crop_and_flip",
    "decode_image",
    "image_splits",
    "labelled_text_splits",
    "noisy_pairs",
    "pairs_for_testing",
    "skipgram_splits",
    "text_for_testing",
    "texts_for_testing",
    "train_batches",
    "translation_splits",
    "words_for_testing",
]
