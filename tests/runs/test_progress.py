"""What is shown of a training: a first estimate after a few steps, over all that is left of the run."""

import io
import sys

import pytest

from recipes.runs import progress
from recipes.runs.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def train(shown, clock, steps, seconds, epoch=0):
    shown.on_epoch_begin(epoch)
    for batch in range(steps):
        clock[0] += 30.0 if batch == 0 else seconds  # the first compiles
        shown.on_train_batch_end(batch, {"loss": 1.0})


@pytest.mark.parametrize(
    ("position", "line"),
    # 3 epochs of 40 steps; 11 are done when 10 have been timed, of 4 a second
    [((0, 0), "4 steps/s, about 27 s left\n"), ((1, 20), "4 steps/s, about 12 s left\n")],
)
def test_the_first_estimate_is_over_the_whole_run_and_leaves_the_first_step_out(clock, capsys, position, line):
    shown = Progress(position)
    shown.set_params({"epochs": 3, "steps": 40})
    shown.on_train_begin()
    train(shown, clock, 20, 0.25, position[0])
    assert capsys.readouterr().out == line, "once"


def test_there_is_no_estimate_where_an_epoch_ends_sooner_and_no_time_left_where_its_length_is_unknown(clock, capsys):
    shown = Progress()
    shown.set_params({"epochs": 3, "steps": 5})
    shown.on_train_begin()
    train(shown, clock, 5, 0.25)
    shown.on_epoch_end(0, {"loss": 1.0, "note": "text", "array": [1, 2]})
    train(shown, clock, 5, 0.25, epoch=1)
    assert capsys.readouterr().out == "epoch 1/3  loss 1  31 s, 1 min 2 s left\n", "what is no number is left out"
    shown.set_params({"epochs": 3, "steps": None})
    shown.on_train_begin()
    train(shown, clock, 20, 0.001)
    assert capsys.readouterr().out == "1,000 steps/s\n"


def test_a_terminal_has_a_bar_with_the_time_left_instead(clock, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = Progress((1, 20))
    shown.set_params({"epochs": 3, "steps": 40})
    shown.on_train_begin()
    assert (shown.bar.total, shown.bar.initial) == (120, 60)
    train(shown, clock, 20, 0.25, epoch=1)
    assert shown.bar.n == 80
    shown.on_train_end()
    assert sys.stdout.getvalue() == ""
