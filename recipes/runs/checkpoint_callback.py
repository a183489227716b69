"""When a run's state is saved: every so many seconds or steps, at its end, and when a signal stops it."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from recipes.devices.workers import Workers
from recipes.runs.callback_state import CallbackStates, keep_rows_of_csv_loggers
from recipes.runs.checkpoints import newest_checkpoint, parse_checkpoint, write_checkpoint
from recipes.runs.run_state import put_state, take_state
from recipes.runs.signals import RECEIVED, end

#: Several workers ask each other every so many steps whether to save or stop: asking costs a message to each.
ASK_EVERY = 8


class CheckpointCallback(keras.callbacks.Callback):
    """Saves the state of a run while it trains, and puts it back at the beginning. It must be the last callback.

    A run that is resumed in the middle of an epoch ends that epoch early for Keras, which counts its steps from zero;
    `ClearPartialEpoch` takes back the sign that does so.
    """

    def __init__(
        self, folder: Path, callbacks: Sequence[keras.callbacks.Callback], steps: int, config: Any, workers: Workers
    ) -> None:
        super().__init__()
        self.folder, self.steps, self.workers = folder, steps, workers
        self.states = CallbackStates(callbacks)
        self.seconds, self.every = config.checkpoint_seconds, config.checkpoint_steps
        self.epoch, self.step = 0, 0  # whole epochs, and steps of the next one, that are done
        self.seconds_before = 0.0  # that the run took until it was resumed
        self.checkpoint: Any = None  # the checkpoint to resume from
        self.signal: int | None = None  # the signal that this process got
        self.stopping: int | None = None  # the signal that all workers know of
        self.epoch_began_at = 0  # step of the epoch that Keras counts from
        self.training = False
        self.cut = False  # whether a partial epoch has just been ended for Keras
        self.has_checkpoint = False
        self.started = self.saved = time.monotonic()

    def read(self) -> None:
        """Finds the newest whole checkpoint; the chief reads it for all workers."""
        newest = newest_checkpoint(self.folder) if self.workers.is_chief else None
        data = self.workers.broadcast(newest[1] if newest else b"")
        if data:
            self.checkpoint = parse_checkpoint(data)
            self.states.refuse_what_cannot_resume(self.checkpoint.state["callbacks"], self.folder.parent)
            self.epoch, self.step, self.seconds_before = self.checkpoint.state["position"]
            keep_rows_of_csv_loggers(self.states.callbacks, self.epoch)

    @property
    def first_step(self) -> int:
        """The step that the data begins at, counted from the first epoch's first."""
        return self.epoch * self.steps + self.step

    @property
    def seconds_in_all(self) -> float:
        """How long the run has trained, before it was resumed and since."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def stopped(self) -> bool:
        """Whether a callback had ended the run when its state was saved."""
        return self.checkpoint is not None and self.checkpoint.state["stopped"]

    def on_train_begin(self, logs: dict | None = None) -> None:  # noqa: D102
        self.training = True
        self.started = self.saved = time.monotonic()
        self.states.begin()
        self._put_back()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.epoch_began_at = self.step
        if self.step:  # resumed in the middle: Keras has just emptied the metrics, callbacks have seen a beginning
            self._put_back()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.step = self.epoch_began_at + batch + 1
        if self.step >= self.steps:  # the epoch is not done before it is validated
            if self.epoch_began_at and not self.model.stop_training:
                self.model.stop_training = self.cut = True
            return
        if self.model.stop_training:  # by a callback: the epoch ends here, and is saved at its end
            return
        if self._agreed():
            self.save()
        if self.stopping is not None:
            self._stop(self.stopping)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        self.epoch, self.step = epoch + 1, 0
        over = self.epoch == self.params["epochs"] or self.model.stop_training
        if self._agreed(always=True) or over:
            self.save()
        if self.stopping is not None:
            self._stop(self.stopping)

    def on_train_end(self, logs: dict | None = None) -> None:  # noqa: D102
        self.training = False
        if self.signal is not None and self.workers.count == 1:  # while the last epoch was saved
            self._stop(self.signal)

    def save(self) -> None:
        """Writes a checkpoint."""
        checkpoint = take_state(self.model, self.states, [self.epoch, self.step, self.seconds_in_all])
        if self.workers.is_chief:
            write_checkpoint(self.folder, self.first_step, checkpoint)
        self.saved, self.has_checkpoint = time.monotonic(), True

    def on_signal(self, number: int, frame: Any = None) -> None:
        """Takes a signal: the run stops after the step it is in, or the validation; a second Ctrl-C stops it at once.

        Outside of training, where all is saved, any signal does.
        """
        again = self.signal == number == signal.SIGINT
        self.signal = number  # kept: what is raised here may be swallowed, as in a destructor
        if not self.training or again:
            self._stop(number)
        if number == signal.SIGINT:
            os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")  # print is not for handlers

    def _put_back(self) -> None:
        if self.checkpoint is not None:
            self.has_checkpoint = True
            put_state(self.checkpoint, self.model, self.states)

    def _agreed(self, always: bool = False) -> bool:
        """Returns whether to save here. Several workers ask each other, now and then: all must save, or none."""
        asked = self.first_step
        due = self.every is not None and asked % self.every == 0
        if self.workers.count == 1:
            self.stopping = self.signal
            return due or self.stopping is not None or time.monotonic() - self.saved >= self.seconds
        if not always and asked % ASK_EVERY:
            return due
        late = self.workers.is_chief and time.monotonic() - self.saved >= self.seconds
        signals = [self.signal == signal.SIGTERM, self.signal == signal.SIGINT]
        end, interrupt, late = self.workers.sum([*signals, late])
        self.stopping = signal.SIGTERM if end else signal.SIGINT if interrupt else None
        return bool(due or self.stopping is not None or late)

    def _stop(self, number: int) -> None:
        self.training = False
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.has_checkpoint:
            end("nothing is saved yet; run the same command again")
        if not self.folder.exists():  # its checkpoints have done their service
            end("the run is finished")
        end("the run is saved; run the same command again to resume it")


class ClearPartialEpoch(keras.callbacks.Callback):
    """Clears `stop_training` after a resumed partial epoch. It must be the first callback."""

    def __init__(self, saving: CheckpointCallback) -> None:
        super().__init__()
        self.saving = saving

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        if self.saving.cut:
            self.model.stop_training = self.saving.cut = False


@contextmanager
def signals_to(saving: CheckpointCallback) -> Iterator[None]:
    """Hands SIGTERM and SIGINT to a run, and back afterwards; only a program's main thread can take them.

    A SIGINT that is ignored stays so: of a program in the background, or that another decides for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, *([] if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else [signal.SIGINT])]
    before = {number: signal.signal(number, saving.on_signal) for number in numbers}
    try:
        if RECEIVED:
            saving.on_signal(signal.SIGTERM)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
