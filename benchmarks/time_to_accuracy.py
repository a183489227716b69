"""Time to 79 % and to 94 % on CIFAR-10: ours, airbench94 in PyTorch, and the lecture's script in Keras, in turns.

    pip install -e ".[benchmarks]"
    python benchmarks/time_to_accuracy.py --seeds 0 1 2
    python benchmarks/time_to_accuracy.py --contestants recipes --torch-python venv/bin/python
    python benchmarks/time_to_accuracy.py --contestants recipes airbench --epochs 3  # seconds of an epoch alone

Contestants, each in a process of its own with all cores; they take turns of an epoch:

- `recipes`: cifar_convnet with its default settings and `precision="auto"`.
- `airbench`: the network and the schedule of https://arxiv.org/abs/2404.00498 (torch_twins/airbench.py), channels-last,
  in float32 and, where the processor has bfloat16 arithmetic, in its autocast.
- `lecture`: Keras 2.3.1's cifar10_cnn.py as it was published, in plain Keras, batches of 32, 50 epochs.

The clock runs while they train, from the first weights on, compilation included; it stands still while data is read and
while the test images are looked at after each epoch, which decides nothing. Test accuracy is plain; after the last
epoch also that of six views, whose time counts.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from turns import FOLDER, Contestant, machine

RESULT = FOLDER / "results" / "time_to_accuracy.json"
LEVELS = (0.79, 0.94)


# ---------------------------------------------------------------- contestants in Keras


def recipes_contestant(folder: Path, seed: int) -> tuple[Callable[[], None], Callable[[], dict], dict[str, Any], int]:
    """Returns (trains an epoch, figures on the test split with six views, facts, epochs) of cifar_convnet."""
    import keras

    from recipes import cifar_convnet
    from recipes.devices.precision import choose_precision

    config = cifar_convnet.Config(seed=seed, offline="error")
    splits = cifar_convnet.load_data(config)
    start = time.perf_counter()
    precision = choose_precision()
    keras.config.set_dtype_policy(precision.policy)
    keras.utils.set_random_seed(seed)
    model = cifar_convnet.build(config, splits.info.sizes(cifar_convnet.CIFAR10))
    cifar_convnet.whiten(model, splits)
    facts = {"precision": precision.policy, "ready": time.perf_counter() - start, "config": config.__dict__}
    steps = splits.steps_per_epoch

    def train() -> None:
        done = int(model.optimizer.iterations)
        model.fit(splits.train_from(done, 0, 1), steps_per_epoch=steps, verbose=0, shuffle=False)

    kind = cifar_convnet.ImageClassification()
    return train, lambda views=False: kind.evaluate(model, splits, views=views), facts, config.epochs


def lecture_contestant(folder: Path, seed: int) -> tuple[Callable[[], None], Callable[[], dict], dict[str, Any], int]:
    """Returns the same of the published script: augmented by Keras' ImageDataGenerator, as there."""
    import keras
    from keras import layers
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    with np.load(folder / "cifar10.npz") as arrays:
        images, test_images = (arrays[name].astype("float32") / 255 for name in ("train_images", "test_images"))
        labels, test_labels = (keras.utils.to_categorical(arrays[name]) for name in ("train_labels", "test_labels"))
    start = time.perf_counter()
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, (3, 3), padding="same", activation="relu"))
        model.add(layers.Conv2D(filters, (3, 3), activation="relu"))
        model.add(layers.MaxPooling2D(pool_size=(2, 2)))
        model.add(layers.Dropout(0.25))
    for layer in (layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.5)):
        model.add(layer)
    model.add(layers.Dense(10, activation="softmax"))
    rate = keras.optimizers.schedules.InverseTimeDecay(1e-4, 1, 1e-6)
    model.compile(keras.optimizers.RMSprop(rate), loss="categorical_crossentropy", metrics=["accuracy"])
    augmented = tf.keras.preprocessing.image.ImageDataGenerator(
        width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    batches = augmented.flow(images, labels, batch_size=32, seed=seed)
    facts = {"precision": "float32", "ready": time.perf_counter() - start}

    def train() -> None:
        model.fit(batches, epochs=1, verbose=0)

    def test(views: bool = False) -> dict[str, float]:
        return model.evaluate(test_images, test_labels, verbose=0, return_dict=True)

    return train, test, facts, 50


def serve(name: str, folder: Path, seed: int) -> None:
    """Trains an epoch for each line of the input, and answers with its seconds and the accuracy."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    contestant = {"recipes": recipes_contestant, "lecture": lecture_contestant}[name]
    train, test, facts, epochs = contestant(folder, seed)
    print(json.dumps(facts), file=answers, flush=True)
    for epoch, _ in enumerate(sys.stdin, 1):
        start = time.perf_counter()
        train()
        answer = {"epoch": epoch, "seconds": time.perf_counter() - start, "done": epoch == epochs}
        answer["accuracy"] = test()["accuracy"]
        if answer["done"] and name == "recipes":
            start = time.perf_counter()
            answer["accuracy_of_views"] = test(views=True)["accuracy_of_views"]
            answer["seconds_of_views"] = time.perf_counter() - start
        print(json.dumps(answer), file=answers, flush=True)


# ---------------------------------------------------------------- what compares


def run(commands: dict[str, list[str]], most: int | None = None) -> dict[str, Any]:
    """Returns each contestant's facts and its epochs, which they train in turns, at most so many of each."""
    contestants = {name: Contestant(command) for name, command in commands.items()}
    entries = {}
    try:
        entries = {name: {"facts": contestant.facts(), "epochs": []} for name, contestant in contestants.items()}
        going = list(entries)
        while going:
            for name in list(going):
                print(file=contestants[name].process.stdin, flush=True)
                answer = contestants[name].facts()
                entries[name]["epochs"].append(answer)
                print(name, {key: round(value, 4) for key, value in answer.items()}, flush=True)
                if answer["done"] or answer["epoch"] == most:
                    going.remove(name)
    finally:
        for contestant in contestants.values():
            contestant.stop()
    for entry in entries.values():
        entry |= times(entry)
    return entries


def times(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns the seconds to each level, None where it was not reached, and to the end; and the last figures."""
    seconds, reached = entry["facts"]["ready"], dict.fromkeys(map(str, LEVELS))
    for epoch in entry["epochs"]:
        seconds += epoch["seconds"]
        for level in LEVELS:
            if epoch["accuracy"] >= level and reached[str(level)] is None:
                reached[str(level)] = round(seconds, 1)
    last = entry["epochs"][-1]
    figures = {name: last[name] for name in ("accuracy", "accuracy_of_views") if name in last}
    return {"seconds_to": reached, "seconds": round(seconds + last.get("seconds_of_views", 0), 1), **figures}


def write_data(folder: Path) -> None:
    """Writes the real CIFAR-10 as arrays, for those that are not ours."""
    import tensorflow_datasets as tfds

    arrays = {}
    for split in ("train", "test"):
        whole = tfds.as_numpy(tfds.load("cifar10", split=split, batch_size=-1, download=False))
        arrays |= {f"{split}_images": whole["image"], f"{split}_labels": whole["label"]}
    np.savez(folder / "cifar10.npz", **arrays)


def main() -> None:
    """Measures, prints and writes benchmarks/results/time_to_accuracy.json, anew after each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--contestants", nargs="+", default=["recipes", "airbench", "lecture"])
    parser.add_argument("--epochs", type=int, help="stop after so many of each, to compare their seconds alone")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of airbench")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--output", type=Path, default=RESULT, help="the file to write")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "FOLDER"), help="be a contestant; used by this program")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if args.serve:
        serve(args.serve[0], Path(args.serve[1]), args.seeds[0])
        return
    asked = {"seeds": args.seeds, "contestants": args.contestants, "dtype": [args.dtype], "epochs": [args.epochs]}
    words = [f"--{name} {' '.join(map(str, values))}" for name, values in asked.items() if values != [None]]
    result = {"command": " ".join(["python benchmarks/time_to_accuracy.py", *words]), "date": time.strftime("%Y-%m-%d")}
    result |= {"machine": machine(), "seeds": {}}
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        for seed in args.seeds:
            commands = {
                name: [sys.executable, "time_to_accuracy.py", "--serve", name, folder, "--seeds", str(seed)]
                for name in args.contestants
            }
            if "airbench" in commands:
                commands["airbench"] = [
                    args.torch_python, "-m", "torch_twins.airbench", folder, str(seed), args.dtype
                ]  # fmt: skip
            result["seeds"][seed] = run(commands, args.epochs)
            args.output.write_text(json.dumps(result, indent=2) + "\n")
            print(seed, {name: times(entry) for name, entry in result["seeds"][seed].items()}, flush=True)


if __name__ == "__main__":
    main()
