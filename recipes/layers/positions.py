"""Where a token stands, as a vector that is added to its own."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("recipes")
class PositionEmbedding(keras.layers.Layer):
    """Adds a vector of each position to (B, T, D): learned ones, or sines and cosines.

    Args:
        length: The most positions.
        learned: Whether they are learned, as in GPT-2; else Vaswani et al. (2017), section 3.5.
        init_scale: Standard deviation of learned ones at the start.
    """

    def __init__(self, length: int, learned: bool = True, init_scale: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length, self.learned, self.init_scale = length, learned, init_scale

    def build(self, shape: Any) -> None:
        """Makes the (length, D) vectors."""
        if self.learned:
            start = keras.initializers.RandomNormal(stddev=self.init_scale)
            self.positions = self.add_weight(shape=(self.length, shape[-1]), initializer=start, name="positions")
        else:
            self.positions = sinusoids(self.length, shape[-1])

    def call(self, x: Any, start: Any = 0) -> Any:
        """Returns (B, T, D) with the vectors of the positions `start`, `start + 1`, ... added."""
        positions = ops.minimum(start + ops.arange(ops.shape(x)[1]), self.length - 1)  # beyond is padding
        return x + ops.cast(ops.take(self.positions, positions, axis=0), x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"length": self.length, "learned": self.learned, "init_scale": self.init_scale}
        return {**super().get_config(), **own}


def sinusoids(length: int, width: int) -> np.ndarray:
    """Returns (length, width) float32: sines in even places, cosines in odd ones; wavelengths 2 pi to 20,000 pi."""
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)  # (length, width / 2)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width].astype(np.float32)
