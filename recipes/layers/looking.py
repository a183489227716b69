"""A recurrent network that looks at the places of an image while it writes."""

from typing import Any

import keras
from keras import ops

from recipes.devices.replicas import replica_rows, replicas_here
from recipes.errors import ConfigError


@keras.saving.register_keras_serializable("recipes")
class LookingLSTM(keras.layers.Layer):
    """An LSTM that looks at an image's places before it reads each word; Xu et al. (2015), section 3.1.2.

    https://arxiv.org/abs/1502.03044. "soft" looks at all places, by their weights (section 4.2), "hard" at one: in
    training one that is drawn by the weights (section 4.1), else the likeliest. What is seen is scaled by a gate, beta
    (section 4.2.1), in both. In training, one caption in two is soft even with "hard", as section 4.1 has it, so that
    the estimate of the gradient varies less.

    Args:
        units: Numbers in the hidden state.
        attention: "soft" or "hard".
        attention_units: Width of the network that scores the places.
        seed: Of what "hard" draws.
    """

    def __init__(self, units: int, attention: str, attention_units: int, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if attention not in ("soft", "hard"):
            raise ConfigError(f"attention={attention!r} is unknown; expected 'soft' or 'hard'")
        self.units, self.attention, self.attention_units, self.seed = units, attention, attention_units, seed
        self.draws = keras.random.SeedGenerator(seed)
        own = {"dtype": self.dtype_policy}
        self.cell = keras.layers.LSTMCell(units, **own)
        self.keys = keras.layers.Dense(attention_units, use_bias=False, name="keys", **own)
        self.query = keras.layers.Dense(attention_units, name="query", **own)
        self.score = keras.layers.Dense(1, use_bias=False, name="score", **own)
        self.gate = keras.layers.Dense(1, activation="sigmoid", name="gate", **own)

    def build(self, x_shape: Any, annotations_shape: Any, *_: Any) -> None:
        """Makes the weights."""
        hidden_shape = (None, self.units)
        self.cell.build((None, x_shape[-1] + annotations_shape[-1]))
        self.keys.build(annotations_shape)
        self.query.build(hidden_shape)
        self.score.build((None, None, self.attention_units))
        self.gate.build(hidden_shape)

    def call(self, x: Any, annotations: Any, hidden: Any, cell: Any, training: bool = False) -> tuple[Any, ...]:
        """Returns what each step comes to: hidden (B, T, units), seen (B, T, D), weights and looks (B, T, L) float32.

        `weights` add up to one over the places. `looks` say where it looked: the weights, or 1 at one place.

        Args:
            x: (B, T, M), each word before the next.
            annotations: (B, L, D), a vector for each place.
            hidden: (B, units), before the first step.
            cell: (B, units).
            training: Whether "hard" draws.
        """
        known, given = self.know(annotations), ops.transpose(x, (1, 0, 2))
        width, drawn = x.shape[-1], True
        if self.attention == "hard" and training:
            noise, drawn = self.draw(x, annotations)
            # In one tensor with the words, for Keras 3.15 cannot scan over two of a length that is not known.
            given = ops.concatenate([ops.cast(given, "float32"), ops.transpose(noise, (1, 0, 2))], -1)

        def step(state: Any, given: Any) -> tuple[Any, Any]:
            noise = given[:, width:] if given.shape[-1] > width else 0.0
            state = self.step(ops.cast(given[:, :width], x.dtype), state, *known, noise, drawn)
            return state, state

        _, (states, _, *rest) = ops.scan(step, self.begin(annotations, hidden, cell), given)
        states, seen, weights, looks = (ops.transpose(part, (1, 0, 2)) for part in (states, *rest))
        return states, seen, weights, looks

    def know(self, annotations: Any) -> tuple[Any, Any]:
        """Returns what stays the same in all steps: the places' keys, and the annotations."""
        annotations = ops.cast(annotations, self.compute_dtype)
        return self.keys(annotations), annotations

    def begin(self, annotations: Any, hidden: Any, cell: Any) -> tuple[Any, ...]:
        """Returns the state before the first step: hidden, cell, what was seen, weights, looks."""
        nowhere = ops.zeros_like(annotations[..., 0], dtype="float32")
        return hidden, cell, ops.zeros_like(annotations[:, 0], self.compute_dtype), nowhere, nowhere

    def draw(self, x: Any, annotations: Any) -> tuple[Any, Any]:
        """Returns (Gumbel noise (B, T, L), which makes of the likeliest place a drawn one; (B, 1) which captions draw).

        Drawn for the whole batch, of which this replica takes its rows.
        """
        batch, steps = ops.shape(x)[0] * replicas_here(), ops.shape(x)[1]
        shape = (batch, steps, annotations.shape[1])
        uniform = replica_rows(keras.random.uniform(shape, 1e-9, 1.0, dtype="float32", seed=self.draws))
        drawn = replica_rows(keras.random.uniform((batch, 1), dtype="float32", seed=self.draws)) < 0.5
        return -ops.log(-ops.log(uniform)), drawn

    def step(self, x: Any, state: Any, keys: Any, annotations: Any, noise: Any = 0.0, drawn: Any = True) -> tuple:
        """Returns the next state after (B, M) has been read."""
        hidden, cell, *_ = state
        scores = self.score(ops.tanh(keys + self.query(hidden)[:, None]))[..., 0]  # (B, L), equation 4
        scores = ops.cast(scores, "float32")
        weights = looks = ops.softmax(scores)  # equation 5
        if self.attention == "hard":
            place = ops.one_hot(ops.argmax(scores + noise, -1), scores.shape[-1])
            looks = ops.where(drawn, place, weights)
        seen = ops.matmul(ops.cast(looks, annotations.dtype)[:, None], annotations)[:, 0]  # (B, D), equations 9 and 13
        seen = self.gate(hidden) * seen  # section 4.2.1
        _, (hidden, cell) = self.cell(ops.concatenate([x, seen], -1), (hidden, cell))  # equations 1 to 3
        return hidden, cell, seen, weights, looks

    def compute_output_spec(self, x: Any, annotations: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        """Returns the shapes and dtypes of what `call` returns."""
        (_, places, width), before = annotations.shape, x.shape[:2]
        kinds = [(size, self.compute_dtype) for size in (self.units, width)] + [(places, "float32")] * 2
        return tuple(keras.KerasTensor((*before, size), dtype) for size, dtype in kinds)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"units": self.units, "attention": self.attention, "attention_units": self.attention_units}
        return {**super().get_config(), **own, "seed": self.seed}
