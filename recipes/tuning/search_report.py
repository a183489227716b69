"""The report of a search: report.md and its pictures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from recipes.runs.atomic_files import write_text
from recipes.runs.durations import duration
from recipes.runs.exhibits import Exhibit, write_exhibits
from recipes.runs.figure_text import shortened
from recipes.runs.report import as_code, as_markdown, fenced
from recipes.tuning.importance import figure_of, importances
from recipes.tuning.pictures import (
    as_percent,
    draw_importances,
    draw_parallel_coordinates,
    draw_trials,
)
from recipes.tuning.ranges import as_text, range_in_words
from recipes.tuning.table import STARTED_FROM
from recipes.tuning.trial_results import START, SearchResult, TrialResult, best_of
from recipes.tuning.trial_styles import comparable


def write_search_report(folder: Path, search: SearchResult, notes: Sequence[str] = ()) -> None:
    """Writes report.md and its pictures; one that fails is a note.

    Args:
        folder: Of the search.
        search: What has come of it.
        notes: Sentences that stand before the result.
    """
    shares: dict[str, float] = {}

    def exhibits() -> Iterator[Exhibit]:
        if not comparable(search):
            return
        yield "trials", "trials.png", lambda: draw_trials(search)
        shares.update(importances(search.trials, search.space, search.direction))
        if shares:
            yield "importances", "importances.png", lambda: draw_importances(search, shares)
        if search.space:
            yield "parallel", "parallel_coordinates.png", lambda: draw_parallel_coordinates(search, shares)

    pictures, failures = write_exhibits(exhibits, folder)
    lines = [f"# {as_markdown(search.recipe)}: search {as_markdown(folder.name)}", ""]
    for note in [*notes, *failures]:
        lines += [f"**Note:** {as_markdown(note)}.", ""]
    if search.stand_in_for:
        wanted = as_markdown(search.stand_in_for)
        lines += [f"**Searched on a stand-in, not on {wanted}.** Its figures say nothing about {wanted}.", ""]
    lines += [
        *(as_markdown(sentence) for sentence in outcome(search)),
        "",
        *_use(search),
        "## Trials",
        "",
        *_trials(search),
        "",
        *_picture(pictures, "trials", "The objective over the epochs, and the figure of each trial"),
        "## Hyperparameters",
        "",
        *_hyperparameters(search, shares),
        "",
        *_picture(pictures, "importances", "Importances"),
        *_picture(pictures, "parallel", "The values of each trial"),
        "## Search",
        "",
        *_search(folder, search),
        "",
    ]
    write_text(folder / "report.md", "\n".join(lines))


def outcome(search: SearchResult) -> list[str]:
    """Returns, in sentences, what a search has come to: how good its best trial is, and beside what it started from."""
    best, start = best_of(search.trials, search.direction), search.start
    failed = sum(bool(trial.error) for trial in search.trials)
    cut = sum(bool(trial.cut) and not trial.error for trial in search.trials)
    whole = len(search.trials) - cut - failed
    counts = f"{_count(len(search.trials), 'trial')}: {whole} trained to the end, {cut} cut short, {failed} failed."
    if best is None:
        return [f"No trial has a figure. {counts}"]
    sentences = [f"The best trial, {best.id}, has {search.objective} {figure_of(best):.4f}"]
    if start is None:
        sentences[0] += "; the settings that the search started from were not trained beside it."
    elif start.error or not math.isfinite(figure_of(start)):
        sentences[0] += f"; the settings that the search started from failed: {shortened(start.error, 200)}."
    else:
        sentences[0] += f"; {_beside_start(search, best, start)}"
    if best.cut:
        sentences.append(f"No trial was trained to its end: this one was cut after {_count(best.epochs, 'epoch')}.")
    sentences.append(counts)
    sentences.append("One seed each, and the best of many is flattered by the choice: evaluate it on test data.")
    return sentences


def _beside_start(search: SearchResult, best: TrialResult, start: TrialResult) -> str:
    """Returns whether the best trial is better than the start, after as many epochs, and whether that may be chance."""
    is_early = bool(best.cut) and 0 < best.epochs < start.epochs
    figure = start.figures[best.epochs - 1] if is_early else figure_of(start)
    when = f" after {_count(best.epochs, 'epoch')}, too" if is_early else ""
    what = f"the settings that the search started from ({figure:.4f}{when})"
    gain = (figure_of(best) - figure) * (1 if search.direction == "max" else -1)
    if not gain > 0:
        return f"it does not beat {what}."
    error = _standard_error(search, figure_of(best), figure)
    beats = f"it beats {what} by {gain:.4f}."
    if gain >= 2 * error:
        return beats
    return (
        f"{beats} On {search.validation_examples:,} validation examples that may be chance: the standard error of such "
        f"a difference is {error:.4f}."
    )


def _standard_error(search: SearchResult, *shares: float) -> float:
    """Returns the standard error of the difference of two accuracies; 0 for other figures, or of unknown examples."""
    is_share = search.objective.endswith("accuracy") and all(0 <= share <= 1 for share in shares)
    if not is_share or not search.validation_examples:
        return 0.0
    return math.sqrt(sum(share * (1 - share) for share in shares) / search.validation_examples)


def _use(search: SearchResult) -> list[str]:
    """Returns how the best settings are trained, in Python and in a shell."""
    imported = f"from recipes import {search.recipe}" if search.command == search.recipe else f"import {search.recipe}"
    python = fenced(f"{imported}\n\nmodel = {search.recipe}.{search.fit_line}")
    command = [fenced(search.fit_command), ""] * bool(search.fit_command)
    return ["Train the best settings:", "", python, "", *command]


def _trials(search: SearchResult) -> list[str]:
    """Returns the table of all trials: those trained to their end from the best on, then cut ones, then failed ones."""
    sign = -1 if search.direction == "max" else 1

    def rank(trial: TrialResult) -> tuple[bool, bool, int, float]:
        figure = figure_of(trial)
        is_failed = bool(trial.error) or math.isnan(figure)
        return is_failed, bool(trial.cut), -trial.epochs if trial.cut else 0, 0.0 if is_failed else sign * figure

    trials = sorted([*search.trials, *([search.start] if search.start else [])], key=rank)
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    heads = ["trial", search.objective, "epochs", "time", *names, "ended"]
    rows = [_row(heads), "|" + " --- |" * len(heads)]
    for trial in trials:
        name = STARTED_FROM if trial.id == START else trial.id
        ended = f"failed: {shortened(trial.error, 200)}" if trial.error else f"cut: {trial.cut}" if trial.cut else ""
        figure = "" if trial.error or math.isnan(figure_of(trial)) else f"{figure_of(trial):.4f}"
        values = [as_text(trial.values[each]) if each in trial.values else "" for each in names]
        cells = [name, figure, str(trial.epochs), duration(trial.seconds), *values, ended]
        rows.append(_row(cells, is_bold=trial.id == search.best.id))
    return rows


def _hyperparameters(search: SearchResult, shares: Mapping[str, float]) -> list[str]:
    """Returns the table of what was searched: ranges, the best trial's values, and shares of the differences."""
    if not search.space:
        return ["The search space has no hyperparameters."]
    rows = [_row(["hyperparameter", "searched", "best", "share of the differences"]), "|" + " --- |" * 4]
    for each in sorted(search.space, key=lambda each: -shares.get(each.name, 0)):
        best = as_text(search.best.values[each.name]) if each.name in search.best.values else ""
        share = as_percent(shares[each.name]) if each.name in shares else ""
        rows.append(_row([each.name, range_in_words(each), best, share]))
    why = (
        "A share says how much of the differences between the figures a random forest ascribes to a hyperparameter, "
        "with what it does together with others, in the ranges that were searched."
        if shares
        else "Which of them matter cannot be told from these trials: they are too few, too alike, or differ by chance."
    )
    return [*rows, "", why]


def _search(folder: Path, search: SearchResult) -> list[str]:
    """Returns how the search was done, as a list."""
    better = "higher" if search.direction == "max" else "lower"
    trials = sum(trial.seconds for trial in search.trials)
    board = folder / "tensorboard"
    shown = [f"- TensorBoard: {as_code(shlex.join(['tensorboard', '--logdir', str(board)]))}, HParams"]
    return [
        f"- Data: {as_markdown(search.data)}",
        f"- Objective: {as_markdown(search.objective)}, the {better}, the better",
        f"- Tuner: {as_markdown(search.tuner)}, {_count(search.workers, 'worker')}",
        f"- Time: {duration(search.seconds)}; all trials together {duration(trials)}",
        *(shown if board.is_dir() else []),
    ]


def _picture(pictures: Mapping[str, str], name: str, title: str) -> list[str]:
    return [f"![{title}]({pictures[name]})", ""] if name in pictures else []


def _row(cells: Sequence[str], is_bold: bool = False) -> str:
    shown = [as_markdown(cell) for cell in cells]
    return "| " + " | ".join(f"**{cell}**" if is_bold and cell else cell for cell in shown) + " |"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
