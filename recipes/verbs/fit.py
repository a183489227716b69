"""`fit`: Keras' own loop, with a run folder around it, exact resuming and clear errors."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import DataInfo, Sizes, Splits, few_steps_note
from recipes.devices.environment import environment
from recipes.devices.keras_fixes import has_rate_schedule
from recipes.devices.precision import Precision, choose_precision, deterministic_ops
from recipes.devices.strategies import describe_strategy, training_scope
from recipes.devices.workers import Workers, lost_workers_explained
from recipes.errors import ConfigError, NotFiniteError, printable
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import write_atomically
from recipes.runs.checkpoint_callback import signals_to
from recipes.runs.exhibits import Report
from recipes.runs.finish import finish_run, keep_interrupted
from recipes.runs.open_run import open_run
from recipes.runs.progress import Progress
from recipes.runs.run_folder import Run, locked_folder
from recipes.runs.signals import ended_by_sigterm
from recipes.settings import WithoutEffectError, with_changes
from recipes.verbs.evaluate import compiled_metrics
from recipes.verbs.resume import unfinished_run
from recipes.verbs.step_time import own_step
from recipes.verbs.training_loop import Board, TrainingLoop
from recipes.verbs.training_settings import apply_training_settings

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def fit_recipe(
    recipe: Recipe,
    config: Any,
    data: Any,
    callbacks: Any,
    runs: str | Path,
    resume: bool | str | Path,
) -> keras.Model:
    """Returns a recipe's trained model; see `Recipe.fit`."""
    callbacks = checked_callbacks(callbacks)
    resumed = None if isinstance(resume, bool) else unfinished_run(recipe, resume, data, runs)
    config = resumed.config if resumed else config
    nothing = "nothing is trained or saved yet; run the same command again"
    with ended_by_sigterm(nothing) as reason, caller_random_state():
        with training_scope(config):  # first: several machines must meet before TensorFlow does anything else
            splits = resumed.load(recipe) if resumed else recipe.load_data(config, data)
            config = follow_stand_in(config, splits.info)
            # a new run, or an unfinished one; its precision
            where = resumed.run.folder if resumed else bool(resume)
            run = open_run(config, splits, runs, where, own_step(recipe, config, splits))
            keras.utils.set_random_seed(config.seed)
            model = recipe.new_model(config, splits)
            apply_training_settings(model, config, splits, recipe.objective_on(splits.info))
            refuse_to_change_a_schedule(callbacks, model, run)
        every = [*callbacks, *recipe.callbacks(splits)]
        model = fit_model(
            model,
            splits,
            run,
            every,
            recipe.reports,
            recipe.figures,
            recipe.objective_on(splits.info),
            conclude=lambda trained: recipe.conclude(trained, splits, config),
        )
        reason[0] = "the run is finished"
        return model


def checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    """Returns a user's callbacks as a list; a single one needs none.

    Raises:
        ConfigError: If there is anything else among them.
    """
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise ConfigError(f"callbacks is a {type(callbacks).__name__}; expected a list of Keras callbacks")
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback):
            name = callback.__name__
            raise ConfigError(f"callbacks holds the class {name}; expected {name}(), one that is made of it")
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(f"callbacks holds a {type(callback).__name__}; expected Keras callbacks")
    return callbacks


def refuse_to_change_a_schedule(callbacks: list[keras.callbacks.Callback], model: keras.Model, run: Run) -> None:
    """Refuses callbacks that set the learning rate where a schedule does, before Keras does so in some later epoch."""
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    for callback in callbacks:
        if isinstance(callback, setters) and has_rate_schedule(model.optimizer):
            raise ConfigError(
                f"{type(callback).__name__} changes the learning rate, and {run.recipe} has a schedule that does; "
                "expected callbacks that leave it alone. Or pass constant_rate=True (--constant-rate): the rate is "
                f"learning_rate={run.config.learning_rate:g} then, until a callback changes it"
            )


