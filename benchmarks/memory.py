"""Peak resident memory of a training of each recipe, beyond what TensorFlow takes with a network of one number.

    python benchmarks/memory.py                # all
    python benchmarks/memory.py cifar_resnet   # some; the others' entries in the file stay

`fit` with its defaults on real data, but for --steps steps of one epoch, the whole validation and the checkpoint after
it: without the evaluation and the report at the end. Each in a process of its own; the peak is the operating system's
(VmHWM), from the process's start on. Recipes on CIFAR-10 are to stay under 2 GiB.
"""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import FOLDER, machine, parser_for, write_entries

RESULT = FOLDER / "results" / "memory.json"
GIB = 2**30


def peak() -> int:
    """Returns the most resident bytes that this process has had."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of a process that was forked, its parent's
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def trivial() -> None:
    """Trains a network of one number for a step."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((8, 1)), np.zeros((8, 1)), verbose=0)


def train(name: str, steps: int, runs: str) -> None:
    """Trains a recipe for some steps, validates it, prints the peak, and ends the process."""
    recipe = importlib.import_module(f"recipes.{name}")  # first: the package may set what TensorFlow reads
    import keras

    class Stop(keras.callbacks.Callback):
        """Ends the training after so many steps, and the process after that."""

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            """Counts from 0."""
            self.model.stop_training = batch + 1 >= steps

        def on_train_end(self, logs: dict | None = None) -> None:
            """Prints."""
            print(f"\n{peak()}", flush=True)
            os._exit(0)

    recipe.fit(recipe.Config(epochs=1, offline="error"), callbacks=[Stop()], runs=runs, resume=False)


def measured(name: str, steps: int) -> int:
    """Returns the peak of a process that trains a recipe; "": the trivial network."""
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, __file__, "--child", runs, "--steps", str(steps), *([name] if name else [])]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
        output = subprocess.run(command, env=os.environ | quiet, stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(output.splitlines()[-1])


def main() -> None:
    """Measures, prints and writes benchmarks/results/memory.json."""
    parser = parser_for(__doc__, RESULT)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        train(args.names[0], args.steps, args.child) if args.names else trivial()
        print(peak())
        return
    from steps import RECIPES

    about, before, entries = machine(rates=False), measured("", args.steps), {}
    for name in args.names or RECIPES:
        resident = measured(name, args.steps)
        entry = {
            "date": time.strftime("%Y-%m-%d"),
            "steps": args.steps,
            "peak_gib": round(resident / GIB, 3),
            "of_tensorflow_gib": round(before / GIB, 3),
            "beyond_gib": round((resident - before) / GIB, 3),
        }
        print(name, entry, flush=True)
        entries = write_entries(args.output, "python benchmarks/memory.py", {name: entry}, about)
    print("| recipe | GiB beyond TensorFlow's |\n| --- | --- |")
    print("\n".join(f"| `{name}` | {entries[name]['beyond_gib']:.2f} |" for name in RECIPES if name in entries))
    large = [name for name, entry in entries.items() if name.startswith("cifar") and entry["beyond_gib"] > 2]
    if large:
        raise SystemExit(f"more than 2 GiB: {', '.join(large)}")


if __name__ == "__main__":
    main()
