"""Photographs found by what people say of them: texts and photographs as vectors in one space.

Kiros, Salakhutdinov and Zemel, "Unifying Visual-Semantic Embeddings with Multimodal Neural Language Models" (2014),
https://arxiv.org/abs/1411.2539, section 2: a text encoder reads a caption, a matrix reads the features that a
convolutional network makes of a photograph, and both end in unit vectors, t and v, of one space. Their cosine s = v . t
is to be high where the caption is of the photograph, and low where it is not. Of a batch of N pairs each caption is
wrong for the other photographs, and each photograph for the other captions, so both are asked which is theirs:

    loss = - 1/(2N) sum_n [ log softmax_m(s_nm / tau)_n + log softmax_m(s_mn / tau)_n ]

the contrastive loss of CLIP, Radford et al. (2021), section 2.3, https://arxiv.org/abs/2103.00020; the temperature tau
is learned. Two captions of one photograph are both right: where both are in a batch, the other one is left out of the
sum. `align` puts photographs to the sentences of a story in their order, a simple case of Zhu et al. (2015), "Aligning
Books and Movies", https://arxiv.org/abs/1506.06724, whose sentences are embedded likewise.

The data is Flickr8k, Hodosh et al. (2013), https://www.jair.org/index.php/jair/article/view/10833. What differs from
Kiros et al.: this loss for a margin between pairs (their section 2.2); a caption is read as a set of words, the means
and the highest values of their vectors, which trains in minutes (`reader="gru"` reads their order, in both
directions, where they have an LSTM); word vectors are learned along, not taken from a larger text; EfficientNet-Lite0,
the means of its last features, of photographs that were squashed to 128x128 pixels, not VGG-19 of full size; AdamW and
dropout of words, vectors and features. From CLIP: a batch has 256 pairs, not 32,768, and features are frozen.

Result: on the 1,000 test photographs and their 5,000 captions, recall at 1, 5 and 10 of 17.1 ± 0.2, 42.6 ± 0.4 and
56.6 ± 0.2 % from a caption to its photograph (median rank 8), and of 22.6 ± 0.8, 48.2 ± 1.1 and 61.8 ± 1.3 % from a
photograph to any of its captions (median rank 6); 3 seeds, float32, about 3 minutes each on two cores beside other
work, once the features are computed. Kiros et al. have 12.5 and 18.0 % at 1. `reader="gru"`: not measured.
Command: `python benchmarks/accuracy.py flickr_search --seeds 0 1 2`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from recipes.data.splits import Sizes, Splits
from recipes.devices.replicas import first_row, of_all_replicas, replicas_here
from recipes.errors import DataError
from recipes.kinds.text_image_search import TextImageSearch, describe_photo, embed_either, search_photos, towers_of
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.recurrent import GRU
from recipes.optimization.optimizers import AdamW, warmup_cosine
from recipes.settings import CaptionedImages, Count, Counts, NotNegative, Positive, Share, ValidationShare, VocabSize
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


Encoder = Literal["efficientnet_lite0", "efficientnet_v2_b0", "vgg19", "convnet"]


@dataclass(frozen=True)
class Config(CaptionedImages):
    """Settings of flickr_search. Change them by name: `fit(epochs=5)`, `recipes fit flickr_search --epochs 5`."""

    # data
    dataset: str = "flickr8k"  # "flickr8k", "scenes", or a tensorflow-datasets set with an "image" and "captions"
    validation_fraction: ValidationShare = 0.1  # share held out where the data set has no validation split
    image_size: Annotated[int, Field(ge=8)] = 224  # pixels of a side that images are resized to; "scenes": 56
    sequence_length: Count = 30  # most words of a caption
    vocab_size: VocabSize = 3_000  # most words that are learned
    # model
    encoder: Encoder = "efficientnet_lite0"  # network that makes features, computed once; "convnet" is trained along
    filters: Counts = (32, 64, 128)  # of "convnet", which is trained along; each halves the image
    reader: Literal["words", "gru"] = "words"  # a caption is a set of words, or a sequence for a GRU in both directions
    embed_dim: Count = 300  # width of a word's vector
    units: Count = 1024  # width of the hidden layer over the words; of the GRU, in each direction
    joint_dim: Count = 512  # width of the space of texts and photographs, D
    word_dropout: Share = 0.1  # share of a caption's words that are left out
    dropout: Share = 0.3  # dropout of word vectors, and before both projections
    temperature: Positive = 0.07  # tau that training begins with, of a cosine; it is learned
    # training
    batch_size: Count = 256
    epochs: Count = 12
    learning_rate: Positive = 1e-3  # AdamW's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.05  # share of the steps in which the rate climbs
    weight_decay: NotNegative = 1e-4  # share of each weight taken off per step, times the rate

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_without_effect("in_memory", "its images are read as they are needed, its captions kept in memory")
        if self.encoder != "convnet":
            self.refuse_without_effect("filters", f"encoder={self.encoder!r} has its own")


TINY = Config(
    dataset="scenes",
    encoder="convnet",
    image_size=56,
    filters=(4, 4, 8),
    sequence_length=12,
    embed_dim=8,
    units=8,
    joint_dim=8,
    batch_size=32,
    epochs=1,
    learning_rate=3e-4,
    max_examples=64,
    precision="float32",
)

# ---------------------------------------------------------------- data

FLICKR8K = Sizes(train_examples=30_000, vocab_size=3_000)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the batches ((photo, words (B, T)), number (B,)): int32 words, 0 after their end.

    `photo` is the features (B, F) float32 of a pretrained encoder, else (B, H, W, 3) uint8; captions of one photograph
    have the same `number`, int32. `data` may be your own: `(images, captions)`, a text file of
    "photo.jpg<tab>caption" lines, two or three of either (training, (validation,) test), a table, or Splits; images are
    (N, H, W, 3) in [0, 255] or paths of files. With a trained model's `tokenizer` captions are read as that model
    reads.
    """
    from recipes.data.captions import caption_splits
    from recipes.pretrained.encoders import features_once

    if isinstance(data, Splits):
        return own_splits(data, config)
    features = None if config.encoder == "convnet" else partial(features_once, config.encoder, config.image_size)
    return caption_splits(config, data, tokenizer, features, photo_and_caption_batch)


