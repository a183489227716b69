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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from recipes.data.splits import Sizes, Splits
from recipes.devices.replicas import first_row, of_all_replicas, replicas_here
from recipes.errors import ConfigError, DataError
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.recurrent import GRU
from recipes.optimization.optimizers import AdamW, warmup_cosine
from recipes.runs.exhibits import Exhibit
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


def feature_network(name: str, image_size: int) -> keras.Model:
    """Returns a pretrained network: (B, H, W, 3) in [0, 255] to the means of its last features, (B, F) float32."""
    from recipes.pretrained.encoders import BACKBONES, network_of

    network = network_of(name, image_size)
    maps = network.get_layer(BACKBONES[name].maps).output
    means = layers.GlobalAveragePooling2D(dtype="float32", name="means")(maps)
    return keras.Model(network.inputs[0], means, name=name)


def features_once(name: str, image_size: int, photos: Any) -> np.ndarray:
    """Returns the features of many photographs, (N, F) float16, computed once and kept on disk.

    Args:
        name: Of the encoder.
        image_size: H and W of the photographs.
        photos: `recipes.data.lazy_images.LazyImages`.
    """
    from recipes.pretrained.encoders import digest
    from recipes.pretrained.feature_cache import computed_once

    network = feature_network(name, image_size)
    return np.asarray(computed_once(network, f"means-{digest(network)}-{photos.key}", len(photos), photos.batches()))


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


# ---------------------------------------------------------------- recall


