"""The report of a search: its sentences are true, its tables in order, and hostile text stays text."""

import re

import keras_tuner
import pytest
from tuning.searches import search, trial

from recipes.tuning import pictures, search_report
from recipes.tuning.search_report import outcome, write_search_report
from recipes.tuning.trial_results import START, TrialResult


def written(folder, *arguments):
    write_search_report(folder, *arguments)
    return (folder / "report.md").read_text()


def rows(text, table):
    """Returns the cells of a report's table, row by row, the heads first."""
    lines = [line for line in text.split(f"## {table}\n")[1].split("\n## ")[0].split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [cells[0], *cells[2:]]


# ---------------------------------------------------------------- the result in sentences


def test_a_gain_is_told_with_its_chance():
    best = search([trial(0, 0.85), trial(1, 0.9)], start=0.88)
    assert outcome(best)[0] == (
        "The best trial, 01, has val_accuracy 0.9000; it beats the settings that the search started from (0.8800) "
        "by 0.0200."
    )
    few = search([trial(1, 0.9)], start=0.88, validation_examples=100)  # sqrt((0.9 * 0.1 + 0.88 * 0.12) / 100)
    assert (
        "On 100 validation examples that may be chance: the standard error of such a difference is 0.0442."
        in (outcome(few)[0])
    )
    assert "chance" not in outcome(search([trial(1, 0.9)], start=0.88, validation_examples=10_000))[0]


@pytest.mark.parametrize("figure", [0.9, 0.8])
def test_a_search_that_gains_nothing_says_so(figure):
    assert (
        "it does not beat the settings that the search started from (0.9000)."
        in outcome(search([trial(0, figure)], start=0.9))[0]
    )


def test_less_is_better_where_the_objective_is_a_loss():
    loss = search([trial(0, 0.5), trial(1, 0.7)], start=0.6, direction="min", objective="val_loss")
    assert outcome(loss)[0].startswith("The best trial, 00, has val_loss 0.5000; it beats")


def test_what_was_cut_and_failed_is_counted():
    trials = [trial(0, 0.9), trial(1, 0.7, cut="pruned"), trial(2, None, error="no memory")]
    assert "3 trials: 1 trained to the end, 1 cut short, 1 failed." in outcome(search(trials))


def test_a_best_trial_that_was_cut_is_compared_after_as_many_epochs():
    sentences = outcome(search([trial(0, 0.65, figures=(0.5, 0.65), cut="budget")], start=0.8))
    assert "it beats the settings that the search started from (0.6000 after 2 epochs, too) by 0.0500" in sentences[0]
    assert "No trial was trained to its end: this one was cut after 2 epochs." in sentences


def test_a_start_that_failed_or_was_not_trained_is_named():
    failed = TrialResult(START, error="no memory")
    assert outcome(search([trial(0, 0.9)], start=failed))[0].endswith("started from failed: no memory.")
    assert "were not trained" in outcome(search([trial(0, 0.9)], start=None))[0]


def test_a_search_whose_trials_all_failed_still_has_its_report(tmp_path):
    text = written(tmp_path, search([trial(0, None, error="no memory")], start=0.8))
    assert "No trial has a figure. 1 trial: 0 trained to the end, 0 cut short, 1 failed." in text
    assert "![" not in text


# ---------------------------------------------------------------- the file


def test_the_report_shows_trials_hyperparameters_and_pictures(tmp_path):
    trials = [
        trial(0, 0.7, cut="pruned", figures=(0.6, 0.7)),
        trial(1, None, error="no memory", figures=()),
        *(trial(n, 0.80 + n / 100) for n in range(2, 8)),
    ]
    (tmp_path / "tensorboard").mkdir()
    text = written(tmp_path, search(trials, start=0.845), ["It was continued"])
    table = rows(text, "Trials")
    assert table[0] == ["trial", "val_accuracy", "epochs", "time", "rate", "dropout", "ended"]
    assert [row[0] for row in table[1:]] == (
        ["**07**", "06", "05", "the settings it started from", "04", "03", "02", "00", "01"]
    )
    assert [row[-1] for row in table[-2:]] == ["cut: pruned", "failed: no memory"]
    assert table[-1][1:4] == ["", "0", "1 min 0 s"]
    ranges = rows(text, "Hyperparameters")
    assert ranges[0] == ["hyperparameter", "searched", "best", "share of the differences"]
    assert {row[0]: row[1] for row in ranges[1:]} == {"rate": "0 to 1", "dropout": "0 to 1"}
    assert "from recipes import mnist_dense\n\nmodel = mnist_dense.fit(learning_rate=0.1)\n" in text
    assert "\nrecipes fit mnist_dense --learning-rate 0.1\n" in text
    assert "**Note:** It was continued." in text
    assert "2 workers" in text
    assert f"`tensorboard --logdir {tmp_path}/tensorboard`" in text
    shown = re.findall(r"!\[.*\]\((.*)\)", text)
    assert {"trials.png", "parallel_coordinates.png"} <= set(shown)
    assert {path.name for path in tmp_path.glob("*.png")} == set(shown)


def test_a_stand_in_is_named(tmp_path):
    text = written(tmp_path, search([trial(0, 0.9)], stand_in_for="mnist"))
    assert "**Searched on a stand-in, not on mnist.** Its figures say nothing about mnist." in text


def test_hostile_text_is_shown_as_text(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a|b\n# <i>", ["x|y`\x1b[2J\n", "$z$"])
    values = {"a|b\n# <i>": "x|y`\x1b[2J\n"}
    trials = [
        trial(0, 0.9, values=values),
        trial(1, None, values=values, error="a | b\n\n# Title <script>\x1b[2J ```"),
    ]
    text = written(tmp_path, search(trials, space=hp.space, data="<b>|`", fit_line="fit(a='````')"), ["*n*|\x1b"])
    assert "\x1b" not in text
    assert "<script>" not in text
    assert "\n# Title" not in text
    assert "could not be made" not in text
    assert all(len(row) == 6 for row in rows(text, "Trials"))
    assert all(len(row) == 4 for row in rows(text, "Hyperparameters"))
    assert "`````\nfrom recipes import" in text


@pytest.mark.parametrize("name", ["draw_trials", "importances"])
def test_what_fails_is_a_note(name, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no font")

    monkeypatch.setattr(search_report, name, broken)
    text = written(tmp_path, search([trial(n, 0.8 + n / 100) for n in range(6)]))
    assert re.search(r"\*\*Note:\*\* .* could not be made \(ValueError: no font\)\.", text)
    assert rows(text, "Trials")[1][0] == "**05**"


def test_percent():
    assert [pictures.as_percent(share) for share in (0.004, 0.5, 1.0)] == ["< 1%", "50%", "100%"]
