"""One trial of a search: the recipe's own training and checkpoints, as far as it is asked to go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from filelock import FileLock

from recipes.data.splits import DataInfo
from recipes.devices.precision import choose_precision
from recipes.devices.strategies import training_scope
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, RecipeError, did_you_mean
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.checkpoint_callback import signals_to
from recipes.runs.history import read_history
from recipes.runs.progress import numbers
from recipes.tuning.places import Place
from recipes.verbs.fit import caller_random_state, follow_stand_in
from recipes.verbs.page import Page
from recipes.verbs.step_time import own_step
from recipes.verbs.training_loop import Board, TrainingLoop
from recipes.verbs.training_settings import apply_training_settings

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


class UnknownObjectiveError(ConfigError):
    """The figure that a search goes by is none of those that training logs: no trial could have it."""


@dataclass(frozen=True)
class SearchSettings:
    """What all trials of a search have in common."""

    config: dict[str, Any]  # the settings that it starts from
    data: Any
    objective: tuple[str, str]  # the figure, and "max" or "min"
    folder: Path  # of the trials


@dataclass(frozen=True)
class TrialJob:
    """What one trial is."""

    id: str
    values: dict[str, Any]  # of Keras Tuner's HyperParameters; {}: the settings that the search starts from
    epochs: int | None = None  # train no further; None: to the end
    continues: str = ""  # the trial that came so far with these values


def look_at_data(page: Page, config: dict[str, Any], data: Any, send: Any = None) -> tuple[DataInfo, bool]:
    """Returns what the data is, and whether examples are held out for choosing."""
    recipe = page.recipe()
    return data_of(recipe, recipe.config_class(**config), data)


def data_of(recipe: Recipe, config: Any, data: Any) -> tuple[DataInfo, bool]:
    """Returns what the data is, without its tokenizer, and whether examples are held out for choosing."""
    splits = recipe.load_data(config, data)
    return replace(splits.info, tokenizer=None), splits.validation is not None


def train_trial_of_page(
    page: Page, search: SearchSettings, job: TrialJob, place: Place, send: Callable[[Any], bool]
) -> Any:
    """Returns what `train_trial` does, on a share of the machine that is this process's."""
    place.take()
    return train_trial(page.recipe(), search, job, send)


def train_trial(recipe: Recipe, search: SearchSettings, job: TrialJob, send: Callable[[Any], bool]) -> dict[str, Any]:
    """Trains a trial from its last checkpoint, or its beginning; returns how it ended.

    Args:
        recipe: Of the trial.
        search: What it shares with the others.
        job: What it is.
        send: Told the objective after each epoch, from the first on and once for all that are done already; returns
            whether to end the trial.

    Returns:
        "config": the settings that differ from those of the search; "hyperparameters": as Keras Tuner saves them;
        "cut": why it ended before its time; "error": why it failed, "" where it did not.

    Raises:
        UnknownObjectiveError: For all trials alike.
        SystemExit: With status 75 after SIGTERM; what was learned is saved.
    """
    import keras_tuner

    start = recipe.config_class(**search.config)
    hyperparameters = keras_tuner.HyperParameters.from_config(job.values) if job.values else None
    ended = {"config": {}, "hyperparameters": job.values, "cut": "", "error": ""}
    try:
        keras.backend.clear_session()  # a process that trains several would grow
        config = recipe.search_space(hyperparameters, start) if hyperparameters else start
        ended["config"] = {name: value for name, value in asdict(config).items() if value != search.config[name]}
        if hyperparameters:
            ended["hyperparameters"] = hyperparameters.get_config()  # with those that came up for the first time
        ended["cut"] = _train(recipe, config, search, job, send)
    except UnknownObjectiveError:
        raise
    except RecipeError as failure:
        ended["error"] = str(failure)
    except Exception as failure:  # whatever a bad combination of settings makes Keras or TensorFlow raise
        ended["error"] = f"{type(failure).__name__}: {(str(failure).splitlines() or [''])[0]}"
    return ended


def _train(recipe: Recipe, config: Any, search: SearchSettings, job: TrialJob, send: Callable[[Any], bool]) -> str:
    """Trains; returns why it was ended before its time, or ""."""
    folder = search.folder / job.id
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"), clear_errors(config.batch_size, folder), caller_random_state():
        _take_over(search.folder / job.continues, folder)
        with training_scope(config):
            splits = recipe.load_data(config, search.data)
            config = follow_stand_in(config, splits.info)
            keras.utils.set_random_seed(config.seed)
            keras.config.set_dtype_policy(choose_precision(config.precision, own_step(recipe, config, splits)).policy)
            model = recipe.new_model(config, splits)
            apply_training_settings(model, config, splits, search.objective)
        workers = Workers(model.distribute_strategy)
        loop = TrainingLoop(model, splits, folder, config, [], search.objective, workers)
        if loop.can_be_resumed:
            loop.saving.read()
        reporter = Reporter(loop, search.objective[0], send)
        board = Board(str(search.folder.parent / "tensorboard" / job.id), write_graph=False)
        last = min(job.epochs or config.epochs, config.epochs)
        with signals_to(loop.saving):
            if not reporter.catch_up():
                loop.run(last, [board, reporter])
        stopped = loop.stopping is not None and loop.stopping.waited >= loop.stopping.patience
        if reporter.ended:
            return "pruned"
        return "budget" if last < config.epochs and not stopped else ""


def _take_over(earlier: Path, folder: Path) -> None:
    """Gives a trial the checkpoints and curves of the one that it continues; once, and whole."""
    there = earlier / "checkpoints"
    if earlier == folder.parent or (folder / "checkpoints").exists():
        return
    if not there.exists():
        print(f"the checkpoints of {earlier} are not on this machine; this trial starts from its beginning")
        return
    shutil.copyfile(earlier / "history.csv", folder / "history.csv")
    part = folder / "checkpoints.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(there, part)
    part.rename(folder / "checkpoints")


class Reporter(keras.callbacks.Callback):
    """Tells a search the objective after each epoch, and ends the trial where it asks for that."""

    def __init__(self, loop: TrainingLoop, objective: str, send: Callable[[Any], bool]) -> None:
        super().__init__()
        self.loop, self.objective, self.send = loop, objective, send
        self.ended = False

    def catch_up(self) -> bool:
        """Tells the epochs before the checkpoint; returns whether the trial is to end there."""
        epochs = self.loop.saving.epoch
        figures = read_history(self.loop.folder / "history.csv").get(self.objective, [])[:epochs]
        self.ended = bool(figures) and self.send(dict(enumerate(figures, start=1)))
        return self.ended

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        figures = numbers(logs)
        if self.objective not in figures:
            raise UnknownObjectiveError(
                f"unknown objective {self.objective!r}{did_you_mean(self.objective, figures)}; this recipe reports "
                f"{', '.join(figures)}"
            )
        self.ended = self.send({epoch + 1: figures[self.objective]})
        if self.ended:
            self.model.stop_training = True
