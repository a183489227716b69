"""How far the probabilities of a classifier can be trusted: figures, the temperature that mends them, and a picture."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers
from matplotlib.figure import Figure  # not pyplot: no display, no state
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from recipes.devices.keras_fixes import FASTER
from recipes.runs.exhibits import Exhibit

BINS = 15  # of probabilities, as in Guo et al. (2017), section 5
LEAST = 1e-12  # a probability below counts as that
LAYER = "temperature"  # the name of the layer that divides the logits

# ---------------------------------------------------------------- figures


def confidence_figures(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Returns "nll", "brier" and "calibration_error" of some predictions; 0 is best.

    - "nll": the mean of -log p(label), in nats; without label smoothing, which "loss" may have.
    - "brier": the mean of sum_k (p(k) - [k is the label])^2, in [0, 2]. Brier (1950).
    - "calibration_error": by how much the probability of the predicted class differs from how often it is right, in
      [0, 1]: the mean over 15 bins of equal width, weighted by their examples. Guo et al. (2017), equation 3,
      https://arxiv.org/abs/1706.04599.

    Args:
        labels: (N,) int, N at least 1.
        probabilities: (N, V), which add up to 1.

    >>> figures = confidence_figures(np.array([0, 1]), np.array([[0.8, 0.2], [0.8, 0.2]]))
    >>> {name: round(value, 4) for name, value in figures.items()}
    {'nll': 0.9163, 'brier': 0.68, 'calibration_error': 0.3}
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    counts, confidence, accuracy = reliability(labels, probabilities)
    return {
        "nll": float(-np.log(np.maximum(of_label, LEAST, dtype=np.float64)).mean()),
        "brier": float(((probabilities**2).sum(-1) - 2 * of_label + 1).mean(dtype=np.float64)),
        "calibration_error": float((counts * np.abs(confidence - accuracy)).sum() / len(labels)),
    }


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (examples, their mean probability, how many of them are right as a share) of each bin, (15,) each.

    A bin is an interval of the probability of the predicted class, closed above; one without examples has zeros. NaN
    counts as 0.
    """
    confidence, right = np.nan_to_num(probabilities.max(-1).astype(np.float64)), probabilities.argmax(-1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, values, BINS) for values in (confidence, right)]
    mean_confidence, accuracy = (values / np.maximum(counts, 1) for values in sums)
    return counts, mean_confidence, accuracy


def accuracy_of_answered(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns (N,): of the 1, 2, ... N surest predictions, the share that are right."""
    surest_first = np.argsort(-probabilities.max(-1), kind="stable")
    right = (probabilities.argmax(-1) == labels)[surest_first]
    return np.cumsum(right) / np.arange(1, len(labels) + 1)


# ---------------------------------------------------------------- temperature


def best_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """Returns the T, in [0.05, 20], whose softmax(logits / T) has the least negative log-likelihood.

    The predicted classes are the same for any T. Guo et al. (2017), section 4.2.

    Args:
        labels: (N,) int, N at least 1.
        logits: (N, V).
    """
    logits = logits.astype(np.float64)

    def nll(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), -1)[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(nll, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def with_temperature(model: keras.Model, temperature: float) -> keras.Model:
    """Returns a classifier that divides a model's logits by a temperature, in place of the one it divided by before.

    Its weights are the model's own; it is not meant to be trained on.
    """
    model = without_temperature(model)
    logits = layers.Rescaling(1 / temperature, dtype="float32", name=LAYER)(model.outputs[0])
    return compiled_alike(keras.Model(inputs_of(model), logits, name=model.name), model)


def without_temperature(model: keras.Model) -> keras.Model:
    """Returns a model as it was before `with_temperature`: itself, if it is not of that."""
    if temperature_of(model) is None:
        return model
    return compiled_alike(keras.Model(inputs_of(model), model.layers[-1].input, name=model.name), model)


def temperature_of(model: keras.Model) -> float | None:
    """Returns what a model of `with_temperature` divides by; None of any other."""
    last = model.layers[-1]
    return 1 / last.scale if isinstance(last, layers.Rescaling) and last.name == LAYER else None


def inputs_of(model: keras.Model) -> Any:
    """Returns the input of a model, or its inputs; of a Sequential, too, which has no `input`."""
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def compiled_alike(model: keras.Model, other: keras.Model) -> keras.Model:
    """Returns a model with the loss, the metrics and the run of another that has them, and a plain SGD: no state."""
    if other.compiled:
        with keras.saving.custom_object_scope(FASTER):
            model.compile_from_config({**other.get_compile_config(), "optimizer": "sgd"})
    model.run = getattr(other, "run", None)
    return model


# ---------------------------------------------------------------- picture


def confidence_exhibit(labels: np.ndarray, probabilities: np.ndarray) -> Iterator[Exhibit]:
    """Yields confidence.png, of the test split."""
    error = confidence_figures(labels, probabilities)["calibration_error"]
    title = (
        f"How far the probabilities can be trusted, on the test split: they are off by {error:.1%} on average; and the "
        "accuracy where only the surest predictions are answered, the others refused"
    )
    yield title, "confidence.png", lambda: draw_confidence(labels, probabilities)


def draw_confidence(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    """Draws the reliability diagram, and the accuracy over the share that is answered."""
    counts, confidence, accuracy = reliability(labels, probabilities)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = np.arange(BINS) / BINS
    left.bar(edges, accuracy, 1 / BINS, align="edge", color="#9ecae1", edgecolor="white", label="right")
    filled = counts > 0
    left.plot([0, 1], [0, 1], color="grey", linewidth=1, label="as it should be")
    left.scatter(confidence[filled], accuracy[filled], 4 + 120 * counts[filled] / len(labels), "#08519c", zorder=3)
    left.set(xlabel="probability of the predicted class", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02))
    left.set_title("reliability (a dot's area: its examples)", fontsize=9)
    curve = accuracy_of_answered(labels, probabilities)
    shares = np.arange(1, len(curve) + 1) / len(curve)
    surest = np.sort(probabilities.max(-1))[::-1]
    right.plot(shares, curve, color="#08519c")
    right.set(xlabel="share of the examples that is answered", ylabel="accuracy of the answers", xlim=(0, 1.02))
    right.grid(alpha=0.3)
    for share in (0.5, 0.8, 0.9, 0.95):
        last = max(0, round(share * len(curve)) - 1)
        right.annotate(f"p ≥ {surest[last]:.3f}", (shares[last], curve[last]), fontsize=8, ha="right", va="bottom")
        right.plot(shares[last], curve[last], "o", color="#08519c", markersize=4)
    right.set_title("refusing the least sure", fontsize=9)
    return figure


def figures_of_logits(labels: np.ndarray, logits: np.ndarray, temperature: float = 1.0) -> dict[str, Any]:
    """Returns `confidence_figures` of the softmax of logits (N, V) over a temperature."""
    return confidence_figures(labels, np.exp(log_softmax(logits.astype(np.float64) / temperature, -1)))
