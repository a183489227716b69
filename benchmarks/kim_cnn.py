"""Measures the notebook `labs/kim_cnn` on IMDB: Kim (2014), "CNN-rand", https://arxiv.org/abs/1408.5882.

    python benchmarks/kim_cnn.py --seeds 0 1 2             # writes benchmarks/results/kim_cnn.json
    python benchmarks/kim_cnn.py --validation --change epochs=2     # for choosing: a tenth is held out, and printed

The model is the function that stands in the notebook, its cell with the tag "model"; words and batches are those of
`imdb_lstm`. It is trained on all 25,000 training reviews; settings were chosen with a tenth of them held out. A
stand-in is refused. The result file is written anew after every seed. With --validation the test split is left alone.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import jupytext
from accuracy import read_change
from machine import environment

import keras

from recipes import imdb_lstm
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.settings import with_changes

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "kim_cnn.json"
#: What is read of it: the data's settings, epochs and precision; the model is the notebook's, with its defaults.
CONFIG = imdb_lstm.Config(offline="error", sequence_length=1000, epochs=3, precision="mixed_bfloat16")


def main() -> None:
    """Trains each seed, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--change", nargs="+", default=[], metavar="NAME=VALUE", help="settings unlike the benchmark's")
    parser.add_argument(
        "--validation", action="store_true", help="figures of held-out training reviews; writes no file"
    )
    args = parser.parse_args()
    config = with_changes(CONFIG, validation_fraction=0.1 if args.validation else 0.0)
    config = with_changes(config, **dict(map(read_change, args.change)))
    keras.mixed_precision.set_global_policy(config.precision)
    names = ("dataset", "validation_fraction", "sequence_length", "vocab_size", "batch_size", "epochs", "precision")
    result = {
        "notebook": "notebooks/labs/kim_cnn.py",
        "command": f"python benchmarks/kim_cnn.py --seeds {' '.join(map(str, args.seeds))}",
        "changes": args.change,
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "published": "none on IMDB; CNN-rand has 76.1 % of the short reviews of MR (Kim 2014, table 2)",
        "config": {name: asdict(config)[name] for name in names},
        "seeds": [],
    }
    for seed in args.seeds:
        start = time.perf_counter()
        keras.utils.set_random_seed(seed)
        splits = imdb_lstm.load_data(with_changes(config, seed=seed))
        model = model_of_notebook()(len(splits.info.tokenizer.vocabulary), config.epochs * splits.steps_per_epoch)
        history = model.fit(
            splits.train,
            epochs=config.epochs,
            steps_per_epoch=splits.steps_per_epoch,
            validation_data=splits.validation,
            shuffle=False,
            verbose=0,
        ).history
        entry = {"seed": seed, "seconds": round(time.perf_counter() - start, 1)}
        entry["training"] = {name: history[name][-1] for name in ("accuracy", "loss")}
        if args.validation:
            print(entry, "validation accuracy after each epoch:", history["val_accuracy"], flush=True)
            continue
        loss, accuracy = model.evaluate(splits.test, verbose=0)
        entry["test"] = {"accuracy": accuracy, "loss": loss}
        result["seeds"].append(entry)
        result |= {"data": splits.info.to_json(), "parameters": model.count_params()}
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
        print(entry, flush=True)
        keras.backend.clear_session()


def model_of_notebook() -> Callable[..., keras.Model]:
    """Returns the function of the notebook's cell with the tag "model"."""
    notebook = jupytext.read(ROOT / "notebooks" / "labs" / "kim_cnn.py")
    [cell] = [cell for cell in notebook.cells if "model" in cell.metadata.get("tags", ())]
    names = {"keras": keras, "layers": keras.layers, "ops": keras.ops, "Adam": Adam, "warmup_cosine": warmup_cosine}
    exec(cell.source, names)
    return names["kim_cnn"]


if __name__ == "__main__":
    main()
