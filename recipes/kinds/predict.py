"""Labels for image files and texts, computed by the very functions that an export serves."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.images import decode_file
from recipes.data.labelled_texts import read_text_file
from recipes.errors import ConfigError, DataError
from recipes.kinds.image_classification import classify_function
from recipes.kinds.text_classification import classify_texts_function
from recipes.verbs.export import in_float32


def classify_files(
    model: keras.Model, files: Iterable[str | Path], label_names: tuple[str, ...]
) -> Iterator[tuple[str | Path, dict[str, Any] | DataError]]:
    """Yields (file, {"label", "probability", "probabilities"}), or (file, the DataError that says why there is none).

    Args:
        model: Image classifier: (B, H, W, C) in [0, 255] to logits.
        files: JPEG, PNG or GIF, of any size.
        label_names: By class index.

    Raises:
        ConfigError: If the model is none.
    """
    _refuse_unless_it_names(model, label_names, "an image")
    classify = classify_function(in_float32(model), label_names)
    for file in files:
        try:
            image = decode_file(Path(file), tuple(model.input_shape[1:]))
        except DataError as error:
            yield file, error
            continue
        yield file, _first(classify(tf.constant(image[np.newaxis])))


def label_texts(
    model: keras.Model, inputs: Iterable[str], label_names: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """Yields (a text or the name of its file, {"label", "probability", "probabilities"} or the DataError).

    Args:
        model: What `fit` returned, or a run's model: token ids to logits.
        inputs: Texts, and names of .txt files in UTF-8.
        label_names: By class index.

    Raises:
        ConfigError: If the model is no classifier.
    """
    _refuse_unless_it_names(model, label_names, "a text")
    classify = classify_texts_function(in_float32(model), model.run.info, model.run.config.sequence_length)
    once = tf.function(classify, input_signature=[tf.TensorSpec((None,), tf.string)])
    for given in inputs:
        try:
            text = read_text_file(Path(given)) if given.endswith(".txt") else given
        except DataError as error:
            yield given, error
            continue
        yield given, _first(once(tf.constant([text])))


def _refuse_unless_it_names(model: keras.Model, label_names: tuple[str, ...], what: str) -> None:
    if getattr(model, "output_shape", ())[1:] != (len(label_names),):
        raise ConfigError(f"{model.name} names nothing in {what}; expected a recipe that classifies")


def _first(answer: dict[str, tf.Tensor]) -> dict[str, Any]:
    return {
        "label": answer["label"].numpy()[0].decode(),
        "probability": float(answer["probability"][0]),
        "probabilities": answer["probabilities"].numpy()[0],
    }
