"""The report of a run: report.md, a model card, and curves.png."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from recipes.devices.keras_fixes import classes_of_ours
from recipes.errors import printable
from recipes.runs.atomic_files import write_csv, write_text
from recipes.runs.curves import draw_curves
from recipes.runs.durations import duration
from recipes.runs.exhibits import write_exhibits
from recipes.runs.history import read_history
from recipes.runs.progress import numbers
from recipes.runs.run_folder import Run
from recipes.settings import meanings


def write_report(run: Run, exhibits: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> None:
    """Writes curves.png and report.md from what the run folder holds.

    Args:
        run: Its folder has history.csv and environment.json.
        exhibits: Titles -> names of the files in the folder that are shown.
        notes: Sentences that stand before the results.
    """
    curves, notes = read_history(run.folder / "history.csv"), list(notes)
    has_curves = bool(curves.get("epoch"))
    if has_curves:
        title = str(run.info)
        shown, failures = write_exhibits(
            lambda: [("curves", "curves.png", lambda: draw_curves(curves, title))], run.folder
        )
        has_curves, notes = bool(shown), notes + failures
    write_text(run.folder / "report.md", _markdown(run, has_curves, exhibits or {}, notes))


class HistoryFile(keras.callbacks.Callback):
    """Writes history.csv after each epoch, whole: a resumed run has each epoch once. Its rows are part of a checkpoint.

    A user's callbacks may log what they like: a figure in some epochs alone leaves its cell empty in the others.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        super().__init__()
        self.rows: dict[int, dict[str, float | str]] = {}  # epoch, from 1 on -> its logs
        self.first_loss: float | None = None  # of the run's first batch
        self._written = [path] if writes else []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:  # noqa: D102
        if self.first_loss is None:
            self.first_loss = numbers(logs).get("loss", math.nan)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        values = numbers(logs)
        self.rows[epoch + 1] = {name: values.get(name, str(value)[:200]) for name, value in (logs or {}).items()}
        for path in self._written:
            write_history(self.rows, path)

    def last(self, epoch: int | None = None) -> dict[str, float]:
        """Returns the numbers that the last epoch (or an `epoch`) has logged, or the last before that has each."""
        rows = [row for number, row in self.rows.items() if epoch is None or number <= epoch]
        merged = {name: value for row in rows for name, value in row.items()}
        return {name: value for name, value in merged.items() if isinstance(value, float)}


