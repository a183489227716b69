"""Models of texts and photographs in one space: how they are scored, reported, asked, searched and exported."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.errors import ConfigError, DataError
from recipes.runs.exhibits import Exhibit

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
    from recipes.pretrained.encoders import feature_network

    return feature_network(name, image_size)


def towers_of(model: keras.Model) -> Towers:
    """Returns the two halves of a model of a run, in float32."""
    from recipes.verbs.export import in_float32
    from recipes.verbs.load import run_of

    run = run_of(model)
    return kept_towers(in_float32(model), run.info.known_tokenizer(), run.config)


@lru_cache(maxsize=1)  # graphs take seconds to make: the last are kept, but of a copy in float32, which is a new one
def kept_towers(model: keras.Model, tokenizer: Any, config: Any) -> Towers:
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


# ---------------------------------------------------------------- the kind

SHOWN = 6  # captions in a report


class TextImageSearch:
    """The kind of a model of [photograph or features, words (B, T)] to {"photo": v, "text": t}, unit vectors (B, D).

    `predict` answers with the "embedding" (D,) of a photograph. Signatures of an export: `serving_default` takes
    `image_bytes` (B,) string, encoded JPEG, PNG, GIF, WebP or BMP; `image` takes (B, H, W, 3) float32 in [0, 255] and
    `image_uint8` uint8; `text` takes `text` (B,) string. All answer with `embedding` (B, D) float32, of length 1: the
    product of two is their cosine; `text` also with `known_words` (B,) int32, how many of the words are known: of 0,
    the vector says nothing.

    Args:
        default: The config of models without a run.
    """

    name = "text_image_search"

    def __init__(self, default: Any) -> None:
        self.default = default

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
        gallery = splits.originals
        towers = Towers(model, splits.info.known_tokenizer(), self.config_of(model))
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
        towers = Towers(served, tokenizer, self.config_of(model))

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
        towers = Towers(served, source.info.known_tokenizer(), self.config_of(model))
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

    def config_of(self, model: keras.Model) -> Any:
        """Returns the config of a model's run, or the default of a model without one."""
        run = getattr(model, "run", None)
        return run.config if run else self.default


def images_of(source: Any, count: int) -> np.ndarray:
    """Returns some test images, (N, H, W, 3), refusing data of features alone."""
    from recipes.errors import ExportError

    images = source.examples(count)
    if images.ndim != 4:
        raise ExportError(f"the data holds features {images.shape}, which are no images; fit on images to export")
    return images
