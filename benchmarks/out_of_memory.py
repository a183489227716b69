"""Trains on photographs that do not fit in memory, beside the usual tf.data pipeline in the same run.

    python benchmarks/out_of_memory.py [FOLDER]

1. 8 GB of generated photographs, 1024x768 JPEG in two classes, are trained on for an epoch at 64x64 in a process whose
   resident memory is watched: above 3 GB it is ended, and the benchmark fails.
2. Steps of that training and of Keras' `image_dataset_from_directory` with tf.image behind it (the same network, shifts
   and mirrors) take turns, each in a process of its own: images per second, and the share of the time that is spent
   waiting for a batch. Keras' resizes without antialiasing, as is its default; "antialiased" is the same with it.
3. A folder of a million small files: the time from the call to the first batch, of both.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

LIMIT = 3 * 2**30  # bytes of resident memory
BYTES, FILES = 8 * 10**9, 1_000_000
SHAPE, BATCH_SIZE, STEPS, TURNS = (64, 64, 3), 64, 30, 3


def photograph(number: int, noise: np.ndarray) -> bytes:
    """Returns a JPEG: clouds of colour, grain, and in class 1 a bright square."""
    import tensorflow as tf
    from PIL import Image

    rng = np.random.default_rng(number)
    clouds = Image.fromarray(rng.integers(40, 200, (6, 8, 3), np.uint8)).resize((1024, 768), Image.Resampling.BICUBIC)
    row, column = rng.integers(0, 256, 2)
    pixels = np.asarray(clouds, np.int16) + noise[row : row + 768, column : column + 1024]
    if number % 2:
        top, left = rng.integers(0, 500, 2)
        pixels[top : top + 200, left : left + 200] += 50
    return tf.io.encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), quality=95).numpy()


def generate(folder: Path) -> tuple[int, int]:
    """Writes photographs until there are BYTES of them; returns (their number, their bytes)."""
    from concurrent.futures import ThreadPoolExecutor

    noise = np.random.default_rng(0).integers(-24, 25, (1024, 1280, 3), np.int16)

    def write(number: int) -> int:
        path = folder / ("plain", "square")[number % 2] / f"{number:06}.jpg"
        if not path.exists():
            path.write_bytes(photograph(number, noise))
        return path.stat().st_size

    for name in ("plain", "square"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    number = size = 0
    with ThreadPoolExecutor() as pool:
        while size < BYTES:
            size += sum(pool.map(write, range(number, number + 100)))
            number += 100
    return number, size


def many_files(folder: Path) -> None:
    """Makes a million small files: links to forty."""
    from PIL import Image

    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(FILES // 2):
            path = folder / name / f"{number:06}.png"
            if number < 20:
                Image.fromarray(np.full((16, 16, 3), 10 * number, np.uint8)).save(path)
            else:
                os.link(folder / name / f"{number % 20:06}.png", path)


# ---------------------------------------------------------------- in a process of its own


def watch() -> dict[str, float]:
    """Returns where the highest resident memory is kept, and ends the process once it is above the LIMIT."""
    import psutil

    process, highest = psutil.Process(), {"bytes": 0.0}

    def look() -> None:
        while True:
            highest["bytes"] = max(highest["bytes"], process.memory_info().rss)
            if highest["bytes"] > LIMIT:
                print(f"resident memory is {highest['bytes'] / 2**30:.2f} GiB", file=sys.stderr, flush=True)
                os._exit(9)
            time.sleep(0.05)

    threading.Thread(target=look, daemon=True).start()
    return highest


def ours(folder: str):
    """Returns (endless batches, model) of this package."""
    from recipes import cifar_convnet

    config = config_of(cifar_convnet)
    splits = cifar_convnet.load_data(config, folder)
    return splits.train, cifar_convnet.build(config, splits.info.sizes(cifar_convnet.CIFAR10))


def peer(folder: str, antialias: bool = False):
    """Returns (endless batches, the same model) of Keras' own pipeline."""
    import keras
    import tensorflow as tf

    from recipes import cifar_convnet

    if not antialias:
        images = keras.utils.image_dataset_from_directory(folder, image_size=SHAPE[:2], batch_size=BATCH_SIZE, seed=0)
    else:
        paths = sorted(str(path) for path in Path(folder).rglob("*.jpg"))
        labels = [int("square" in path) for path in paths]
        dataset = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths), seed=0)

        def decode(path, label):
            image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
            return tf.image.resize(image, SHAPE[:2], antialias=True), label

        images = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE, drop_remainder=True)

    def augment(image, label):
        padded = tf.pad(image, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="REFLECT")
        shifted = tf.image.random_crop(padded, (tf.shape(image)[0], *SHAPE))
        return tf.image.random_flip_left_right(shifted), label

    batches = images.map(augment, num_parallel_calls=tf.data.AUTOTUNE).repeat().prefetch(tf.data.AUTOTUNE)
    config = config_of(cifar_convnet)
    sizes = cifar_convnet.CIFAR10.__class__(train_examples=10_000, image_shape=SHAPE, num_classes=2)
    return batches, cifar_convnet.build(config, sizes)


