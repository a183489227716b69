"""Models of a Gaussian for each row of a table: how they are scored, reported, asked and exported."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.errors import DataError
from recipes.runs.exhibits import Exhibit

WIDTH = 1.959964  # deviations on either side of the mean that hold 95 % of a Gaussian


def answer(gaussian: Any) -> dict[str, tf.Tensor]:
    """Returns "mean", "deviation", and the ends of the 95 % interval, "low" and "high", (B,) each, of (B, 2)."""
    mean, deviation = gaussian[:, 0], gaussian[:, 1]
    return {
        "mean": mean,
        "deviation": deviation,
        "low": mean - WIDTH * deviation,
        "high": mean + WIDTH * deviation,
    }


def targets_and_gaussians(model: keras.Model, split: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the targets of a split and the means and deviations of a model, (N,) float64 each."""
    from recipes.kinds.plots import labels_and_outputs

    targets, outputs = labels_and_outputs(model, split)
    return targets.reshape(-1).astype(np.float64), *outputs.astype(np.float64).reshape(-1, 2).T


def shares_inside(targets: np.ndarray, mean: np.ndarray, deviation: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Returns what share of targets, (N,), lies in the interval in the middle of their Gaussians that is to hold each.

    Args:
        targets: What came about.
        mean: Of the Gaussians.
        deviation: Likewise.
        shares: (S,) of the probability, in [0, 1].
    """
    from scipy.special import erf

    smallest = erf(np.abs(targets - mean) / deviation / np.sqrt(2))  # the share of the least interval with the target
    return (smallest[:, np.newaxis] <= shares).mean(0)


class GaussianRegression:
    """The kind of a model of tables: `predict` answers with the "mean", "deviation", "low" and "high" of a row.

    "low" and "high" are the ends of the interval that is to hold 95 % of the targets. Signatures of an export:
    `serving_default` takes `features` (B, F) float32, in the order of the columns in training, and answers with these
    four, (B,) float32 each; a missing number is NaN. `cells` takes `cells` (B, F) string, as in a CSV file: numbers, ""
    for a missing one, and categories; with categories among the columns it is `serving_default`, and `features`, where
    a category is its index, the other. What training never had is refused: other categories, and numbers missing in
    columns that were full.

    Args:
        config_class: Of the recipe.
        sampled: (model, samples) -> a context in which several networks that drop other units are asked as one model.
    """

    name = "gaussian_regression"

    def __init__(
        self, config_class: type, sampled: Callable[[keras.Model, int], AbstractContextManager[keras.Model]]
    ) -> None:
        self.config_class, self.sampled = config_class, sampled

    def evaluate(self, model: keras.Model, splits: Splits, *, samples: int = 0) -> dict[str, float]:
        """Returns {"loss": the NLL in nats, "rmse": in the target's unit, "coverage"} on the test split.

        "coverage" is the share of targets inside their 95 % interval. The NLL is of targets in their own unit: of a
        thousandth of the unit, it is log(1000) more.

        Args:
            model: The model.
            splits: The data.
            samples: The figures are of so many networks that drop other units, 2 or more; 0: of the model.
        """
        from recipes.verbs.evaluate import compiled_metrics

        with self.sampled(model, samples) as asked:
            values = compiled_metrics(asked, splits)
            coverage = shares_inside(*targets_and_gaussians(asked, splits.test), np.array([0.95]))
        return values | {"coverage": float(coverage[0])}

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields predictions.png and calibration.png, on the test split."""
        if splits.test is None:
            return
        targets, mean, deviation = targets_and_gaussians(model, splits.test)
        if not len(targets):
            return
        label = splits.info.follows.get("label", "target")
        title = "Predictions and their 95 % intervals over what came about, on the test split"
        yield title, "predictions.png", lambda: draw_predictions(targets, mean, deviation, label)
        inside = shares_inside(targets, mean, deviation, np.array([0.95]))[0]
        title = (
            f"How far the intervals can be trusted, on the test split: 95 % intervals hold {inside:.0%} of the targets"
        )
        yield title, "calibration.png", lambda: draw_calibration(targets, mean, deviation)

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test part of a user's table, or all of it, read as the model's training table was."""
        from recipes.data.feature_tables import Schema, read_own
        from recipes.data.image_batches import eval_batches
        from recipes.data.in_memory import EvaluationData
        from recipes.verbs.load import config_of, run_of

        info, config = run_of(model).info, config_of(model, self.config_class)
        columns, _ = read_own(data, config, Schema.from_json(info.follows))
        features, targets = columns["test" if "test" in columns else "train"]
        batches = eval_batches((features, targets), 1024)
        own = replace(info, name="your own table", examples={"test": len(targets)}, fingerprint="")
        return EvaluationData(Splits(train=batches, test=batches, info=own), len(targets))

    def predict(
        self, model: keras.Model, inputs: Any, samples: int = 0
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (row, {"mean", "deviation", "low", "high"}) of rows: see `feature_tables.read_rows`."""
        from recipes.data.feature_tables import Schema, read_rows
        from recipes.verbs.export import in_float32
        from recipes.verbs.load import run_of

        features = read_rows(inputs, Schema.from_json(run_of(model).info.follows))
        with self.sampled(in_float32(model), samples) as asked:
            compiled = tf.function(lambda rows: answer(asked(rows, training=False)), reduce_retracing=True)
            answers = [compiled(features[start : start + 1024]) for start in range(0, len(features), 1024)]
        values = {name: np.concatenate([one[name] for one in answers]) for name in answers[0]} if answers else {}
        for row in range(len(features)):
            yield f"row {row}", {name: float(value[row]) for name, value in values.items()}

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, and the signatures that the class docstring describes."""
        from recipes.data.batch_rows import check_rows
        from recipes.data.feature_tables import Schema
        from recipes.verbs.export import Signature, in_float32

        network, schema = in_float32(model), Schema.from_json(source.info.follows)
        rows = source.examples(8).astype(np.float32)
        width, has_categories = rows.shape[1], any(feature.categories is not None for feature in schema.features)

        def of_features(features: tf.Tensor) -> dict[str, tf.Tensor]:
            checks = []
            for place, feature in enumerate(schema.features):
                value = features[:, place]
                if feature.categories is not None:
                    known = tf.range(len(feature.categories), dtype=tf.float32)
                    is_right = tf.reduce_any(value[:, tf.newaxis] == known, 1)
                else:
                    is_right = tf.math.is_finite(value) | (feature.may_be_missing & tf.math.is_nan(value))
                message = f"row {{}} has {{}} in column {feature.name!r}, which no row had in training"
                checks.append(check_rows(is_right, message, value))
            with tf.control_dependencies(checks):
                return answer(network(tf.identity(features), training=False))

        def of_cells(cells: tf.Tensor) -> dict[str, tf.Tensor]:
            columns, checks = [], []
            for place, feature in enumerate(schema.features):
                cell = tf.strings.strip(cells[:, place])
                if feature.categories is not None:
                    is_known = cell[:, tf.newaxis] == tf.constant(feature.categories)  # (B, categories)
                    is_right, value = tf.reduce_any(is_known, 1), tf.cast(tf.argmax(is_known, 1), tf.float32)
                else:
                    is_number = tf.strings.regex_full_match(cell, r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
                    is_right = is_number | (cell == "") if feature.may_be_missing else is_number
                    value = tf.strings.to_number(tf.where(is_number, cell, "nan"))
                message = f"row {{}} has '{{}}' in column {feature.name!r}, which no row had in training"
                checks.append(check_rows(is_right, message, cell))
                columns.append(value)
            with tf.control_dependencies(checks):
                return of_features(tf.stack(columns, 1))

        expected = {name: value.numpy() for name, value in answer(network(rows, training=False)).items()}
        as_cells = [
            [
                feature.categories[int(value)]
                if feature.categories is not None
                else ""
                if value != value
                else repr(value)
                for value, feature in zip(row, schema.features, strict=True)
            ]
            for row in rows.tolist()
        ]
        meaning = "The mean, the deviation and the 95 % interval of what is predicted from "
        both = {
            "features": Signature(
                of_features,
                {"features": tf.TensorSpec((None, width), tf.float32)},
                {"features": rows},
                expected,
                meaning + "a row of numbers",
            ),
            "cells": Signature(
                of_cells,
                {"cells": tf.TensorSpec((None, width), tf.string)},
                {"cells": as_cells},
                expected,
                meaning + "the cells of a row, as texts",
            ),
        }
        first = both.pop("cells" if has_categories else "features")
        return [network], {"serving_default": first, **both}

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `features` (B, F) float32 to "mean", "deviation", "low" and "high"}."""
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        network, rows = in_float32(model), source.examples(count).astype(np.float32)
        return {
            "model": Network(
                lambda features: answer(network(features, training=False)),
                {"features": tf.TensorSpec((None, rows.shape[1]), tf.float32)},
                {"features": rows},
                models=[network],
                outside="put the numbers of a row in the order of the features in recipe.json, a category as its index",
            )
        }


def draw_predictions(targets: np.ndarray, mean: np.ndarray, deviation: np.ndarray, label: str) -> Any:
    """Draws predicted means with their 95 % intervals over the targets, and the line on which they would be equal."""
    from matplotlib.figure import Figure  # not pyplot: no display, no state

    from recipes.runs.figure_text import shortened

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    alpha = max(0.1, min(0.8, 200 / len(targets)))
    axes.errorbar(targets, mean, WIDTH * deviation, fmt="o", markersize=3, linewidth=0.8, alpha=alpha)
    ends = [targets.min(), targets.max()]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel=f"true {shortened(label, 40)}", ylabel=f"predicted {shortened(label, 40)}")
    axes.grid(alpha=0.3)
    return figure


def draw_calibration(targets: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Any:
    """Draws what share of the targets lies in intervals over what share of them is to."""
    from matplotlib.figure import Figure

    shares = np.linspace(0, 1, 41)
    inside = shares_inside(targets, mean, deviation, shares)
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(shares, inside, marker="o", markersize=3)
    axes.set(xlabel="probability of the interval", ylabel=f"share of the {len(targets):,} targets inside")
    axes.text(0.03, 0.93, "above the line: not sure enough", fontsize=8, color="grey")
    axes.text(0.6, 0.05, "below: too sure", fontsize=8, color="grey")
    axes.grid(alpha=0.3)
    return figure