def ranks(similarity: np.ndarray, photo_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (of each caption the rank of its photograph, of each photograph that of its best caption), from 1 on.

    What is as similar as the right one counts as nearer, and so does what is no number: a model that gives one answer
    to all has the worst ranks, not the best.

    Args:
        similarity: (captions, photographs).
        photo_of: (captions,) the photograph of each, each photograph at least once.
    """
    own = photo_of[:, np.newaxis] == np.arange(similarity.shape[1])  # (captions, photographs)
    of_own = similarity[np.arange(len(photo_of)), photo_of]
    search = 1 + (~(similarity < of_own[:, np.newaxis]) & ~own).sum(1)
    best = np.where(own, similarity, -np.inf).max(0)
    annotation = 1 + (~(similarity < best) & ~own).sum(0)
    return search, annotation


def recalls(similarity: np.ndarray, photo_of: np.ndarray) -> dict[str, float]:
    """Returns shares of right answers among the first 1, 5 and 10, in [0, 1], and median ranks; see `ranks`.

    "search_r1" and so on are of captions that look for their photograph, "annotation_r1" of photographs that look for
    any of their captions.
    """
    figures: dict[str, float] = {}
    for name, rank in zip(("search", "annotation"), ranks(similarity, photo_of), strict=True):
        figures |= {f"{name}_r{k}": float((rank <= k).mean()) for k in (1, 5, 10)}
        figures[f"{name}_median_rank"] = float(np.median(rank))
    return figures


# ---------------------------------------------------------------- what has a place in the space


class Towers:
    """The two halves of a trained model, each from what people have to unit vectors (N, D) float32.

    Args:
        model: A trained model.
        tokenizer: Of its texts.
        config: Reads `encoder`, `image_size` and `sequence_length`.
    """

    def __init__(self, model: keras.Model, tokenizer: Any, config: Any) -> None:
        photo, words = model.inputs
        self.tokenizer, self.length = tokenizer, config.sequence_length
        self.of_features = keras.Model(photo, model.get_layer("photo").output)
        self.of_words = keras.Model(words, model.get_layer("text").output)
        reads_images = len(photo.shape) == 4
        self.image_shape = tuple(photo.shape[1:]) if reads_images else (config.image_size, config.image_size, 3)
        self.network = None if reads_images else kept_network(config.encoder, config.image_size)
        self.ask_image = tf.function(self.of_images, reduce_retracing=True)
        self.ask_features = tf.function(partial(self.of_features, training=False), reduce_retracing=True)
        self.ask_text = tf.function(self.of_texts, reduce_retracing=True)

    def of_images(self, image: tf.Tensor) -> tf.Tensor:
        """Returns v of photographs (B, H, W, 3) in [0, 255], in TensorFlow operations alone."""
        image = tf.cast(image, tf.float32)
        return self.of_features(image if self.network is None else self.network(image, training=False), training=False)

    def of_texts(self, text: tf.Tensor) -> tf.Tensor:
        """Returns t of texts (B,) string, in TensorFlow operations alone."""
        from recipes.data.captions import with_start_and_end

        words = with_start_and_end(self.tokenizer, text, self.length).to_tensor()
        return self.of_words(words, training=False)

    def photos(self, photos: Any) -> tuple[list[str], np.ndarray]:
        """Returns (names, v) of photographs, as `predict` takes them; raises a DataError for one that is unreadable."""
        from recipes.kinds.inputs import image_batches

        names, rows = [], [np.zeros((0, self.dim), np.float32)]
        for some, images in image_batches(photos, self.image_shape):
            names += some
            rows.append(self.ask_image(tf.constant(images)).numpy())
        return names, np.concatenate(rows)

    def texts(self, texts: Any) -> tuple[list[str], np.ndarray]:
        """Returns (texts, t): str, or Paths of text files; raises a DataError for one of unknown words alone."""
        from recipes.kinds.inputs import in_batches, read_texts

        read: list[str] = []
        for _, text in read_texts(texts):
            if isinstance(text, DataError):
                raise text
            read.append(text)
        if read:
            known = self.tokenizer.count_known(read).numpy()
            if unknown := [text for text, count in zip(read, known, strict=True) if not count]:
                raise DataError(
                    f"no word of {unknown[0][:100]!r} is among the {len(self.tokenizer.vocabulary):,} that are known"
                    + (f", nor of {len(unknown) - 1} other texts" if unknown[1:] else "")
                    + "; expected some that the captions have that the model was trained on"
                )
        parts = [self.ask_text(tf.constant(some)).numpy() for some, _ in in_batches((text, None) for text in read)]
        return read, np.concatenate([np.zeros((0, self.dim), np.float32), *parts])

    @property
    def dim(self) -> int:
        """D."""
        return self.of_words.output_shape[-1]


@lru_cache(maxsize=1)  # its weights take seconds to read: the last is kept
def kept_network(name: str, image_size: int) -> keras.Model:
    """Returns `feature_network`, made once."""
    return feature_network(name, image_size)


def towers_of(model: keras.Model) -> Towers:
    """Returns the two halves of a model of a run, in float32."""
    from recipes.verbs.export import in_float32
    from recipes.verbs.load import run_of

    run = run_of(model)
    return kept_towers(in_float32(model), run.info.known_tokenizer(), run.config)


@lru_cache(maxsize=1)  # graphs take seconds to make: the last are kept, but of a copy in float32, which is a new one
def kept_towers(model: keras.Model, tokenizer: Any, config: Config) -> Towers:
    """Returns the two halves of a model."""
    return Towers(model, tokenizer, config)


def embed_either(model: keras.Model, *, texts: Any = None, photos: Any = None) -> np.ndarray:
    """Returns the unit vectors of texts or of photographs, (N, D) float32: products of them are cosines.

    Args:
        model: A trained model.
        texts: One or many: str, or a Path of a text file.
        photos: One or many, as `predict` takes them: paths of files or folders, bytes, arrays, PIL images.

    Raises:
        ConfigError: If both are passed, or neither.
        DataError: If some cannot be read, or have no word that is known.
    """
    if (texts is None) == (photos is None):
        raise ConfigError("embed got both texts= and photos=, or neither; expected one of the two")
    return (towers_of(model).texts(texts) if photos is None else towers_of(model).photos(photos))[1]


def search_photos(
    model: keras.Model, text: str, photos: Any, k: int = 5, picture: str | Path | None = None
) -> list[tuple[str, float]]:
    """Returns the names of the k photographs that a text says most of, with the cosines in [-1, 1], the best first.

    Args:
        model: A trained model.
        text: What is looked for: "a dog in the snow".
        photos: Among which: a folder, or a list, as `predict` takes it.
        k: How many, at most.
        picture: A PNG file to write, with the photographs that are found and their cosines; None: none.

    Raises:
        ConfigError: If k is less than 1, or the picture's folder cannot be written to.
        DataError: If a photograph cannot be read, there are none, or no word of the text is known.
    """
    from recipes.kinds.options import check_option

    check_option("k", k, int, lambda value: value >= 1, "how many to return, at least 1")
    towers, photos = towers_of(model), list(photos) if isinstance(photos, Iterator) else photos  # is read twice
    texts, of_text = towers.texts(text)
    if len(texts) != 1:
        raise DataError(f"search got {len(texts)} texts; expected one")
    names, of_photos = towers.photos(photos)
    if not names:
        raise DataError("photos has none; expected a folder with photographs, or a list of one or more")
    cosines = of_photos @ of_text[0]
    best = np.argsort(-cosines, kind="stable")[:k]
    found = [(names[row], float(cosines[row])) for row in best]
    if picture is not None:
        from recipes.kinds.contact_sheet import write_sheet

        write_sheet(picture, text, photos, towers.image_shape, best, found)
    return found


def describe_photo(
    model: keras.Model, photo: Any, sentences: Sequence[str], k: int | None = None
) -> list[tuple[str, float, float]]:
    """Returns (sentence, cosine, probability) of the k sentences that say most of a photograph, the best first.

    The probability is the softmax over all the sentences of their cosines divided by the temperature that was learned:
    with labels such as "a dog" and "two children" it classifies with no training on them; Radford et al. (2021),
    section 3.1.

    Args:
        model: A trained model.
        photo: One, as `predict` takes it.
        sentences: Of which.
        k: How many, at most; None: all.

    Raises:
        ConfigError: If k is less than 1.
        DataError: If the photograph cannot be read or is not one, there are no sentences, or one has no known word.
    """
    from recipes.kinds.options import check_option

    if k is not None:
        check_option("k", k, int, lambda value: value >= 1, "how many to return, at least 1, or None for all")
    towers = towers_of(model)
    texts, of_texts = towers.texts(sentences)
    names, of_photo = towers.photos(photo)
    if len(names) != 1 or not texts:
        raise DataError(f"describe got {len(names)} photographs and {len(texts)} sentences; expected 1, and 1 or more")
    cosines = of_texts @ of_photo[0]
    probability = tf.nn.softmax(cosines * model.contrast.scale()).numpy()
    best = np.argsort(-cosines, kind="stable")[:k]
    return [(texts[row], float(cosines[row]), float(probability[row])) for row in best]


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


# ---------------------------------------------------------------- the kind


SHOWN = 6  # captions in a report


class TextImageSearch:
    """The kind of a model of [photograph or features, words (B, T)] to {"photo": v, "text": t}, unit vectors (B, D).

    `predict` answers with the "embedding" (D,) of a photograph. Signatures of an export: `serving_default` takes
    `image_bytes` (B,) string, encoded JPEG, PNG, GIF, WebP or BMP; `image` takes (B, H, W, 3) float32 in [0, 255] and
    `image_uint8` uint8; `text` takes `text` (B,) string. All answer with `embedding` (B, D) float32, of length 1: the
    product of two is their cosine; `text` also with `known_words` (B,) int32, how many of the words are known: of 0,
    the vector says nothing.
    """

    name = "text_image_search"

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss": nats of a pair among its batch, and `recalls` among all} of the test split.

        Of a user's own Splits without images: the loss alone.
        """
        from recipes.verbs.evaluate import compiled_metrics

        figures, gallery = compiled_metrics(model, splits), splits.originals
        if gallery is None:
            return figures
        similarity, photo_of = self.similarity(model, splits)
        return figures | recalls(similarity, photo_of)

    def similarity(self, model: keras.Model, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
        """Returns (cosines (captions, photographs) of the test split, the photograph of each caption)."""
        gallery, run = splits.originals, getattr(model, "run", None)
        towers = Towers(model, splits.info.known_tokenizer(), run.config if run else config_of(model))
        captions = [text for texts in gallery.references for text in texts]
        photo_of = np.repeat(np.arange(len(gallery.references)), [len(texts) for texts in gallery.references])

        def in_parts(ask: Callable[[tf.Tensor], tf.Tensor], values: Any, size: int = 250) -> np.ndarray:
            return np.concatenate([ask(tf.constant(values[i : i + size])) for i in range(0, len(values), size)])

        photos = in_parts(lambda some: towers.ask_features(tf.cast(some, tf.float32)), gallery.inputs)
        return in_parts(towers.ask_text, captions) @ photos.T, photo_of

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields searches.png: some captions of the test split, and the five photographs that are nearest to each."""
        gallery = splits.originals
        if gallery is None:
            return
        similarity, photo_of = self.similarity(model, splits)
        rows = np.unique(np.linspace(0, len(similarity) - 1, SHOWN).astype(int))
        found = np.argsort(-similarity[rows], axis=1, kind="stable")[:, :5]
        captions = [text for texts in gallery.references for text in texts]

        def draw() -> Any:
            images = [list(gallery.photographs[places].stacked()) for places in found]
            titles = [
                [f"{similarity[row, place]:.2f}" + (", its own" if place == photo_of[row] else "") for place in places]
                for row, places in zip(rows, found, strict=True)
            ]
            own = ranks(similarity, photo_of)[0][rows]
            above = [f"{captions[row]} (its own photograph: rank {rank})" for row, rank in zip(rows, own, strict=True)]
            from recipes.kinds.contact_sheet import draw_sheet

            return draw_sheet(above, images, titles)

        title = f"Captions of the test split, and the photographs nearest to each of {similarity.shape[1]:,}: cosines"
        yield title, "searches.png", draw

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test split of a user's captions, or all of them."""
        from recipes.data.caption_sources import evaluation_captions

        return evaluation_captions(data, model)

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, {"embedding": (D,) float32, of length 1}) of photographs; see `inputs.read_images`."""
        from recipes.kinds.inputs import predict_each, read_images

        towers = towers_of(model)

        def predict(images: list[np.ndarray]) -> list[dict[str, Any]]:
            return [{"embedding": row} for row in towers.ask_image(tf.constant(np.stack(images))).numpy()]

        return predict_each(read_images(inputs, towers.image_shape), predict, size=32)

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, its words and its encoder, and the signatures that the class docstring lists."""
        from recipes.data.batch_rows import with_one_if_empty
        from recipes.kinds.image_classification import image_signatures
        from recipes.verbs.export import Signature, in_float32

        served, images = in_float32(model), images_of(source, 8)
        tokenizer = source.info.known_tokenizer()
        towers = Towers(served, tokenizer, config_of(model))

        def of_images(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return with_one_if_empty(lambda image: {"embedding": towers.of_images(image)}, image)

        def of_texts(text: tf.Tensor) -> dict[str, tf.Tensor]:
            def answer(text: tf.Tensor) -> dict[str, tf.Tensor]:
                return {"embedding": towers.of_texts(text), "known_words": tokenizer.count_known(text)}

            return with_one_if_empty(answer, text)

        texts = [" ".join(tokenizer.vocabulary[4:9]), tokenizer.vocabulary[-1]]
        answer = {"embedding": towers.ask_text(tf.constant(texts)).numpy()}
        spec = {"text": tf.TensorSpec((None,), tf.string)}
        signatures = image_signatures(of_images, towers.image_shape, images, meaning="The unit vector")
        signatures["text"] = Signature(of_texts, spec, {"text": texts}, answer, "The unit vector of a text")
        models = [served, tokenizer.table, *([towers.network] if towers.network else [])]
        return models, signatures

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `image` (B, H, W, 3) in [0, 255] to `embedding` (B, D), "text": `words` (B, T) likewise}.

        The encoder is in the first.
        """
        from recipes.data.tokenizers import END, START
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, images = in_float32(model), images_of(source, count)
        towers = Towers(served, source.info.known_tokenizer(), config_of(model))
        most = served.get_layer("embedding").input_dim
        words = np.random.default_rng(0).integers(END + 1, most, (len(images), towers.length + 2)).astype(np.int32)
        words[:, 0], words[:, -1] = START, END
        of_images = Network(
            lambda image: {"embedding": towers.of_images(image)},
            {"image": tf.TensorSpec((None, *towers.image_shape), tf.float32)},
            {"image": images.astype(np.float32)},
            models=[served, *([towers.network] if towers.network else [])],
            outside="decode the image file, turn it as its EXIF says, resize it to (H, W), keep the pixels in [0, 255]",
        )
        of_texts = Network(
            lambda words: {"embedding": towers.of_words(words, training=False)},
            {"words": tf.TensorSpec((None, None), tf.int32)},
            {"words": words},
            models=[served],
            length=towers.length + 2,
            outside=f"look up the words, in lower case, in tokenizer.json; {START} before them, {END} after, then 0",
        )
        return {"model": of_images, "text": of_texts}


def config_of(model: keras.Model) -> Any:
    """Returns the config of a model's run, or the default of a model without one."""
    run = getattr(model, "run", None)
    return run.config if run else Config()


def images_of(source: Any, count: int) -> np.ndarray:
    """Returns some test images, (N, H, W, 3), refusing data of features alone."""
    from recipes.errors import ExportError

    images = source.examples(count)
    if images.ndim != 4:
        raise ExportError(f"the data holds features {images.shape}, which are no images; fit on images to export")
    return images


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=TextImageSearch(), objective=("val_batch_r1", "max"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
embed, search = recipe.verb(embed_either), recipe.verb(search_photos)
describe, align = recipe.verb(describe_photo), recipe.verb(align_story)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
