"""What training changed in callbacks comes back, what `on_train_begin` made stays, what cannot be kept is refused."""

import random
import socket
from collections import deque
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import Crash, strip_report

from recipes import mnist_dense
from recipes.errors import ConfigError, RunError
from recipes.settings import with_changes

TINY = with_changes(mnist_dense.TINY, checkpoint_steps=1)  # 8 steps an epoch


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    strip_report(mnist_dense, monkeypatch)


def crash_and_resume(make, at=20, epochs=4):
    """Trains until it crashes, resumes with new callbacks, and returns (the callback, that of a run left alone)."""
    alone = make("alone")
    mnist_dense.fit(TINY, callbacks=[alone, Crash(-1)], epochs=epochs, runs="alone")
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[make("resumed"), Crash(at)], epochs=epochs)
    resumed = make("resumed")
    mnist_dense.fit(TINY, callbacks=[resumed, Crash(-1)], epochs=epochs)
    return resumed, alone


@pytest.mark.parametrize("append", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_open_csv_file_is_written_on_with_each_epoch_once(append):
    crash_and_resume(lambda name: keras.callbacks.CSVLogger(f"{name}.csv", append=append))
    resumed, alone = Path("resumed.csv").read_text(), Path("alone.csv").read_text()
    assert resumed == alone
    assert [line.split(",")[0] for line in resumed.split()] == ["epoch", "0", "1", "2", "3"]


def test_an_epoch_that_is_done_again_stands_once_in_the_file():
    """The crash comes after the row is written and before a checkpoint is."""

    class CrashAtEpochEnd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and not Path("crashed").exists():
                Path("crashed").touch()
                raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[keras.callbacks.CSVLogger("log.csv"), CrashAtEpochEnd()], epochs=3)
    mnist_dense.fit(TINY, callbacks=[keras.callbacks.CSVLogger("log.csv"), CrashAtEpochEnd()], epochs=3)
    assert [line.split(",")[0] for line in Path("log.csv").read_text().split()] == ["epoch", "0", "1", "2"]


def test_a_flipped_sign_is_not_flipped_again():
    """EarlyStopping sets its operator, and the sign of min_delta with it, at the first epoch's end."""
    resumed, alone = crash_and_resume(
        lambda name: keras.callbacks.EarlyStopping(monitor="loss", min_delta=0.3, patience=50), epochs=3
    )
    assert resumed.min_delta == alone.min_delta == -0.3
    assert resumed.monitor_op is alone.monitor_op is keras.ops.less
    assert (resumed.best, resumed.wait) == (alone.best, alone.wait)


class Holder(keras.callbacks.Callback):
    """Holds state of many kinds, and opens a socket as it begins."""

    def __init__(self):
        super().__init__()
        self.socket, self.writer = None, None
        self.generator = np.random.default_rng(0)
        self.random = random.Random(0)
        self.mean = keras.metrics.Mean()
        self.last = deque(maxlen=3)
        self.seen = set()
        self.counter = Counter()
        self.drawn = []

    def on_train_begin(self, logs=None):
        self.socket = socket.socket()

    def on_train_end(self, logs=None):
        self.socket.close()

    def on_train_batch_end(self, batch, logs=None):
        assert self.socket.fileno() >= 0, "open in this process"
        self.writer = self.writer or (line for line in ())  # made when it is needed first, as CSVLogger's is
        self.drawn.append((float(self.generator.random()), self.random.random()))
        self.mean.update_state(len(self.drawn))
        self.last.append(batch)
        self.seen.add(batch)
        self.counter.add()


class Counter:
    """An object of a user's own."""

    def __init__(self):
        self.count = 0

    def add(self):
        self.count += 1


def test_random_generators_metrics_and_objects_go_on_beside_what_was_opened():
    resumed, alone = crash_and_resume(lambda name: Holder(), at=13, epochs=3)
    assert resumed.drawn == alone.drawn
    assert len(set(resumed.drawn)) == 24
    assert float(resumed.mean.result()) == float(alone.mean.result()) == 12.5
    assert (resumed.last, resumed.seen) == (alone.last, alone.seen) == (deque([5, 6, 7], 3), set(range(8)))
    assert resumed.counter.count == alone.counter.count == 24


class Strange(keras.callbacks.Callback):
    """Keeps what no checkpoint can hold."""

    def __init__(self):
        super().__init__()
        self.kept = None

    def on_train_batch_end(self, batch, logs=None):
        self.kept = [Counter()]


def test_what_cannot_be_kept_is_noted_and_refused_at_the_start_with_the_way_out(capsys):
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Strange(), Crash(5)])
    assert capsys.readouterr().out.count("note: training has changed Strange.kept, which a checkpoint cannot hold") == 1
    with pytest.raises(RunError, match=r"has changed Strange\.kept.*Give the callback get_state\(\).*resume=False"):
        mnist_dense.fit(TINY, callbacks=[Strange(), Crash(-1)])
    mnist_dense.fit(TINY, callbacks=[Strange(), Crash(-1)], resume=False)


class Own(Strange):
    """Says itself what its state is."""

    def get_state(self):
        return {"kept": len(self.kept or [])}

    def set_state(self, state):
        self.kept = [Counter()] * state["kept"]

    def on_train_batch_end(self, batch, logs=None):
        self.kept = [*(self.kept or []), Counter()]


def test_a_callback_may_say_itself_what_its_state_is():
    resumed, _ = crash_and_resume(lambda name: Own(), at=5, epochs=1)
    assert len(resumed.kept) == 8


def test_a_state_that_cannot_be_held_is_one_sentence():
    own = Own()
    own.get_state = lambda: {"kept": Counter()}
    with pytest.raises(RunError, match=r"Own.get_state\(\) returned a dict that a checkpoint cannot hold"):
        mnist_dense.fit(TINY, callbacks=[own])


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([print], r"callbacks holds a builtin_function_or_method; expected Keras callbacks"),
        ([keras.callbacks.EarlyStopping], r"callbacks holds the class EarlyStopping; expected EarlyStopping\(\)"),
        ("early", r"callbacks is a str; expected a list of Keras callbacks"),
        ([keras.callbacks.LearningRateScheduler(lambda epoch: 1.0)], "LearningRateScheduler changes the learning rate"),
        (keras.callbacks.ReduceLROnPlateau(), "ReduceLROnPlateau changes the learning rate.*pass constant_rate=True"),
    ],
)
def test_callbacks_that_cannot_work_are_refused_before_anything_is_trained(callbacks, message):
    with pytest.raises(ConfigError, match=message):
        mnist_dense.fit(TINY, callbacks=callbacks)
    assert not Path("runs").exists()


def test_a_single_callback_needs_no_list():
    assert len(mnist_dense.fit(TINY, callbacks=keras.callbacks.EarlyStopping()).history.epoch)
