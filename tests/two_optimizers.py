"""A recipe for tests alone: two networks that play against each other, with an optimizer each and noise in the step.

The smallest thing of the shape of Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661.
"""

from dataclasses import dataclass
from typing import Literal

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.data import image_splits
from recipes.devices import replica_rows, training_scope
from recipes.training import change, check_config, fit_model, follow_data, open_run


@dataclass(frozen=True)
class Config:
    """Settings."""

    dataset: str = "digits"
    offline: Literal["stand-in", "error"] = "stand-in"
    validation_fraction: float = 0.1
    max_examples: int | None = None
    image_shape: tuple[int, int, int] = (28, 28, 1)
    units: int = 16
    batch_size: int = 32
    epochs: int = 2
    learning_rate: float = 1e-3
    seed: int = 0
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "float32"
    deterministic: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None

    def __post_init__(self):
        check_config(self)


TINY = Config(max_examples=256, epochs=1)


def load_data(config=Config(), data=None, **changes):
    return image_splits(change(config, **changes), data, standin="digits")


def build(config=Config()):
    model = TwoOptimizers(config)
    model.compile(optimizer=keras.optimizers.SGD(0.1))  # Keras wants one; the step has its own two
    return model


@keras.saving.register_keras_serializable("tests")
class TwoOptimizers(keras.Model):
    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.settings = Config(**config) if isinstance(config, dict) else config
        width = self.settings.image_shape[0] * self.settings.image_shape[1]
        self.generator = keras.Sequential(
            [keras.Input((4,)), layers.Dense(self.settings.units, "relu"), layers.Dense(width, "sigmoid")]
        )
        self.critic = keras.Sequential(
            [keras.Input((width,)), layers.Dense(self.settings.units, "relu"), layers.Dense(1, dtype="float32")]
        )
        self.generator_optimizer = keras.optimizers.Adam(self.settings.learning_rate)
        self.critic_optimizer = keras.optimizers.Adam(self.settings.learning_rate)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)
        self.noise = keras.random.SeedGenerator(self.settings.seed)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.critic_tracker = keras.metrics.Mean(name="critic_loss")
        self.built = True

    @property
    def input_shape(self):
        return (None, *self.settings.image_shape)

    def get_config(self):
        from dataclasses import asdict

        return {"config": asdict(self.settings)}

    def losses_of(self, image):
        real = ops.reshape(ops.cast(image, "float32") / 255, (-1, self.critic.input_shape[1]))
        drawn = replica_rows(keras.random.normal((self.settings.batch_size, 4), seed=self.noise))
        made = self.generator(drawn[: ops.shape(real)[0]])
        on_real, on_made = self.critic(real), self.critic(made)
        critic_loss = ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(on_made))
        return ops.mean(ops.softplus(-on_made)), critic_loss

    def train_step(self, data):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync  # gradients are summed over them
        with tf.GradientTape(persistent=True) as tape:
            loss, critic_loss = self.losses_of(data[0])
            scaled, critic_scaled = loss / replicas, critic_loss / replicas
        for optimizer, part, value in (
            (self.generator_optimizer, self.generator, scaled),
            (self.critic_optimizer, self.critic, critic_scaled),
        ):
            gradients = tape.gradient(value, part.trainable_variables)
            optimizer.apply_gradients(zip(gradients, part.trainable_variables, strict=True))
        self.loss_tracker.update_state(loss)
        self.critic_tracker.update_state(critic_loss)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        loss, critic_loss = self.losses_of(data[0])
        self.loss_tracker.update_state(loss)
        self.critic_tracker.update_state(critic_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def fit(config=Config(), data=None, *, callbacks=(), runs="runs", resume=True, **changes):
    config = change(config, **changes)
    with training_scope(config):
        splits = load_data(config, data)
        config = follow_data(config, splits)
        run = open_run(config, splits, runs, resume)
        keras.utils.set_random_seed(config.seed)
        model = build(config)
    return fit_model(model, splits, run, callbacks)
