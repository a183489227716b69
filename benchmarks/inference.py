"""Latency and throughput of the recipes' exports, against the same networks in PyTorch, in turns.

    pip install -e ".[benchmarks]"
    python benchmarks/inference.py                    # all
    python benchmarks/inference.py cifar_convnet      # some; the others' entries in the file stay
    python benchmarks/inference.py --torch-python venv/bin/python  # where PyTorch is in another environment

The contestants, each in a process of its own with all cores, are asked for the probabilities of the classes:

- `recipes`: the SavedModel that `export` writes, loaded by `tf.saved_model.load`, its signature of pixels or token ids.
- `torch`: the twin (torch_twins/) for inference, float32 as the export is: eager, with images as channels-last,
  compiled by `torch.compile` with frozen weights, of texts with padding also without packed sequences.

With one example, which gives the latency, and with 64. The networks are built and not trained. What is compared is the
fastest of PyTorch's: the median over the rounds of the ratio of their turns.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steps import IMAGES, PADDED
from turns import FOLDER, fastest, machine, median, parsed, parser_for, rates_in_turns, ratio, write_entries

RESULT = FOLDER / "results" / "inference.json"
RECIPES = ("mnist_dense", "cifar_convnet", "cifar_resnet", "imdb_lstm", "imdb_transformer")
BATCHES = (1, 64)


def measure(name: str, torch_python: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Returns the entry of a recipe."""
    modes = ["eager", "compiled"]
    if name in IMAGES:
        modes = ["eager", "channels_last", "channels_last compiled"]
    if name in PADDED:
        modes.append("unpacked")
    entry: dict[str, Any] = {"date": time.strftime("%Y-%m-%d")}
    with tempfile.TemporaryDirectory() as folder:
        export = [sys.executable, "inference_export.py"]
        subprocess.run([*export, "prepare", name, folder], cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)
        for size in BATCHES:
            of_batch = str(Path(folder) / str(size))
            commands = {"recipes": [*export, "serve", name, of_batch]}
            for mode in modes:
                commands[f"torch {mode}"] = [torch_python, "-m", "torch_twins", name, f"{mode} inference", of_batch]
            rates, _, failed = rates_in_turns(commands, rounds, seconds)
            best = fastest(rates, "torch")
            entry[f"batch_of_{size}"] = {
                "milliseconds": {kind: round(1000 / median(turns), 3) for kind, turns in rates.items()},
                "examples_per_second": {kind: round(size * median(turns), 1) for kind, turns in rates.items()},
                "best_of_torch": best,
                "times_as_fast": ratio(rates, "recipes", best),
                "failed": failed,
            }
    return entry


def table(entries: dict[str, Any]) -> str:
    """Returns the results as a table in Markdown."""
    lines = [
        "| recipe | one, ms | best of PyTorch | times as fast | 64, examples/s | best of PyTorch | times as fast |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in RECIPES if name in entries):
        cells = [f"`{name}`"]
        for size, unit in zip(BATCHES, ("milliseconds", "examples_per_second"), strict=True):
            of_batch = entries[name][f"batch_of_{size}"]
            best = of_batch["best_of_torch"]
            cells.append(f"{of_batch[unit]['recipes']:.4g}")
            cells.append(f"{of_batch[unit][best]:.4g} ({best.removeprefix('torch ')})" if best else "—")
            cells.append(f"{of_batch['times_as_fast']:.2f}" if best else "—")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes benchmarks/results/inference.json."""
    parser = parser_for(__doc__, RESULT)
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn takes")
    args = parsed(parser, RECIPES)
    about, entries = machine(rates=False), {}
    for name in args.names or RECIPES:
        entry = measure(name, args.torch_python, args.rounds, args.seconds)
        print(name, json.dumps(entry), flush=True)
        entries = write_entries(args.output, "python benchmarks/inference.py", {name: entry}, about)
    print(table(entries))


if __name__ == "__main__":
    main()