def photo_and_caption_batch(bank: np.ndarray) -> Callable[[tf.Tensor, tf.Tensor], tuple[Any, tf.Tensor]]:
    """Returns the function (captions (B, T), numbers (B,)) -> ((photo (B, ...), captions), numbers); int32.

    Args:
        bank: (N, ...) photographs, or their features.
    """
    from recipes.data.captions import rows_of

    photos_at = rows_of(bank)

    def arrange(captions: tf.Tensor, numbers: tf.Tensor) -> tuple[Any, tf.Tensor]:
        return (photos_at(numbers), captions), tf.cast(numbers, tf.int32)

    return arrange


def own_splits(splits: Splits, config: Config) -> Splits:
    """Returns a user's own Splits with what the config must follow, refusing those that do not fit."""
    from recipes.data.text_batches import with_follows

    spec = splits.train.element_spec
    ranks = tf.nest.map_structure(lambda part: part.shape.rank, spec)
    if ranks not in (((2, 2), 1), ((4, 2), 1)):
        raise DataError(
            f"train holds {spec}; expected batches of ((photo (B, H, W, 3) or features (B, F), words (B, T)), number "
            "(B,) of the photograph)"
        )
    return with_follows(splits, config)


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = FLICKR8K) -> keras.Model:
    """Returns the compiled model from [features (B, F) or photographs (B, H, W, 3) in [0, 255], words (B, T)].

    Its outputs are {"photo": v, "text": t}, unit vectors (B, D) float32.
    """
    photo, features = read_photo(config)
    words = keras.Input((None,), dtype="int32", name="words")

    x = layers.Embedding(sizes.vocab_size, config.embed_dim, mask_zero=True, name="embedding")(words)  # (B, T, M)
    x = layers.Dropout(config.word_dropout, noise_shape=(None, None, 1))(x)  # whole words
    x = layers.Dropout(config.dropout)(x)
    if config.reader == "gru":
        x = layers.Bidirectional(GRU(config.units, return_sequences=True), name="reader")(x)  # (B, T, 2 units)
        x = OverWords(name="over_words")(x, words)
    else:
        x = OverWords(name="over_words")(x, words)  # (B, 2 M)
        x = layers.Dense(config.units, activation="relu", name="reader")(x)
    text = unit_vectors(layers.Dropout(config.dropout)(x), config.joint_dim, "text")

    x = layers.LayerNormalization(dtype="float32", name="normalized")(features)
    vector = unit_vectors(layers.Dropout(config.dropout)(x), config.joint_dim, "photo")

    model = TwoTowers([photo, words], {"photo": vector, "text": text}, name="flickr_search")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(AdamW(rate, weight_decay=config.weight_decay), contrast=Contrast(config.temperature))
    return model


