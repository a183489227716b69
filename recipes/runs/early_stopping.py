"""`early_stopping`: ends training that gets no better, and restores the best weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from recipes.errors import ConfigError
from recipes.runs.progress import numbers


class StopEarly(keras.callbacks.Callback):
    """Ends training after some epochs in a row whose figure is no better than the best, whose weights come back.

    They come back at the end of training whatever ends it. What a resumed run needs for that is part of a checkpoint,
    as `keras.callbacks.EarlyStopping` keeps it not. Prechelt (1998), https://doi.org/10.1007/3-540-49430-8_3.

    Args:
        objective: The figure, as it is logged: "val_accuracy".
        direction: "max" or "min".
        patience: Epochs.
    """

    def __init__(self, objective: str, direction: str, patience: int) -> None:
        super().__init__()
        self.objective, self.direction, self.patience = objective, direction, patience
        self.best: float | None = None  # the figure; None before the first epoch's end
        self.epoch = 0  # which it is of, from 1 on
        self.waited = 0  # epochs since
        self.weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        figures = numbers(logs)
        if self.objective not in figures:
            raise ConfigError(
                f"early_stopping looks at {self.objective}, which this training does not log; expected one of "
                f"{', '.join(figures)}"
            )
        figure = figures[self.objective]
        if self.best is None or (figure > self.best if self.direction == "max" else figure < self.best):
            self.best, self.epoch, self.waited = figure, epoch + 1, 0
            with self.model.distribute_strategy.scope():
                self.weights = [np.array(weight.value.numpy()) for weight in self.model.weights]
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict | None = None) -> None:  # noqa: D102
        if self.weights:
            with self.model.distribute_strategy.scope():
                self.model.set_weights(self.weights)

    def figures(self) -> dict[str, Any]:
        """Returns what metrics.json says: whose weights the model has, and whether training was ended by this."""
        stopped = self.waited >= self.patience
        return {"objective": self.objective, "best": self.best, "best_epoch": self.epoch, "stopped": stopped}

    def note(self, epochs: int) -> str:
        """Returns in a sentence which weights the model has; `epochs` were trained."""
        ended = f"stopped early after {self.waited} epochs that were no better; " * (self.waited >= self.patience)
        return (
            f"{ended}the weights are those after epoch {self.epoch} of {epochs}, whose {self.objective} of "
            f"{self.best:.4g} was the best"
        )

    def get_state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"best": self.best, "epoch": self.epoch, "waited": self.waited, "weights": self.weights}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what `get_state` returned."""
        self.best, self.epoch, self.waited = state["best"], state["epoch"], state["waited"]
        self.weights = list(state["weights"])
