"""What the hardware is, in which numbers a model is trained on it (precision), and whether always in the same order."""

import functools
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import tensorflow as tf
from tensorflow.python.framework import config as framework_config

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "keras-tuner", "numpy", "keras-recipes")


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
    if not wanted or framework_config.is_op_determinism_enabled():  # the caller's own wish is left as it is
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        framework_config.disable_op_determinism()  # not public in TensorFlow 2.21


def processor_flags() -> set[str]:
    """Returns the instruction sets that the operating system lists; empty where it lists none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return set(next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split())


def processor_name() -> str:
    """Returns the processor's own name, as well as the operating system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def environment() -> dict[str, Any]:
    """Returns what a result depends on besides its config: versions and hardware, ready for JSON."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that was not installed
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": versions,
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
    }
