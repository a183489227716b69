"""Several answers of one model, each with other units dropped, as in training: Gal and Ghahramani (2016).

https://arxiv.org/abs/1506.02142, section 3: dropout is then a draw of a network, and what draws differ by is doubt.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from recipes.devices.keras_fixes import all_layers
from recipes.errors import ConfigError


def check_samples(model: keras.Model, samples: int) -> None:
    """Refuses a number of answers that is no number, or answers that would be alike.

    Raises:
        ConfigError: If samples is neither 0, for none, nor 2 or more; or the model drops no units.
    """
    if samples < 0 or samples == 1:
        raise ConfigError(f"samples={samples}; expected 0, for none, or 2 or more, whose spread is asked for")
    if samples and not dropouts_of(model):
        raise ConfigError(
            f"samples={samples}: {model.name} has no dropout layers, so that all samples would be the same; train with "
            "dropout, or take an ensemble of several runs"
        )


def dropouts_of(model: keras.Model) -> list[keras.layers.Dropout]:
    """Returns the layers of a model that drop units in training."""
    return [layer for layer in all_layers(model) if isinstance(layer, keras.layers.Dropout) and layer.rate]


@contextmanager
def dropping(model: keras.Model) -> Iterator[None]:
    """Has a model drop units while it is not in training, and all else as it is then, such as batch norm's averages."""
    layers = dropouts_of(model)
    for layer in layers:
        vars(layer)["call"] = partial(_dropped, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["call"]


def _dropped(call: Callable[..., Any], inputs: Any, training: bool | None = None) -> Any:
    return call(inputs, training=True)
