"""What a model says of an example: its class, its labels or a number; of images and of texts."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from recipes.data.splits import DataInfo
from recipes.errors import ConfigError, DataError, ExportError

THRESHOLD = 0.5  # an example has the labels of this probability and more


def name_function(model: keras.Model, info: DataInfo) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function of a model's outputs (B, V) to what it answers.

    - Of classes: "label" (B,) string, "probability" (B,) and "probabilities" (B, V), which add up to 1.
    - Of several labels: "labels" (B, V) string, each the label's name or, where it is not there, "", and
      "probabilities" (B, V), of each label by itself.
    - Of a number: "value" (B,), in the unit of the labels.

    Raises:
        ConfigError: If the model is none of labelled examples.
        ExportError: If it has other classes than the data has names.
    """
    if len(model.output_shape) != 2:
        raise ConfigError(
            f"{model.name} is not a classifier: its outputs are {model.output_shape}; expected (B, classes)"
        )
    if info.task == "regression":
        return lambda outputs: {"value": tf.cast(outputs, tf.float32)[:, 0]}
    names = names_of(info, model.output_shape[-1])
    if len(names) != model.output_shape[-1]:
        raise ExportError(f"the model has {model.output_shape[-1]} classes and the data {len(names)} label names")

    def name_one(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {
            "label": tf.gather(tf.constant(names), tf.argmax(probabilities, axis=-1)),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    def name_several(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.sigmoid(tf.cast(logits, tf.float32))
        return {
            "labels": tf.where(probabilities >= THRESHOLD, tf.constant(names), ""),
            "probabilities": probabilities,
        }

    return name_several if info.task == "multi_label" else name_one


def numbers_function(task: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the function of a model's outputs to the numbers among the answers of `name_function`, as tensors."""

    def numbers(outputs: Any) -> dict[str, Any]:
        outputs = keras.ops.cast(outputs, "float32")
        if task == "regression":
            return {"value": outputs[:, 0]}
        return {"probabilities": keras.ops.sigmoid(outputs) if task == "multi_label" else keras.ops.softmax(outputs)}

    return numbers


def numbers_of(outputs: Any, task: str) -> dict[str, Any]:
    """Returns the numbers among the answers of `name_function` to a model's outputs, as NumPy arrays."""
    return {name: keras.ops.convert_to_numpy(value) for name, value in numbers_function(task)(outputs).items()}


def refuse_unknown_classes(model: keras.Model, info: DataInfo) -> None:
    """Refuses to evaluate a model on labels of another kind than its own, or that it has no class for."""
    run = getattr(model, "run", None)
    if run and run.info.task != info.task:
        raise DataError(
            f"the labels of {info.name} are those of task={info.task!r}, and this model's were of {run.info.task!r}; "
            "expected labels of that kind"
        )
    if info.task == "regression":
        return
    classes = model.output_shape[-1]
    labels = max(info.follows.get("num_classes", 0), len(info.label_names))
    if labels > classes:
        raise DataError(
            f"the labels of {info.name} reach {labels - 1}, and this model has {classes} classes; expected labels from "
            f"0 to {classes - 1}"
        )


def named_answers(answer: dict[str, tf.Tensor], info: DataInfo) -> list[dict[str, Any]]:
    """Returns what `name_function` answers as a dictionary for each example, in Python's own types."""
    if info.task == "regression":
        return [{"value": float(value)} for value in answer["value"].numpy()]
    probabilities = answer["probabilities"].numpy()
    names = names_of(info, probabilities.shape[-1])
    by_name = [dict(zip(names, map(float, row), strict=True)) for row in probabilities]
    if info.task == "multi_label":
        return [{"labels": [name for name in names if row[name] >= THRESHOLD], "probabilities": row} for row in by_name]
    return [
        {"label": label.decode(), "probability": max(row.values()), "probabilities": row}
        for label, row in zip(answer["label"].numpy(), by_name, strict=True)
    ]


def names_of(info: DataInfo, count: int) -> tuple[str, ...]:
    """Returns the names of the classes or labels; their places where they have none."""
    return info.label_names or tuple(map(str, range(count)))
