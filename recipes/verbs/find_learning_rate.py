"""`find_learning_rate`: a range test, in which the rate grows with each step until the loss explodes."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import give_constant_rate, has_rate_schedule
from recipes.devices.precision import choose_precision
from recipes.devices.strategies import training_scope
from recipes.devices.workers import refuse_several_machines
from recipes.errors import ConfigError, TrainingError, printable
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.atomic_files import save_picture, write_atomically
from recipes.runs.rate_picture import draw_rates
from recipes.runs.run_folder import command_name, new_folder, recipe_name
from recipes.settings import with_changes
from recipes.verbs.fit import caller_random_state, follow_stand_in
from recipes.verbs.step_time import own_step
from recipes.verbs.training_loop import run_epochs
from recipes.verbs.training_settings import apply_training_settings, optimizers_of

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

SMOOTHING = 0.9  # share of the average of the losses so far that each step keeps
EXPLODED = 4.0  # times the best smoothed loss


class LearningRates(NamedTuple):
    """What a range test suggests."""

    steepest: float  # where the smoothed loss falls fastest
    tenth: float  # a tenth of the rate where it is lowest
    folder: Path  # with rates.csv and rates.png


def find_rate(
    recipe: Recipe, config: Any, data: Any, lowest: float, highest: float, steps: int, runs: str | Path
) -> LearningRates:
    """Returns the suggested rates of a new model, which is thrown away; see `Recipe.find_learning_rate`."""
    if not 0 < lowest < highest < math.inf:
        raise ConfigError(f"lowest={lowest:g} and highest={highest:g}; expected 0 < lowest < highest")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 10:
        raise ConfigError(f"steps={steps!r}; expected a whole number, 10 or more")
    refuse_several_machines("find_learning_rate", config.strategy)
    splits = recipe.load_data(config, data)
    config = with_changes(follow_stand_in(config, splits.info), average_weights=None, early_stopping=None)
    rates = np.geomspace(lowest, highest, steps)
    batches = steps * config.accumulate_steps  # of those that make an update together, all have its rate
    ramp = RateRamp(np.repeat(rates, config.accumulate_steps))
    print(printable(f"learning rates from {lowest:g} to {highest:g} for {recipe_name(config)} on {splits.info}"))
    with clear_errors(config.batch_size, Path(runs)), caller_random_state():
        keras.utils.set_random_seed(config.seed)
        with training_scope(config):
            keras.config.set_dtype_policy(choose_precision(config.precision, own_step(recipe, config, splits)).policy)
            model = recipe.new_model(config, splits)
            apply_training_settings(
                model, config, replace(splits, steps_per_epoch=None), recipe.objective_on(splits.info)
            )
            for optimizer in optimizers_of(model):
                if has_rate_schedule(optimizer):
                    give_constant_rate(optimizer, lowest)
        run_epochs(model, endless(splits, batches), 1, [ramp])
    rates, losses = rates[: len(ramp.losses)], np.array(ramp.losses)
    smoothed = smooth(losses)
    folder = new_folder(Path(runs) / recipe_name(config), prefix="rate-")
    write_atomically(folder / "rates.csv", lambda path: _write_rows(path, rates, losses, smoothed))
    found = suggestions(rates, losses, smoothed)
    marks = dict(zip(("steepest", "a tenth of the lowest"), found or (), strict=False))
    if len(rates):
        save_picture(draw_rates(rates, losses, smoothed, marks, splits.info), folder / "rates.png")
    if found is None:
        raise TrainingError(
            f"the loss falls at none of these rates, see {folder}; expected one that does. Try a smaller lowest, more "
            "steps, or look at the data"
        )
    steepest, tenth = found
    print(f"the loss falls fastest at {steepest:.2g}; a tenth of the rate where it is lowest is {tenth:.2g}")
    print(f"picture: {folder / 'rates.png'}")
    print(f"next: recipes fit {command_name(config)} --learning-rate {steepest:.2g}", flush=True)
    return LearningRates(steepest, tenth, folder)


class RateRamp(keras.callbacks.Callback):
    """Gives each batch its rate, and ends training where the smoothed loss has exploded or is no number.

    Args:
        rates: Of each batch.
    """

    def __init__(self, rates: np.ndarray) -> None:
        super().__init__()
        self.rates = rates
        self.losses: list[float] = []  # of each update, the mean of its batches

    def on_train_begin(self, logs: dict | None = None) -> None:  # noqa: D102
        self.average = self.best = math.inf
        self.of_update: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.model.reset_metrics()  # Keras logs the mean of an epoch so far, and this batch's loss is wanted
        for optimizer in optimizers_of(self.model):
            optimizer.learning_rate = float(self.rates[batch])

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.of_update.append(float((logs or {})["loss"]))
        is_last = batch + 1 == len(self.rates) or self.rates[batch + 1] != self.rates[batch]
        if not is_last:
            return
        loss, self.of_update = float(np.mean(self.of_update)), []
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        self.losses.append(loss)
        smoothed = smooth(np.array(self.losses))[-1]
        self.best = min(self.best, smoothed)
        if smoothed > self.best + (EXPLODED - 1) * abs(self.best):
            self.model.stop_training = True


def smooth(losses: np.ndarray) -> np.ndarray:
    """Returns the exponential moving average of some losses, without the bias of its beginning.

    >>> smooth(np.array([1.0, 1.0, 3.0])).round(3).tolist()
    [1.0, 1.0, 1.738]
    """
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**number))
    return np.array(smoothed)


def suggestions(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float] | None:
    """Returns (the rate where the smoothed loss falls fastest, a tenth of the rate where it is lowest).

    Neither is looked for in the first steps, whose averages are of few losses, and lowest or steepest by chance. The
    slope at a step is by the logarithm of the rate, over an eighth of the way to the lowest loss to either side, at
    most 4 steps. None where the loss never falls by more than the losses of steps are apart.
    """
    first = min(round(1 / (1 - SMOOTHING)), len(smoothed) // 4)
    lowest = first + int(smoothed[first:].argmin()) if len(smoothed) else 0
    if lowest - first < 2 or smoothed[first] - smoothed[lowest] <= losses[first : 2 * first].std():
        return None
    span = max(1, min(4, (lowest - first) // 8))
    steps = np.arange(first, lowest + 1)
    before, after = np.maximum(steps - span, first), np.minimum(steps + span, lowest)
    slopes = (smoothed[after] - smoothed[before]) / np.log(rates[after] / rates[before])
    return float(rates[first + slopes.argmin()]), float(rates[lowest] / 10)


def endless(splits: Splits, batches: int) -> Splits:
    """Returns the training split as one epoch of so many batches, over and over, and nothing else."""
    train = splits.train
    if isinstance(train, tf.data.Dataset) and train.cardinality() != tf.data.INFINITE_CARDINALITY:
        train = train.repeat()
    return replace(splits, train=train, validation=None, steps_per_epoch=batches)


def _write_rows(path: Path, *columns: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["learning_rate", "loss", "smoothed"])
        writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