def config_of(recipe):
    """Returns a small network on photographs that are read from the disk."""
    return recipe.Config(
        image_shape=SHAPE, batch_size=BATCH_SIZE, filters=(16, 32, 64), epochs=1, in_memory="no", precision="float32"
    )


def steps(kind: str, folder: str) -> dict[str, float]:
    """Returns the rate of some steps, and the share of their time that is spent waiting for batches."""
    highest = watch()
    batches, model = {"ours": ours, "peer": peer, "antialiased": partial(peer, antialias=True)}[kind](folder)
    batches = iter(batches)
    for _ in range(5):  # traces the graphs
        model.train_on_batch(*next(batches)[:2])
    waited, start = 0.0, time.perf_counter()
    for _ in range(STEPS):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        model.train_on_batch(*batch[:2])
    seconds = time.perf_counter() - start
    return {
        "images_per_second": STEPS * BATCH_SIZE / seconds,
        "waiting": waited / seconds,
        "gib": highest["bytes"] / 2**30,
    }


def epoch(folder: str) -> dict[str, float]:
    """Returns how a whole run of an epoch went."""
    highest = watch()
    from recipes import cifar_convnet

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as runs:
        model = cifar_convnet.fit(config_of(cifar_convnet), folder, runs=runs)
    return {
        "seconds": time.perf_counter() - start,
        "test": model.run.metrics["test"],
        "train_examples": model.run.info.examples["train"],
        "gib": highest["bytes"] / 2**30,
    }


def first_batch(kind: str, folder: str) -> dict[str, float]:
    """Returns how long the first batch of a folder takes."""
    import tensorflow as tf  # noqa: F401 - not part of it

    import recipes.cifar_convnet

    highest = watch()
    start = time.perf_counter()
    if kind == "ours":
        config = recipes.cifar_convnet.Config(image_shape=(16, 16, 3), in_memory="no", batch_size=BATCH_SIZE)
        next(iter(recipes.cifar_convnet.load_data(config, folder).train))
    else:
        import keras

        data = keras.utils.image_dataset_from_directory(folder, image_size=(16, 16), batch_size=BATCH_SIZE, seed=0)
        next(iter(data))
    return {"seconds": time.perf_counter() - start, "gib": highest["bytes"] / 2**30}


def alone(what: str, *arguments: str) -> dict:
    """Returns what a function answers in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import json, out_of_memory as o; "
    code += f"print('RESULT', json.dumps(o.{what}(*{arguments!r})))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{what} {arguments} ended with {done.returncode}")
    print(done.stdout[-2000:], flush=True)
    return json.loads(done.stdout.rpartition("RESULT ")[2])


def main() -> None:
    """Generates, measures in turns, prints and writes benchmarks/results/out_of_memory.json."""
    from machine import environment

    place = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    count, size = generate(place / "photographs")
    photographs = str(place / "photographs")
    print(f"{count:,} photographs, {size / 1e9:.2f} GB", flush=True)
    whole = alone("epoch", photographs)
    turns = [
        {kind: alone("steps", kind, photographs) for kind in ("ours", "peer", "antialiased")} for _ in range(TURNS)
    ]

    def middle(kind: str, figure: str) -> float:
        return statistics.median(turn[kind][figure] for turn in turns)

    if not (place / "many").exists():
        many_files(place / "many")
    many = {kind: alone("first_batch", kind, str(place / "many")) for kind in ("ours", "peer")}
    result = {
        "command": "python benchmarks/out_of_memory.py",
        "date": time.strftime("%Y-%m-%d"),
        "photographs": count,
        "gigabytes": size / 1e9,
        "limit_gib": LIMIT / 2**30,
        "epoch": whole,
        "images_per_second": {kind: middle(kind, "images_per_second") for kind in turns[0]},
        "waiting_share": {kind: middle(kind, "waiting") for kind in turns[0]},
        "resident_gib": {kind: max(turn[kind]["gib"] for turn in turns) for kind in turns[0]},
        "ratio_to_peer": statistics.median(
            turn["ours"]["images_per_second"] / turn["peer"]["images_per_second"] for turn in turns
        ),
        "ratio_to_antialiased": statistics.median(
            turn["ours"]["images_per_second"] / turn["antialiased"]["images_per_second"] for turn in turns
        ),
        "million_files_first_batch": many,
        "machine": environment(),
    }
    print(json.dumps(result, indent=2))
    (Path(__file__).parent / "results" / "out_of_memory.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
