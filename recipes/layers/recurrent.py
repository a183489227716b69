"""A recurrent network that looks back at what another network has read."""

from typing import Any

import keras
from keras import ops

from recipes.errors import ConfigError


@keras.saving.register_keras_serializable("recipes")
class AttentionLSTM(keras.layers.Layer):
    """An LSTM that looks at a memory in each step, or not.

    "bahdanau": before it, from the last hidden state; Bahdanau et al. (2015), section 3,
    https://arxiv.org/abs/1409.0473. "luong": after it, from the new one, with "general" scores and input feeding; Luong
    et al. (2015), section 3, https://arxiv.org/abs/1508.04025. Both say Luong's equation 5 of what they have
    seen, where Bahdanau's network is a GRU with maxout units.

    Args:
        units: Numbers in the hidden state.
        attention: "none", "bahdanau" or "luong".
    """

    def __init__(self, units: int, attention: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if attention not in ("none", "bahdanau", "luong"):
            raise ConfigError(f"attention={attention!r} is unknown; expected 'none', 'bahdanau' or 'luong'")
        self.units, self.attention = units, attention
        self.cell = keras.layers.LSTMCell(units, dtype=self.dtype_policy)
        self.keys = keras.layers.Dense(units, use_bias=False, name="keys", dtype=self.dtype_policy)  # W_a, U_a
        self.query = keras.layers.Dense(units, name="query", dtype=self.dtype_policy)
        self.score = keras.layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)  # v_a
        self.joint = keras.layers.Dense(units, activation="tanh", name="joint", dtype=self.dtype_policy)  # W_c

    def build(self, x_shape: Any, memory_shape: Any, *_: Any) -> None:
        """Makes the weights that the kind of attention needs."""
        fed = 0 if self.attention == "none" else self.units if self.attention == "luong" else memory_shape[-1]
        self.cell.build((x_shape[0], x_shape[-1] + fed))
        if self.attention != "none":
            self.keys.build(memory_shape)
            self.joint.build((x_shape[0], self.units + memory_shape[-1]))
        if self.attention == "bahdanau":
            self.query.build((x_shape[0], self.units))
            self.score.build((x_shape[0], self.units))

    def call(self, x: Any, memory: Any, there: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
        """Returns what each step says, (B, T, units), and where it looked, (B, T, S): all 0 with "none".

        Args:
            x: (B, T, D).
            memory: (B, S, M).
            there: (B, S) bool, where there is any memory.
            hidden: (B, units), before the first step.
            cell: (B, units).
        """
        known = self.know(memory, there)

        def step(state: Any, x: Any) -> tuple[Any, Any]:
            _, state = self.step(x, state, *known)
            return state, state

        _, (_, _, said, weights) = ops.scan(step, self.begin(hidden, cell, there), ops.transpose(x, (1, 0, 2)))
        return ops.transpose(said, (1, 0, 2)), ops.transpose(weights, (1, 0, 2))

    def know(self, memory: Any, there: Any) -> tuple[Any, Any, Any]:
        """Returns what stays the same in all steps: the memory's keys, the memory, where there is any."""
        return (memory if self.attention == "none" else self.keys(memory)), memory, there

    def begin(self, hidden: Any, cell: Any, there: Any) -> tuple[Any, ...]:
        """Returns the state before the first step: hidden, cell, what was said, where it looked."""
        return hidden, cell, ops.zeros_like(hidden), ops.zeros_like(there, dtype=self.compute_dtype)

    def step(self, x: Any, state: Any, keys: Any, memory: Any, there: Any) -> tuple[Any, tuple[Any, ...]]:
        """Returns (what is said (B, units), the next state) after (B, D) has been read."""
        hidden, cell, said, weights = state
        if self.attention == "bahdanau":
            scores = self.score(ops.tanh(self.query(hidden)[:, None] + keys))[..., 0]  # (B, S)
            context, weights = attend(scores, memory, there)
            x = ops.concatenate([x, context], -1)
        elif self.attention == "luong":
            x = ops.concatenate([x, said], -1)  # input feeding, section 3.3
        _, (hidden, cell) = self.cell(x, (hidden, cell))
        if self.attention == "luong":
            context, weights = attend(ops.sum(keys * hidden[:, None], -1), memory, there)  # equation 8, "general"
        said = hidden if self.attention == "none" else self.joint(ops.concatenate([hidden, context], -1))  # equation 5
        return said, (hidden, cell, said, weights)

    def compute_output_shape(self, x_shape: Any, memory_shape: Any, *_: Any) -> Any:
        """Returns the shapes of what `call` returns."""
        return (*x_shape[:-1], self.units), (*x_shape[:-1], memory_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "units": self.units, "attention": self.attention}


def attend(scores: Any, memory: Any, there: Any) -> tuple[Any, Any]:
    """Returns (the weighted mean of the memory (B, M), the weights (B, S)) of scores (B, S)."""
    weights = ops.cast(ops.softmax(ops.where(there, ops.cast(scores, "float32"), -1e9)), memory.dtype)
    return ops.sum(weights[..., None] * memory, 1), weights
