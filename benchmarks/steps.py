"""Training steps of the recipes, against the same networks in PyTorch and in Keras' own layers, in turns.

    pip install -e ".[benchmarks]"
    python benchmarks/steps.py                          # all, some two minutes each
    python benchmarks/steps.py cifar_convnet imdb_lstm  # some; the others' entries in the file stay
    python benchmarks/steps.py --torch-python venv/bin/python  # where PyTorch is in another environment

For each recipe one fixed batch of its default size and of real shapes (step_batches.py), its default settings, and no
input pipeline. The contestants, each in a process of its own with all cores:

- `recipes`: the recipe's `build`, trained by the function that `Model.fit` calls, in float32 and, where the processor
  has bfloat16 arithmetic, in mixed_bfloat16.
- `torch`: its twin (torch_twins/), the same network, loss and kind of optimizer: eager, with images as channels-last,
  compiled by `torch.compile`, and each with bfloat16's autocast where the processor has it; of texts with padding also
  without packed sequences.
- `stock`: what plain Keras makes of the recipe's model.keras, in float32, with Keras' own layers, loss and optimizer.
  "—" where that needs classes of ours. TensorFlow decides by itself whether it uses oneDNN there, or the variable
  TF_ENABLE_ONEDNN_OPTS does; the entry has its value.

They take turns of some `--seconds`, after one that does not count. What is compared is the fastest of each kind: the
median over the rounds of the ratio of their turns. A step's arithmetic is counted on the twin: matrix products and
convolutions, forward and backward, by PyTorch's FlopCounterMode; the machine's peak is what machine.py measures of a
matrix product or a convolution in the same precision, whichever is more, at the start.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from turns import FOLDER, fastest, machine, median, parsed, parser_for, rates_in_turns, ratio, write_entries

RESULT = FOLDER / "results" / "steps.json"
KERAS = [sys.executable, "steps_keras.py"]
RECIPES = (
    "mnist_dense",
    "cifar_lecture",
    "cifar_convnet",
    "cifar_resnet",
    "cifar_googlenet",
    "mnist_autoencoder",
    "mnist_vae",
    "dcgan",
    "imdb_lstm",
    "imdb_transformer",
    "shakespeare_lstm",
    "shakespeare_gpt",
    "translate_seq2seq",
    "translate_transformer",
    "word2vec",
    "show_attend_tell",
)
IMAGES = (*RECIPES[1:8],)  # with convolutions
PADDED = ("imdb_lstm", "translate_seq2seq")


def torch_modes(name: str, has_bfloat16: bool) -> list[str]:
    """Returns how the twin of a recipe is trained."""
    modes = ["eager", "compiled"]
    if name in IMAGES:
        modes = ["eager", "channels_last", "channels_last compiled"]
    if name in PADDED:
        modes += ["unpacked", "unpacked compiled"]
    return modes + [f"{mode} bfloat16" for mode in modes if has_bfloat16]


def measure(
    name: str, folder: str, torch_python: str, rounds: int, seconds: float, gflops: dict[str, float]
) -> dict[str, Any]:
    """Returns the entry of a recipe, whose files are in the folder."""
    settings = json.loads((Path(folder) / "settings.json").read_text())
    has_bfloat16, needs = settings["has_bfloat16"], settings["classes_of_ours"]
    policies = ["float32", "mixed_bfloat16"] if has_bfloat16 else ["float32"]
    commands = {f"recipes {policy}": [*KERAS, policy, name, folder] for policy in policies}
    for mode in torch_modes(name, has_bfloat16):
        commands[f"torch {mode}"] = [torch_python, "-m", "torch_twins", name, mode, folder]
    if not needs:
        commands["stock float32"] = [*KERAS, "stock", name, folder]
    rates, facts, failed = rates_in_turns(commands, rounds, seconds)

    best = {kind: fastest(rates, kind) for kind in ("recipes", "torch", "stock")}
    twin = facts[best["torch"]] if best["torch"] else {}
    if twin:
        expected = settings["parameters"] + twin["more_parameters"]
        assert twin["parameters"] == expected, f"{name}: {twin['parameters']} parameters of the twin, not {expected}"
    flop = facts.get("torch eager", {}).get("flop")
    peak = {kind: max(gflops[f"matmul_{kind}"], gflops[f"conv_{kind}"]) for kind in ("float32", "bfloat16")}
    size = settings["batch"][0][0]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "batch": [f"{' x '.join(map(str, shape))} {dtype}" for *shape, dtype in settings["batch"]],
        "torch": twin.get("torch", ""),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "not set"),
        "parameters": settings["parameters"],
        "more_parameters_of_the_twin": [twin.get("more_parameters", 0), twin.get("why", "")],
        "gflop_per_step": round(flop / 1e9, 3) if flop else None,
        "gflops_of_the_machine": gflops,
        "steps_per_second": {kind: round(median(turns), 3) for kind, turns in rates.items()},
        "examples_per_second": {kind: round(median(turns) * size, 1) for kind, turns in rates.items()},
        "share_of_peak": {
            kind: round(median(turns) * flop / 1e9 / peak["bfloat16" if "bfloat16" in kind else "float32"], 3)
            for kind, turns in rates.items()
            if flop
        },
        "turns": {kind: [round(rate, 3) for rate in turns] for kind, turns in rates.items()},
        "best": best,
        "over_torch": ratio(rates, best["recipes"], best["torch"]),
        "over_stock": ratio(rates, best["recipes"], best["stock"]),
        "no_stock": f"needs {', '.join(needs)}, which Keras does not have" if needs else "",
        "failed": failed,
    }


def table(entries: dict[str, Any]) -> str:
    """Returns the results as a table in Markdown."""
    lines = [
        "| recipe | steps/s | examples/s | share of peak | best of PyTorch | times it | Keras' layers | times it |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in RECIPES if name in entries):
        entry = entries[name]
        ours, torch, stock = (entry["best"][kind] for kind in ("recipes", "torch", "stock"))
        steps, share = entry["steps_per_second"], entry["share_of_peak"]

        def cell(kind: str | None, steps: dict[str, float] = steps) -> str:
            return f"{steps[kind]:.4g} ({kind.split(' ', 1)[1]})" if kind else "—"

        cells = [
            f"`{name}`",
            cell(ours),
            f"{entry['examples_per_second'][ours]:.4g}",
            f"{share[ours]:.0%}" if ours in share else "—",
            cell(torch),
            f"{entry['over_torch']:.2f}" if torch else "—",
            cell(stock),
            f"{entry['over_stock']:.2f}" if stock else "—",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes benchmarks/results/steps.json."""
    parser = parser_for(__doc__, RESULT)
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a turn takes")
    args = parsed(parser, RECIPES)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    about, entries, names = machine(), {}, args.names or RECIPES
    print(f"{about['processor']}, {about['cores']} cores, GFLOP/s {about['gflops']}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*KERAS, "prepare", folder, *names], cwd=FOLDER, check=True, stderr=subprocess.DEVNULL)
        for name in names:
            of_recipe = str(Path(folder) / name)
            entry = measure(name, of_recipe, args.torch_python, args.rounds, args.seconds, about["gflops"])
            print(f"{name} {entry['steps_per_second']}, times PyTorch: {entry['over_torch']}", flush=True)
            entries = write_entries(args.output, "python benchmarks/steps.py", {name: entry}, about)
    print(table(entries))


if __name__ == "__main__":
    main()
