"""Seconds from `recipes fit NAME` to the end of the first training step, against a script of plain Keras, in turns.

    python benchmarks/start.py                  # all
    python benchmarks/start.py imdb_lstm        # some; the others' entries in the file stay

Each in a process of its own, on real data, with default settings: import (until the recipe and Keras are loaded), data
(`load_data`), build, the first step (tracing and compiling it, reading the first batch) and other (the run's folder).
The script (start_child.py) is what a tutorial would write: tensorflow-datasets, tf.data, TextVectorization, Keras' own
layers of the same sizes, `fit`. It has no run folder and no checkpoints, and learns words where our translator learns
pieces. The median of some turns, the files being in the operating system's cache.
"""

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from turns import FOLDER, machine, median, parsed, parser_for, write_entries

RESULT = FOLDER / "results" / "start.json"
RECIPES = ("mnist_dense", "cifar_convnet", "imdb_lstm", "shakespeare_gpt", "translate_transformer")
PARTS = ("total", "import", "data", "build", "first step", "other")


def start(kind: str, name: str) -> dict[str, float]:
    """Returns the seconds of each part."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "start_child.py", kind, name, str(time.time()), folder]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise SystemExit(f"{kind} {name} has not trained a step:\n{done.stdout}{done.stderr}")
    return json.loads(lines[-1])


def measure(name: str, turns: int) -> dict[str, Any]:
    """Returns the entry of a recipe."""
    taken: dict[str, list[dict[str, float]]] = {"recipes": [], "keras": []}
    for turn in range(turns + 1):  # the first fills the caches
        for kind, parts in taken.items():
            seconds = start(kind, name)
            if turn:
                parts.append(seconds)
    totals = zip(*([seconds["total"] for seconds in parts] for parts in taken.values()), strict=True)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "turns": turns,
        "seconds": {
            kind: {part: round(median([seconds[part] for seconds in parts]), 2) for part in PARTS if part in parts[0]}
            for kind, parts in taken.items()
        },
        "over_keras": round(median([ours / theirs for ours, theirs in totals]), 2),
    }


def table(entries: dict[str, Any]) -> str:
    """Returns the results as a table in Markdown."""
    lines = [
        "| recipe | seconds | import | data | build | first step | other | a Keras script | times it |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in RECIPES if name in entries):
        seconds = entries[name]["seconds"]
        cells = [f"{seconds['recipes'].get(part, 0.0):.1f}" for part in PARTS]
        cells += [f"{seconds['keras']['total']:.1f}", f"{entries[name]['over_keras']:.2f}"]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes benchmarks/results/start.json."""
    parser = parser_for(__doc__, RESULT)
    parser.add_argument("--turns", type=int, default=3)
    args = parsed(parser, RECIPES)
    about, entries = machine(rates=False), {}
    for name in args.names or RECIPES:
        entry = measure(name, args.turns)
        print(name, entry, flush=True)
        entries = write_entries(args.output, "python benchmarks/start.py", {name: entry}, about)
    print(table(entries))


if __name__ == "__main__":
    main()
