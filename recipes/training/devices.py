"""Where a model is trained (tf.distribute strategy) and in which numbers (precision)."""

import functools
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import psutil
import tensorflow as tf

from recipes.errors import ConfigError
from recipes.training.failures import clear_errors

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "keras-tuner", "numpy", "keras-recipes")


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


@contextmanager
def training_scope(config: Any) -> Iterator[tf.distribute.Strategy]:
    """Enters a config's strategy and precision: models built inside have their variables and dtypes.

    Args:
        config: Reads `strategy` ("auto", "single", "mirrored"), `precision` ("auto", "float32", "mixed_bfloat16")
            and `batch_size`, which is global: the replicas share it.

    Yields:
        The strategy.

    Raises:
        ConfigError: If the batch cannot be shared evenly, or the strategy cannot be had here.
    """
    strategy = choose_strategy(config.strategy)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise ConfigError(
            f"batch_size={config.batch_size} cannot be shared evenly by {replicas} replicas; "
            f"use a multiple, such as {max(1, config.batch_size // replicas) * replicas}"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(choose_precision(config.precision).policy)
    try:
        with clear_errors(config.batch_size):
            if tf.distribute.has_strategy():  # the caller's own scope is entered already
                yield strategy
            else:
                with strategy.scope():
                    yield strategy
    finally:
        keras.config.set_dtype_policy(before)


def choose_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Returns the tf.distribute strategy of that name.

    "auto" is the active one inside a `strategy.scope()`, mirrored over several GPUs, else one device. "mirrored" is
    over all GPUs, or over the logical CPUs where there is no GPU.

    Raises:
        ConfigError: If `TF_CONFIG` asks for several machines, or "mirrored" has fewer than two devices.
    """
    if tf.distribute.has_strategy():
        active = tf.distribute.get_strategy()
        if name == "auto" or (name == "mirrored") == (active.num_replicas_in_sync > 1):
            return active
        raise ConfigError(
            f"strategy={name!r} inside the scope of a strategy with {active.num_replicas_in_sync} replicas; expected "
            "'auto', which keeps the active one"
        )
    if name == "auto" and os.environ.get("TF_CONFIG"):
        raise ConfigError(
            "TF_CONFIG is set, and training on several machines is not supported yet; expected one machine. "
            "Unset TF_CONFIG, or choose strategy='single' to train on this machine alone"
        )
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored":
        devices = gpus or [device.name for device in tf.config.list_logical_devices("CPU")]
        if len(devices) < 2:
            raise ConfigError(
                f"strategy='mirrored' found one device ({devices[0]}); expected two or more. Use strategy='single', or "
                "split the processor with tf.config.set_logical_device_configuration"
            )
        return mirrored(devices)
    if name == "auto" and len(gpus) > 1:
        return mirrored(gpus)
    return tf.distribute.get_strategy()  # TensorFlow's default: one device, a GPU where there is one


def mirrored(devices: list[str]) -> tf.distribute.Strategy:
    """Returns the strategy that keeps a copy of the model on each device.

    On processors the gradients are summed on one of them: the default there, collective operations, breaks when a
    process makes a second strategy ("Shape mismatch in the collective instance", TensorFlow 2.21).
    """
    on_gpus = "GPU" in devices[0]
    return tf.distribute.MirroredStrategy(devices, None if on_gpus else tf.distribute.ReductionToOneDevice())


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """Returns one phrase, such as "one device (CPU)" or "mirrored over 2 GPUs"."""
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    replicas = strategy.num_replicas_in_sync
    return f"one device ({kind})" if replicas == 1 else f"mirrored over {replicas} {kind}s"


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
