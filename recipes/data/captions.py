"""Images with captions: token ids, and what stands for the image beside them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.caption_sources import find_captions
from recipes.data.free_memory import refuse_if_too_large
from recipes.data.in_memory import Columns, fingerprint, three_way
from recipes.data.labelled_texts import sequence_splits
from recipes.data.lazy_images import LazyImages
from recipes.data.own_data import plain_data, with_origin
from recipes.data.sentence_pairs import teacher_forcing_pair, with_end
from recipes.data.splits import Splits
from recipes.data.standins.scenes import SIZE
from recipes.data.text_batches import Column, with_follows
from recipes.data.text_parts import encode_in_parts, split_words
from recipes.data.tf_data import in_python
from recipes.data.tokenizers import START, Sentences, Tokenizer
from recipes.errors import DataError

LOOKED_AT = 100  # test images that are kept to be looked at


@dataclass(frozen=True)
class Gallery:
    """The images of a test split, to caption and to compare with people's captions."""

    inputs: np.ndarray  # (N, ...): what the model reads in place of them, or they themselves
    images: np.ndarray  # (n, H, W, 3) uint8: the first of them
    references: tuple[tuple[str, ...], ...]  # (N,): people's captions of each, words in small letters
    photographs: LazyImages  # (N,): all of them, decoded when they are asked for
    scenes: tuple[Any, ...] = ()  # of generated ones: (N,) what is there, `recipes.data.standins.scenes.Scene`


def caption_splits(
    config: Any,
    data: Any = None,
    tokenizer: Tokenizer | None = None,
    annotate: Callable[[LazyImages], np.ndarray] | None = None,
    batch: Callable[[np.ndarray], Callable[[tf.Tensor, tf.Tensor], tuple[Any, tf.Tensor]]] | None = None,
) -> Splits:
    """Returns batches of ((image, words (B, T)), following (B, T)), padded with 0 after their end; int32 words.

    `words` is the start and the caption, `following` the caption and the end; or what `batch` arranges. `image` is
    (B, H, W, 3) uint8, or what `annotate` makes of it. Generated scenes are not annotated: a network that is trained
    along reads them.

    Args:
        config: Reads `dataset`, `offline`, `validation_fraction`, `max_examples` (images), `image_size`,
            `sequence_length` (the most words of a caption), `vocab_size`, `batch_size` and `seed`.
        data: A user's own: Splits, a table (see `plain_data`), or see `find_captions`.
        tokenizer: A trained model's; None: words are learned from the training split.
        annotate: N images -> (N, ...) float, what the model reads in place of them.
        batch: What the model reads of all images, (N, ...) -> (captions (B, T) with their start and end, places of
            their images (B,)) -> a batch; None: `image_and_caption_batch`.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return _own_splits(data, config)
    arrays, info, images = find_captions(config, plain_data(data, config))
    info = with_origin(info, data)
    splits = three_way(arrays, config.validation_fraction, config.max_examples)
    size = config.image_size
    if info.name == "scenes":
        annotate, size = None, SIZE
        info = replace(info, follows={"encoder": "convnet", "image_size": size})
    used = images[np.unique(np.concatenate([split[0] for split in splits if split]))]
    if annotate is None:
        needed = len(used) * 3 * size**2
        refuse_if_too_large(f"{info.name} at image_size={size}", needed, "choose a smaller image_size")
    bank = used.stacked() if annotate is None else annotate(used)
    position_of = dict(zip(used.rows.tolist(), range(len(used)), strict=True))
    words = tokenizer or Sentences.learn([text for texts in splits[0][1] for text in texts], config.vocab_size)

    def columns(split: Columns) -> list[Column]:
        rows, captions = split[:2]
        token_ids = encode_in_parts(
            lambda texts: with_start_and_end(words, texts, config.sequence_length),
            [text for texts in captions for text in texts],
        )
        return [token_ids, np.repeat([position_of[row] for row in rows], [len(texts) for texts in captions])]

    info = replace(info, tokenizer=words, follows={**info.follows, "vocab_size": len(words.vocabulary)})
    batches = sequence_splits(config, info, splits, columns, (batch or image_and_caption_batch)(bank))
    with_images = fingerprint(batches.info.fingerprint, bank)
    rows, captions, *truth = splits[2]
    positions = np.array([position_of[row] for row in rows])
    gallery = Gallery(
        bank[positions],
        used[positions[:LOOKED_AT]].stacked(),
        tuple(tuple(text.decode() for text in in_words(texts)) for texts in captions),
        used[positions],
        tuple(truth[0]) if truth else (),
    )
    info = replace(batches.info, fingerprint=with_images)
    return replace(batches, info=info, originals=gallery, first_images=gallery.images)


def in_words(texts: Any) -> np.ndarray:
    """Returns texts as their words in small letters, with one space between two: (B,) to (B,) bytes."""
    return tf.strings.reduce_join(split_words(list(texts)), axis=-1, separator=" ").numpy()


def with_start_and_end(words: Tokenizer, texts: Any, sequence_length: int) -> tf.RaggedTensor:
    """Returns START, the words of each text, at most so many, and END: (B,) string to (B, None) int32."""
    token_ids = with_end(words, texts, sequence_length)
    return tf.concat([tf.fill((token_ids.nrows(), 1), START), token_ids], 1)


def image_and_caption_batch(bank: np.ndarray) -> Callable[[tf.Tensor, tf.Tensor], tuple[Any, tf.Tensor]]:
    """Returns the function (captions (B, T + 1), positions (B,)) -> ((image, captions less the last), less the first).

    Args:
        bank: (N, ...) images, or what stands for them.
    """
    images_at = rows_of(bank)

    def arrange(captions: tf.Tensor, positions: tf.Tensor) -> tuple[Any, tf.Tensor]:
        captions = captions[:, : tf.reduce_max(tf.math.count_nonzero(captions, 1))]  # no padding that all have
        return teacher_forcing_pair(images_at(positions), captions)

    return arrange


def rows_of(bank: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function positions (B,) -> rows of a bank, (B, ...) float32, or uint8 of integers, in a graph.

    Args:
        bank: (N, ...) images, or what stands for them; one that is read from a disk is, batch by batch.
    """
    on_disk = isinstance(bank, np.memmap)
    held = None if on_disk else tf.constant(bank)
    shape, dtype = bank.shape[1:], tf.float32 if np.issubdtype(bank.dtype, np.floating) else tf.uint8

    def rows_at(positions: tf.Tensor) -> tf.Tensor:
        if not on_disk:
            return tf.cast(tf.gather(held, positions), dtype)
        rows = in_python(lambda places: bank[places].astype(np.float32), [positions], tf.float32)
        return tf.ensure_shape(rows, (None, *shape))

    return rows_at


def _own_splits(splits: Splits, config: Any) -> Splits:
    """Returns a user's own Splits with what the config must follow, refusing those that do not fit."""
    spec = splits.train.element_spec
    ranks = tf.nest.map_structure(lambda part: part.shape.rank, spec)
    if ranks not in (((3, 2), 2), ((4, 2), 2)):
        raise DataError(
            f"train holds {spec}; expected batches of ((image (B, H, W, 3) or annotations (B, L, D), words (B, T)), "
            "following (B, T))"
        )
    return with_follows(splits, config)