@contextmanager
def caller_random_state() -> Iterator[None]:
    """Leaves the caller's random generators of Python and NumPy as they were: a run has states of its own."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def follow_stand_in(config: Any, info: DataInfo) -> Any:
    """Returns the config with the settings that the data decides: generated scenes have an encoder of their own."""
    names = {field.name for field in fields(config)} - {field.name for field in fields(Sizes)}
    changes = {name: value for name, value in info.follows.items() if name in names}
    while True:
        try:
            return with_changes(config, **changes)
        except WithoutEffectError as error:  # a setting of what the data has no use for
            changes[error.name] = getattr(type(config)(), error.name)


def fit_model(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    reports: Sequence[Report] = (),
    figures: Callable[..., dict[str, float]] = compiled_metrics,
    objective: tuple[str, str] = ("val_loss", "min"),
    conclude: Callable[[keras.Model], keras.Model] = lambda model: model,
) -> keras.Model:
    """Trains a compiled model, evaluates it on the test split, and writes everything to the run's folder.

    An unfinished run is resumed at the step where its newest whole checkpoint was written. On several workers, all
    train and the chief writes.

    Args:
        model: Compiled, built under `training_scope(config)` after `open_run`.
        splits: The data.
        run: What `open_run` returned; of its config, reads `epochs`, `batch_size`, `deterministic`, `checkpoint_...`,
            `early_stopping`, `average_weights` and `accumulate_steps`.
        callbacks: Your own Keras callbacks, called before ours. Their plain attributes are part of a checkpoint.
        reports: (model, splits) -> (title, file name, function that makes its figure or text) of what is shown.
        figures: (model, splits) -> its figures on the test split.
        objective: The figure that early stopping looks at, and "max" or "min".
        conclude: The trained model -> what of it is evaluated, saved and returned.

    Returns:
        The model, trained; on several workers a copy of it that needs none of the others. Its `run` tells the folder
        and the metrics, its `history` the curves.

    Raises:
        TrainingError: Out of memory, disk full, a lost worker, or a loss that is no number. The run stays unfinished.
        RunError: If another process is training in the run's folder.
        KeyboardInterrupt: As pressed; what was learned by then is saved first.
        SystemExit: With status 75 after SIGTERM; what was learned by then is saved first.
    """
    strategy = model.distribute_strategy
    workers, precision = Workers(strategy), run.precision or choose_precision(run.config.precision)
    where = where_it_runs(strategy, precision, workers)
    with (
        clear_errors(run.config.batch_size, run.folder),
        lost_workers_explained(strategy),
        locked_folder(run, where, workers),
    ):
        model.run = run
        with deterministic_ops(run.config.deterministic):
            return _train(model, splits, run, list(callbacks), reports, figures, objective, conclude, workers, where)


def where_it_runs(strategy: tf.distribute.Strategy, precision: Precision, workers: Workers) -> dict[str, Any]:
    """Returns what a run's environment.json holds."""
    return {
        "strategy": describe_strategy(strategy),
        "precision": precision.policy,
        "why": precision.reason,
        "workers": workers.count,
        "command": sys.argv,
        **environment(),
    }


def _train(
    model: keras.Model,
    splits: Splits,
    run: Run,
    callbacks: list[keras.callbacks.Callback],
    reports: Sequence[Report],
    figures: Callable[..., dict[str, float]],
    objective: tuple[str, str],
    conclude: Callable[[keras.Model], keras.Model],
    workers: Workers,
    where: dict[str, Any],
) -> keras.Model:
    """Trains from the run's last checkpoint, or the beginning, to its end."""
    loop = TrainingLoop(model, splits, run.folder, run.config, callbacks, objective, workers)
    if run.resumes:
        loop.saving.read()
    progress = Progress(loop.position, loop.saving.seconds_before)
    shown: list[keras.callbacks.Callback] = []

    def concluded() -> keras.Model:
        kept = conclude(model)
        kept.run, kept.history = run, getattr(model, "history", None)
        return kept

    if run.writes:
        _announce(run, where, loop.position)
        if note := few_steps_note(splits, run.config.batch_size):
            print(note, flush=True)
        shown = [Board(str(run.folder / "tensorboard"), write_graph=False), progress]
    else:
        print(f"worker {workers.index} of {workers.count} trains along; the chief reports", flush=True)
    with signals_to(loop.saving):
        try:
            loop.run(run.config.epochs, shown)
            kept = concluded()
            seconds = loop.saving.seconds_in_all
            return finish_run(kept, splits, run, loop.curves, loop.stopping, seconds, workers, reports, figures)
        except KeyboardInterrupt:
            progress.close()
            if loop.averaged:
                loop.averaged.put()
            if run.writes and not run.metrics:  # else it was pressed when all was done but the last words
                keep_interrupted(concluded(), splits, run, loop.can_be_resumed)
            raise
        except NotFiniteError as error:  # a run that is resumed from the checkpoint would end there again
            if run.writes:
                message = str(error)
                write_atomically(run.folder / "failed.txt", lambda part: part.write_text(message + "\n"))
            raise
        finally:
            progress.close()


def _announce(run: Run, where: dict[str, Any], position: tuple[int, int]) -> None:
    print(printable(f"{run.recipe} on {run.info}"))
    print(f"strategy: {where['strategy']}   precision: {where['precision']} ({where['why']})")
    print(f"run folder: {run.folder}", flush=True)
    if run.resumes:
        epochs, steps = position
        print(
            f"resuming the unfinished run there, after {epochs} whole epochs and {steps} steps "
            "(resume=False, --no-resume, starts over)",
            flush=True,
        )