def read_photo(config: Config) -> tuple[Any, Any]:
    """Returns (the input of the model, the features (B, F)): of a pretrained encoder, or of a small convnet."""
    if config.encoder != "convnet":
        from recipes.pretrained.encoders import BACKBONES

        features = keras.Input((BACKBONES[config.encoder].maps_width,), name="features")
        return features, features
    image = x = keras.Input((config.image_size, config.image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in config.filters:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(padding="same")(layers.Activation("relu")(BatchNormalization()(x)))
    return image, layers.Flatten(name="features")(x)  # with its places, which a scene's caption tells


def unit_vectors(x: Any, dim: int, name: str) -> Any:
    """Returns W x, (B, D) float32, at length 1."""
    return layers.UnitNormalization(dtype="float32", name=name)(layers.Dense(dim, use_bias=False, dtype="float32")(x))


@keras.saving.register_keras_serializable("recipes")
class OverWords(layers.Layer):
    """The mean and the highest value of each number over the words of a text: (B, T, M), ids (B, T) to (B, 2 M).

    Padding, 0, is left out; a text of padding alone is all zeros.
    """

    def call(self, x: Any, words: Any) -> Any:
        """Returns the means, and then the highest values."""
        is_word = (words != 0)[..., None]
        count = ops.maximum(ops.sum(ops.cast(is_word, x.dtype), 1), 1)
        mean = ops.sum(ops.where(is_word, x, 0.0), 1) / count
        highest = ops.max(ops.where(is_word, x, ops.full_like(x, -1e4)), 1)
        return ops.concatenate([mean, ops.where(ops.any(is_word, 1), highest, 0.0)], -1)

    def compute_mask(self, *_: Any) -> None:
        """Returns that nothing of what comes out is padding."""


# ---------------------------------------------------------------- objective


@keras.saving.register_keras_serializable("recipes")
class Contrast(layers.Layer):
    """The contrastive loss both ways, of CLIP's section 2.3, in nats. A layer, for it holds the temperature.

    log(1 / tau) is what is learned; 1 / tau is at most 100, as there.

    Args:
        temperature: tau that training begins with.
    """

    def __init__(self, temperature: float, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # whatever the model computes in
        self.temperature = temperature
        start = keras.initializers.Constant(-float(np.log(temperature)))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=start, dtype="float32")
        self.built = True

    def scale(self) -> Any:
        """Returns 1 / tau, a scalar."""
        return ops.exp(ops.minimum(self.log_scale, float(np.log(100.0))))

    def call(self, photo: Any, text: Any, number: Any) -> tuple[Any, Any]:
        """Returns (the loss, whether the text is nearest to its own photograph), both (B,), of this replica's pairs.

        The others of a pair are those of all replicas.

        Args:
            photo: v, (B, D).
            text: t, (B, D).
            number: (B,) integer: of which photograph a pair is.
        """
        photos, texts, numbers, first = *map(of_all_replicas, (photo, text, number)), first_row(ops.shape(number)[0])
        own = first + ops.arange(ops.shape(number)[0])  # (B,): the place of each pair among all
        itself = own[:, None] == ops.arange(ops.shape(numbers)[0])  # (B, N)
        is_same = (number[:, None] == numbers) & ~itself  # another pair of the same photograph: right, too

        def nats_and_first(one: Any, others: Any) -> tuple[Any, Any]:
            logits = self.scale() * ops.matmul(one, ops.transpose(others))  # (B, N)
            logits = ops.where(is_same, -1e9, logits)
            return -ops.sum(ops.where(itself, ops.log_softmax(logits), 0.0), -1), ops.argmax(logits, -1)

        of_photo, _ = nats_and_first(photo, texts)
        of_text, nearest = nats_and_first(text, photos)
        return (of_photo + of_text) / 2, ops.cast(nearest, own.dtype) == own

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("recipes")
class TwoTowers(keras.Model):
    """A functional model with the outputs of `build`, and its loss: `compile(optimizer, contrast=Contrast(...))`."""

    def compile(self, optimizer: Any, contrast: Contrast, **kwargs: Any) -> None:
        """Takes the optimizer and the loss of a pair."""
        super().compile(optimizer=optimizer, **kwargs)
        self.contrast = contrast
        self.batch_r1 = keras.metrics.Mean(name="batch_r1")

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the mean loss of a batch's pairs; y (B,) tells of which photograph each is.

        The metric `batch_r1`, in [0, 1], is how often a caption finds its photograph first among those of its batch.
        """
        nats, is_found = self.contrast(y_pred["photo"], y_pred["text"], y)
        self.batch_r1.update_state(is_found)
        return ops.sum(nats) / ops.maximum(ops.cast(ops.shape(nats)[0], "float32"), 1) / replicas_here()

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` takes."""
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("optimizer", "contrast")}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
        self.optimizer.build(self.trainable_variables)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        units=hp.Choice("units", [512, 1024, 1536]),
        dropout=hp.Float("dropout", 0.0, 0.6, step=0.1),
        word_dropout=hp.Float("word_dropout", 0.0, 0.3, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-4, 3e-3, sampling="log"),
    )


