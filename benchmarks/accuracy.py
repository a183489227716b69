"""Measures what a recipe's settings reach on the test split of the real data, and keeps it in benchmarks/results/.

    python benchmarks/accuracy.py mnist_dense --seeds 0 1 2
    python benchmarks/accuracy.py mnist_dense --setting LINEAR
    python benchmarks/accuracy.py imdb_lstm --change sequence_length=200
    python benchmarks/accuracy.py cifar_convnet --seeds 0 1 2 --views
    python benchmarks/accuracy.py mnist_vae --judge runs/mnist_dense/20261121-113003 --samples 64
    python benchmarks/accuracy.py cifar_resnet --seeds 3 4 --more

Each seed is trained from scratch on the training split alone. A stand-in is refused. The result file is written anew
after every seed, with the machine's own rate before the first; with `--more` the seeds that it has are kept.
"""

import argparse
import ast
import importlib
import json
import statistics
import time
from dataclasses import asdict, fields
from pathlib import Path

from machine import environment, rates

from recipes.kinds.caption_scores import bleu_signature
from recipes.kinds.translation import bleu
from recipes.settings import with_changes

RESULTS = Path(__file__).parent / "results"
#: The first of these that a recipe has is its own.
FIGURES = ("accuracy", "map_50", "search_r1", "bleu", "bleu4", "distance", "exact", "loss")


def main() -> None:
    """Trains each seed and writes the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--setting", default="", help="a constant of the recipe, such as LINEAR; default: Config()")
    parser.add_argument("--change", nargs="+", default=[], metavar="NAME=VALUE", help="settings unlike the constant's")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--judge", help="run of a classifier that looks at generated images")
    parser.add_argument("--samples", type=int, help="codes for each image of an importance-weighted bound")
    parser.add_argument("--views", action="store_true", help="also the accuracy of six views of doubtful test images")
    parser.add_argument("--more", action="store_true", help="keep the seeds that the result file has")
    parser.add_argument("--runs", default="runs")
    args = parser.parse_args()
    recipe = importlib.import_module(f"recipes.{args.recipe}")
    changes = dict(map(read_change, args.change))
    config = getattr(recipe, args.setting) if args.setting else recipe.Config()
    config = with_changes(config, **{**changes, "offline": "error"})
    name = "-".join(filter(None, [args.recipe, args.setting, *args.change]))
    before = seeds_before(RESULTS / f"{name}.json", config, args.seeds) if args.more else []
    result = {
        "recipe": args.recipe,
        "setting": args.setting or "default",
        "command": f"python benchmarks/accuracy.py {args.recipe}"
        + (f" --setting {args.setting}" if args.setting else "")
        + (f" --change {' '.join(args.change)}" if args.change else "")
        + (" --judge RUN" if args.judge else "")
        + (f" --samples {args.samples}" if args.samples else "")
        + " --seeds "
        + " ".join(map(str, [*(entry["seed"] for entry in before), *args.seeds]))
        + (" --views" if args.views else ""),
        "changes": changes,
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment()},
        "seeds": before,
    }
    for seed in args.seeds:
        model = recipe.fit(config, seed=seed, runs=args.runs)
        run = model.run
        result["data"] = run.info.to_json()
        result["config"] = {field.name: asdict(run.config)[field.name] for field in fields(config)}
        where = json.loads((run.folder / "environment.json").read_text())
        result["precision"], result["strategy"] = f"{where['precision']} ({where['why']})", where["strategy"]
        metrics = run.metrics
        result["seeds"].append({"seed": seed, **{key: metrics[key] for key in ("test", "validation", "seconds")}})
        if args.judge:
            result["judge"] = json.loads((Path(args.judge) / "metrics.json").read_text())["test"]
        asked = {name: getattr(args, name) for name in ("judge", "samples", "views") if getattr(args, name)}
        if asked:
            more = recipe.evaluate(model, **asked)
            result["seeds"][-1]["evaluated"] = {key: value for key, value in more.items() if key not in metrics["test"]}
        figure = next(name for name in FIGURES if name in metrics["test"])
        if figure.startswith("bleu"):
            result["sacrebleu"] = bleu(["a"], ["a"])[1] if figure == "bleu" else bleu_signature()
        figures = [entry["test"][figure] for entry in result["seeds"]]
        result["parameters"] = metrics["parameters"]
        result[f"test_{figure}_mean"] = statistics.mean(figures)
        result[f"test_{figure}_stdev"] = statistics.stdev(figures) if len(figures) > 1 else None
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def seeds_before(path: Path, config: object, seeds: list[int]) -> list[dict]:
    """Returns what a result file holds of other seeds, refusing one of other settings."""
    result = json.loads(path.read_text())
    settings = json.loads(json.dumps(asdict(config)))  # as JSON has them: lists for tuples
    unlike = [name for name, value in settings.items() if name != "seed" and result["config"].get(name) != value]
    if unlike:
        raise SystemExit(f"{path} is of another {', '.join(unlike)}; expected the same settings for --more")
    return [entry for entry in result["seeds"] if entry["seed"] not in seeds]


def read_change(text: str) -> tuple[str, object]:
    """Returns (name, value) of "name=value", the value as Python writes it, or else a str."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


if __name__ == "__main__":
    main()
