"""The signatures `classify` and `regress` of TensorFlow Serving, which are asked with serialized tf.Examples."""

from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.batch_rows import check_rows
from recipes.data.splits import DataInfo
from recipes.kinds.classes import names_of
from recipes.verbs.export import Signature


def example_signatures(default: Signature, info: DataInfo) -> dict[str, Signature]:
    """Returns {"classify": ...} of a model of classes or labels, {"regress": ...} of one of a number.

    Both take `inputs` (B,) string, serialized tf.Examples with one feature, a string that has the name of the default
    signature's input. `classify` answers with `classes` (B, V) string and `scores` (B, V) float32, the most probable
    first; `regress` with `outputs` (B,) float32.

    Args:
        default: A signature with one input, (B,) string, that answers with "probabilities" (B, V) or "value" (B,).
        info: What the model was trained on.
    """
    [(feature, column)] = default.question.items()
    specs = {"inputs": tf.TensorSpec((None,), tf.string)}
    question = {"inputs": np.array([serialized_example(feature, value) for value in column], object)}
    if info.task == "regression":

        def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": default.function(values_of_feature(inputs, feature))["value"]}

        number = default.answer.get("value")
        answer = {} if number is None else {"outputs": number}
        return {"regress": Signature(regress, specs, question, answer, f"The number of each {feature}", "regress")}

    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = default.function(values_of_feature(inputs, feature))["probabilities"]
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        names = tf.constant(names_of(info, scores.shape[-1]))
        return {"classes": tf.gather(names, order), "scores": tf.gather(scores, order, batch_dims=1)}

    probabilities = default.answer.get("probabilities")
    answer = {} if probabilities is None else {"scores": -np.sort(-probabilities)}
    meaning = f"All classes of each {feature} and their probabilities, the most probable first"
    return {"classify": Signature(classify, specs, question, answer, meaning, "classify")}


def serialized_example(feature: str, value: Any) -> bytes:
    """Returns a tf.Example with one string."""
    value = value if isinstance(value, bytes) else str(value).encode()
    features = {feature: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def values_of_feature(serialized: tf.Tensor, feature: str) -> tf.Tensor:
    """Returns the string in each serialized tf.Example, (B,) to (B,), in TensorFlow operations alone.

    Raises:
        tf.errors.InvalidArgumentError: If one has no such feature, or several values of it; names the first such row.
    """
    column = tf.io.parse_example(serialized, {feature: tf.io.RaggedFeature(tf.string)})[feature]
    count = column.row_lengths()
    message = f"example {{}} of the batch has {{}} values of the feature {feature}; expected one string"
    with tf.control_dependencies([check_rows(count == 1, message, count)]):
        return tf.identity(column.flat_values)
