"""Names and probabilities of classes, of images and of texts."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import DataInfo
from recipes.errors import ConfigError, DataError, ExportError


def name_function(model: keras.Model, label_names: tuple[str, ...]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function (B, V) logits -> {"label", "probability", "probabilities"}.

    Raises:
        ConfigError: If the model is no classifier.
        ExportError: If it has other classes than the data has names.
    """
    if len(model.output_shape) != 2:
        raise ConfigError(
            f"{model.name} is not a classifier: its outputs are {model.output_shape}; expected (B, classes)"
        )
    names = label_names or tuple(map(str, range(model.output_shape[-1])))
    if len(names) != model.output_shape[-1]:
        raise ExportError(f"the model has {model.output_shape[-1]} classes and the data {len(names)} label names")

    def name(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {
            "label": tf.gather(tf.constant(names), tf.argmax(probabilities, axis=-1)),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    return name


def refuse_unknown_classes(model: keras.Model, info: DataInfo) -> None:
    """Refuses to evaluate a classifier on labels that it has no class for."""
    classes = model.output_shape[-1]
    labels = max(info.follows.get("num_classes", 0), len(info.label_names))
    if labels > classes:
        raise DataError(
            f"the labels of {info.name} reach {labels - 1}, and this model has {classes} classes; expected labels from "
            f"0 to {classes - 1}"
        )


def named_probabilities(answer: dict[str, tf.Tensor], label_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns what `name_function` answers as a dictionary for each example, in Python's own types."""
    labels, probabilities = answer["label"].numpy(), answer["probabilities"].numpy()
    names = label_names or tuple(map(str, range(probabilities.shape[-1])))
    return [
        {
            "label": label.decode(),
            "probability": float(np.max(row)),
            "probabilities": dict(zip(names, map(float, row), strict=True)),
        }
        for label, row in zip(labels, probabilities, strict=True)
    ]
