"""`tune`: Keras Tuner over a recipe's own search space, chosen on validation data alone."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from filelock import FileLock

from recipes.data.splits import DataInfo
from recipes.devices.precision import choose_precision
from recipes.devices.strategies import training_scope
from recipes.devices.workers import refuse_several_machines
from recipes.errors import DataError, RecipeError, TrainingError
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import write_atomically, write_json
from recipes.runs.progress import StopOnNaN
from recipes.runs.run_folder import command_name, new_folder, recipe_name
from recipes.settings import with_changes
from recipes.verbs.fit import follow_stand_in, run_epochs
from recipes.verbs.training_settings import apply_training_settings, averaged_weights, early_stopping, in_order

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def tune_recipe(recipe: Recipe, config: Any, data: Any, trials: int, runs: str | Path) -> tuple[Any, float]:
    """Returns (config, figure) of the best trial; also in `<runs>/<recipe>/tune-<id>/best.json`. See `Recipe.tune`.

    Keras Tuner's Bayesian optimisation proposes the trials. A trial that fails or whose loss becomes NaN never wins;
    trials.csv lists them all. best.json is written anew after each better trial, so a search that is interrupted keeps
    its best trial.

    Raises:
        TrainingError: If every trial failed; names the first failure.
        DataError: If no validation data is held out.
    """
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise TrainingError(f"trials={trials!r}; expected a whole number, 1 or more")
    refuse_several_machines("tune", config.strategy, ", and start one search")
    splits = recipe.load_data(config, data)
    info = splits.info
    objective, _ = recipe.objective_on(info)
    if splits.validation is None and objective.startswith("val_"):
        raise DataError(f"tuning needs validation data, and {info.name} has none; set validation_fraction above 0")
    if info.stand_in_for:  # found out once, not in every trial
        config = with_changes(config, dataset=info.name)
    folder = new_folder(Path(runs) / recipe_name(config), prefix="tune-")
    print(f"tuning {recipe_name(config)} on {info}: {trials} trials by {objective}, in {folder}")
    search = _Search(recipe, config, data, info, folder, trials)
    with clear_errors(config.batch_size, folder), FileLock(folder / ".lock"):  # a search that runs is not deleted
        _tuner_class()(search, trials).search(verbose=0)
    if search.best is None:
        raise TrainingError(
            f"all {len(search.failures)} trials failed, the first with: {search.failures[0]}. "
            f"See {folder / 'trials.csv'}"
        )
    figure, best = search.best
    print(f"best {objective} {figure:.4f}: {search.changed(best)}")
    own = ["--data", str(data)] if isinstance(data, (str, Path)) else []
    print(f"next: {shlex.join(['recipes', 'fit', command_name(config), '--config', str(folder / 'best.json'), *own])}")
    return search.on_wanted_data(best), figure


class _Search:
    """The trials of one search, and the best of them."""

    def __init__(self, recipe: Recipe, config: Any, data: Any, info: DataInfo, folder: Path, trials: int) -> None:
        self.recipe, self.config, self.data, self.info = recipe, config, data, info
        self.folder, self.trials = folder, trials
        self.objective, self.direction = recipe.objective_on(info)
        self.best: tuple[float, Any] | None = None
        self.failures: list[str] = []
        self.rows: list[dict[str, Any]] = []

    def run(self, trial_id: str, hyperparameters: Any) -> float:
        """Trains one trial and returns its figure; raises what went wrong."""
        keras.backend.clear_session()  # otherwise memory grows from trial to trial
        error, figure, config = "", math.nan, self.config
        try:
            config = self.recipe.search_space(hyperparameters, self.config)
            figure = self._figure(config)
        except RecipeError as failure:
            error = str(failure)
        except Exception as failure:  # whatever a bad combination of settings makes Keras or TensorFlow raise
            error = f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}"
        self._record(trial_id, hyperparameters.values, config, figure, error)
        if error:
            raise TrainingError(error)
        return figure

    def _figure(self, config: Any) -> float:
        splits = self.recipe.load_data(config, self.data)
        config = follow_stand_in(config, splits.info)
        keras.utils.set_random_seed(config.seed)
        with training_scope(config):
            keras.config.set_dtype_policy(choose_precision(config.precision).policy)
            model = self.recipe.build(config, splits.info.sizes(self.recipe.sizes))
            apply_training_settings(model, config, splits, (self.objective, self.direction))
        averaged, stopping = averaged_weights(config), early_stopping(config, (self.objective, self.direction))
        history = run_epochs(model, splits, config.epochs, in_order([StopOnNaN()], averaged, stopping)).history
        if self.objective not in history:
            raise TrainingError(f"unknown objective {self.objective!r}; expected one of {', '.join(history)}")
        figure = float(history[self.objective][stopping.epoch - 1 if stopping else -1])
        if not math.isfinite(figure):
            raise TrainingError(f"{self.objective} is {figure}")
        return figure

    def _record(self, trial_id: str, values: dict, config: Any, figure: float, error: str) -> None:
        better = not error and (
            self.best is None or (figure > self.best[0] if self.direction == "max" else figure < self.best[0])
        )
        if better:
            self.best = figure, config
            best = {"objective": self.objective, "figure": figure, "trial": trial_id, "data": self.info.to_json()}
            write_json(self.folder / "best.json", {**best, "config": asdict(self.on_wanted_data(config))})
        if error:
            self.failures.append(error)
        self.rows.append({"trial": trial_id, self.objective: figure, **values, "error": error})
        write_atomically(self.folder / "trials.csv", self._write_rows)
        result = f"failed: {error}" if error else f"{self.objective} {figure:.4f}"
        print(f"trial {len(self.rows)}/{self.trials}  {result}  {self.changed(config)}", flush=True)

    def _write_rows(self, path: Path) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def on_wanted_data(self, config: Any) -> Any:
        """Returns a trial's config for the data that was asked for, where the stand-in was searched on."""
        return with_changes(config, dataset=self.info.stand_in_for) if self.info.stand_in_for else config

    def changed(self, config: Any) -> str:
        """Returns the settings of a trial that differ from the start's."""
        differ = (f.name for f in fields(config) if getattr(config, f.name) != getattr(self.config, f.name))
        return "  ".join(f"{name}={getattr(config, name)!r}" for name in differ) or "the settings it started from"


def _tuner_class() -> Callable[[_Search, int], Any]:
    """Returns the tuner's class; Keras Tuner takes seconds to import, so only a search does."""
    import keras_tuner

    class Tuner(keras_tuner.BayesianOptimization):
        def __init__(self, search: _Search, trials: int) -> None:
            self.recipe_search = search
            super().__init__(
                objective=keras_tuner.Objective(search.objective, search.direction),
                max_trials=trials,
                seed=search.config.seed + 1,  # Keras Tuner takes 0 for none
                # Keras Tuner gives up after three failures in a row; a few bad corners should not end a search.
                max_consecutive_failed_trials=trials + 1,
                directory=str(search.folder),
                project_name="keras_tuner",
                overwrite=True,
            )

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            try:
                return {self.recipe_search.objective: self.recipe_search.run(trial.trial_id, trial.hyperparameters)}
            except TrainingError as error:  # recorded and shown by then; Keras Tuner marks the trial as failed
                raise keras_tuner.errors.FailedTrialError(str(error)) from error

    return Tuner
