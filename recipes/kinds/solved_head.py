"""A last layer that is solved, not trained: scikit-learn's linear classifiers as the weights of a dense layer."""

from typing import Any

import keras
import numpy as np

from recipes.errors import DataError


def solve_last_layer(
    head: keras.layers.Dense, solver: Any, features: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> None:
    """Sets a dense layer's weights to what a linear classifier of scikit-learn makes of features and labels.

    Args:
        head: From (B, D) to (B, V) logits; a class that no label names gets a logit of about -10.
        solver: `LogisticRegression`, whose probabilities are the softmax of the logits, or `LinearSVC`, whose margins
            they are.
        features: (N, D).
        labels: (N,) integer in [0, V).
        weights: (N,) of the examples; None: all count the same.

    Raises:
        DataError: If all labels are the same.
    """
    from sklearn.svm import LinearSVC

    if labels.min() == labels.max():
        raise DataError(f"all {len(labels):,} labels are of class {labels[0]}; expected two classes or more")
    fitted = solver.fit(features, labels, weights)
    rows, bias = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # there sklearn has one row w, of the second class: softmax of -w / 2 and w / 2
        half = 1 if isinstance(solver, LinearSVC) else 2  # whose margins are -w and w
        rows, bias = (np.stack([-each[0], each[0]]) / half for each in (rows, bias))
    kernel, biases = np.zeros(head.kernel.shape, np.float32), np.full(head.bias.shape, -10.0, np.float32)
    kernel[:, fitted.classes_], biases[fitted.classes_] = rows.T, bias
    head.set_weights([kernel, biases])
