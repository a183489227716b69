"""What a model says of an example: its class, its labels or a number; of images and of texts."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from recipes.data.splits import DataInfo
from recipes.errors import ConfigError, DataError, ExportError
from recipes.kinds.dropped_units import check_samples, dropping

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


def named_answers(answer: dict[str, tf.Tensor], info: DataInfo, min_probability: float = 0.0) -> list[dict[str, Any]]:
    """Returns what a model answers as a dictionary for each example, in Python's own types.

    Args:
        answer: See `answer_of`.
        info: Of the model.
        min_probability: "label" is None, no answer, where that of the likeliest class is below it.
    """
    if info.task == "regression":
        return [{"value": float(value)} for value in answer["value"].numpy()]
    names = names_of(info, answer["probabilities"].shape[-1])

    def by_name(values: tf.Tensor) -> list[dict[str, float]]:
        return [dict(zip(names, map(float, row), strict=True)) for row in values.numpy()]

    rows = by_name(answer["probabilities"])
    if info.task == "multi_label":
        return [{"labels": [name for name in names if row[name] >= THRESHOLD], "probabilities": row} for row in rows]
    answers: list[dict[str, Any]] = []
    for row in rows:
        label = max(row, key=row.__getitem__)
        named = {"label": label if row[label] >= min_probability else None, "probability": row[label]}
        answers.append({**named, "probabilities": row})
    if "spread" in answer:
        return [one | {"spread": spread} for one, spread in zip(answers, by_name(answer["spread"]), strict=True)]
    return answers


def answer_of(
    model: keras.Model, classify: Callable[[Any], dict[str, tf.Tensor]], inputs: tf.Tensor, samples: int = 0
) -> dict[str, tf.Tensor]:
    """Returns what a model answers, as tensors; with `samples`, over networks that drop units as in training.

    "probabilities" are then their mean, and "spread" (B, V) their standard deviation: wide where the network does not
    know. Gal and Ghahramani (2016), equation 6, https://arxiv.org/abs/1506.02142.

    Args:
        model: What `classify` computes with.
        classify: A tf.function, inputs -> what `name_function` answers.
        inputs: B examples.
        samples: 0, or 2 or more.
    """
    if not samples:
        return classify(inputs)
    with dropping(model):  # it is traced here
        answers = [classify(inputs) for _ in range(samples)]
    probabilities = tf.stack([answer["probabilities"] for answer in answers])
    mean, spread = tf.reduce_mean(probabilities, 0), tf.math.reduce_std(probabilities, 0)
    return {**answers[0], "probabilities": mean, "spread": spread}


def refuse_other_than_classes(info: DataInfo, verb: str) -> None:
    """Refuses to do with several labels, or numbers, what is of classes."""
    if info.task != "classification":
        raise ConfigError(f"{verb} is of probabilities of classes, and {info.name} is {info.task}; expected classes")


def check_doubts(model: keras.Model, info: DataInfo, min_probability: float, samples: int) -> None:
    """Refuses options of `predict` that are out of range, or would change nothing.

    Raises:
        ConfigError: If they are, if the labels are no classes, or the model drops no units.
    """
    if not 0 <= min_probability <= 1:
        raise ConfigError(f"min_probability={min_probability}; expected a probability in [0, 1]")
    if info.task != "classification" and (min_probability or samples):
        raise ConfigError(f"min_probability and samples are of classes, and this model's task is {info.task}")
    check_samples(model, samples)


def names_of(info: DataInfo, count: int) -> tuple[str, ...]:
    """Returns the names of the classes or labels; their places where they have none."""
    return info.label_names or tuple(map(str, range(count)))
