"""Losses and metrics: what a model of labelled examples is trained for, and what Keras does not have."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.devices.keras_fixes import named_in_files, saved_as_stock

PAD = 0  # token id of padding, as in recipes.data.tokenizers


# ---------------------------------------------------------------- of labelled examples


def objective(sizes: Any, label_smoothing: float = 0.0) -> dict[str, Any]:
    """Returns what `Model.compile` takes of the task: loss=, metrics= and, of a number, loss_weights=.

    - "classification": the cross-entropy of logits (B, V) in nats, and "accuracy". Labels are class indices (B,), or
      the probabilities of the classes (B, V), such as a mixture of two images has.
    - "multi_label": the binary cross-entropy of each of V logits (B, V) in nats, their mean, and "accuracy", the share
      of examples of which all V labels are right. Labels are 0 or 1, (B, V).
    - "regression": the squared error in units of the training labels' variance, so that 1 is what their mean reaches,
      and "mae" and "r2". Labels (B,) and predictions (B, 1) are in the labels' own unit.

    Args:
        sizes: Reads `task` and `target_std`.
        label_smoothing: Probability in [0, 1) that the targets spread evenly over all classes; of several labels, over
            yes and no.
    """
    if sizes.task == "regression":
        return {
            "loss": keras.losses.MeanSquaredError(),
            "loss_weights": [sizes.target_std**-2],
            "metrics": [keras.metrics.MeanAbsoluteError(name="mae"), R2(name="r2", dtype="float64")],
        }
    if sizes.task == "multi_label":
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        return {"loss": loss, "metrics": [ExactMatch(name="accuracy")]}
    loss = SmoothedCrossentropy(label_smoothing) if label_smoothing else Crossentropy(from_logits=True)
    return {"loss": loss, "metrics": [Accuracy(name="accuracy")]}


def answers(outputs: Any, sizes: Any) -> Any:
    """Returns what a model answers with, of its last layer's outputs: logits as they are, a number in its own unit.

    A network learns best what lies around 0 with a variance of 1, so of a number its outputs (B, 1) are scaled by the
    standard deviation of the training labels, and their mean is added.

    Args:
        outputs: Symbolic, float32, (B, sizes.num_outputs).
        sizes: Reads `task`, `target_mean` and `target_std`.
    """
    if sizes.task != "regression":
        return outputs
    return layers.Rescaling(sizes.target_std, sizes.target_mean, dtype="float32")(outputs)


@saved_as_stock(keras.losses.SparseCategoricalCrossentropy)
class Crossentropy(keras.losses.SparseCategoricalCrossentropy):
    """Keras's cross-entropy of class indices, which takes the probabilities of the classes, (B, V), as well."""

    def call(self, label: Any, logits: Any) -> Any:
        """Returns the loss of each example: label (B,) integer or (B, V) float, logits (B, V) float -> (B,)."""
        if is_distribution(label, logits):
            return smoothed_cross_entropy(label, logits, 0.0)
        return super().call(label, logits)


@saved_as_stock(keras.metrics.SparseCategoricalAccuracy)
class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """Keras's accuracy of class indices, which of the probabilities of the classes, (B, V), takes the likeliest."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes labels (B,) integer or (B, V) float, and (B, V) logits."""
        label = ops.argmax(y_true, axis=-1) if is_distribution(y_true, y_pred) else y_true
        super().update_state(label, y_pred, sample_weight)


@keras.saving.register_keras_serializable("recipes")
class ExactMatch(keras.metrics.Mean):
    """The share of examples of which each label is right, those with a logit above 0 being said to be there."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes labels (B, V) of 0 and 1, and (B, V) logits."""
        is_right = ops.equal(ops.greater(y_true, 0), ops.greater(y_pred, 0))
        super().update_state(ops.all(is_right, axis=-1), sample_weight)


@saved_as_stock(keras.metrics.R2Score)
class R2(keras.metrics.R2Score):
    """Keras's R2, the share of the labels' variance that is explained, which takes labels (B,) as well.

    It subtracts sums of squares: of labels far from 0, such as years, float64 alone keeps what is left.
    """

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a sum, in float64, where Keras has float32."""
        return super().add_variable(*args, **{**kwargs, "dtype": "float64"})

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes labels (B,) or (B, 1), and (B, 1) predictions."""
        super().update_state(ops.reshape(y_true, (-1, 1)), y_pred, sample_weight)


