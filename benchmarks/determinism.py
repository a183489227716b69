"""What `deterministic=True` costs: training steps per second with the switch and without, in turns.

    python benchmarks/determinism.py

And whether two runs without it give the same bits here, which is why the recipes leave it off on a processor.
"""

import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from machine import environment

from recipes import cifar_convnet, cifar_lecture, mnist_dense

CASES = {
    "mnist_dense": (mnist_dense, mnist_dense.Config(dataset="digits", precision="float32", epochs=8)),
    "cifar_convnet": (
        cifar_convnet,
        cifar_convnet.Config(dataset="shapes", precision="float32", epochs=1, max_examples=256 * 16),
    ),
    "cifar_lecture": (
        cifar_lecture,
        cifar_lecture.Config(dataset="shapes", precision="float32", epochs=1, max_examples=2048),
    ),
}


class Watch(keras.callbacks.Callback):
    """Notes when each step ended."""

    def on_train_begin(self, logs=None):  # noqa: D102
        self.times = []

    def on_train_batch_end(self, batch, logs=None):  # noqa: D102
        self.times.append(time.perf_counter())


def steps_per_second(recipe, config, deterministic: bool) -> tuple[float, list[np.ndarray]]:
    """Returns the rate of a run, its first steps left out, and its weights."""
    watch = Watch()
    model = recipe.fit(config, deterministic=deterministic, callbacks=[watch], resume=False)
    seconds = [after - before for before, after in zip(watch.times, watch.times[1:], strict=False)]
    return 1 / statistics.median(seconds[3:]), model.get_weights()


def main() -> None:
    """Measures, prints and writes benchmarks/results/determinism.json."""
    result = {"command": "python benchmarks/determinism.py", "date": time.strftime("%Y-%m-%d"), **environment()}
    for name, (recipe, config) in CASES.items():
        off, on = [], []
        for _ in range(3):  # in turns, for the machine's own speed changes
            off.append(steps_per_second(recipe, config, False))
            on.append(steps_per_second(recipe, config, True))
        ratios = [with_it[0] / without[0] for without, with_it in zip(off, on, strict=True)]
        same = [all(map(np.array_equal, off[0][1], weights)) for _, weights in off]
        result[name] = {
            "steps_per_second_off": [rate for rate, _ in off],
            "steps_per_second_on": [rate for rate, _ in on],
            "time_with_it_over_time_without": 1 / statistics.median(ratios),
            "three_runs_without_it_are_the_same_in_bits": all(same),
        }
    print(json.dumps(result, indent=2))
    (Path(__file__).parent / "results" / "determinism.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
