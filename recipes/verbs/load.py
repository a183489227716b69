"""Trained models, read back from their run folders."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from recipes.errors import RunError
from recipes.runs.run_folder import Run, earlier_runs, read_run, recipe_name

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def load_model(recipe: Recipe, model: keras.Model | str | Path | None, runs: str | Path = "runs") -> keras.Model:
    """Returns a trained model. Its `run` tells where it comes from; a model of your own has none.

    Args:
        recipe: Whose run it is.
        model: What `fit` returned or a model of your own (returned as it is), a run's folder or id, or None for the
            newest finished run.
        runs: Where run folders are.

    Raises:
        RunError: If there is no such run.
    """
    if isinstance(model, keras.Model):
        return model
    know_shared_layers()
    if model is None:
        return newest_run(recipe.config_class, runs).load_model()
    by_id = Path(runs) / recipe_name(recipe.config_class) / model
    return read_run(by_id if not Path(model).exists() and by_id.is_dir() else model, recipe.config_class).load_model()


def know_shared_layers() -> None:
    """Has Keras know the layers that a file may name: an older version of a recipe may be made of others than it is."""
    from recipes import layers

    for module in pkgutil.iter_modules(layers.__path__, "recipes.layers."):
        importlib.import_module(module.name)


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


def run_of(model: keras.Model) -> Run:
    """Returns the run that a model carries, refusing a model without one."""
    run = getattr(model, "run", None)
    if run is None:
        raise RunError(f"{model.name} is of no run; pass what fit returned, or a run's folder")
    return run


def config_of(model: keras.Model, default: type) -> object:
    """Returns the config that a model was trained with; that of `default` for a model without a run."""
    run = getattr(model, "run", None)
    return run.config if run else default()
