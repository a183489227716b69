"""Numeric precision and determinism."""

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from recipes.devices.environment import cache_dir, processor_name

#: bfloat16 rounds to 8 bits: it is worth that from so many times the rate of float32 on.
WORTH_IT = 1.2


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


class OwnStep(NamedTuple):
    """How to measure the training step of the very model that a precision is chosen for."""

    key: Callable[[], str]  # tells the model and its batch: what is measured of them holds for the same ones
    milliseconds: Callable[[str], float]  # dtype policy -> processor time of a step


def choose_precision(name: str = "auto", own_step: OwnStep | None = None) -> Precision:
    """Returns the dtype policy of that name, and why.

    "auto" is mixed_bfloat16 on GPUs and processors that have bfloat16 arithmetic *and* prove faster with it, float32
    elsewhere. A processor's flags alone do not tell: with AVX512-BF16, some machines multiply matrices 1.7 times as
    fast in bfloat16 as in float32, and others 0.6 times. Nor does a matrix product: small recurrent steps, or those
    that mostly wait for memory, gain nothing. So both are measured, once for a machine and a model, and kept in
    `precision_file()`: the same line has the same precision the next time. Remove the files to measure again.

    Args:
        name: A dtype policy, or "auto".
        own_step: The step that decides where matrix products are faster in bfloat16; None: they decide.
    """
    if name != "auto":
        return Precision(name, "as asked")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        if capability >= (8, 0):
            return Precision("mixed_bfloat16", "the GPU has bfloat16 arithmetic")
        return Precision("float32", "the GPU has no bfloat16 arithmetic")
    if not processor_flags() & {"avx512_bf16", "amx_bf16"}:
        return Precision("float32", "the processor has no bfloat16 arithmetic")
    measured = _measured_once(precision_file(), matmul_rates)
    rates = f"{measured['bfloat16']:.0f} against {measured['float32']:.0f} GFLOP/s of a core"
    is_faster = measured["bfloat16"] > WORTH_IT * measured["float32"]
    if is_faster and own_step:
        milliseconds = own_step.milliseconds
        measured = _measured_once(
            precision_file(own_step.key()),
            lambda: {"float32": milliseconds("float32"), "bfloat16": milliseconds("mixed_bfloat16")},
        )
        rates = f"{measured['bfloat16']:.0f} against {measured['float32']:.0f} ms of a core for a step"
        is_faster = measured["float32"] > WORTH_IT * measured["bfloat16"]
    when = f"measured on {measured['date']}"
    if is_faster:
        return Precision("mixed_bfloat16", f"bfloat16 is faster here: {rates}, {when}")
    return Precision("float32", f"bfloat16 is not faster here: {rates}, {when}")


def precision_file(step: str = "") -> Path:
    """Returns the file that keeps what was measured on this kind of machine: processor, cores, TensorFlow.

    Args:
        step: The key of an `OwnStep`; "": of matrix products.
    """
    machine = [processor_name(), sorted(processor_flags()), os.cpu_count(), tf.__version__]
    kind = json.dumps([*machine, step] if step else machine)
    return cache_dir() / f"precision-{hashlib.sha256(kind.encode()).hexdigest()[:12]}.json"


@functools.cache
def matmul_rates(size: int = 1024, repeats: int = 20) -> dict[str, float]:
    """Returns the rates of a square matrix product in float32 and bfloat16, in GFLOP/s of a core.

    The best of some, the two in turns, in this process's own processor time: that other programs take turns on the
    processor changes how long a product takes, and hardly the work it is. Measured once in a process.
    """
    product = tf.function(lambda a: tf.linalg.matmul(a, a))
    matrix = tf.random.stateless_uniform((size, size), seed=(0, 0))
    matrices = {dtype: tf.cast(matrix, dtype) for dtype in ("float32", "bfloat16")}
    fastest = dict.fromkeys(matrices, float("inf"))
    for _ in range(repeats):
        for dtype, operand in matrices.items():
            start = time.process_time()
            product(operand).numpy()
            fastest[dtype] = min(fastest[dtype], time.process_time() - start)
    return {dtype: 2 * size**3 / max(seconds, 1e-9) / 1e9 for dtype, seconds in fastest.items()}


def _measured_once(path: Path, measure: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """Returns what a file keeps, or what is measured now, which it then keeps; the first process wins."""
    kept = _read_measurement(path)
    if kept:
        return kept
    measured = {**measure(), "date": time.strftime("%Y-%m-%d")}
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    with suppress(OSError):  # where the folder cannot be written to, nothing is kept
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(measured) + "\n")
        with suppress(FileExistsError):
            os.link(part, path)  # unlike a rename, leaves what another process has kept meanwhile
        part.unlink()
    return _read_measurement(path) or measured


def _read_measurement(path: Path) -> dict[str, Any] | None:
    """Returns what was measured before; None where nothing was, or the file is damaged."""
    try:
        kept = json.loads(path.read_text())
        values = {dtype: float(kept[dtype]) for dtype in ("float32", "bfloat16")}
        date = str(kept["date"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return {**values, "date": date} if min(values.values()) > 0 else None


@contextmanager
def deterministic_ops(wanted: bool) -> Iterator[None]:
    """Runs every operation in an order that is always the same, and refuses those that have none.

    On a processor, training gives the same bits without it (tests/runs/test_kill.py), in less time.
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
