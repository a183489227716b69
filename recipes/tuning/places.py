"""Which part of the machine a worker of a search trains on: its own processors, or its own GPUs."""

from __future__ import annotations

import os
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Place:
    """The share of one of several workers on a machine.

    Args:
        worker: Which, from 0 on.
        workers: How many there are.
        logical_cpus: Into how many devices the processor is split; 1: as it is.
    """

    worker: int = 0
    workers: int = 1
    logical_cpus: int = 1

    def take(self) -> None:
        """Restricts this process to its share; before anything in it uses TensorFlow's runtime."""
        cpu = tf.config.list_physical_devices("CPU")[0]
        if self.logical_cpus > 1:
            parts = [tf.config.LogicalDeviceConfiguration()] * self.logical_cpus
            tf.config.set_logical_device_configuration(cpu, parts)
        if self.workers == 1:
            return
        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            mine = share(gpus, self.worker, self.workers)
            tf.config.set_visible_devices(mine, "GPU")
            for gpu in mine:  # which another worker may need, too, or whoever looks on
                tf.config.experimental.set_memory_growth(gpu, True)
        if hasattr(os, "sched_setaffinity"):  # TensorFlow makes as many threads as there are processors to use
            os.sched_setaffinity(0, share(sorted(os.sched_getaffinity(0)), self.worker, self.workers))


def share(things: list, worker: int, workers: int) -> list:
    """Returns a worker's part of some things, neighbours where there are enough; of too few, one that it shares.

    >>> [share([0, 1, 2, 3], worker, 2) for worker in (0, 1)], [share([0, 1], worker, 3) for worker in (0, 1, 2)]
    ([[0, 1], [2, 3]], [[0], [1], [0]])
    """
    if len(things) < workers:
        return [things[worker % len(things)]]
    first, last = len(things) * worker // workers, len(things) * (worker + 1) // workers
    return things[first:last]


def logical_cpus() -> int:
    """Returns into how many devices this process has split its processor."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    return len(tf.config.get_logical_device_configuration(cpu) or [cpu])
