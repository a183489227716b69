"""Optimizers and learning rates that several recipes share."""

from typing import Any

import keras


def one_cycle(config: Any) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the rate over all steps: from 0 straight up to its highest, then down to 0 along half a cosine.

    Args:
        config: Reads `learning_rate`, the highest; `warmup_fraction`, the share of the steps in which it climbs; and
            `epochs`, `train_examples`, `batch_size` for their number.
    """
    steps = config.epochs * (config.train_examples // config.batch_size)
    warmup = round(config.warmup_fraction * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=max(1, steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def decayed_sgd(rate: Any, config: Any, nesterov: bool = True) -> keras.optimizers.Optimizer:
    """Returns SGD with momentum and decoupled weight decay, which spares biases and batch norm.

    Args:
        rate: The learning rate, or its schedule.
        config: Reads `momentum` and `weight_decay`, the share of each kernel taken off per step, times the rate.
        nesterov: Whether the momentum looks ahead.

    Loshchilov and Hutter (2019), algorithm 1; https://arxiv.org/abs/1711.05101.
    """
    optimizer = keras.optimizers.SGD(rate, config.momentum, nesterov=nesterov, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