def write_history(rows: dict[int, dict[str, float | str]], path: Path) -> None:
    """Writes history.csv, a row per epoch, in one step."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    write_csv(path, ({"epoch": epoch, **row} for epoch, row in rows.items()), ["epoch", *names])


def _markdown(run: Run, has_curves: bool, exhibits: Mapping[str, str], notes: Sequence[str]) -> str:
    environment = json.loads((run.folder / "environment.json").read_text())
    metrics = run.metrics
    lines = [f"# {run.recipe}: run {as_markdown(run.folder.name)}", ""]
    for note in notes:
        lines += [f"**Note:** {as_markdown(note)}.", ""]
    if metrics["status"] != "finished":
        lines += [f"**Interrupted after {metrics['epochs']} whole epochs.** Not evaluated on the test split.", ""]
    if run.info.stand_in_for:
        lines += [
            f"**Trained on the stand-in `{run.info.name}`, not on {run.info.stand_in_for}** "
            f"({as_markdown(run.info.reason)}).",
            f"Its figures say nothing about {run.info.stand_in_for}.",
            "",
        ]
    lines += ["## Results", "", "| split | " + " | ".join(map(as_markdown, metrics.get("test", {}))) + " |"]
    lines += ["| --- |" + " --- |" * len(metrics.get("test", {}))]
    for split in ("train", "validation", "test"):
        values = metrics.get(split, {})
        if values and metrics.get("test"):
            lines.append(f"| {split} | " + " | ".join(_cell(values.get(name)) for name in metrics["test"]) + " |")
    if not metrics.get("test"):
        lines[-2:] = ["No test figures."]
    best = metrics.get("early_stopping")
    epoch = f"epoch {best['best_epoch']}" if best else "the last epoch"
    lines += ["", f"Training figures are averages over {epoch}, with augmentation and dropout on."]
    lines += ["", "![curves](curves.png)"] if has_curves else []
    lines += _calibration(metrics["calibration"]) if "calibration" in metrics else []
    lines += ["", "## Examples"] if exhibits else []
    for title, name in exhibits.items():
        shown = f"![{as_markdown(title)}]({name})"
        if name.endswith(".txt"):
            shown = fenced((run.folder / name).read_text(encoding="utf-8"))
        lines += ["", f"{as_markdown(title)}:", "", shown]
    spent = f", {duration(metrics['seconds'])}" if "seconds" in metrics else ""
    gpus = f", {', '.join(environment['gpus'])}" if environment["gpus"] else ""
    lines += [
        "",
        "## Training",
        "",
        f"- Data: {as_markdown(str(run.info))}",
        *_skipped(run.info.skipped),
        f"- Time: {metrics['epochs']} epochs{spent}",
        f"- Parameters: {metrics['parameters']:,}",
        f"- Hardware: {environment['cores']} cores of {environment['processor']}, "
        f"{environment['memory_gib']} GiB{gpus}",
        *_resumed(environment),
        f"- Strategy: {environment['strategy']}; precision: {environment['precision']} ({environment['why']})",
        f"- Versions: Python {environment['python']}, "
        + ", ".join(f"{name} {number}" for name, number in environment["packages"].items()),
        "",
        "## Settings",
        "",
        "| setting | value | meaning |",
        "| --- | --- | --- |",
    ]
    explained = meanings(type(run.config))
    lines += [f"| {name} | {as_code(value)} | {explained[name]} |" for name, value in asdict(run.config).items()]
    lines += [
        "",
        "## Use",
        "",
        "```python",
        f"from recipes import {run.recipe}" if run.command == run.recipe else f"import {run.recipe}",
        "",
        f"model = {run.recipe}.load({str(run.folder)!r})  # a Keras model",
        f"{run.recipe}.evaluate(model)",
        f"{run.recipe}.predict(inputs, model)",
        f"{run.recipe}.export(model)",
        "```",
        "",
        _plain_keras(run),
        "",
    ]
    return "\n".join(lines)


def _calibration(calibration: dict[str, Any]) -> list[str]:
    """Returns the section that says by what the logits are divided, and what that changes."""
    names = list(calibration["validation"][0])
    rows = [
        f"| {split}, {when} | " + " | ".join(_cell(figures.get(name)) for name in names) + " |"
        for split in ("validation", "test")
        for when, figures in zip(("before", "after"), calibration.get(split, ()), strict=False)
    ]
    chosen = f"the best of the {calibration['examples']:,} validation examples"
    return [
        "",
        "## Calibration",
        "",
        f"The logits are divided by a temperature of {calibration['temperature']:.4f}, {chosen}.",
        "",
        "| split | " + " | ".join(map(as_markdown, names)) + " |",
        "| --- |" + " --- |" * len(names),
        *rows,
    ]


def _plain_keras(run: Run) -> str:
    """Returns how plain Keras opens the model: by itself where all of its layers are Keras' own."""
    ours = sorted(classes_of_ours(run.folder / "model.keras"))
    if not ours:
        return (
            "`model.keras` has Keras' own layers alone: `keras.models.load_model` opens it where this package is not "
            "installed."
        )
    return (
        f"`model.keras` has layers of this package ({', '.join(ours)}). To open it with Keras, import the recipe first:"
        f"\n\n```python\nfrom recipes import {run.recipe}\n\n"
        f"model = keras.models.load_model({str(run.folder / 'model.keras')!r})\n```"
    )


def _skipped(skipped: Mapping[str, str]) -> list[str]:
    """Returns the lines that name the files which were left out."""
    if not skipped:
        return []
    return [
        "- Left out, as they cannot be read:",
        *(f"    - {as_markdown(f'{path}: {why}')}" for path, why in skipped.items()),
    ]


def _resumed(environment: dict) -> list[str]:
    """Returns the line that says how often the run was resumed, and where it was elsewhere."""
    times = environment.get("continued", [])
    elsewhere = [
        f"{there['cores']} cores of {there['processor']}, {there['strategy']}"
        for there in times
        if (there["processor"], there["strategy"]) != (environment["processor"], environment["strategy"])
    ]
    also = f", also on {'; '.join(dict.fromkeys(elsewhere))}" if elsewhere else ""
    return [f"- Resumed {len(times)} times after it was stopped{also}"] if times else []


def as_markdown(text: str) -> str:
    r"""Returns a text that Markdown shows as it is: no mark-up, HTML, mathematics or table cell begins in it.

    >>> print(as_markdown("$a_$b <i>|*c* snake_case"))
    \$a\_\$b &lt;i&gt;\|\*c\* snake_case
    """
    text = " ".join(printable(text).split("\n"))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?<!\w)_|_(?!\w)|[\\`*\[\]|$~]", r"\\\g<0>", text)


def as_code(value: Any) -> str:
    """Returns a value as code in a table's cell, whatever backticks and bars it holds."""
    text = " ".join(printable(str(value)).split("\n")).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def fenced(text: str) -> str:
    """Returns a text in a fence that is longer than any row of backticks in it."""
    fence = "`" * max(4, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{printable(text).rstrip(chr(10))}\n{fence}"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
