"""Numeric precision and determinism."""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


def choose_precision(name: str = "auto") -> Precision:
    """Returns the dtype policy of that name, and why.

    "auto" is mixed_bfloat16 on GPUs and processors that have bfloat16 arithmetic *and* prove faster with it, float32
    elsewhere. A processor's flags alone do not tell: with AVX512-BF16, some machines multiply matrices 1.7 times as
    fast in bfloat16 as in float32, and others 0.6 times.
    """
    if name != "auto":
        return Precision(name, "as asked")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return Precision("mixed_bfloat16", "the GPU has bfloat16 arithmetic")
        return Precision("float32", "the GPU has no bfloat16 arithmetic")
    flags = processor_flags()
    if not flags & {"avx512_bf16", "amx_bf16"}:
        return Precision("float32", "the processor has no bfloat16 arithmetic")
    float32, bfloat16 = matmul_rate("float32"), matmul_rate("bfloat16")
    measured = f"{bfloat16:.0f} against {float32:.0f} GFLOP/s measured"
    if bfloat16 > 1.2 * float32:
        return Precision("mixed_bfloat16", f"bfloat16 is faster here: {measured}")
    return Precision("float32", f"bfloat16 is not faster here: {measured}")


@functools.cache
def matmul_rate(dtype: str, size: int = 1024, repeats: int = 5) -> float:
    """Returns the rate of a square matrix product in GFLOP/s: the best of a few, measured once in a process."""
    matrix = tf.cast(tf.random.stateless_uniform((size, size), seed=(0, 0)), dtype)
    product = tf.function(lambda a: tf.linalg.matmul(a, a))
    product(matrix)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(matrix).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e9


@contextmanager
def deterministic_ops(wanted: bool) -> Iterator[None]:
    """Runs every operation in an order that is always the same, and refuses those that have none.

    On a processor, training gives the same bits without it (tests/training/test_kill.py), in less time.
    """
    from recipes.devices.keras_fixes import op_determinism_is_on, turn_off_op_determinism

    if not wanted or op_determinism_is_on():  # the caller's own wish is left as it is
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        turn_off_op_determinism()


def processor_flags() -> set[str]:
    """Returns the instruction sets that the operating system lists; empty where it lists none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split())
