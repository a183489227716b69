"""What a search for settings takes and finds: `tune` with one and two workers, beside Keras Tuner driven by hand.

    python benchmarks/tuning.py
    python benchmarks/tuning.py --quick    # whether it runs; writes no result

On a few thousand of MNIST's and CIFAR-10's images, so that a trial takes seconds. Both search the same space from the
same seed, for as many settings and epochs each, in turns and each in a fresh process, whose start is part of its time.
What differs: `tune` trains each trial in a process of its own, and the settings that it starts from besides. By hand,
`keras_tuner.Hyperband` sizes its brackets itself, and iterates until it has tried about as many settings; and
`keras_tuner.BayesianOptimization` draws three trials at random for each hyperparameter, where `tune` draws a third.

`validation` is the figure after the last epoch of the trial that won: `tune` chooses by it, Keras Tuner by the best
epoch's (`best_epoch`). Where it equals `start`, no trial was better than the settings that `tune` starts from. `test`
is of one training with the settings that won, afterwards, which no time here contains.
"""

import argparse
import csv
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BEGAN = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

RESULT = Path(__file__).parent / "results" / "tuning.json"
TUNERS = ("random", "bayesian", "hyperband", "optuna")
SEARCHED = {  # recipe -> (how many settings to try, what the settings they start from differ in from the recipe's)
    "mnist_dense": (9, {"max_examples": 6000, "epochs": 9}),
    "cifar_lecture": (6, {"filters": (16, 32), "max_examples": 4000, "epochs": 9}),
}
QUICK = {"mnist_dense": (3, {"max_examples": 256, "epochs": 3})}


def by_recipes(recipe, config, tuner: str, trials: int, workers: int, folder: str) -> tuple:
    """Searches by `tune`; returns (the settings that won, what came of it)."""
    chosen, figure = recipe.tune(config, trials=trials, tuner=tuner, workers=workers, runs=folder, resume=False)
    [table] = Path(folder).glob("*/tune-*/trials.csv")
    with table.open(newline="") as file:
        [start, *rows] = sorted(csv.DictReader(file), key=lambda row: row["trial"] != "start")
    oracle = json.loads(table.with_name("oracle.json").read_text())
    continued = [
        trial["hyperparameters"]["values"].get("tuner/initial_epoch", 0) for trial in oracle["trials"].values()
    ]
    return chosen, {
        "trials": len(rows),
        "failed": sum(bool(row["error"]) for row in rows),
        "epochs": sum(int(row["epochs"]) for row in rows) - sum(continued),  # without the start's
        "validation": figure,
        "start": float(start["val_accuracy"]),
    }


def by_hand(recipe, config, tuner: str, trials: int, folder: str) -> tuple:
    """Searches by Keras Tuner's own loop; returns (the settings that won, what came of it)."""
    import keras
    import keras_tuner

    curves = []

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            curves.append([])

        def on_epoch_end(self, epoch, logs):
            curves[-1].append(logs["val_accuracy"])

        def __deepcopy__(self, memo):
            return Watch()

    splits = recipe.load_data(config)
    sizes = splits.info.sizes(recipe.tune.__self__.sizes)
    objective = keras_tuner.Objective("val_accuracy", "max")
    if tuner == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(objective, max_epochs=config.epochs)
        settings = sum(oracle._get_size(bracket, 0) for bracket in range(oracle._get_num_brackets()))
        kind = keras_tuner.Hyperband
        how = {"max_epochs": config.epochs, "hyperband_iterations": max(1, round(trials / settings))}
    else:
        kind = {"random": keras_tuner.RandomSearch, "bayesian": keras_tuner.BayesianOptimization}[tuner]
        how = {"max_trials": trials}
    keras.utils.set_random_seed(config.seed)
    search = kind(
        lambda hp: recipe.build(recipe.search_space(hp, config), sizes),
        objective=objective, seed=config.seed + 1, directory=folder, project_name="by_hand", **how,
    )  # fmt: skip
    search.search(
        splits.train,
        validation_data=splits.validation,
        steps_per_epoch=splits.steps_per_epoch,
        epochs=config.epochs,
        callbacks=[Watch()],
        verbose=0,
    )
    [best] = search.oracle.get_best_trials(1)
    return recipe.search_space(best.hyperparameters, config), {
        "trials": len(search.oracle.trials),
        "failed": sum(trial.status != "COMPLETED" for trial in search.oracle.trials.values()),
        "epochs": sum(map(len, curves)),
        "validation": curves[search.oracle.start_order.index(best.trial_id)][-1],
        "best_epoch": best.score,
    }


def one(name: str, changes: dict, tuner: str, trials: int, workers: int) -> None:
    """Searches, trains the settings that won once more, and prints what came of both as JSON; 0 workers: by hand."""
    recipe = importlib.import_module(f"recipes.{name}")
    config = recipe.Config(**changes, precision="float32", offline="error")
    with tempfile.TemporaryDirectory() as folder:
        if workers:
            chosen, result = by_recipes(recipe, config, tuner, trials, workers, folder)
        else:
            chosen, result = by_hand(recipe, config, tuner, trials, folder)
        result["seconds"] = time.perf_counter() - BEGAN
        model = recipe.fit(chosen, runs=folder, resume=False)
        result["test"] = model.run.metrics["test"]["accuracy"]
    differ = {key: value for key, value in vars(chosen).items() if value != getattr(config, key)}
    print("result", json.dumps({**result, "chosen": differ}), flush=True)


def measure(*search: object) -> dict:
    """Returns what `one` prints, in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(search)]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.returncode == 0, process.stdout
    [line] = [line for line in process.stdout.splitlines() if line.startswith("result ")]
    return json.loads(line.removeprefix("result "))


def show(row: dict) -> None:
    """Prints a line of the table."""
    by = f"{row['workers']} worker{'s'[: row['workers'] > 1]}" if row["workers"] else "by hand"
    ratio = f"{row['of_one_worker']:.2f}" if "of_one_worker" in row else ""
    print(
        f"{row['recipe']:14} {row['tuner']:10} {by:10} {row['seconds']:8.1f} {row['trials']:7} {row['epochs']:7} "
        f"{row['validation']:11.4f} {row['test']:7.4f} {ratio:>9}",
        flush=True,
    )


def main() -> None:
    """Measures, prints a table and writes benchmarks/results/tuning.json anew after each search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images and trials; writes nothing")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(*options.one)
        return
    from machine import environment, rates

    searched = QUICK if options.quick else SEARCHED
    result = {
        "command": "python benchmarks/tuning.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment()},
        "trials_and_settings": searched,
        "searches": [],
    }
    print(
        f"{'recipe':14} {'tuner':10} {'':10} {'seconds':>8} {'trials':>7} {'epochs':>7}  validation    test  of one's"
    )
    for name, (trials, changes) in searched.items():
        for tuner in TUNERS:
            alone = 0.0
            for workers in (0, 1, 2) if tuner != "optuna" else (1, 2):
                row = {"recipe": name, "tuner": tuner, "workers": workers}
                row |= measure(name, changes, tuner, trials, workers)
                if workers == 1:
                    alone = row["seconds"]
                if workers == 2:
                    row["of_one_worker"] = row["seconds"] / alone
                show(row)
                result["searches"].append(row)
                if not options.quick:
                    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
