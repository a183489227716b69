"""A recipe that makes its own data as it trains: a contextual bandit that learns which arm to pull in which state.

For tests, and the example of docs/adding_a_recipe.md. In each step a batch of states is drawn, the policy pi draws an
arm in each, and hears the reward of that arm alone: 1 for the arm that the state names, else 0. REINFORCE (Williams
1992, https://doi.org/10.1007/BF00992696) with the batch's mean reward as baseline b:

    gradient of J = E[(r - b) grad log pi(a | s)]
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from recipes.data.in_memory import EvaluationData
from recipes.data.splits import DataInfo, Sizes, Splits
from recipes.settings import Count, Positive, Settings
from recipes.verbs.export import Signature
from recipes.verbs.recipe import Recipe


@dataclass(frozen=True)
class Config(Settings):
    """Settings of bandit_recipe."""

    dataset: str = "states"  # drawn in each step
    arms: Count = 4  # of which one is right in each state
    steps_per_epoch: Count = 8  # steps that are reported together
    batch_size: Count = 32
    epochs: Count = 2
    learning_rate: Positive = 0.1  # Adam's


TINY = Config(precision="float32")


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns what makes the data of a step: nothing is read."""
    info = DataInfo(
        "states", source="generated", follows={"num_classes": config.arms}, fingerprint=f"{config.arms} arms"
    )
    return Splits(
        train=None,
        train_step=partial(pull, seed=config.seed, batch_size=config.batch_size),
        steps_per_epoch=config.steps_per_epoch,
        info=info,
    )


def pull(model: keras.Model, step: int, seed: int, batch_size: int) -> dict[str, float]:
    """Draws states, pulls an arm in each, learns from the rewards; returns the step's logs."""
    loss, reward = model.pull(tf.constant([seed, step], tf.int64), batch_size)
    return {"loss": float(loss), "reward": float(reward)}


@keras.saving.register_keras_serializable("bandit")
class Policy(keras.Model):
    """A functional model, (B, arms) one-hot states to (B, arms) logits, that learns from what it tries."""

    @tf.function
    def pull(self, seeds: tf.Tensor, batch_size: int) -> tuple[tf.Tensor, tf.Tensor]:
        arms = self.output_shape[-1]
        right = tf.random.stateless_uniform((batch_size,), seeds, maxval=arms, dtype=tf.int32)  # (B,)
        with tf.GradientTape() as tape:
            log_pi = tf.nn.log_softmax(self(tf.one_hot(right, arms), training=True))  # (B, A)
            gumbel = -tf.math.log(-tf.math.log(tf.random.stateless_uniform(tf.shape(log_pi), seeds + 1, 1e-9, 1.0)))
            arm = tf.argmax(log_pi + gumbel, -1, output_type=tf.int32)  # (B,), drawn from pi
            reward = tf.cast(arm == right, tf.float32)  # (B,)
            advantage = tf.stop_gradient(reward - tf.reduce_mean(reward))
            loss = -tf.reduce_mean(advantage * tf.gather(log_pi, arm, batch_dims=1))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return loss, tf.reduce_mean(reward)


def build(config: Config = Config(), sizes: Sizes = Sizes(num_classes=4)) -> keras.Model:
    """Returns the policy: (B, arms) states to (B, arms) logits of pulling each."""
    state = keras.Input((sizes.num_classes,), name="state")
    model = Policy(state, layers.Dense(sizes.num_classes, name="logits")(state), name="bandit_recipe")
    model.compile(keras.optimizers.Adam(config.learning_rate))
    return model


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config of one trial."""
    return replace(config, learning_rate=hp.Choice("learning_rate", [1e-6, 0.1]))


class Bandit:
    """The kind of a policy: its reward, what it would do, and how it is served."""

    def evaluate(self, model, splits):
        arms = model.output_shape[-1]
        return {"reward": float((keras.ops.argmax(model(tf.eye(arms)), -1) == tf.range(arms)).numpy().mean())}

    def report(self, model, splits):
        return ()

    def evaluation_data(self, data, model):
        return EvaluationData(data, 0)

    def predict(self, model, inputs):
        logits = model(tf.one_hot(inputs, model.output_shape[-1])).numpy()
        for state, arm in zip(inputs, logits.argmax(-1), strict=True):
            yield str(state), {"arm": int(arm)}

    def signatures(self, model, source):
        arms = model.output_shape[-1]
        spec, states = {"state": tf.TensorSpec((None, arms), tf.float32)}, tf.eye(arms).numpy()
        answer = {"logits": model(states).numpy()}
        return [model], {
            "serving_default": Signature(lambda state: {"logits": model(state)}, spec, {"state": states}, answer)
        }


fit, load, evaluate, predict, tune, export, find_learning_rate = Recipe(
    Config, load_data, build, search_space, kind=Bandit(), objective=("reward", "max")
).verbs
