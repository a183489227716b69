"""Whether a run that is killed again and again ends as one that is not, on the recipe's own data.

    python benchmarks/resume.py cifar_convnet --epochs 2 --kills 3

Runs `recipes fit` to its end once, and once with SIGKILL at random moments and the same line after each; compares the
weights and history.csv, bit by bit.
"""

import argparse
import importlib
import json
import math
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from machine import environment

from recipes.runs.atomic_files import write_json


def last_step(runs: Path) -> int:
    """Returns the step of the newest checkpoint, 0 where there is none yet."""
    return max((int(path.stem[5:]) for path in runs.glob("*/*/checkpoints/step-*.npz")), default=0)


def main() -> None:
    """Measures, prints and writes benchmarks/results/resume_<recipe>.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="decides on the moments")
    options = parser.parse_args()
    line = [sys.executable, "-m", "recipes", "fit", options.recipe, "--epochs", str(options.epochs)]
    line += ["--precision", "float32", "--checkpoint-seconds", "10", "--offline", "error"]
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        subprocess.run([*line, "--runs", str(whole)], check=True)
        [one] = whole.glob("*/*")
        config = json.loads((one / "config.json").read_text())
        steps = options.epochs * (config["train_examples"] // config["batch_size"])
        kills = sorted(rng.uniform(0.1, 0.9) * steps for _ in range(options.kills))
        for step in kills:
            process = subprocess.Popen([*line, "--runs", str(killed)])
            while last_step(killed) < step:
                time.sleep(0.1)
            time.sleep(rng.uniform(0, 8))  # it saves every 10 seconds: somewhere between
            assert process.poll() is None, "the run was over before the moment came"
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run([*line, "--runs", str(killed)], check=True)
        [other] = killed.glob("*/*")
        importlib.import_module(f"recipes.{options.recipe}")  # for the classes that its model is made of
        weights = [keras.models.load_model(run / "model.keras").get_weights() for run in (one, other)]
        result = {
            "command": " ".join(["python", *sys.argv]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": environment(),
            "steps": steps,
            "killed_after_the_checkpoint_at_or_after_step": [math.ceil(step) for step in kills],
            "weights_identical": all(np.array_equal(a, b) for a, b in zip(*weights, strict=True)),
            "history_identical": (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes(),
            "test": json.loads((other / "metrics.json").read_text())["test"],
        }
    print(json.dumps(result, indent=2))
    write_json(Path(__file__).parent / "results" / f"resume_{options.recipe}.json", result)


if __name__ == "__main__":
    main()
