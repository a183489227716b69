"""Whether precision="auto" is decided the same on a busy machine: the measurement made again and again, beside others.

    python benchmarks/precision.py --busy 8

It is made in processor time. Beside each, the one that version 0.2 made: the best of five products of each type in
seconds, one type after the other.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from machine import best, environment

import tensorflow as tf

from recipes.devices.precision import WORTH_IT, matmul_rates

BURN = "import numpy\na = numpy.random.rand(1500, 1500)\nwhile True: a @ a"


def before() -> float:
    """Returns the ratio of bfloat16's rate to float32's as version 0.2 measured it."""
    matrix = tf.random.stateless_uniform((1024, 1024), seed=(0, 0))
    product = tf.function(lambda a: tf.linalg.matmul(a, a))
    float32, bfloat16 = (best(product, tf.cast(matrix, dtype), 5) for dtype in ("float32", "bfloat16"))
    return float32 / bfloat16


def now() -> float:
    """Returns the same ratio as it is measured now."""
    rates = matmul_rates.__wrapped__()
    return rates["bfloat16"] / rates["float32"]


def main() -> None:
    """Measures, prints and writes benchmarks/results/precision.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=8, help="programs that multiply matrices meanwhile")
    parser.add_argument("--times", type=int, default=60)
    args = parser.parse_args()
    result = {"command": f"python benchmarks/precision.py --busy {args.busy}", "date": time.strftime("%Y-%m-%d")}
    result |= environment()
    for name, busy in (("alone", 0), ("busy", args.busy)):
        others = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(busy)]
        try:
            ratios = {way.__name__: [way() for _ in range(args.times)] for way in (now, before)}
        finally:
            for other in others:
                other.kill()
        result[name] = {
            way: {
                "least": round(min(some), 2),
                "most": round(max(some), 2),
                "bfloat16": f"{sum(ratio > WORTH_IT for ratio in some)} of {len(some)}",
            }
            for way, some in ratios.items()
        }
        print(name, result[name])
    (Path(__file__).parent / "results" / "precision.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