# ---------------------------------------------------------------- stories


def align_story(model: keras.Model, photos: Any, sentences: Sequence[str]) -> list[tuple[str, str, float]]:
    """Returns (sentence, name of its photograph, cosine) of a story in order, with photographs that are in order, too.

    Each sentence has one photograph; that of a later sentence is the same or a later one, and some may have none. Of
    all ways the one of the highest sum of cosines, by `best_path`. Zhu et al. (2015), section 5, in the simplest case.

    Args:
        model: A trained model.
        photos: In order, as `predict` takes them.
        sentences: In order.

    Raises:
        DataError: If there are no photographs, one cannot be read, or a sentence has no word that is known.
    """
    towers = towers_of(model)
    texts, of_texts = towers.texts(sentences)
    names, of_photos = towers.photos(photos)
    if not names:
        raise DataError("photos has none; expected a folder with photographs, or a list of one or more")
    cosines = of_texts @ of_photos.T
    path = best_path(cosines)
    return [(text, names[column], float(cosines[row, column])) for row, (text, column) in enumerate(zip(texts, path))]


def best_path(similarity: np.ndarray) -> list[int]:
    """Returns the column of each row, never falling, of the highest sum: best_rc = s_rc + max_{c' <= c} best_(r-1)c'.

    Of equal sums, the one of the earlier columns.

    >>> best_path(np.array([[1, 0, 3], [0, 2, 0], [0, 1, 0]]))
    [0, 1, 1]
    """
    total, before = np.zeros(similarity.shape[1]), []
    for row in similarity:
        highest = np.maximum.accumulate(total)  # over c' <= c
        rises = np.concatenate([[True], total[1:] > highest[:-1]])
        before.append(np.maximum.accumulate(np.where(rises, np.arange(len(total)), 0)))  # the first c' that has it
        total = highest + row
    path: list[int] = []
    column = int(np.argmax(total)) if len(total) else 0
    for came_from in reversed(before):
        path.append(column)
        column = int(came_from[column])
    return path[::-1]


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config, load_data, build, search_space, kind=TextImageSearch(Config()), objective=("val_batch_r1", "max")
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
embed, search = recipe.verb(embed_either), recipe.verb(search_photos)
describe, align = recipe.verb(describe_photo), recipe.verb(align_story)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
