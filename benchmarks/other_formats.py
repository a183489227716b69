"""Size, difference and latency of every recipe as LiteRT and ONNX, and of SavedModels with frozen weights.

    python benchmarks/other_formats.py [RECIPE...]
    python benchmarks/other_formats.py --int8 mnist_dense

Each recipe is built with its default settings and not trained: sizes and latencies are those of a trained one,
differences those of its first weights. A latency is the median of single examples, one call after another; those of
Keras' graph (the same function as a tf.function), of LiteRT and of ONNX Runtime take turns, all with their default
threads. Of frozen weights: the SavedModel as it is and frozen, in turns, by a session as the server runs it, one
example at a time; the ratio is the median over the turns, beside their quartiles. With --int8 recipes are trained for 4
epochs on their real data, and int8 is measured on their test split.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import recipes
from machine import environment
from recipes.errors import ExportError
from recipes.serving.engine import Engine
from recipes.verbs.export import export_signatures
from recipes.verbs.export_litert import to_litert
from recipes.verbs.export_network import greatest_difference
from recipes.verbs.export_onnx import to_onnx

TURNS, CALLS = 15, 5
FROZEN = {  # recipe -> signature
    "mnist_dense": "image",
    "cifar_convnet": "image",
    "cifar_resnet": "image",
    "imdb_lstm": "serving_default",
    "imdb_transformer": "serving_default",
}
RESULTS = Path(__file__).parent / "results" / "other_formats.json"


def latencies(functions: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Returns the milliseconds of a call of each function, turn by turn."""
    for function in functions.values():
        for _ in range(3):
            function()
    turns: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(TURNS):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                function()
            turns[name].append(1000 * (time.perf_counter() - start) / CALLS)
    return turns


def run_function(function: Callable[..., Any], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the outputs of a tf.function for NumPy arrays, as NumPy arrays."""
    return [value.numpy() for value in function(*map(tf.constant, inputs.values())).values()]


def of_networks(kind: Any, model: Any, splits: Any) -> dict[str, Any]:
    """Returns the figures of a recipe's networks in each format."""
    figures: dict[str, Any] = {}
    for name, network in kind.networks(model, splits, 8).items():
        converted = {"litert": to_litert(network), "onnx": to_onnx(network)}
        full = network.padded() if network.length else network  # as LiteRT takes it, for all three
        one = {key: values[:1] for key, values in full.examples.items()}
        functions = {key: partial(each.run, one) for key, each in converted.items()}
        functions["keras"] = partial(run_function, tf.function(network.function), one)
        turns = latencies(functions)
        sizes = {file_format: len(one.content) for file_format, one in converted.items()}
        try:
            sizes["litert-int8"] = len(to_litert(network, full).content)
        except ExportError as error:
            sizes["litert-int8"] = str(error)
        figures[name] = {
            "bytes": sizes,
            "greatest_difference": {key: greatest_difference(one, key) for key, one in converted.items()},
            "takes": {key: one.takes for key, one in converted.items()},
            "milliseconds": {key: round(statistics.median(values), 3) for key, values in turns.items()},
        }
    return figures


def of_frozen(kind: Any, model: Any, splits: Any, signature: str) -> dict[str, Any]:
    """Returns the latencies and sizes of a recipe's SavedModel, as it is and frozen, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        models, signatures = kind.signatures(model, splits)
        paths = {
            name: export_signatures(models, splits.info, Path(folder) / name, signatures, freeze=name == "frozen")
            for name in ("usual", "frozen")
        }
        inputs = {name: np.asarray(values)[:1] for name, values in signatures[signature].question.items()}
        if inputs[next(iter(inputs))].dtype.kind in "US":
            inputs = {name: values.astype(object) for name, values in inputs.items()}
        engines = {name: Engine(path) for name, path in paths.items()}
        calls = {name: partial(engine.run, engine.signatures[signature], inputs) for name, engine in engines.items()}
        turns = latencies(calls)
        sizes = {name: sum(file.stat().st_size for file in path.rglob("*")) for name, path in paths.items()}
        for engine in engines.values():
            engine.close()
    ratios = sorted(frozen / usual for frozen, usual in zip(turns["frozen"], turns["usual"], strict=True))
    lower, middle, upper = statistics.quantiles(ratios, n=4)
    return {
        "signature": signature,
        "milliseconds": {name: round(statistics.median(values), 3) for name, values in turns.items()},
        "ratio": round(middle, 3),
        "ratio_quartiles": [round(lower, 3), round(upper, 3)],
        "bytes": sizes,
    }


def of_int8(page: Any) -> dict[str, Any]:
    """Returns what int8 costs a recipe on its test split, after 4 epochs on its real data."""
    with tempfile.TemporaryDirectory() as folder:
        model = page.fit(epochs=4, precision="float32", offline="error", runs=folder)
        path = page.export(model, path=folder, format="litert", int8=True)
        files = json.loads((path / "recipe.json").read_text())["files"]
        return {"epochs": 4, **{name: {**one, "bytes": (path / name).stat().st_size} for name, one in files.items()}}


def main() -> None:
    """Measures, prints and writes benchmarks/results/other_formats.json, recipe by recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=list(recipes.RECIPES))
    parser.add_argument("--int8", action="store_true", help="train the recipes and measure what int8 costs, alone")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"recipes": {}, "frozen": {}, "int8": {}}
    for name in arguments.recipes:
        if arguments.int8:
            results.setdefault("int8", {})[name] = of_int8(import_module(f"recipes.{name}"))
            RESULTS.write_text(json.dumps(results, indent=2) + "\n")
            continue
        page = import_module(f"recipes.{name}")
        recipe, config = page.fit.__self__, replace(page.Config(), batch_size=16, precision="float32")
        if hasattr(config, "max_examples"):
            config = replace(config, max_examples=256)
        splits, model = page.load_data(config), page.build(page.Config())
        results["recipes"][name] = of_networks(recipe.kind, model, splits)
        if name in FROZEN:
            results["frozen"][name] = of_frozen(recipe.kind, model, splits, FROZEN[name])
            print(name, "frozen", json.dumps(results["frozen"][name]), flush=True)
        print(name, json.dumps(results["recipes"][name]), flush=True)
        results |= {
            "command": "python benchmarks/other_formats.py",
            "date": time.strftime("%Y-%m-%d"),
            "weights": "not trained, of the default settings",
            "machine": environment(),
        }
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
