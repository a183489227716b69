"""A trained model's figures on a test split."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from recipes.data.own_data import from_table, without_columns
from recipes.data.splits import DataInfo, Splits
from recipes.errors import DataError, RunError
from recipes.settings import with_changes
from recipes.verbs.load import run_of

if TYPE_CHECKING:
    from recipes.runs.run_folder import Run
    from recipes.verbs.recipe import Recipe


def evaluate_recipe(recipe: Recipe, model: keras.Model, data: Any, options: dict[str, Any]) -> dict[str, float]:
    """Returns a recipe's figures of a model; see `Recipe.evaluate`."""
    measured = inspect.signature(recipe.figures).parameters
    measures = {name: value for name, value in options.items() if name in measured}
    changes = {name: value for name, value in options.items() if name not in measured}
    run, own = getattr(model, "run", None), data is not None
    config, data = data_of_run(recipe, model, data, changes)
    splits = recipe.load_data(config, data, run.info.tokenizer if run else None)
    if run and not own and not changes:
        refuse_changed_data(run, splits.info)
    return recipe.figures(model, splits, **measures)


def splits_of_run(recipe: Recipe, model: keras.Model, data: Any) -> Splits:
    """Returns the splits that a model was trained on, refusing data that is not what it was.

    Args:
        recipe: The model's.
        model: Of a run.
        data: What it was trained on, where that was in memory; None: is found again.
    """
    run = run_of(model)
    config, data = data_of_run(recipe, model) if data is None else (run.config, data)
    splits = recipe.load_data(config, data, run.tokenizer)
    refuse_changed_data(run, splits.info)
    return splits


def refuse_changed_data(run: Run, info: DataInfo) -> None:
    """Refuses to evaluate on data that has changed since a run: held out anew, it may hold what was trained on."""
    if run.info.fingerprint and info.fingerprint != run.info.fingerprint:
        counts = [", ".join(f"{n:,} {split}" for split, n in one.examples.items()) for one in (run.info, info)]
        raise DataError(
            f"{info.name} has changed since the run in {run.folder}: it had {counts[0]}, and has {counts[1]} examples. "
            "Or an older version of this package held out others. What is held out now may have been trained on. Pass "
            "other data as data=, or train again"
        )


def compiled_metrics(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the compiled loss and metrics on the test split.

    Raises:
        DataError: If there is no test split, or its inputs do not fit the model.
    """
    if splits.test is None:
        raise DataError(f"{splits.info.name} has no test split; pass Splits with one as data=")
    first = model.input_shape[0] if isinstance(model.input_shape, list) else model.input_shape
    got, expected = keras.tree.flatten(splits.test.element_spec[0])[0].shape[1:], first[1:]
    if not got.is_compatible_with(expected):
        raise DataError(f"the inputs of {splits.info.name} are {tuple(got)}; this model expects {tuple(expected)}")
    values = model.evaluate(splits.test, return_dict=True, verbose=0)
    return {name: float(value) for name, value in values.items()}


def data_of_run(
    recipe: Recipe, model: keras.Model, data: Any = None, changes: dict[str, Any] | None = None
) -> tuple[Any, Any]:
    """Returns the (config, data) to load what a model was trained on; the default data for a model without a run.

    A run on a stand-in comes back to the stand-in, whatever else is at hand by now. Of data that is passed, the test
    split is taken, or all of it where it has none; a table is read by the run's column settings.

    Args:
        recipe: The model's.
        model: The model.
        data: A user's own; None: what the model was trained on.
        changes: Settings that differ from the run's.

    Raises:
        DataError: If a folder's classes are not the model's.
        RunError: If the model was trained on arrays or Splits that are not passed again as `data`.
    """
    run = getattr(model, "run", None)
    changes = changes or {}
    config: Any = with_changes(run.config if run else recipe.config_class(), **changes)
    if isinstance(data, Splits):
        return config, data
    if data is not None:
        table = from_table(data, config)
        if table is not None:
            data = table
        config = without_columns(config) if table is not None else with_changes(without_columns(config), **changes)
        test = recipe.kind.evaluation_data(data, model)
        if run and test.label_names and isinstance(data, (str, Path)) and test.label_names != run.info.label_names:
            raise DataError(
                f"the classes of {data} are {', '.join(test.label_names)}; expected those of the model, in their "
                f"order: {', '.join(run.info.label_names)}"
            )
        whole: dict[str, Any] = {"validation_fraction": 0.0, "max_examples": None, "subsampling": 0.0}
        if run and not isinstance(data, (str, Path)):  # labels are read as what they were in training
            whole |= {"task": run.info.task, "class_weight": "none"}
        whole["batch_size"] = min(config.batch_size, test.examples)
        own = {field.name for field in fields(config)} - changes.keys()
        return with_changes(config, **{name: value for name, value in whole.items() if name in own}), test.data
    if run and run.info.source == "user":
        raise RunError(f"the run in {run.folder} was trained on {run.info.name}; pass the same again as data=")
    if run and run.info.source == "stand-in":
        config = with_changes(config, dataset=run.info.name)
    return config, (run.info.path if run else None)
