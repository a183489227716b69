"""Two networks that learn from each other: one makes images, the other tells them from real ones."""

from typing import Any

import keras
import tensorflow as tf

from recipes.devices.replicas import replica_rows, replicas_here
from recipes.kinds.image_quality import KernelDistance


@keras.saving.register_keras_serializable("recipes")
class Adversaries(keras.Model):
    """A generator and a discriminator that learn from each other; called on images in [0, 255], it judges them.

    Args:
        generator: Noise (B, L) to images (B, H, W, C) in [-1, 1].
        discriminator: Such images to (B, 1) logits of being real.
        label_smoothing: Real images are called real with a probability of 1 less this.
        seed: Of the noise.
    """

    def __init__(
        self, generator: keras.Model, discriminator: keras.Model, label_smoothing: float, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator
        self.label_smoothing, self.seed = label_smoothing, seed
        self.draws = keras.random.SeedGenerator(seed)
        names = "loss", "discriminator_loss", "told_apart", "diversity"
        self.means = {name: keras.metrics.Mean(name=name) for name in names}
        self.distance = KernelDistance()
        self.built = True  # both networks are

    def compile(self, optimizer: Any, discriminator_optimizer: Any, **kwargs: Any) -> None:
        """Takes the generator's optimizer and the discriminator's."""
        super().compile(optimizer=optimizer, **kwargs)
        self.discriminator_optimizer = discriminator_optimizer
        optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, image: Any, training: bool = False) -> Any:
        """Returns the discriminator's logits, (B, 1)."""
        return self.discriminator(scaled(image), training=training)

    def play(self, real: Any, noise: Any, training: bool) -> tuple[Any, Any]:
        """Returns (generated images, the losses and the other means), each over this replica's part of the batch."""
        made = self.generator(noise, training=training)
        on_real = self.discriminator(real, training=training)
        on_made = self.discriminator(made, training=training)
        right = tf.concat([on_real > 0, on_made < 0], 0)
        called_real, p = tf.reduce_mean(tf.nn.softplus(-on_real)), 1 - self.label_smoothing
        called_made = tf.reduce_mean(tf.nn.softplus(on_real))
        return made, {
            "loss": tf.reduce_mean(tf.nn.softplus(-on_made)),  # -log D(G(z)), nats
            "discriminator_loss": p * called_real + (1 - p) * called_made + tf.reduce_mean(tf.nn.softplus(on_made)),
            "told_apart": tf.reduce_mean(tf.cast(right, tf.float32)),
        }

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one step of both networks, from the same images. Algorithm 1, with k = 1."""
        real, replicas = scaled(data[0]), replicas_here()
        shape = (tf.shape(real)[0] * replicas, self.generator.input_shape[-1])
        noise = replica_rows(keras.random.uniform(shape, -1, 1, seed=self.draws))
        with tf.GradientTape(persistent=True) as tape:
            _, figures = self.play(real, noise, training=True)
            # Optimizers sum gradients over the replicas; the mean over the whole batch is asked for.
            losses = figures["loss"] / replicas, figures["discriminator_loss"] / replicas
        players = (self.generator, self.optimizer), (self.discriminator, self.discriminator_optimizer)
        gradients = [
            tape.gradient(loss, network.trainable_variables) for loss, (network, _) in zip(losses, players, strict=True)
        ]
        for gradient, (network, optimizer) in zip(gradients, players, strict=True):
            optimizer.apply(gradient, network.trainable_variables)
        return self._told(figures)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Returns the losses on images of a split, "diversity" and "distance"; the same noise in each evaluation."""
        real = scaled(data[0])
        shape = (2, tf.shape(real)[0] * replicas_here(), self.generator.input_shape[-1])
        seed = [self.seed, tf.cast(self.distance.steps.value, tf.int32)]  # counted from 0 in each evaluation
        noise, other = map(replica_rows, tf.unstack(tf.random.stateless_uniform(shape, seed, -1, 1)))
        made, figures = self.play(real, noise, training=False)
        between = tf.square(made - self.generator(other, training=False))
        diversity = tf.reduce_mean(tf.sqrt(tf.reduce_mean(between, axis=(1, 2, 3))))
        self.distance.update_state(real, made)
        return {**self._told({**figures, "diversity": diversity}), "distance": self.distance.result()}

    def _told(self, figures: dict[str, Any]) -> dict[str, Any]:
        for name, value in figures.items():
            self.means[name].update_state(value)
        return {name: self.means[name].result() for name in figures}

    @property
    def input_shape(self) -> tuple:
        """(None, H, W, C)."""
        return self.discriminator.input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("generator", "discriminator")
        }
        return {"name": self.name, **networks, "label_smoothing": self.label_smoothing, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Adversaries":
        """Returns the model that `get_config` described."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` takes."""
        names = "optimizer", "discriminator_optimizer"
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def scaled(image: Any) -> Any:
    """Returns pixels in [0, 255] as float32 in [-1, 1]."""
    return tf.cast(image, tf.float32) / 127.5 - 1