@saved_as_stock(keras.losses.CategoricalCrossentropy)
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of labels and logits in nats, with the label smoothing that Keras has for one-hot labels.

    Labels are class indices or the probabilities of the classes. A saved model has Keras's CategoricalCrossentropy in
    its place, which is the same of the latter.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over all classes, the true one included.

    Szegedy et al. (2016), section 7; https://arxiv.org/abs/1512.00567.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "smoothed_crossentropy", **kwargs: Any) -> None:
        kwargs = {name: value for name, value in kwargs.items() if name not in ("from_logits", "axis")}
        super().__init__(from_logits=True, label_smoothing=label_smoothing, name=name, **kwargs)

    def call(self, label: Any, logits: Any) -> Any:
        """Returns the loss of each example: label (B,) or (B, 1) integer or (B, V) float, logits (B, V) -> (B,)."""
        label = label if is_distribution(label, logits) else ops.reshape(label, (-1,))
        return smoothed_cross_entropy(label, logits, self.label_smoothing)


def smoothed_cross_entropy(label: Any, logits: Any, label_smoothing: float) -> Any:
    """Returns the cross-entropy in nats of labels and logits (..., V), in the shape of the logits without V.

    Args:
        label: Class indices (...), or the probabilities of the classes (..., V).
        logits: (..., V) float.
        label_smoothing: Probability that the targets spread evenly over all classes.
    """
    logits, classes = tf.convert_to_tensor(logits), logits.shape[-1]
    if is_distribution(label, logits):
        targets = tf.cast(label, logits.dtype) * (1 - label_smoothing) + label_smoothing / classes
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    rows = tf.cast(tf.reshape(logits, (-1, classes)), tf.float32)
    loss = _cross_entropy_of_rows(tf.reshape(tf.cast(label, tf.int32), (-1,)), rows, label_smoothing)
    return tf.cast(tf.reshape(loss, tf.shape(logits)[:-1]), logits.dtype)


def _cross_entropy_of_rows(label: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Returns the smoothed cross-entropy of (R,) int32 labels and (R, V) float32 logits, (R,).

    With targets (1 - a) onehot(label) + a / V it is log sum_k exp(logits_k) - (1 - a) logits_label - a mean(logits),
    and its gradient softmax(logits) less the targets: no (R, V) of targets is made, and there is one logarithm for each
    row where TensorFlow's own takes V.
    """
    probabilities = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, -1)
    of_likeliest = -tf.math.log(tf.reduce_max(probabilities, -1))  # the cross-entropy of that label; no log 0
    places = tf.stack([tf.range(tf.shape(label)[0]), label], -1)  # (R, 2)

    @tf.custom_gradient
    def cross_entropy(logits: tf.Tensor) -> tuple[tf.Tensor, Any]:
        loss = of_likeliest + (1 - label_smoothing) * (largest - tf.gather_nd(logits, places))
        if label_smoothing:
            loss += label_smoothing * (largest - tf.reduce_mean(logits, -1))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            evenly = label_smoothing / logits.shape[-1]
            spread = (probabilities - evenly if label_smoothing else probabilities) * upstream[:, tf.newaxis]
            return tf.tensor_scatter_nd_sub(spread, places, (1 - label_smoothing) * upstream)

        return loss, gradient

    return cross_entropy(logits)


def is_distribution(label: Any, logits: Any) -> bool:
    """Returns whether labels are probabilities of the classes, (..., V) as the logits, and no class indices (...)."""
    return len(label.shape) == len(logits.shape) and label.shape[-1] == logits.shape[-1] > 1


# ---------------------------------------------------------------- of texts


@named_in_files("SentenceNats")
class SentenceCrossentropy(keras.losses.Loss):
    """The cross-entropy of whole sentences in nats: the sum over their tokens, the mean over a batch.

    A sum, not a mean over tokens, so that replicas whose sentences differ in length together do what one device does.

    Args:
        label_smoothing: Probability in [0, 1) that the targets spread evenly over the vocabulary.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "sentence_crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each sentence: (B, T) integer, 0 for padding, and (B, T, V) float logits -> (B,)."""
        loss = smoothed_cross_entropy(y_true, y_pred, self.label_smoothing)  # (B, T)
        return ops.sum(ops.where(y_true == PAD, 0.0, loss), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("recipes")
class Perplexity(keras.metrics.Metric):
    """exp of the mean cross-entropy per token, without label smoothing."""

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.nats = self.add_weight(initializer="zeros", name="nats")
        self.tokens = self.add_weight(initializer="zeros", name="tokens")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes (B, T) tokens, 0 for padding, and (B, T, V) logits."""
        loss = smoothed_cross_entropy(y_true, y_pred, 0.0)  # (B, T)
        padding_mask = ops.cast(y_true != PAD, loss.dtype)
        self.nats.assign_add(ops.sum(loss * padding_mask))
        self.tokens.assign_add(ops.sum(padding_mask))

    def result(self) -> Any:
        """Returns the perplexity."""
        return ops.exp(self.nats / ops.maximum(self.tokens, 1))
