"""The settings of training that every recipe has: they change a compiled model's optimizers, and add callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import clip_by_norm_of_whole, give_constant_rate, has_rate_schedule
from recipes.errors import ConfigError, DataError
from recipes.runs.averaged_weights import AveragedWeights
from recipes.runs.early_stopping import StopEarly
from recipes.settings import Settings, WithoutEffectError

#: Settings of image classifiers that our pipeline follows.
AUGMENTATIONS = ("rand_augment", "mixup", "cutmix")


def apply_training_settings(model: keras.Model, config: Any, splits: Splits, objective: tuple[str, str]) -> None:
    """Gives a compiled model's optimizers what `clip_norm`, `accumulate_steps` and `constant_rate` ask for.

    A page whose model makes its optimizers' variables as it is compiled, as one with two of them does, gives them
    `accumulate_steps` and the rate itself.

    Args:
        model: Compiled under the strategy that trains it.
        config: The settings; those of the callbacks are looked at, too.
        splits: What it will be trained on.
        objective: The recipe's.

    Raises:
        ConfigError: For a setting that would change nothing, or that the strategy cannot do.
        DataError: For early stopping without validation data.
    """
    refuse_to_stop_without_validation(config, splits, objective)
    refuse_accumulation_in_vain(model, config, splits)
    refuse_to_augment_what_comes_as_it_is(config, splits)
    for optimizer in optimizers_of(model):
        if config.clip_norm is not None:
            if optimizer.clipnorm or optimizer.clipvalue:
                raise ConfigError(
                    f"clip_norm={config.clip_norm} would change nothing: the recipe's own optimizer clips each "
                    "weight's gradient already. Leave it out, or change that"
                )
            clip_by_norm_of_whole(optimizer, config.clip_norm)
        if config.constant_rate and has_rate_schedule(optimizer):
            give_constant_rate(optimizer, config.learning_rate)
        if config.accumulate_steps > 1 and not optimizer.built:
            optimizer.gradient_accumulation_steps = config.accumulate_steps


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers of a compiled model; a model with a `train_step` of its own may have several."""
    everything = [model.optimizer, *vars(model).values()]
    found = [each for each in everything if isinstance(each, keras.optimizers.Optimizer)]
    return list({id(optimizer): optimizer for optimizer in found}.values())


def refuse_accumulation_in_vain(model: keras.Model, config: Any, splits: Splits) -> None:
    """Refuses more batches per update than there are, and replicas, on which Keras 3.15 cannot accumulate."""
    batches, replicas = config.accumulate_steps, model.distribute_strategy.num_replicas_in_sync
    if batches == 1:
        return
    if replicas > 1:
        raise ConfigError(
            f"accumulate_steps={batches} works on one device, and this is {replicas} replicas; leave it out (each "
            f"replica holds 1 of {replicas} parts of a batch), or pass strategy='single'"
        )
    steps = (splits.steps_per_epoch or 0) * config.epochs
    if 0 < steps < batches:
        raise ConfigError(f"accumulate_steps={batches} is more than the {steps} steps of this run: no update is made")


def refuse_to_augment_what_comes_as_it_is(config: Any, splits: Splits) -> None:
    """Refuses the augmentations of a pipeline of ours for a user's own Splits."""
    for name in AUGMENTATIONS:
        if getattr(config, name, 0.0) and splits.train_from is None:
            raise WithoutEffectError(name, getattr(config, name), f"{splits.info.name} are trained on as they come")


def refuse_to_stop_without_validation(config: Settings, splits: Splits, objective: tuple[str, str]) -> None:
    """Refuses early stopping by a figure on validation data where none is held out."""
    if config.early_stopping is not None and splits.validation is None and objective[0].startswith("val_"):
        raise DataError(
            f"early_stopping={config.early_stopping} needs validation data, and {splits.info.name} has none held out; "
            "set validation_fraction above 0, or pass Splits with a validation split"
        )


def early_stopping(config: Settings, objective: tuple[str, str]) -> StopEarly | None:
    """Returns the callback that `early_stopping` asks for; None where it is off."""
    return StopEarly(*objective, config.early_stopping) if config.early_stopping is not None else None


def averaged_weights(config: Settings) -> AveragedWeights | None:
    """Returns the callback that `average_weights` asks for; None where it is off."""
    if config.average_weights is None:
        return None
    return AveragedWeights(config.average_weights, config.accumulate_steps)


def in_order(
    callbacks: Sequence[keras.callbacks.Callback], averaged: AveragedWeights | None, stopping: StopEarly | None
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks with these around them: all see the average, and early stopping what all have logged."""
    first = [averaged] if averaged else []
    return [*first, *callbacks, *([stopping] if stopping else []), *([averaged.back] if averaged else [])]
