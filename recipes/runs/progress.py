"""What is shown while a model trains: a bar with the time left on a terminal, one line per epoch elsewhere."""

import math
import sys
import time
from contextlib import suppress
from typing import Any

import keras
from tqdm import tqdm

from recipes.errors import NotFiniteError, printable
from recipes.runs.durations import duration

#: After so many steps and so long, whichever is later, a first estimate is printed.
FIRST_STEPS, FIRST_SECONDS = 10, 5.0


class Progress(keras.callbacks.Callback):
    """Shows epochs, metrics, steps per second and the time left: a bar on a terminal, else a line an epoch.

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
        self.first: tuple[float, int] | None = None  # when this process's first step ended, and the steps done by then
        self.estimated = False
        steps = self.params["steps"]
        self.total = steps * self.params["epochs"] if steps else None
        self.before = self.done = self.position[0] * (steps or 0) + self.position[1]  # of the run, in steps
        if sys.stdout.isatty() and sys.stderr.isatty():
            self.bar = tqdm(total=self.total, initial=self.done, unit="step", dynamic_ncols=True, leave=False)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.before = self.done  # Keras counts an epoch's batches from 0, in one that is resumed midway too
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.done = self.before + batch + 1
        if self.bar is not None:
            self.bar.set_postfix(_rounded(logs), refresh=False)
            self.bar.update(self.done - self.bar.n)
        elif not self.estimated:
            self._estimate(time.monotonic())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        epochs = self.params["epochs"]
        spent = self.seconds + time.monotonic() - self.started
        left = spent / (epoch + 1) * (epochs - epoch - 1)
        values = "  ".join(f"{name} {value}" for name, value in _rounded(logs).items())
        line = f"epoch {epoch + 1}/{epochs}  {values}  {duration(spent)}" + (f", {duration(left)} left" if left else "")
        self.estimated = True  # of a whole epoch, with its validation: a better one
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

    def _estimate(self, now: float) -> None:
        """Prints, once, how fast the first steps were and how long all that are left will take at that rate.

        The first step is left out: TensorFlow compiles in it.
        """
        if self.first is None:
            self.first = now, self.done
            return
        began, done = self.first
        if self.done - done < FIRST_STEPS or now - self.started < FIRST_SECONDS:
            return
        self.estimated = True
        rate = (self.done - done) / max(now - began, 1e-9)
        left = f", about {duration((self.total - self.done) / rate)} left" if self.total else ""
        print(f"{rate:,.0f} steps/s{left}" if rate >= 100 else f"{rate:.3g} steps/s{left}", flush=True)


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
