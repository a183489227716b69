"""Times training steps with this package's batch normalisation against Keras's own layer, in turns.

    python benchmarks/batch_norm.py

Real CIFAR-10 images or noise make no difference to the time; this takes noise. The figure is the ratio of the medians
of steps of both, in the same process, turn by turn.
"""

import importlib
import json
import statistics
import time
from functools import partial
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from machine import environment, rates

RESULTS = Path(__file__).parent / "results" / "batch_norm.json"
RECIPES = "cifar_convnet", "cifar_resnet", "cifar_googlenet"
TURNS, STEPS = 3, 15


class Clock(keras.callbacks.Callback):
    """Keeps when each step ended."""

    def on_train_begin(self, logs=None):
        """Begins anew."""
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        """Keeps the time."""
        self.times.append(time.perf_counter())


def main() -> None:
    """Writes the result file."""
    result = {
        "command": "python benchmarks/batch_norm.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment()},
        "peer": f"keras.layers.BatchNormalization of Keras {keras.__version__}",
        "milliseconds_per_step": {},
    }
    for name in RECIPES:
        recipe = importlib.import_module(f"recipes.{name}")
        config, sizes = recipe.Config(), recipe.fit.__self__.sizes
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (config.batch_size, *sizes.image_shape), np.uint8)
        labels = rng.integers(0, sizes.num_classes, config.batch_size, np.int32)
        batches = tf.data.Dataset.from_tensors((images, labels)).repeat()
        theirs = partial(keras.layers.BatchNormalization, momentum=0.9)
        with mock.patch.object(recipe, "BatchNormalization", theirs):
            models = {"keras": recipe.build(config)}
        models["recipes"] = recipe.build(config)
        turns = {kind: [] for kind in models}
        for turn in range(TURNS + 1):  # the first compiles
            for kind, model in models.items():
                clock = Clock()
                model.fit(batches, steps_per_epoch=STEPS, verbose=0, callbacks=[clock])
                if turn:
                    turns[kind].append(statistics.median(np.diff(clock.times)) * 1000)
        ratios = [a / b for a, b in zip(turns["keras"], turns["recipes"], strict=True)]
        result["milliseconds_per_step"][name] = {
            **{kind: [round(float(value), 1) for value in values] for kind, values in turns.items()},
            "times_as_fast": round(float(statistics.median(ratios)), 2),
        }
        print(name, result["milliseconds_per_step"][name])
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
