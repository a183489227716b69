"""Optimizers and learning rates that several recipes share."""

from typing import Any

import keras
import tensorflow as tf


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


class _Summed(keras.optimizers.Optimizer):
    """Adds up what belongs together before anything is squared, which Keras 3.15 does not on TensorFlow.

    - The gradients of one row of an embedding, which comes as often as the token is in a batch: Adam's second moment
      would be the sum of squares, and the step of a token that is there n times up to n ** 0.5 times too large.
    - The gradients of all replicas, of which `global_clipnorm` takes the norm: each replica's alone would be clipped.
    """

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> Any:
        """Takes a step; see `keras.optimizers.Optimizer`."""
        whole = [gradient if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
        return super().apply(whole, trainable_variables)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1 or not self.global_clipnorm:
            return super()._clip_gradients(grads)
        whole = super()._clip_gradients(context.all_reduce(tf.distribute.ReduceOp.SUM, grads))
        return [gradient / context.num_replicas_in_sync for gradient in whole]  # they are summed once more


@keras.saving.register_keras_serializable("recipes")
class Adam(_Summed, keras.optimizers.Adam):
    """Keras's Adam for models with embeddings, on any number of replicas."""


@keras.saving.register_keras_serializable("recipes")
class AdamW(_Summed, keras.optimizers.AdamW):
    """Keras's AdamW, likewise."""
