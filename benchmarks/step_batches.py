"""A batch for each recipe that trains a network on batches: what its own data looks like, and drawn at random.

Texts have the lengths of an average batch of the real data: 224 words of a review, 24 and 23 pieces of a sentence pair
(a third of them padding), 12 words of a caption.
"""

from typing import Any

import numpy as np

REVIEW, SOURCE, TARGET, CAPTION = (209, 224), (9, 24), (8, 23), (10, 12)  # the shortest and the longest of a batch
FIRST_WORD = 4  # ids below are padding, unknown, start, end
PLACES, ANNOTATION = 49, 320  # of EfficientNet-Lite0 on images of 224x224


def batch_of(name: str, config: Any, sizes: Any) -> list[np.ndarray]:
    """Returns what a training step of a recipe takes, inputs first, the target last.

    Args:
        name: Of the recipe.
        config: Its settings.
        sizes: Those of its data.
    """
    rng, size = np.random.default_rng(0), config.batch_size
    vocab_size = sizes.vocab_size

    def words(shape: tuple[int, ...]) -> np.ndarray:
        """Few of them often, as in texts."""
        return np.exp(rng.uniform(np.log(FIRST_WORD), np.log(vocab_size), shape)).astype(np.int32)

    def texts(lengths: tuple[int, int]) -> np.ndarray:
        """Of lengths between two, one of the longest, with 0 after their end."""
        length = rng.integers(lengths[0], lengths[1] + 1, (size, 1))
        length[0] = lengths[1]
        return np.where(np.arange(lengths[1]) < length, words((size, lengths[1])), 0).astype(np.int32)

    def following(token_ids: np.ndarray) -> np.ndarray:
        """Each word's next, where there is a word."""
        return np.where(token_ids > 0, words(token_ids.shape), 0).astype(np.int32)

    if name in ("imdb_lstm", "imdb_transformer"):
        return [texts(REVIEW), rng.integers(0, sizes.num_classes, size, np.int32)]
    if name in ("shakespeare_lstm", "shakespeare_gpt"):
        windows = rng.integers(2, vocab_size, (size, config.sequence_length + 1), np.int32)
        return [windows[:, :-1], windows[:, 1:]]
    if name in ("translate_seq2seq", "translate_transformer"):
        target = texts(TARGET)
        return [texts(SOURCE), target, following(target)]
    if name == "show_attend_tell":
        caption = texts(CAPTION)
        return [rng.normal(size=(size, PLACES, ANNOTATION)).astype(np.float32), caption, following(caption)]
    if name == "word2vec":
        offsets = np.r_[-config.window : 0, 1 : config.window + 1]
        around = np.where(np.abs(offsets) <= rng.integers(1, config.window + 1, (size, 1)), 1, -1)
        labels = np.concatenate([around, np.zeros((size, config.negatives), int)], 1).astype(np.int32)
        return [words((size,)), words(labels.shape), labels]
    images = rng.integers(0, 256, (size, *sizes.image_shape), np.uint8)
    if name in ("mnist_autoencoder", "mnist_vae"):
        pixels = (images > 127).astype(np.float32)
        return [255 * pixels, pixels]
    return [images, rng.integers(0, sizes.num_classes or 10, size, np.int32)]
