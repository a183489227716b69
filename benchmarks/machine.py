"""The machine's own rate, so that seconds measured on different machines can be compared as shares of it.

python benchmarks/machine.py
"""

import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from recipes.devices.environment import environment  # first: the package may set what TensorFlow reads

import tensorflow as tf


def rates(repeats: int = 5) -> dict[str, float]:
    """Returns GFLOP/s of a matrix product and a convolution in float32 and bfloat16: the best of a few."""
    measured = {}
    for dtype in ("float32", "bfloat16"):
        matrix = tf.cast(tf.random.stateless_normal((2048, 2048), (0, 0)), dtype)
        image = tf.cast(tf.random.stateless_normal((128, 16, 16, 256), (0, 0)), dtype)
        kernel = tf.cast(tf.random.stateless_normal((3, 3, 256, 256), (0, 0)), dtype)
        product = tf.function(lambda a: tf.linalg.matmul(a, a))
        convolution = tf.function(lambda x, k=kernel: tf.nn.conv2d(x, k, 1, "SAME"))
        measured[f"matmul_{dtype}"] = 2 * 2048**3 / best(product, matrix, repeats) / 1e9
        measured[f"conv_{dtype}"] = 2 * 128 * 16 * 16 * 256 * 256 * 9 / best(convolution, image, repeats) / 1e9
    return {name: round(rate, 1) for name, rate in measured.items()}


def best(function, argument, repeats: int) -> float:
    """Returns the shortest of some timed calls, in seconds."""
    function(argument)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(argument).numpy()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps({"gflops": rates(), **environment()}, indent=2))
