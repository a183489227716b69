"""Choices that gradients pass through: draws from categories, and the place of the largest number, made smooth."""

from typing import Any

import keras
from keras import ops

from recipes.devices.replicas import replica_rows, replicas_here


def gumbel_softmax(logits: Any, noise: Any, temperature: Any) -> Any:
    """Returns nearly one-hot draws from categories, which become one-hot as the temperature falls to 0.

        z = softmax((logits + noise) / temperature),   noise = -log(-log u),  u ~ U(0, 1)

    The largest of logits + noise is category k with the probability softmax(logits)_k, whatever the temperature.
    Jang et al. (2017), equation 2, https://arxiv.org/abs/1611.01144; Maddison et al. (2017).

    Args:
        logits: (..., K), unnormalised log probabilities.
        noise: (..., K), of Gumbel's distribution.
        temperature: Above 0.
    """
    return ops.softmax((logits + noise) / temperature, axis=-1)


def straight_through(soft: Any) -> Any:
    """Returns (..., K) probabilities as one-hot rows, whose gradient is that of the probabilities themselves.

    Jang et al. (2017), section 2.2, after Bengio et al. (2013), https://arxiv.org/abs/1308.3432.
    """
    return one_hot_of_largest(soft) + soft - ops.stop_gradient(soft)


def soft_argmax(values: Any, temperature: Any = 1.0) -> Any:
    """Returns sum_k k softmax(values / temperature)_k, (..., K) to (...) in [0, K - 1]: near 0, the largest's place."""
    places = ops.arange(ops.shape(values)[-1], dtype=values.dtype)
    return ops.sum(places * ops.softmax(values / temperature, axis=-1), axis=-1)


def one_hot_of_largest(values: Any) -> Any:
    """Returns 1 at the largest of (..., K) numbers, the first of several, and 0 elsewhere."""
    return ops.one_hot(ops.argmax(values, axis=-1), values.shape[-1], dtype=values.dtype)


def gumbel_noise(uniform: Any) -> Any:
    """Returns -log(-log u) of numbers u in [0, 1), of which 0 is taken for the smallest above it."""
    return -ops.log(-ops.log(ops.maximum(uniform, 1e-20)))


@keras.saving.register_keras_serializable("recipes")
class GumbelSoftmax(keras.layers.Layer):
    """Draws a category for each row of logits, (B, ..., K) to (B, ..., K): nearly one-hot in training, else one-hot.

    The temperature falls with every training step, to exp(-decay * steps), and no lower than `lowest`. Steps are
    counted in a weight, so that checkpoints and model.keras hold the temperature. Jang et al. (2017), section 4.

    Args:
        seed: Of the draws; outside of training they are always the same.
        decay: By which the logarithm of the temperature falls in a step; 0: it stays at 1.
        lowest: Temperature, above 0.
        hard: Whether draws are one-hot in training, too, with the gradients of those that are not.
    """

    def __init__(self, seed: int, decay: float = 0.0, lowest: float = 0.5, hard: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed, self.decay, self.lowest, self.hard = seed, decay, lowest, hard
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, shape: Any) -> None:
        """Makes the count of training steps."""
        self.steps = self.add_weight(
            (), "zeros", dtype="float32", trainable=False, aggregation="only_first_replica", name="steps"
        )

    @property
    def temperature(self) -> Any:
        """Of the next training step, scalar float32."""
        return ops.maximum(ops.exp(-self.decay * self.steps), self.lowest)

    def call(self, logits: Any, training: bool = False) -> Any:
        """Returns the draws, (B, ..., K)."""
        whole_batch = (ops.shape(logits)[0] * replicas_here(), *logits.shape[1:])
        uniform = keras.random.uniform(whole_batch, dtype="float32", seed=self.draws if training else self.seed)
        noise = ops.cast(gumbel_noise(replica_rows(uniform)), logits.dtype)
        if not training:
            return one_hot_of_largest(logits + noise)
        soft = gumbel_softmax(logits, noise, ops.cast(self.temperature, logits.dtype))
        self.steps.assign_add(1.0)
        return straight_through(soft) if self.hard else soft

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"seed": self.seed, "decay": self.decay, "lowest": self.lowest, "hard": self.hard}
        return {**super().get_config(), **own}
