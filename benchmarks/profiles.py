"""Where the time of a training step goes: TensorFlow's profiler on the contestants of steps.py that are ours or Keras'.

    python benchmarks/profiles.py word2vec translate_seq2seq   # the others' entries in the file stay

For each recipe one fixed batch of its default size (step_batches.py): the recipe's own step in float32, in
mixed_bfloat16 where the processor has that, and, where the model is of Keras' own layers, in those in float32. Each in
a process of its own, after steps that compile. Operations run beside each other and on several cores, so their
milliseconds add up to more than the step's. A product is a convolution or a matrix product, whichever way.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turns import FOLDER, machine, parsed, parser_for, write_entries

RESULT = FOLDER / "results" / "profiles.json"
KINDS = ("float32", "mixed_bfloat16", "stock")
SECONDS = 3.0  # of steps that are timed, and again of those that are profiled
MOST = 12  # kinds of operations that are listed


def is_product(operation: str) -> bool:
    """Returns whether an operation multiplies matrices or convolves."""
    return any(word in operation for word in ("Conv", "MatMul", "Einsum"))


def profile(steps: Callable[[int], None]) -> dict[str, Any]:
    """Returns the milliseconds of a step, and those that each kind of operation takes in it.

    Args:
        steps: Makes so many.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    steps(2)
    start = time.perf_counter()
    steps(3)
    count = max(3, round(SECONDS / (time.perf_counter() - start) * 3))
    start = time.perf_counter()
    steps(count)
    seconds = time.perf_counter() - start
    space = XSpace()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        steps(count)
        tf.profiler.experimental.stop()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    took: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                operation = plane.event_metadata[event.metadata_id].display_name  # "" of all that is no operation
                took[operation] += event.duration_ps / 1e9 / count
                calls[operation] += 1
    took.pop("", None)
    largest = sorted(took, key=lambda operation: -took[operation])
    return {
        "step_ms": round(1000 * seconds / count, 2),
        "operations_ms": round(sum(took.values()), 2),
        "products_ms": round(sum(took[operation] for operation in took if is_product(operation)), 2),
        "largest": {
            operation: {"ms": round(took[operation], 2), "calls": round(calls[operation] / count, 1)}
            for operation in largest[:MOST]
        },
    }


def child(kind: str, name: str, folder: Path) -> None:
    """Prints the profile of one contestant as JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    from steps_keras import steps_of

    print(json.dumps(profile(steps_of(kind, name, folder)[1])), file=answers, flush=True)


def main() -> None:
    """Profiles, prints and writes benchmarks/results/profiles.json."""
    from steps import KERAS, RECIPES

    args = parsed(parser_for(__doc__, RESULT), RECIPES)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    about, names = machine(), args.names or RECIPES
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*KERAS, "prepare", folder, *names], cwd=FOLDER, check=True, stderr=subprocess.DEVNULL)
        for name in names:
            settings = json.loads((Path(folder) / name / "settings.json").read_text())
            has = {"mixed_bfloat16": settings["has_bfloat16"], "stock": not settings["classes_of_ours"]}
            entry: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "gflops_of_the_machine": about["gflops"]}
            for kind in (kind for kind in KINDS if has.get(kind, True)):
                command = [sys.executable, "profiles.py", "of", kind, name, str(Path(folder) / name)]
                got = subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                entry[kind] = json.loads(got.stdout)
                print(f"{name} {kind}: {table(entry[kind])}", flush=True)
            write_entries(args.output, "python benchmarks/profiles.py", {name: entry}, about)


def table(of_kind: dict[str, Any]) -> str:
    """Returns a profile in lines."""
    head = "a step of {step_ms} ms; operations {operations_ms}, of which products {products_ms}".format(**of_kind)
    rows = [f"  {one['ms']:>8.2f} ms {one['calls']:>6.1f} x {name}" for name, one in of_kind["largest"].items()]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    child(*sys.argv[2:4], Path(sys.argv[4])) if sys.argv[1:2] == ["of"] else main()
