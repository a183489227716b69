"""Run folders: `runs/<recipe>/<id>/`, one per training run. With metrics.json, written last, a run is finished."""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

import recipes
from recipes.data.sources import all_for_testing
from recipes.data.splits import DataInfo, Splits
from recipes.errors import ConfigError, DataError, RunError
from recipes.training.config import change, read_config, write_config
from recipes.training.files import write_json


@dataclass
class Run:
    """One training run and its folder."""

    folder: Path
    recipe: str
    config: Any
    info: DataInfo
    metrics: dict[str, Any] = field(default_factory=dict)  # what metrics.json holds; empty while unfinished

    @property
    def command(self) -> str:
        """How the command line names the recipe: one of the package's by its name, a file of your own by its path."""
        return command_name(self.config)

    def examples(self, count: int = 32) -> np.ndarray:
        """Returns the first test images of the run's data, kept in its folder; at most 32."""
        path = self.folder / "examples.npy"
        try:
            return np.load(path)[:count]
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}. Train again, or name another run") from error

    def load_model(self) -> keras.Model:
        """Returns the trained model.

        Raises:
            RunError: If the file is missing or damaged.
        """
        path = self.folder / "model.keras"
        try:
            model = keras.models.load_model(path)
        except Exception as error:  # Keras raises what zipfile, h5py and json do
            raise RunError(f"cannot read {path}: {error}. Train again, or name another run") from error
        model.run = self
        return model


def recipe_name(config: Any) -> str:
    """Returns the name of the recipe that a config belongs to: its module's, or its file's where that is run itself."""
    module = config.__module__  # of a Config or of its class
    if module == "__main__":
        return Path(getattr(sys.modules["__main__"], "__file__", None) or "notebook").stem
    return module.rpartition(".")[2]


def command_name(config: Any) -> str:
    """Returns how the command line names the recipe of a config: by its name, or a file of your own by its path."""
    name = recipe_name(config)
    file = getattr(sys.modules[config.__module__], "__file__", None)
    return name if name in recipes.RECIPES or file is None else os.path.relpath(file)


def start_run(config: Any, info: DataInfo, environment: dict[str, Any], runs: str | Path = "runs") -> Run:
    """Makes the folder of a new run and writes config.json, data.json and environment.json."""
    recipe = recipe_name(config)
    folder = new_folder(Path(runs) / recipe)
    write_config(config, folder / "config.json")
    write_json(folder / "data.json", info.to_json())
    write_json(folder / "environment.json", environment)
    return Run(folder, recipe, config, info)


def new_folder(parent: Path, prefix: str = "") -> Path:
    """Makes and returns a folder named after the time; two runs of one second get different names.

    Raises:
        RunError: If it cannot be made, as in a read-only folder.
    """
    stamp = prefix + time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        folder = parent / (f"{stamp}-{attempt}" if attempt else stamp)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not parent.is_dir():
                raise RunError(f"cannot make {folder}: {parent} is a file. Name another folder with runs=") from None
        except OSError as error:
            raise RunError(f"cannot make {folder}: {error.strerror}. Name another folder with runs=") from None
        else:
            return folder
    raise RunError(f"cannot make a new folder in {parent}: {attempt + 1} of the name {stamp} exist")


def read_run(folder: str | Path, config_class: type) -> Run:
    """Returns the run in a folder, finished or not.

    Raises:
        RunError: If the folder holds no run, or one of another recipe.
    """
    folder = Path(folder)
    try:
        values = json.loads((folder / "data.json").read_text())
        info = DataInfo(**{**values, "label_names": tuple(values["label_names"])})
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
    finished = sorted((Path(runs) / name).glob("*/metrics.json"), key=lambda path: path.stat().st_mtime_ns)
    if not finished:
        raise RunError(f"no finished run of {name} in {Path(runs) / name}; run fit first (recipes fit {name})")
    return read_run(finished[-1].parent, config_class)


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


def same_data(model: keras.Model, config_class: type, data: Any = None) -> tuple[Any, Any]:
    """Returns the (config, data) to load what a model was trained on; the default data for a model without a run.

    A run on a stand-in comes back to the stand-in, whatever else is at hand by now. Of data that is passed, the test
    split is taken, or all of it where it has none.

    Raises:
        DataError: If a folder's classes are not the model's.
        RunError: If the model was trained on arrays or Splits that are not passed again as `data`.
    """
    run = getattr(model, "run", None)
    config = run.config if run else config_class()
    if isinstance(data, Splits):
        return config, data
    if data is not None:
        test, label_names = all_for_testing(data, tuple(model.input_shape[1:]))
        if run and isinstance(data, (str, Path)) and label_names != run.info.label_names:
            raise DataError(
                f"the classes of {data} are {', '.join(label_names)}; expected those of the model, in their order: "
                f"{', '.join(run.info.label_names)}"
            )
        batch_size = min(config.batch_size, len(test[0]))
        return change(config, batch_size=batch_size, validation_fraction=0.0), (test, test)
    if run and run.info.source == "user":
        raise RunError(f"the run in {run.folder} was trained on {run.info.name}; pass the same again as data=")
    if run and run.info.source == "stand-in":
        config = change(config, dataset=run.info.name)
    return config, (run.info.name if run and run.info.source == "folder" else None)
