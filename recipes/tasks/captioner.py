"""The model that learns to caption: its loss, with what soft and hard attention add to it."""

from typing import Any

import keras
from keras import ops

from recipes.devices.replicas import replicas_here
from recipes.optimization.losses import Perplexity, smoothed_nats


@keras.saving.register_keras_serializable("recipes")
class CaptionNats(keras.layers.Layer):
    """What a caption costs, in nats: Xu et al. (2015), sections 4.1 and 4.2.1, https://arxiv.org/abs/1502.03044.

    Args:
        attention: "soft", or "hard", which learns where to look by REINFORCE.
        penalty: lambda of equation 14: that each place is looked at as much as the others, over a whole caption.
        policy_weight: lambda_r of section 4.1.
        entropy_weight: lambda_e of section 4.1, that what is drawn stays open.
    """

    def __init__(
        self, attention: str, penalty: float, policy_weight: float, entropy_weight: float, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # whatever the model computes in
        self.attention, self.penalty = attention, penalty
        self.policy_weight, self.entropy_weight = policy_weight, entropy_weight
        self.baseline = self.add_weight(
            name="baseline", initializer="zeros", trainable=False, dtype="float32", aggregation="mean"
        )
        self.built = True

    def call(self, nats: Any, weights: Any, looks: Any, there: Any, training: bool = True) -> Any:
        """Returns the loss of each caption, (B,), whose gradient is the paper's; outside of training nats and penalty.

        Args:
            nats: (B,) -log p of a caption's words, given where it looked.
            weights: (B, T, L), alpha: they add up to one over the places.
            looks: (B, T, L): where it looked, the weights or 1 at one place.
            there: (B, T), 1 at words and 0 at padding.
            training: Whether to learn where to look; the baseline moves then.
        """
        loss = nats + self.penalty * doubly_stochastic(weights, there)
        if self.attention == "soft" or not training:
            return loss
        logs = ops.log(ops.maximum(weights, 1e-20))
        # Where looks are the weights themselves, the gradient of this sum is 0: their own goes through what was seen.
        chosen = ops.sum(there[..., None] * ops.stop_gradient(looks) * logs, (1, 2))  # log p(s|a)
        entropy = -ops.sum(there[..., None] * weights * logs, (1, 2))
        gain = ops.stop_gradient(-nats - self.baseline)  # of log p(y|s, a) over what was to be expected
        self.baseline.assign(0.9 * self.baseline + 0.1 * ops.stop_gradient(ops.mean(-nats)))
        return loss - self.policy_weight * gain * chosen - self.entropy_weight * entropy

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        names = ("attention", "penalty", "policy_weight", "entropy_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def doubly_stochastic(weights: Any, there: Any) -> Any:
    """Returns sum_i (1 - sum_t alpha_ti)^2, equation 14: (B, T, L) weights, (B, T) where there are words, to (B,)."""
    return ops.sum(ops.square(1 - ops.sum(there[..., None] * weights, 1)), -1)


@keras.saving.register_keras_serializable("recipes")
class Captioner(keras.Model):
    """A functional model from [image or annotations, words] to {"logits", "weights", "looks"}, and its loss.

    `compile(optimizer, cost=CaptionNats(...))`.
    """

    def compile(self, optimizer: Any, cost: CaptionNats, **kwargs: Any) -> None:
        """Takes the optimizer and what a caption costs."""
        super().compile(optimizer=optimizer, **kwargs)
        self.cost, self.perplexity = cost, Perplexity()

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the mean loss of a batch's captions: y (B, T) words, 0 for padding."""
        there = ops.cast(y != 0, "float32")
        nats = ops.sum(there * smoothed_nats(y, y_pred["logits"], 0.0), -1)
        loss = self.cost(nats, y_pred["weights"], y_pred["looks"], there, training=training)
        return ops.mean(loss) / replicas_here()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Returns the loss and the perplexity so far."""
        self.perplexity.update_state(y, y_pred["logits"])
        return self.get_metrics_result()

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` takes."""
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("optimizer", "cost")}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
        self.optimizer.build(self.trainable_variables)
