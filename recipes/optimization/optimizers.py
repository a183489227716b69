"""Optimizers and learning-rate schedules that several recipes share."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import adam_moments, clipped_as_whole, saved_as_stock, sgd_momentum


def warmup_cosine(peak: float, steps: int, warmup: int = 0) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate over all steps: straight up from 0 to its peak, then down to 0 along half a cosine.

    Args:
        peak: The highest rate.
        steps: How many steps there are.
        warmup: In how many of them the rate climbs; 0: it starts at its peak.

    >>> rate = warmup_cosine(peak=0.5, steps=10, warmup=2)
    >>> [round(float(rate(step)), 3) for step in (0, 1, 2, 6, 10)]
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else peak,
        decay_steps=max(1, steps - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def sgd(rate: Any, momentum: float, weight_decay: float, nesterov: bool = True) -> keras.optimizers.Optimizer:
    """Returns SGD with momentum and decoupled weight decay, which spares biases and batch norm.

    Args:
        rate: The learning rate, or its schedule.
        momentum: In [0, 1).
        weight_decay: Share of each kernel taken off per step, times the rate.
        nesterov: Whether the momentum looks ahead.

    Loshchilov and Hutter (2019), algorithm 1; https://arxiv.org/abs/1711.05101.
    """
    optimizer = SGD(rate, momentum, nesterov=nesterov, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer


class _Summed(keras.optimizers.Optimizer):
    """Adds up what belongs together before anything is squared, which Keras 3.15 does not on TensorFlow.

    - The gradients of one row of an embedding, which comes as often as the token is in a batch: Adam's second moment
      would be the sum of squares, and the step of a token that is there n times up to n ** 0.5 times too large.
    - The gradients of all replicas, of which `global_clipnorm` takes the norm: each replica's alone would be clipped.
    """

    clips_whole = True  # `recipes.devices.keras_fixes.clip_by_norm_of_whole` has nothing to do

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> Any:
        """Takes a step; see `keras.optimizers.Optimizer`."""
        whole = [gradient if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
        return super().apply(whole, trainable_variables)

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        clip = super()._clip_gradients
        return clipped_as_whole(clip, grads) if self.global_clipnorm else clip(grads)


class _Fused(_Summed):
    """Updates a weight and its moments in one operation, where Keras 3 takes a dozen, each over all of its numbers."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes Adam's step of one weight, by Keras' formula; see `keras.optimizers.Adam`."""
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        dtype, (m, v) = variable.dtype, adam_moments(self, variable)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        step = tf.cast(self.iterations, dtype) + 1
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


@saved_as_stock(keras.optimizers.Adam)
class Adam(_Fused, keras.optimizers.Adam):
    """Keras's Adam, on any number of replicas, which moves an embedding's row as one weight. Kingma and Ba (2015).

    https://arxiv.org/abs/1412.6980
    """


@saved_as_stock(keras.optimizers.AdamW)
class AdamW(_Fused, keras.optimizers.AdamW):
    """Keras's AdamW, likewise. Loshchilov and Hutter (2019), https://arxiv.org/abs/1711.05101."""


@saved_as_stock(keras.optimizers.SGD)
class SGD(keras.optimizers.SGD):
    """Keras's SGD, which updates a weight and its momentum in one operation."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes the step of one weight, by Keras' formula; see `keras.optimizers.SGD`."""
        if not self.momentum or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=sgd_momentum(self, variable).handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )
