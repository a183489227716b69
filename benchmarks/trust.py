"""How far the probabilities of finished runs can be trusted: before and after calibration, and of their ensemble.

    python benchmarks/trust.py cifar_convnet runs/cifar_convnet/20261127-101500 runs/cifar_convnet/20261127-111500

The runs are copied first, and stay as they are. Figures are of the test split; temperatures are chosen by the
validation split. Writes results/trust.json, where the entries of other recipes stay.
"""

import argparse
import importlib
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from machine import environment

RESULT = Path(__file__).parent / "results" / "trust.json"


def measure(name: str, runs: list[Path], folder: Path) -> dict:
    """Returns the entry of a recipe's runs, copied to a folder."""
    recipe = importlib.import_module(f"recipes.{name}")
    copies = [Path(shutil.copytree(run, folder / str(place) / name / run.name)) for place, run in enumerate(runs)]
    plain = recipe.ensemble(copies, runs=folder).run.metrics["test"] if len(copies) > 1 else None
    entries = []
    for copy in copies:
        before = recipe.evaluate(copy)
        model = recipe.calibrate(copy)
        after = recipe.evaluate(model)
        temperature = model.run.metrics["calibration"]["temperature"]
        entries.append({"seed": model.run.config.seed, "temperature": temperature, "before": before, "after": after})
    entry = {"date": time.strftime("%Y-%m-%d"), "machine": environment(), "data": model.run.info.to_json()}
    entry |= {"examples_of_validation": model.run.metrics["calibration"]["examples"], "runs": entries}
    for when in ("before", "after"):
        figures = [one[when] for one in entries]
        entry[f"mean_{when}"] = {key: statistics.mean(one[key] for one in figures) for key in figures[0]}
    if plain is not None:
        model = recipe.calibrate(recipe.ensemble(copies, runs=folder))
        calibrated = {"temperature": model.run.metrics["calibration"]["temperature"], "test": recipe.evaluate(model)}
        entry["ensemble"] = {"of_plain_members": plain, "of_calibrated_members_calibrated": calibrated}
    return entry


def main() -> None:
    """Measures, prints and writes benchmarks/results/trust.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("runs", type=Path, nargs="+")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        entry = measure(args.recipe, args.runs, Path(folder))
    entries = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.write_text(json.dumps({**entries, args.recipe: entry}, indent=2) + "\n")
    print(json.dumps({key: entry[key] for key in ("mean_before", "mean_after", "ensemble") if key in entry}, indent=2))


if __name__ == "__main__":
    main()
