"""What is shown while a model trains: a bar with the time left on a terminal, one line per epoch elsewhere."""

import math
import sys
import time
from contextlib import suppress
from typing import Any

import keras
from tqdm import tqdm

from recipes.errors import NotFiniteError, printable


class Progress(keras.callbacks.Callback):
    """Shows epochs, metrics and the time left.

    Args:
        position: (epochs, steps of the next) that an earlier part of the run has done.
        seconds: That it took.
    """

    bar: Any = None

    def __init__(self, position: tuple[int, int] = (0, 0), seconds: float = 0.0) -> None:
        super().__init__()
        self.position, self.seconds = position, seconds

    def on_train_begin(self, logs: dict | None = None) -> None:  # noqa: D102
        self.started = time.monotonic()
        if sys.stderr.isatty():
            steps = self.params["steps"]
            total = steps * self.params["epochs"] if steps else None
            done = self.position[0] * (steps or 0) + self.position[1]
            self.bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, leave=False)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        if self.bar is not None:
            self.bar.set_postfix(_rounded(logs), refresh=False)
            self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        epochs = self.params["epochs"]
        spent = self.seconds + time.monotonic() - self.started
        left = spent / (epoch + 1) * (epochs - epoch - 1)
        values = "  ".join(f"{name} {value}" for name, value in _rounded(logs).items())
        line = f"epoch {epoch + 1}/{epochs}  {values}  {duration(spent)}" + (f", {duration(left)} left" if left else "")
        if self.bar is not None:
            self.bar.write(line)
        else:
            print(line, flush=True)

    def on_train_end(self, logs: dict | None = None) -> None:  # noqa: D102
        self.close()

    def close(self) -> None:
        """Takes the bar off the terminal; also needed when training was broken off."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class StopOnNaN(keras.callbacks.Callback):
    """Raises TrainingError at the first step whose loss, or epoch any of whose figures, is NaN or infinite.

    It stands before a user's callbacks: what these log besides is theirs.

    Args:
        position: (epochs, steps of the next) that an earlier part of the run has done: Keras counts from there.
    """

    def __init__(self, position: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.position = position

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.epoch = epoch
        self.before = self.position[1] if epoch == self.position[0] else 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            raise NotFiniteError(
                f"the loss became {loss} at step {self.before + batch + 1} of epoch {self.epoch + 1}, with a learning "
                f"rate of {rate:.2g} there; expected a finite loss. Try a smaller learning_rate, or look for NaN in "
                "the data"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        refuse_nan(logs or {}, f"after epoch {epoch + 1}")


def refuse_nan(figures: dict[str, Any], when: str) -> None:
    """Raises TrainingError if one of the figures is NaN or infinite."""
    for name, value in figures.items():
        if not math.isfinite(float(value)):
            raise NotFiniteError(
                f"{name} is {float(value)} {when}; expected a finite value. Try a smaller learning_rate, or look for "
                "NaN in the data"
            )


def duration(seconds: float) -> str:
    """Returns "8 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _rounded(logs: dict | None) -> dict[str, str]:
    """Returns the numbers of some logs as they are shown; a user's callback may log texts and arrays, too."""
    return {printable(name): f"{value:.4g}" for name, value in numbers(logs).items()}


def numbers(logs: dict | None) -> dict[str, float]:
    """Returns what of some logs is a number."""
    values = {}
    for name, value in (logs or {}).items():
        with suppress(TypeError, ValueError):
            if not isinstance(value, (str, bytes)):
                values[name] = float(value)
    return values
