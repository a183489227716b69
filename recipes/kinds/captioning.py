"""What captioners share: captions by beam search with where each word looked, scores, a report, a SavedModel."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure  # not pyplot: no display, no state

from recipes.data.lazy_images import photographs
from recipes.data.splits import Splits
from recipes.data.tokenizers import END, PAD, START, Tokenizer
from recipes.devices.workers import is_chief
from recipes.errors import ExportError
from recipes.kinds.caption_scores import caption_scores, truth_scores
from recipes.kinds.decoding import Decoder, beam_search
from recipes.kinds.image_classification import image_signatures
from recipes.kinds.plots import show
from recipes.kinds.text_classification import tokenizer_of
from recipes.pretrained.encoders import encoder_of
from recipes.runs.atomic_files import save_picture, write_text
from recipes.runs.finish import evaluate_model
from recipes.verbs.export import Source, export_signatures, in_float32
from recipes.verbs.load import run_of

SHOWN = 3  # test images of a kind in a report
_encoder = lru_cache(maxsize=1)(encoder_of)  # its weights take seconds to read: the last is kept


class Captions(NamedTuple):
    """Captions of N images."""

    captions: list[str]
    log_probability: np.ndarray  # (N,)
    words: list[list[str]]  # (N,) of T
    attention: list[np.ndarray]  # (N,) of (T, rows, columns): where each word looked


def describe(
    decoder: Decoder,
    model: keras.Model,
    tokenizer: Tokenizer,
    inputs: tf.Tensor,
    sequence_length: int,
    beam_width: int,
    length_penalty: float,
) -> dict[str, tf.Tensor]:
    """Returns "caption" (B,), "log_probability" (B,), "words" (B, T) and "attention" (B, T, rows, columns).

    In TensorFlow operations alone. After a caption's last word, words are "" and attention is 0.

    Args:
        decoder: What makes a step of the model.
        model: A captioner: what it reads and words to {"logits", "weights", "looks"}.
        tokenizer: Of its captions.
        inputs: (B, ...), what the model reads.
        sequence_length: The most words.
        beam_width: 1: greedy search.
        length_penalty: See `beam_search`.
    """
    encode, step = decoder(model)
    count = tf.shape(inputs)[0]
    one_if_empty = tf.cast(count == 0, tf.int32)  # oneDNN's fused convolutions fail on an empty batch
    some = tf.pad(inputs, [[0, one_if_empty]] + [[0, 0]] * (len(inputs.shape) - 1))
    start = tf.fill((tf.shape(some)[0],), START)
    said, scores = beam_search(step, encode(some), start, sequence_length, beam_width, length_penalty)
    best = said[:, 0]  # (B, T)
    length = tf.math.count_nonzero(best, 1, dtype=tf.float32)
    there = (best != PAD) & (best != END)
    before = tf.concat([start[:, tf.newaxis], tf.where(there, best, PAD)[:, :-1]], 1)
    looks = model([some, before], training=False)["looks"]  # (B, T, L)
    looks = tf.where(there[..., tf.newaxis], looks, 0.0)
    side = round(looks.shape[-1] ** 0.5)
    return {
        "caption": tokenizer.decode(best)[:count],
        "log_probability": (scores[:, 0] * ((5 + length) / 6) ** length_penalty)[:count],
        "words": tokenizer.texts_of(best)[:count],
        "attention": tf.reshape(looks, (-1, tf.shape(best)[1], side, side))[:count],
    }


def caption_all(
    decoder: Decoder, model: keras.Model, tokenizer: Tokenizer, inputs: np.ndarray, batch_size: int = 50, **how: Any
) -> Captions:
    """Returns the captions of any number of images; see `describe`."""
    once = _in_graph(decoder, model, tokenizer, inputs.shape[1:], **how)
    found = Captions([], np.zeros(len(inputs), np.float32), [], [])
    for first in range(0, len(inputs), batch_size):
        answer = {name: value.numpy() for name, value in once(tf.constant(inputs[first : first + batch_size])).items()}
        found.log_probability[first : first + batch_size] = answer["log_probability"]
        for caption, words, attention in zip(answer["caption"], answer["words"], answer["attention"], strict=True):
            length = int((words != b"").sum())
            found.captions.append(caption.decode())
            found.words.append([word.decode() for word in words[:length]])
            found.attention.append(attention[:length])
    return found


def eyes(model: keras.Model, config: Any) -> keras.Model | None:
    """Returns the pretrained encoder whose annotations a captioner reads; None for one that reads images itself.

    Args:
        model: The captioner.
        config: Names `encoder` and `image_size` of one without a run.
    """
    config = getattr(getattr(model, "run", None), "config", config)
    return None if len(model.inputs[0].shape) == 4 else _encoder(config.encoder, config.image_size)


def look(encoder: keras.Model | None, image: tf.Tensor) -> tf.Tensor:
    """Returns what a captioner reads of images, (B, H, W, 3) in [0, 255]; float32, in training rounded to float16."""
    image = tf.cast(image, tf.float32)
    return image if encoder is None else encoder(image, training=False)


def caption_images(decoder: Decoder, model: keras.Model, images: Any, **how: Any) -> tuple[np.ndarray, Captions]:
    """Returns (images (N, H, W, 3) uint8 as they are read, their captions).

    Args:
        decoder: What makes a step of the model.
        model: The captioner, of a run.
        images: (N, H, W, 3) in [0, 255], or paths of files.
        **how: See `describe`.
    """
    run = run_of(model)
    encoder = eyes(model, run.config)
    pixels = photographs(images, run.config.image_size).stacked()
    inputs = np.concatenate([look(encoder, pixels[row : row + 32]) for row in range(0, len(pixels), 32)])
    return pixels, caption_all(decoder, model, tokenizer_of(run.info), inputs, **how)


@lru_cache(maxsize=1)  # a graph takes seconds to make: the last is kept
def _in_graph(decoder: Decoder, model: keras.Model, tokenizer: Tokenizer, shape: tuple, **how: Any) -> Any:
    return tf.function(
        lambda inputs: describe(decoder, model, tokenizer, tf.cast(inputs, tf.float32), **how), reduce_retracing=True
    )


def evaluate(decoder: Decoder, model: keras.Model, splits: Splits, **how: Any) -> dict[str, float]:
    """Returns the loss, the perplexity and, of captions of the test split by beam search, all their scores.

    See `caption_scores`, and `truth_scores` for generated scenes. Of a user's own Splits without a gallery: the first
    two alone.
    """
    figures, gallery = evaluate_model(model, splits), splits.gallery
    if gallery is None:
        return figures
    made = caption_all(decoder, model, tokenizer_of(splits.info), gallery.inputs, **how)
    if not gallery.scenes:
        return figures | caption_scores(made.captions, gallery.references)
    figures |= caption_scores(made.captions, gallery.references, meteor=False)  # their words have no synonyms
    return figures | truth_scores(made.captions, made.attention, gallery.scenes)


def report(decoder: Decoder, model: keras.Model, splits: Splits, folder: Path, **how: Any) -> dict[str, str]:
    """Writes captions.txt, and good.png and bad.png with where their words looked; returns titles -> file names."""
    gallery = splits.gallery
    if gallery is None:
        return {}
    from sacrebleu.metrics import CHRF

    count = len(gallery.images)
    made = caption_all(decoder, model, tokenizer_of(splits.info), gallery.inputs[:count], **how)
    near = [CHRF().sentence_score(text, list(gallery.references[row])).score for row, text in enumerate(made.captions)]
    order = np.argsort(near, kind="stable")[::-1]
    lines = [_told(row, made, gallery.references) for row in order[:: max(1, count // 20)]]
    write_text(folder / "captions.txt", "\n".join(lines))
    found = {
        f"Captions of {len(lines)} test images, from the nearest to what people said to the farthest": "captions.txt"
    }
    for name, rows in (("good", order[:SHOWN]), ("bad", order[::-1][:SHOWN])):
        strips = [draw_strip(gallery.images[row], made.words[row], made.attention[row]) for row in rows]
        for number, strip in enumerate(strips, 1):
            save_picture(strip, folder / f"{name}{number}.png")
            found[f"Where each word looked: {'near' if name == 'good' else 'far'}, {number}"] = f"{name}{number}.png"
    return found


def _told(row: int, made: Captions, references: Sequence[Sequence[str]]) -> str:
    said = "\n".join(f"    people:   {text}" for text in references[row])
    return f"image {row}: {made.captions[row]}   ({made.log_probability[row]:.1f} nats)\n{said}\n"


def draw_strip(image: np.ndarray, words: Sequence[str], attention: np.ndarray, columns: int = 8) -> Figure:
    """Draws an image and, for each word of its caption, where it looked: bright; as the paper's figure 2.

    Args:
        image: (H, W, 3) in [0, 255].
        words: T.
        attention: (T, rows, columns) in [0, 1].
        columns: Pictures in a row.
    """
    height, width = image.shape[:2]
    rows = -(-(len(words) + 1) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.75 * rows), layout="constrained")
    for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.axis("off")
        if place > len(words):
            continue
        show(axes, image)
        if place:
            seen = attention[place - 1]
            axes.imshow(
                seen / max(float(seen.max()), 1e-9),
                cmap="gray",
                alpha=0.7,
                interpolation="bicubic",
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                vmin=0,
                vmax=1,
            )
            axes.set_title(words[place - 1], fontsize=9)
    return figure


def export(decoder: Decoder, model: keras.Model, config: Any, source: Source, folder: str | Path, **how: Any) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    `serving_default` takes `image_bytes` (B,) string, encoded JPEG, PNG or GIF; `image` takes (B, H, W, 3) float32 in
    [0, 255] and `image_uint8` uint8. All answer with what `describe` returns; encoder and beam search are in the graph.

    Args:
        decoder: What makes a step of the model.
        model: The captioner.
        config: Of a captioner without a run; see `eyes`.
        source: The captioner's run, or Splits of its data.
        folder: The base path that a server watches.
        **how: See `describe`.

    Raises:
        ExportError: If the SavedModel does not answer as the model does.
    """
    if not is_chief():
        return export_signatures([model], source.info, folder, {})
    served, tokenizer, encoder = in_float32(model), tokenizer_of(source.info), eyes(model, config)
    size = (encoder or model).inputs[0].shape[1]

    def caption(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return describe(decoder, served, tokenizer, look(encoder, image), **how)

    images = source.examples(8)
    if images.ndim != 4:
        raise ExportError(f"the data holds annotations {images.shape}, which are no images; fit on images to export")
    answer = {name: value.numpy() for name, value in tf.function(caption)(tf.constant(images)).items()}
    signatures = image_signatures(caption, (size, size, 3), images, answer)
    models = [served, tokenizer.table, *([encoder] if encoder else [])]
    return export_signatures(models, source.info, folder, signatures, run=getattr(model, "run", None))
