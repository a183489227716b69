"""Trained models, read back from their run folders, with the data they were trained on."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras

from recipes.data.images import images_for_testing
from recipes.data.in_memory import Testing
from recipes.data.splits import DataInfo, Splits
from recipes.data.tokenizers import Tokenizer, from_json
from recipes.errors import ConfigError, DataError, RunError
from recipes.runs.run_folder import Run, earlier_runs, recipe_name
from recipes.settings import change, read_config


def read_run(folder: str | Path, config_class: type) -> Run:
    """Returns the run in a folder, finished or not.

    Raises:
        RunError: If the folder holds no run, or one of another recipe.
    """
    folder = Path(folder)
    try:
        values = json.loads((folder / "data.json").read_text())
        words = folder / "tokenizer.json"
        tokenizer = from_json(json.loads(words.read_text())) if words.exists() else None
        info = DataInfo(**{**values, "label_names": tuple(values["label_names"]), "tokenizer": tokenizer})
        metrics_file = folder / "metrics.json"
        metrics = json.loads(metrics_file.read_text()) if metrics_file.exists() else {}
        config: Any = read_config(config_class, folder / "config.json")
    except ConfigError as error:
        raise RunError(f"{folder} is not a run of {recipe_name(config_class)}: {error}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder} holds no readable run ({error}); expected a folder that fit made") from None
    return Run(folder, recipe_name(config_class), config, info, metrics)


def newest_run(config_class: type, runs: str | Path = "runs") -> Run:
    """Returns the newest finished run of the recipe that a Config class belongs to.

    Raises:
        RunError: If there is none.
    """
    name = recipe_name(config_class)
    parent = Path(runs) / name
    finished = [folder for folder, _ in earlier_runs(parent) if (folder / "metrics.json").exists()]
    if not finished:
        raise RunError(f"no finished run of {name} in {parent}; run fit first (recipes fit {name})")
    return read_run(finished[0], config_class)


def trained(config_class: type, model: keras.Model | str | Path | None, runs: str | Path = "runs") -> keras.Model:
    """Returns a trained model. Its `run` tells where it comes from; a model of your own has none.

    Args:
        config_class: The recipe's Config.
        model: What `fit` returned or a model of your own (returned as it is), a run's folder, or None for the newest
            finished run.
        runs: Where run folders are.

    Raises:
        RunError: If there is no such run.
    """
    if isinstance(model, keras.Model):
        return model
    run = newest_run(config_class, runs) if model is None else read_run(model, config_class)
    return run.load_model()


def run_of(model: keras.Model) -> Run:
    """Returns the run that a model carries, refusing a model without one."""
    run = getattr(model, "run", None)
    if run is None:
        raise RunError(f"{model.name} is of no run; pass what fit returned, or a run's folder")
    return run


def known_tokenizer(model: keras.Model) -> Tokenizer | None:
    """Returns the tokenizer that a model was trained with; None for a model without a run."""
    run = getattr(model, "run", None)
    return run.info.tokenizer if run else None


def same_data(
    model: keras.Model,
    config_class: type,
    data: Any = None,
    read: Callable[[Any, keras.Model], Testing] = images_for_testing,
) -> tuple[Any, Any]:
    """Returns the (config, data) to load what a model was trained on; the default data for a model without a run.

    A run on a stand-in comes back to the stand-in, whatever else is at hand by now. Of data that is passed, the test
    split is taken, or all of it where it has none.

    Args:
        model: What `fit` returned, or a model of your own.
        config_class: The recipe's Config.
        data: Your own data, or None.
        read: Your own data, model -> what to test on.

    Raises:
        DataError: If a folder's classes are not the model's.
        RunError: If the model was trained on arrays or Splits that are not passed again as `data`.
    """
    run = getattr(model, "run", None)
    config = run.config if run else config_class()
    if isinstance(data, Splits):
        return config, data
    if data is not None:
        test = read(data, model)
        if run and test.label_names and isinstance(data, (str, Path)) and test.label_names != run.info.label_names:
            raise DataError(
                f"the classes of {data} are {', '.join(test.label_names)}; expected those of the model, in their "
                f"order: {', '.join(run.info.label_names)}"
            )
        whole = {"validation_fraction": 0.0, "max_examples": None, "subsampling": 0.0}
        whole["batch_size"] = min(config.batch_size, test.examples)
        there = {field.name for field in fields(config)}
        return change(config, **{name: value for name, value in whole.items() if name in there}), test.data
    if run and run.info.source == "user":
        raise RunError(f"the run in {run.folder} was trained on {run.info.name}; pass the same again as data=")
    if run and run.info.source == "stand-in":
        config = change(config, dataset=run.info.name)
    return config, (run.info.name if run and run.info.source == "folder" else None)
