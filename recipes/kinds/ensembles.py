"""Several models as one: of classifiers, the mean of their probabilities."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.devices.precision import Precision
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, DataError
from recipes.kinds.classes import refuse_other_than_classes
from recipes.kinds.confidence import LEAST, compiled_alike, inputs_of
from recipes.runs.atomic_files import write_json
from recipes.runs.finish import save_model, write_report_of
from recipes.runs.run_folder import Run, earlier_runs, locked_folder, next_number
from recipes.verbs.evaluate import splits_of_run
from recipes.verbs.fit import where_it_runs
from recipes.verbs.load import run_of

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def ensemble_recipe(
    recipe: Recipe,
    models: Sequence[keras.Model],
    data: Any,
    runs: str | Path,
    combine: Callable[[Sequence[keras.Model]], keras.Model] | None = None,
) -> keras.Model:
    """Returns a recipe's models as one, with a run folder of its own; see `classifier_verbs`.

    Args:
        recipe: The models' recipe.
        models: Two or more.
        data: What they were trained on, where that was in memory.
        runs: Where run folders are.
        combine: Makes one model of them; None: `mean_of` classifiers.
    """
    if len(models) < 2:
        raise ConfigError(f"an ensemble has two members or more; got {len(models)}")
    members = [run_of(model) for model in models]
    for model, member in zip(models, members, strict=True):
        if combine is None:
            refuse_other_than_classes(member.info, "ensemble")
        _refuse_unlike(model, models[0])
    first, start = members[0], time.perf_counter()
    splits = splits_of_run(recipe, models[0], data)
    model = (combine or mean_of)(models)
    run = Run(
        folder=Path(runs),
        recipe=first.recipe,
        config=first.config,
        info=first.info,
        number=next_number(earlier_runs(Path(runs) / first.recipe)),
        identity={"ensemble": [str(member.folder) for member in members]},
    )
    strategy = tf.distribute.get_strategy()
    workers, precision = Workers(strategy), Precision("float32", "of the mean; each member as it was trained")
    with locked_folder(run, where_it_runs(strategy, precision, workers), workers, "ensemble-"):
        model.run = run
        save_model(model, splits, run)
        test = recipe.figures(model, splits) if splits.test is not None else {}
        run.metrics = {
            "status": "finished",
            "data": run.info.to_json(),
            "epochs": sum(member.metrics.get("epochs", 0) for member in members),
            "seconds": round(time.perf_counter() - start, 1),
            "parameters": model.count_params(),
            "members": [{"run": str(member.folder), "test": member.metrics.get("test", {})} for member in members],
            "test": test,
            "train": {},
            "validation": {},
            "notes": [f"an ensemble of {len(members)} runs: {', '.join(member.folder.name for member in members)}"],
        }
        write_json(run.folder / "metrics.json", run.metrics)
        write_report_of(model, splits, run, recipe.reports)
    print(
        f"ensemble of {len(members)} on {run.info}: " + "  ".join(f"{name} {each:.4f}" for name, each in test.items())
    )
    print(f"report: {run.folder / 'report.md'}", flush=True)
    return model


def mean_of(models: Sequence[keras.Model]) -> keras.Model:
    """Returns a classifier whose logits are the logarithms of the mean of several classifiers' probabilities."""
    first = models[0]
    inputs = keras.tree.map_structure(
        lambda each: keras.Input(each.shape[1:], dtype=each.dtype, name=each.name), inputs_of(first)
    )
    members = [
        keras.Model(inputs_of(model), model.outputs[0], name=f"member_{number}") for number, model in enumerate(models)
    ]
    probabilities = [layers.Softmax(dtype="float32")(member(inputs)) for member in members]
    mean = layers.Average(dtype="float32", name="mean")(probabilities)
    logits = ops.log(ops.maximum(mean, LEAST))
    return compiled_alike(keras.Model(inputs, logits, name=first.name), first)


def _refuse_unlike(model: keras.Model, first: keras.Model) -> None:
    """Refuses a member that reads, answers or was trained on something else than the first."""
    own, others = run_of(model), run_of(first)
    described = [
        {
            "data": run.info.name,
            "labels": run.info.label_names,
            "held-out examples": run.info.fingerprint,
            "columns": (run.info.follows.get("features"), run.info.follows.get("label")),  # of a table
            "inputs": tuple(each.input_shape),
            "classes": each.output_shape[-1],
            "vocabulary": run.tokenizer.to_json() if run.tokenizer else None,
        }
        for each, run in ((model, own), (first, others))
    ]
    differ = [name for name, value in described[0].items() if value != described[1][name]]
    if differ:
        raise DataError(
            f"the runs in {own.folder} and {others.folder} differ in their {', '.join(differ)}; an ensemble's members "
            "take and answer the same, and were trained on the same data"
        )
