"""Captioners: captions by beam search with where each word looks, their scores, a report, and a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.errors import DataError, ExportError, one_line

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from matplotlib.figure import Figure

    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import Splits
    from recipes.data.tokenizers import Tokenizer
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network

SHOWN = 3  # test images of a kind in a report


class Captions(NamedTuple):
    """Captions of N images."""

    captions: list[str]
    log_probability: np.ndarray  # (N,)
    words: list[list[str]]  # (N,) of T
    attention: list[np.ndarray]  # (N,) of (T, rows, columns): where each word looks


class Captioning:
    """The kind of a model of [image or annotations, words (B, T)] to {"logits": (B, T, V), "looks": (B, T, L), ...}.

    `predict` answers with the "caption" of an image, its "log_probability" in nats, its "words", and the "attention"
    (T, rows, columns) of each. Signatures of an export: `serving_default` takes `image_bytes` (B,) string, encoded
    JPEG, PNG, GIF, WebP or BMP; `image` takes (B, H, W, 3) float32 in [0, 255] and `image_uint8` uint8. All answer with
    `caption`, `log_probability`, `words` and `attention`; encoder and beam search are in the graph.

    Args:
        decoder: What makes a step of the model; see `decoding.Decoder`.
        config: Its `encoder`, `image_size` and `sequence_length` are those of a model without a run.
        beam_width: Captions that are followed up at a time.
        length_penalty: See `decoding.beam_search`; 0 favours short captions.
    """

    name = "captioning"
    drawn = "attention"  # by `draw_answer`: photo-attention.png

    def __init__(self, decoder: Callable[..., Any], config: Any, beam_width: int, length_penalty: float) -> None:
        self.decoder, self.config = decoder, config
        self.beam_width, self.length_penalty = beam_width, length_penalty

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss": nats of a caption and its penalty, "perplexity": of a word, "bleu1", ..., "meteor", ...}.

        Of the test split; see `caption_scores`. Of generated scenes also the shares of captions that are "true" and of
        objects that are "looked_at", in [0, 1]. Of a user's own Splits without images: the first two alone.
        """
        from recipes.kinds.caption_scores import caption_scores, truth_scores
        from recipes.verbs.evaluate import compiled_metrics

        figures, gallery = compiled_metrics(model, splits), splits.originals
        if gallery is None:
            return figures
        results = self.caption_all(model, splits.info.known_tokenizer(), gallery.inputs)
        if not gallery.scenes:
            return figures | caption_scores(results.captions, gallery.references)
        figures |= caption_scores(results.captions, gallery.references, meteor=False)  # their words have no synonyms
        return figures | truth_scores(results.captions, results.attention, gallery.scenes)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields captions.txt, and good1.png, bad1.png and so on with where their words look."""
        import numpy as np
        from sacrebleu.metrics import CHRF

        gallery = splits.originals
        if gallery is None:
            return
        count = len(gallery.images)
        results = self.caption_all(model, splits.info.known_tokenizer(), gallery.inputs[:count])
        chrf = CHRF()
        scores = [
            chrf.sentence_score(caption, list(references)).score
            for caption, references in zip(results.captions, gallery.references[:count], strict=True)
        ]
        order = np.argsort(scores, kind="stable")[::-1]
        shown = order[:: max(1, count // 20)]
        whose = "reference" if gallery.scenes else "people"  # a scene's captions are generated
        nearest = f"{'their references' if gallery.scenes else 'what people wrote'} (chrF)"
        title = f"Captions of {len(shown)} test images, from the nearest to {nearest} to the farthest"
        sections = [in_lines(row, results, gallery.references, whose) for row in shown]
        yield title, "captions.txt", lambda: "\n".join(sections)
        for name, kind, rows in (("good", "near", order[:SHOWN]), ("bad", "far from", order[::-1][:SHOWN])):
            for number, row in enumerate(rows, 1):
                lines = {"caption": results.captions[row], whose: gallery.references[row][0]}
                above = "\n".join(f"{name}: {one_line(text)}" for name, text in lines.items())
                strip = partial(draw_strip, gallery.images[row], results.words[row], results.attention[row], above)
                yield f"What each word attends to: {kind} {nearest}, {number}", f"{name}{number}.png", strip

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test split of a user's captions, or all of them."""
        from recipes.data.caption_sources import evaluation_captions

        return evaluation_captions(data, model)

    def predict(
        self,
        model: keras.Model,
        inputs: Any,
        *,
        beam_width: int | None = None,
        length_penalty: float | None = None,
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, {"caption", "log_probability", "words", "attention"}) of images; see `inputs.read_images`."""
        import numpy as np

        from recipes.kinds.inputs import predict_each, read_images
        from recipes.verbs.load import run_of

        search = self.search(beam_width, length_penalty)
        tokenizer, encoder, size = run_of(model).info.known_tokenizer(), self.encoder_for(model), self.size_of(model)

        def predict(images: list[np.ndarray]) -> list[dict[str, Any]]:
            results = self.caption_all(model, tokenizer, encode_images(encoder, np.stack(images)), *search)
            return [
                {"caption": caption, "log_probability": float(score), "words": words, "attention": attention}
                for caption, score, words, attention in zip(*results, strict=True)
            ]

        return predict_each(read_images(inputs, (size, size, 3)), predict, size=32)

    def caption(
        self, model: keras.Model, images: Any, beam_width: int | None = None, length_penalty: float | None = None
    ) -> list[str]:
        """Returns the captions of some images.

        Args:
            model: As a verb: what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            images: As `predict` takes them: paths, bytes, arrays, PIL images; one or many.
            beam_width: Captions that are followed up at a time; 1: greedy search; None: the recipe's.
            length_penalty: 0 favours short captions; None: the recipe's.

        Raises:
            ConfigError: If one of the numbers is out of range.
            DataError: If an image cannot be read.
        """
        captions = []
        for _, answer in self.predict(model, images, beam_width=beam_width, length_penalty=length_penalty):
            if isinstance(answer, DataError):
                raise answer
            captions.append(answer["caption"])
        return captions

    def explain(self, model: keras.Model, image: Any) -> tuple[str, Figure]:
        """Returns (an image's caption, a Figure of where each word looks: the paper's figure 2)."""
        [(_, answer)] = self.predict(model, image)
        if isinstance(answer, DataError):
            raise answer
        return answer["caption"], self.draw_answer(model, image, answer)

    def draw_answer(self, model: keras.Model, image: Any, answer: dict[str, Any]) -> Figure:
        """Returns a Figure of where each word of `predict`'s answer to an image looks."""
        from recipes.kinds.inputs import read_images
        from recipes.runs.figure_text import shown_as_it_is

        size = self.size_of(model)
        [(_, pixels)] = read_images(image, (size, size, 3))
        if isinstance(pixels, DataError):
            raise pixels
        return shown_as_it_is(draw_strip(pixels, answer["words"], answer["attention"], answer["caption"]))

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns the model, its words and its encoder, and the signatures that the class docstring lists."""
        from recipes.data.batch_rows import with_one_if_empty
        from recipes.kinds.image_classification import image_signatures
        from recipes.verbs.export import in_float32

        served, tokenizer, encoder = in_float32(model), source.info.known_tokenizer(), self.encoder_for(model)
        size, search = self.size_of(model), (self.length_of(model), self.beam_width, self.length_penalty)

        def caption_some(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.caption_in_graph(served, tokenizer, encode_image(encoder, image), *search)

        def caption(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return with_one_if_empty(caption_some, image)

        images = source.examples(8)
        if images.ndim != 4:
            raise ExportError(
                f"the data holds annotations {images.shape}, which are no images; fit on images to export"
            )
        models = [served, tokenizer.table, *([encoder] if encoder else [])]
        meaning = "The caption, and where each of its words looks,"
        return models, image_signatures(caption, (size, size, 3), images, meaning=meaning)

    def networks(self, model: keras.Model, source: Source, count: int = 8) -> dict[str, Network]:
        """Returns {"model": `image` (B, H, W, 3) in [0, 255], `words` (B, T) to `logits` (B, T, V), `looks` (B, T, L)}.

        The encoder is in the network.
        """
        import numpy as np
        import tensorflow as tf

        from recipes.data.tokenizers import END, START
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, encoder = in_float32(model), self.encoder_for(model)
        size, length, images = self.size_of(model), self.length_of(model), source.examples(count)
        if images.ndim != 4:
            raise ExportError(
                f"the data holds annotations {images.shape}, which are no images; fit on images to export"
            )
        most = served.get_layer("embedding").input_dim
        words = np.random.default_rng(0).integers(END + 1, most, (len(images), length))  # any: numbers are compared
        words[:, 0] = START

        def next_words(image: tf.Tensor, words: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = served([encode_image(encoder, image), words], training=False)
            return {name: outputs[name] for name in ("logits", "looks")}

        network = Network(
            next_words,
            {
                "image": tf.TensorSpec((None, size, size, 3), tf.float32),
                "words": tf.TensorSpec((None, None), tf.int32),
            },
            {"image": images.astype(np.float32), "words": words.astype(np.int32)},
            models=[served, *([encoder] if encoder else [])],
            length=length,
            outside=(
                f"decode and resize the image file, keep the pixels in [0, 255]; begin the words with {START}, take "
                f"the next of the logits at the last one, add it, and ask again, until {END}; tokenizer.json has the "
                "words' names"
            ),
        )
        return {"model": network}

    def caption_in_graph(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        inputs: tf.Tensor,
        sequence_length: int,
        beam_width: int,
        length_penalty: float,
    ) -> dict[str, tf.Tensor]:
        """Returns "caption" (B,), "log_probability" (B,), "words" (B, T) and "attention" (B, T, rows, columns).

        In TensorFlow operations alone, of what the model reads, (B, ...), B at least 1. After a caption's last word,
        words are "" and attention is 0.
        """
        import tensorflow as tf

        from recipes.data.tokenizers import END, PAD, START
        from recipes.kinds.decoding import beam_search

        encode, step = self.decoder(model)
        start = tf.fill((tf.shape(inputs)[0],), START)
        beams, scores = beam_search(step, encode(inputs), start, sequence_length, beam_width, length_penalty)
        best = beams[:, 0]  # (B, T)
        length = tf.math.count_nonzero(best, 1, dtype=tf.float32)
        is_word = (best != PAD) & (best != END)
        before = tf.concat([start[:, tf.newaxis], tf.where(is_word, best, PAD)[:, :-1]], 1)
        attention = model([inputs, before], training=False)["looks"]  # (B, T, L)
        attention = tf.where(is_word[..., tf.newaxis], attention, 0.0)
        side = round(attention.shape[-1] ** 0.5)
        return {
            "caption": tokenizer.decode(best),
            "log_probability": scores[:, 0] * ((5 + length) / 6) ** length_penalty,
            "words": tokenizer.texts_of(best),
            "attention": tf.reshape(attention, (-1, tf.shape(best)[1], side, side)),
        }

    def caption_all(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        inputs: np.ndarray,
        beam_width: int | None = None,
        length_penalty: float | None = None,
        batch_size: int = 50,
    ) -> Captions:
        """Returns the captions of any number of images, of what the model reads of them, (N, ...)."""
        import numpy as np
        import tensorflow as tf

        search = self.search(beam_width, length_penalty)
        caption = _graph_of(self, model, tokenizer, inputs.shape[1:], self.length_of(model), *search)
        results = Captions([], np.zeros(len(inputs), np.float32), [], [])
        for first in range(0, len(inputs), batch_size):
            batch = tf.constant(inputs[first : first + batch_size])
            answer = {name: value.numpy() for name, value in caption(batch).items()}
            results.log_probability[first : first + batch_size] = answer["log_probability"]
            for text, words, attention in zip(answer["caption"], answer["words"], answer["attention"], strict=True):
                length = int((words != b"").sum())
                results.captions.append(text.decode())
                results.words.append([word.decode() for word in words[:length]])
                results.attention.append(attention[:length])
        return results

    def search(self, beam_width: int | None, length_penalty: float | None) -> tuple[int, float]:
        """Returns the beam's width and the length penalty, None being the recipe's; refuses what means nothing."""
        from recipes.kinds.translation import check_beam

        width = self.beam_width if beam_width is None else beam_width
        penalty = self.length_penalty if length_penalty is None else length_penalty
        check_beam(width, penalty)
        return width, penalty

    def encoder_for(self, model: keras.Model) -> keras.Model | None:
        """Returns the pretrained encoder whose annotations a captioner reads; None for one that reads images itself."""
        if len(model.inputs[0].shape) == 4:
            return None
        config = self.config_of(model)
        return _encoder(config.encoder, config.image_size)

    def size_of(self, model: keras.Model) -> int:
        """Returns the height and width of the images that a captioner is shown."""
        shape = model.inputs[0].shape
        return shape[1] if len(shape) == 4 else self.config_of(model).image_size

    def length_of(self, model: keras.Model) -> int:
        """Returns the most words of a caption."""
        return self.config_of(model).sequence_length

    def config_of(self, model: keras.Model) -> Any:
        """Returns the config of a model's run, or of a model without one."""
        run = getattr(model, "run", None)
        return run.config if run else self.config


