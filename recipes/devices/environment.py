"""Hardware and versions, as a run's environment.json holds them."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import tensorflow as tf

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "keras-tuner", "numpy", "keras-recipes")


def cache_dir() -> Path:
    """Returns where what is computed once is kept: `RECIPES_CACHE_DIR`, else `~/.cache/recipes`."""
    return Path(os.environ.get("RECIPES_CACHE_DIR") or Path.home() / ".cache" / "recipes").expanduser()


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
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "TensorFlow's choice"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
    }
