"""A classifier's probabilities made to be what they say, by one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from recipes.errors import DataError, RunError
from recipes.kinds.classes import refuse_other_than_classes
from recipes.kinds.confidence import best_temperature, figures_of_logits, with_temperature, without_temperature
from recipes.kinds.plots import class_indices, labels_and_outputs
from recipes.runs.atomic_files import write_atomically, write_json
from recipes.runs.finish import write_report_of
from recipes.verbs.evaluate import splits_of_run
from recipes.verbs.load import run_of

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def calibrate_recipe(recipe: Recipe, model: keras.Model, data: Any) -> keras.Model:
    """Returns a recipe's calibrated model; see `classifier_verbs`."""
    run = run_of(model)
    refuse_other_than_classes(run.info, "calibrate")
    if run.metrics.get("status") != "finished":
        raise RunError(
            f"the run in {run.folder} is not finished, and only finished runs are calibrated; resume it first"
        )
    splits = splits_of_run(recipe, model, data)
    if splits.validation is None:
        raise DataError(
            f"the run in {run.folder} has held out no validation data, and a temperature is chosen by that; train with "
            "a validation_fraction above 0"
        )
    plain = without_temperature(model)
    labels, logits = of_classes(plain, splits.validation)
    temperature = best_temperature(labels, logits)
    calibrated = with_temperature(plain, temperature)
    before_and_after = {"validation": _before_and_after(labels, logits, temperature)}
    if splits.test is not None:
        before_and_after["test"] = _before_and_after(*of_classes(plain, splits.test), temperature)
        run.metrics["test"] = recipe.figures(calibrated, splits)
    run.metrics["calibration"] = {"temperature": temperature, "examples": len(labels), **before_and_after}
    write_atomically(run.folder / "model.keras", lambda part: calibrated.save(part))
    write_json(run.folder / "metrics.json", run.metrics)
    write_report_of(calibrated, splits, run, recipe.reports)
    print(f"temperature {temperature:.4f}, by {len(labels):,} validation examples")
    for split, (before, after) in before_and_after.items():
        changes = "  ".join(f"{name} {value:.4f} -> {after[name]:.4f}" for name, value in before.items())
        print(f"{split}: {changes}")
    print(f"{run.folder / 'model.keras'} divides its logits by it from now on", flush=True)
    return calibrated


def of_classes(model: keras.Model, split: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes of a split, (N,) int, and a model's logits, (N, V)."""
    labels, logits = labels_and_outputs(model, split)
    return class_indices(labels), logits


def _before_and_after(labels: np.ndarray, logits: np.ndarray, temperature: float) -> list[dict[str, float]]:
    return [figures_of_logits(labels, logits, each) for each in (1.0, temperature)]