@lru_cache(maxsize=1)  # its weights take seconds to read: the last is kept
def _encoder(name: str, image_size: int) -> keras.Model:
    from recipes.pretrained.encoders import encoder_of

    return encoder_of(name, image_size)


@lru_cache(maxsize=1)  # a graph takes seconds to make: the last is kept
def _graph_of(kind: Captioning, model: keras.Model, tokenizer: Tokenizer, shape: tuple, *search: Any) -> Any:
    import tensorflow as tf

    return tf.function(
        lambda inputs: kind.caption_in_graph(model, tokenizer, tf.cast(inputs, tf.float32), *search),
        reduce_retracing=True,
    )


def encode_image(encoder: keras.Model | None, image: Any) -> Any:
    """Returns what a captioner reads of images, (B, H, W, 3) in [0, 255]: annotations, or the images; float32."""
    import tensorflow as tf

    image = tf.cast(image, tf.float32)
    return image if encoder is None else encoder(image, training=False)


def encode_images(encoder: keras.Model | None, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Returns `encode_image` of any number of images, batch by batch."""
    import numpy as np

    starts = range(0, len(images), batch_size)
    return np.concatenate([encode_image(encoder, images[start : start + batch_size]) for start in starts])


def in_lines(row: int, results: Captions, references: Sequence[Sequence[str]], whose: str) -> str:
    """Returns the caption of an image and its references in lines, saying whose these are."""
    lines = "".join(f"    {whose + ':':<10} {text}\n" for text in references[row])
    return f"image {row}: {results.captions[row]}   ({results.log_probability[row]:.1f} nats)\n{lines}"


def draw_strip(
    image: np.ndarray, words: Sequence[str], attention: np.ndarray, title: str = "", columns: int = 8
) -> Figure:
    """Draws an image and, for each word of its caption, where it looks: bright; as the paper's figure 2.

    Args:
        image: (H, W, 3) in [0, 255].
        words: T.
        attention: (T, rows, columns) in [0, 1].
        title: Above all.
        columns: Pictures in a row.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no state

    from recipes.kinds.plots import show
    from recipes.runs.figure_text import shortened, wrapped

    height, width = image.shape[:2]
    rows = -(-(len(words) + 1) // columns)
    title = wrapped(title, 1.5 * columns, size=10)
    figure = Figure(figsize=(1.5 * columns, 1.75 * rows + 0.3 + 0.2 * len(title.splitlines())), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if i > len(words):
            continue
        show(axes, image)
        axes.set_title(shortened(words[i - 1], 20) if i else "the image", fontsize=9, style="normal" if i else "italic")
        if i:
            weights = attention[i - 1]
            axes.imshow(
                weights / max(float(weights.max()), 1e-9),
                cmap="gray",
                alpha=0.7,
                interpolation="bicubic",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                vmin=0,
                vmax=1,
            )
    if title:
        figure.suptitle(title, fontsize=10)
    figure.supxlabel("bright: what the word attends to, each as a share of its own largest weight", fontsize=8)
    return figure
