"""Measures uci_regression on the test rows of the 20 published splits of each table, single networks and ensembles.

    python benchmarks/uci.py                        # all five tables: benchmarks/results/uci.json
    python benchmarks/uci.py --tables uci_yacht --members 1
    python benchmarks/uci.py --validation           # nothing of the test rows: for choosing settings
    python benchmarks/uci.py --validation --change weight_decay=1.0 epochs=50

Each network is the page's own (`load_data`, `build`, what is set before the first step, and the loss), trained on all
training rows of its split, with the seeds 0, 1, ... for the members of an ensemble; runs on disk and their reports are
left out, which 20 splits of five tables would spend most of the time on. A stand-in is refused. The result file is
written anew after every split, with other tables as they were in it. With --validation, a fifth of the training rows is
held out, and the test rows are not looked at; what is found is printed.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from accuracy import read_change
from machine import environment, rates

from recipes import uci_regression
from recipes.data.tfds.uci import TABLES
from recipes.kinds import gaussian_regression
from recipes.settings import with_changes

RESULTS = Path(__file__).parent / "results" / "uci.json"
NOISY = ("uci_wine", "uci_boston")  # tables that are trained with the page's setting of that name
#: RMSE and log likelihood, mean and deviation over the 20 splits: Gal and Ghahramani (2016), table 1, dropout
PUBLISHED = {
    "uci_concrete": {"rmse": (5.23, 0.53), "log_likelihood": (-3.04, 0.09)},
    "uci_energy": {"rmse": (1.66, 0.19), "log_likelihood": (-1.99, 0.09)},
    "uci_yacht": {"rmse": (1.11, 0.38), "log_likelihood": (-1.55, 0.12)},
    "uci_wine": {"rmse": (0.62, 0.04), "log_likelihood": (-0.93, 0.06)},
    "uci_boston": {"rmse": (2.97, 0.85), "log_likelihood": (-2.46, 0.25)},
}


def main() -> None:
    """Trains the networks of each table and split, and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--members", type=int, default=1, help="networks of an ensemble")
    parser.add_argument("--change", nargs="+", default=[], metavar="NAME=VALUE", help="settings unlike the defaults")
    parser.add_argument("--validation", action="store_true", help="figures of held-out training rows; writes no file")
    args = parser.parse_args()
    changes = {"offline": "error", "precision": "float32", **dict(map(read_change, args.change))}
    changes["validation_fraction"] = 0.2 if args.validation else 0.0
    result = {
        "recipe": "uci_regression",
        "command": "python benchmarks/uci.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment()},
    }
    for table in args.tables:
        setting = "NOISY" if table in NOISY else ""
        base = uci_regression.NOISY if setting else uci_regression.Config()
        config = with_changes(base, **changes)
        entry = {"setting": setting or "default", "members": args.members, "config": asdict(config)}
        entry |= {"published": PUBLISHED[table], "splits": []}
        for split in args.splits:
            start = time.perf_counter()
            figures = figures_of(with_changes(config, dataset=table, split=split), args.members, args.validation)
            entry["splits"].append({"split": split, **figures, "seconds": round(time.perf_counter() - start, 1)})
            for kind in ("single", "ensemble")[: 1 + (args.members > 1)]:
                entry[kind] = {name: summary([one[kind][name] for one in entry["splits"]]) for name in figures[kind]}
            if not args.validation:
                tables = json.loads(RESULTS.read_text())["tables"] if RESULTS.exists() else {}
                RESULTS.write_text(json.dumps({**result, "tables": {**tables, table: entry}}, indent=2) + "\n")
        print(table, {kind: entry[kind] for kind in ("single", "ensemble") if kind in entry}, flush=True)


def figures_of(config: uci_regression.Config, members: int, on_validation: bool) -> dict[str, dict[str, float]]:
    """Returns the figures of the first network, and of the mixture of all."""
    gaussians = []
    for seed in range(members):
        keras.utils.set_random_seed(seed)
        config = with_changes(config, seed=seed)
        splits = uci_regression.load_data(config)
        model = uci_regression.recipe.new_model(config, splits)
        model.fit(splits.train, epochs=config.epochs, steps_per_epoch=splits.steps_per_epoch, shuffle=False, verbose=0)
        held_out = splits.validation if on_validation else splits.test
        targets, mean, deviation = gaussian_regression.targets_and_gaussians(model, held_out)
        gaussians.append(np.stack([mean, deviation], 1).astype(np.float32))
        keras.backend.clear_session()
    found = {"single": scores(targets, *gaussians[0].astype(float).T)}
    if members > 1:
        mixture = np.asarray(uci_regression.Mixture()(gaussians)).astype(float)
        found["ensemble"] = scores(targets, *mixture.T)
    return found


def scores(targets: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> dict[str, float]:
    """Returns the RMSE in the target's unit, the mean log likelihood in nats, and the coverage of 95 % intervals."""
    return {
        "rmse": float(np.sqrt(np.mean((targets - mean) ** 2))),
        "log_likelihood": -float(np.mean(uci_regression.gaussian_nll(targets, mean, deviation))),
        "coverage": float(gaussian_regression.shares_inside(targets, mean, deviation, np.array([0.95]))[0]),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Returns the mean and the deviation of the figures of splits."""
    return {"mean": statistics.mean(values), "stdev": statistics.stdev(values) if len(values) > 1 else 0.0}


if __name__ == "__main__":
    main()
