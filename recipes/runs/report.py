"""The report of a run: report.md, a model card, and curves.png."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import keras

from recipes.devices.keras_fixes import classes_of_ours
from recipes.runs.atomic_files import save_picture, write_atomically, write_text
from recipes.runs.curves import draw_curves
from recipes.runs.progress import duration
from recipes.runs.run_folder import Run
from recipes.settings import meanings


def write_report(run: Run, pictures: dict[str, str] | None = None) -> None:
    """Writes curves.png and report.md from what the run folder holds; `pictures` are titles -> file names there."""
    curves = read_history(run.folder / "history.csv")
    if curves.get("epoch"):
        save_picture(draw_curves(curves, str(run.info)), run.folder / "curves.png")
    text = _markdown(run, bool(curves.get("epoch")), pictures or {})
    write_text(run.folder / "report.md", text)


class HistoryFile(keras.callbacks.Callback):
    """Writes history.csv after each epoch, whole: a resumed run has each epoch once."""

    def __init__(self, history: keras.callbacks.History, path: Path) -> None:
        super().__init__()
        self.history_so_far, self.path = history, path

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: D102
        write_history(self.history_so_far.history, self.history_so_far.epoch, self.path)


def write_history(history: dict[str, list[float]], epochs: list[int], path: Path) -> None:
    """Writes history.csv, a row per epoch, in one step."""

    def write(part: Path) -> None:
        with part.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *history])
            writer.writerows(zip(epochs, *history.values(), strict=True))

    write_atomically(path, write)


def read_history(path: Path) -> dict[str, list[float]]:
    """Returns the columns of a history.csv; empty where there is none yet."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def _markdown(run: Run, has_curves: bool, pictures: dict[str, str]) -> str:
    environment = json.loads((run.folder / "environment.json").read_text())
    metrics = run.metrics
    lines = [f"# {run.recipe}: run {run.folder.name}", ""]
    if metrics["status"] != "finished":
        lines += [f"**Interrupted after {metrics['epochs']} whole epochs.** Not evaluated on the test split.", ""]
    if run.info.stand_in_for:
        lines += [
            f"**Trained on the stand-in `{run.info.name}`, not on {run.info.stand_in_for}** ({run.info.reason}).",
            f"Its figures say nothing about {run.info.stand_in_for}.",
            "",
        ]
    lines += ["## Results", "", "| split | " + " | ".join(metrics.get("test", {})) + " |"]
    lines += ["| --- |" + " --- |" * len(metrics.get("test", {}))]
    for split in ("train", "validation", "test"):
        values = metrics.get(split, {})
        if values and metrics.get("test"):
            lines.append(f"| {split} | " + " | ".join(_cell(values.get(name)) for name in metrics["test"]) + " |")
    if not metrics.get("test"):
        lines[-2:] = ["No test figures."]
    lines += ["", "Training figures are averages over the last epoch, with augmentation and dropout on."]
    lines += ["", "![curves](curves.png)"] if has_curves else []
    lines += ["", "## Examples"] if pictures else []
    for title, name in pictures.items():
        shown = f"![{title}]({name})"
        if name.endswith(".txt"):
            shown = "````\n" + (run.folder / name).read_text(encoding="utf-8") + "````"
        lines += ["", f"{title}:", "", shown]
    spent = f", {duration(metrics['seconds'])}" if "seconds" in metrics else ""
    gpus = f", {', '.join(environment['gpus'])}" if environment["gpus"] else ""
    lines += [
        "",
        "## Training",
        "",
        f"- Data: {run.info}",
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
    lines += [f"| {name} | `{value}` | {explained[name]} |" for name, value in asdict(run.config).items()]
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


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
