"""A finished training is never lost to its report: weights and figures first, then each picture and text by itself."""

import csv
import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report
from matplotlib.figure import Figure

from recipes import mnist_dense
from recipes.errors import NotFiniteError
from recipes.runs.exhibits import write_exhibits
from recipes.runs.finish import diverged
from recipes.runs.history import read_history
from recipes.runs.report import as_code, as_markdown, fenced, write_history

TINY = mnist_dense.TINY


# ---------------------------------------------------------------- each picture by itself


def broken():
    raise ValueError("Invalid shape (16, 16, 2)")


def test_what_cannot_be_made_is_a_note_and_the_others_are_written(tmp_path, capsys):
    def report():
        yield "First", "first.txt", lambda: "text"
        yield "Second", "second.png", broken
        yield "Third", "third.png", Figure
        yield "", "beside.txt", lambda: "not shown"
        raise KeyError("what the rest is made of")

    shown, notes = write_exhibits(report, tmp_path)
    assert shown == {"First": "first.txt", "Third": "third.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"first.txt", "third.png", "beside.txt"}
    assert notes[0] == "second.png could not be made (ValueError: Invalid shape (16, 16, 2))"
    assert notes[1].startswith("the rest of the report could not be made (KeyError")
    assert capsys.readouterr().out.count("note: ") == 2


def test_a_report_that_fails_as_it_is_called_is_a_note(tmp_path):
    assert write_exhibits(broken, tmp_path) == (
        {},
        ["the report could not be made (ValueError: Invalid shape (16, 16, 2))"],
    )


def test_a_run_whose_pictures_fail_is_finished_and_says_so(monkeypatch):
    page = mnist_dense.fit.__self__
    monkeypatch.setattr(page, "reports", (lambda model, splits: broken(), lambda model, splits: [("A", "a.txt", str)]))
    run = mnist_dense.fit(TINY).run
    assert mnist_dense.evaluate(run.folder) == run.metrics["test"]
    report = (run.folder / "report.md").read_text()
    assert "**Note:** the report could not be made (ValueError: Invalid shape (16, 16, 2))." in report
    assert "A:" in report


# ---------------------------------------------------------------- what users' callbacks log


class Logs(keras.callbacks.Callback):
    """Logs a figure every other epoch, a text, an array, a NaN, and a name as data has them."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2 == 0:
            logs["f1"] = 0.5 + epoch
        logs |= {"remark": "good, so far\n", "matrix": np.eye(2), "undefined": math.nan, "$a_$b|": 1, "none": None}


def test_whatever_a_callback_logs_ends_no_run(monkeypatch):
    strip_report(mnist_dense, monkeypatch)
    run = mnist_dense.fit(TINY, callbacks=Logs(), epochs=3).run
    with (run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["f1"] for row in rows] == ["0.5", "", "2.5"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["remark"] == "good, so far\n"
    assert run.metrics["train"]["f1"] == 2.5
    assert "remark" not in run.metrics["train"]
    curves = read_history(run.folder / "history.csv")
    assert "remark" not in curves
    np.testing.assert_array_equal(curves["f1"], [0.5, math.nan, 2.5])


def test_a_nan_of_the_models_own_still_ends_it():
    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[-1].bias.assign(np.full(10, np.nan))

    with pytest.raises(NotFiniteError, match="the loss became nan at step 1"):
        mnist_dense.fit(TINY, callbacks=Poison())


def test_a_history_of_version_0_1_counts_from_zero_and_is_read_from_one(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n0,2.5\n1,1.5\n")
    assert read_history(tmp_path / "history.csv") == {"epoch": [1, 2], "loss": [2.5, 1.5]}
    write_history({1: {"loss": 2.5}, 2: {"loss": 1.5, "b": 1.0}}, tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text().split() == ["epoch,loss,b", "1,2.5,", "2,1.5,1.0"]


# ---------------------------------------------------------------- texts as themselves


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("$0_$10", r"\$0\_\$10"),
        ("snake_case stays", "snake_case stays"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("a|b *c* [d](e) `f`", r"a\|b \*c\* \[d\](e) \`f\`"),
        ("\x1b[2J\ncaf\udce9", r"\\x1b\[2J caf\\xe9"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, markdown):
    assert as_markdown(text) == markdown


def test_code_and_fences_hold_whatever_backticks_there_are():
    assert as_code("a`b|c") == "`` a`b\\|c ``"
    assert as_code(3) == "`3`"
    assert fenced("````\n<b>\x07\n") == "`````\n````\n<b>\\x07\n`````"


NAMES = ("$0_$10", "a`b|c <b>*d*", "\x1b[2J", os.fsdecode(b"caf\xe9"), "katze \N{CAT}", "line\nbreak")


def test_a_run_on_names_of_all_kinds_is_finished_and_shows_them(capsys):
    for level, name in enumerate(NAMES):
        folder = Path("$photos_$") / name
        folder.mkdir(parents=True)
        for number in range(4):
            image = np.full((6, 6, 3), 40 * level, np.uint8)
            (folder / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    settings = {"batch_size": 4, "image_shape": (6, 6, 3), "max_examples": None, "validation_fraction": 0.1}
    run = mnist_dense.fit(TINY, data="$photos_$", **settings).run
    assert set(run.label_names) == {"$0_$10", "a`b|c <b>*d*", r"\x1b[2J", r"caf\xe9", "katze \N{CAT}", r"line\nbreak"}
    report = (run.folder / "report.md").read_text()
    assert "could not be made" not in report
    assert r"\$photos\_\$" in report
    assert "\x1b" not in capsys.readouterr().out + report
    mnist_dense.predict(np.zeros((6, 6, 3)), run.folder)
    assert mnist_dense.evaluate(run.folder, "$photos_$")
    mnist_dense.export(run.folder)


# ---------------------------------------------------------------- divergence


def test_a_diverged_run_says_so(monkeypatch, capsys):
    strip_report(mnist_dense, monkeypatch)
    run = mnist_dense.fit(TINY, learning_rate=30.0).run
    assert "note: DIVERGED: the" in capsys.readouterr().out
    assert "DIVERGED" in (run.folder / "report.md").read_text()
    assert "DIVERGED" in json.loads((run.folder / "metrics.json").read_text())["notes"][0]


@pytest.mark.parametrize(
    ("first", "losses"),
    [(2.3, {"training": 0.1, "test": 3.0}), (None, {"test": 9.0}), (-1.0, {"test": 9.0}), (2.3, {})],
)
def test_overfitting_and_other_losses_are_no_divergence(first, losses):
    assert diverged(first, losses) == []
