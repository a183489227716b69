"""Images per second of the input pipeline, against the usual tf.data pipeline doing the same work, in the same run.

    python benchmarks/pipeline.py

Ours shuffles indices, gathers whole batches and augments them at once. The peer is what most tutorials write: shuffle
examples, augment each with `tf.image`, then batch. Both shift by up to 2 pixels and mirror, in uint8, on 45,000 images
of 32x32x3; they take turns, and the ratio is the median over the turns.
"""

import json
import os
import statistics
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from machine import environment
from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import train_batches

BATCH_SIZE, STEPS, TURNS = 256, 150, 5


def peer(images, labels) -> tf.data.Dataset:
    """Returns the example-by-example pipeline."""

    def augment(image, label):
        padded = tf.pad(image, [[2, 2], [2, 2], [0, 0]], mode="REFLECT")
        return tf.image.random_flip_left_right(tf.image.random_crop(padded, image.shape)), label

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).repeat()
    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(BATCH_SIZE, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def rate(iterator) -> float:
    """Returns images per second over some steps."""
    start = time.perf_counter()
    for _ in range(STEPS):
        next(iterator)
    return STEPS * BATCH_SIZE / (time.perf_counter() - start)


def main() -> None:
    """Measures in turns, prints and writes benchmarks/results/pipeline.json."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (45_000, 32, 32, 3), np.uint8), rng.integers(0, 10, 45_000)
    ours = iter(train_batches((images, labels), BATCH_SIZE, 0, partial(crop_and_flip, padding=2))())
    theirs = iter(peer(images, labels))
    rate(ours), rate(theirs)  # warm up; fill the shuffle buffer
    turns = [(rate(ours), rate(theirs)) for _ in range(TURNS)]
    result = {
        "command": "python benchmarks/pipeline.py",
        "date": time.strftime("%Y-%m-%d"),
        "peer": "tf.data: shuffle examples, augment each with tf.image, batch",
        "images_per_second": statistics.median(turn[0] for turn in turns),
        "peer_images_per_second": statistics.median(turn[1] for turn in turns),
        "ratio": statistics.median(turn[0] / turn[1] for turn in turns),
        "ratios": [round(turn[0] / turn[1], 2) for turn in turns],
        "machine": environment(),
    }
    print(json.dumps(result, indent=2))
    (Path(__file__).parent / "results" / "pipeline.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
