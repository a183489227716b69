"""Classifiers of texts: what they take for what, and a SavedModel of them that takes strings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.labelled_texts import last_words
from recipes.data.splits import DataInfo, Splits
from recipes.data.tokenizers import Tokenizer
from recipes.devices.workers import is_chief
from recipes.errors import ConfigError
from recipes.kinds.image_classification import name_function
from recipes.kinds.plots import predictions, write_confusion
from recipes.runs.atomic_files import write_text
from recipes.verbs.export import Signature, Source, export_signatures, in_float32

SHOWN_WORDS = 80  # of a text in a report, its last


def text_classifier_pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes confusion.png and mistakes.txt, on the test split; returns their titles -> file names.

    Args:
        model: (B, T) token ids to (B, V) logits.
        splits: The data; without a test split, or a tokenizer, there are none.
        folder: Where they are written.
    """
    tokenizer = splits.info.tokenizer
    if splits.test is None or tokenizer is None:
        return {}
    batches, labels, probabilities = predictions(model, splits.test)
    texts = [text.decode() for token_ids in batches for text in tokenizer.decode(token_ids).numpy()]
    names = splits.info.label_names or tuple(map(str, range(probabilities.shape[-1])))
    guesses = probabilities.argmax(-1)
    written = write_confusion(labels, guesses, names, folder)
    wrong = np.flatnonzero(guesses != labels)
    surest = wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:12]
    if len(surest):
        said = "\n".join(
            f"is {names[labels[index]]}, taken for {names[guesses[index]]} with {probabilities[index].max():.1%}:\n"
            f"    ... {' '.join(texts[index].split()[-SHOWN_WORDS:])}\n"
            for index in surest
        )
        write_text(folder / "mistakes.txt", said)
        title = f"Its {len(surest)} surest mistakes of {len(wrong)} in {len(labels)}, as it reads them: how they end"
        written[title] = "mistakes.txt"
    return written


def classify_texts_function(
    model: keras.Model, info: DataInfo, sequence_length: int
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function (B,) strings -> {"label", "probability", "probabilities"}."""
    tokenizer, name = tokenizer_of(info), name_function(model, info.label_names)

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(text)[0]
        one_if_empty = tf.cast(count == 0, tf.int32)  # a recurrent network fails on an empty batch
        token_ids = padded_ids(tokenizer, tf.concat([text, tf.fill((one_if_empty,), "")], 0), sequence_length)
        return name(model(token_ids, training=False)[:count])

    return classify


def padded_ids(tokenizer: Tokenizer, text: Any, sequence_length: int) -> tf.Tensor:
    """Returns the last token ids of each text, (B,) to (B, T) int32, padded with 0."""
    return last_words(tokenizer, text, sequence_length).to_tensor(0)


def tokenizer_of(info: DataInfo) -> Tokenizer:
    """Returns the tokenizer of some data, refusing data that has none."""
    if info.tokenizer is None:
        raise ConfigError(f"{info.name} has no tokenizer; pass Splits whose info= has one")
    return info.tokenizer


def export_text_classifier(model: keras.Model, source: Source, folder: str | Path, sequence_length: int) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    Its signature `serving_default` takes `text` (B,) string, in UTF-8, and answers with `label` (B,) string,
    `probability` (B,) float32 and `probabilities` (B, classes) float32. `token_ids` takes (B, T) int32 instead.

    Args:
        model: (B, T) token ids to (B, V) logits.
        source: The model's run, or Splits of its data.
        folder: The base path that a server watches.
        sequence_length: How many of a text's last words count.

    Raises:
        ExportError: See `export_signatures`.
    """
    if not is_chief():
        return export_signatures([model], source.info, folder, {})
    served, tokenizer = in_float32(model), tokenizer_of(source.info)
    texts = tokenizer.decode(source.examples(16)).numpy()
    token_ids = padded_ids(tokenizer, texts, sequence_length).numpy()
    answer = {"probabilities": keras.ops.convert_to_numpy(keras.ops.softmax(served.predict(token_ids, verbose=0)))}
    name = name_function(served, source.info.label_names)

    def of_ids(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return name(served(token_ids[:, -sequence_length:], training=False))

    signatures = {
        "serving_default": Signature(
            classify_texts_function(served, source.info, sequence_length),
            {"text": tf.TensorSpec((None,), tf.string)},
            {"text": texts},
            answer,
        ),
        "token_ids": Signature(
            of_ids, {"token_ids": tf.TensorSpec((None, None), tf.int32)}, {"token_ids": token_ids}, answer
        ),
    }
    models = [served, tokenizer.table]
    return export_signatures(models, source.info, folder, signatures, run=getattr(model, "run", None))
