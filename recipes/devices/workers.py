"""Several machines that train one model: who they are, and how they agree.

Each machine (a worker) runs the same command. The first is the chief: it alone writes. Workers find each other through
`TF_CONFIG`, as TensorFlow documents it, or through the variables that SLURM's srun sets.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from recipes.errors import ConfigError, RecipeError, RunError, TrainingError

MESSAGE = 2**26  # bytes that are broadcast at once


class Cluster(NamedTuple):
    """The workers' addresses, "host:port", the chief's first, and which of them this process is."""

    addresses: tuple[str, ...]
    worker: int


def find_cluster() -> Cluster | None:
    """Returns the workers that the environment names; None where it names no others.

    Raises:
        ConfigError: If `TF_CONFIG` is damaged, or asks for what Keras 3 cannot do: parameter servers, an evaluator.
    """
    if os.environ.get("TF_CONFIG"):
        cluster = _from_tf_config(os.environ["TF_CONFIG"])
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:
        cluster = _from_slurm()
    else:
        return None
    return cluster if len(cluster.addresses) > 1 else None


def refuse_several_machines(verb: str, strategy: str, instead: str = "") -> None:
    """Refuses a verb that runs on one machine where the environment names several and the strategy would use them.

    Args:
        verb: Its name.
        strategy: The setting.
        instead: What to do besides, to end the message.
    """
    if find_cluster() and strategy in ("auto", "multi_worker"):
        raise TrainingError(
            f"{verb} runs on one machine, and TF_CONFIG or SLURM names several; expected strategy='single' or "
            f"'mirrored'. Or unset TF_CONFIG{instead}"
        )


def _from_tf_config(text: str) -> Cluster:
    try:
        values = json.loads(text)
        jobs, kind, index = values.get("cluster") or {}, "worker", 0
        if "task" in values:
            kind, index = values["task"]["type"], int(values["task"]["index"])
        addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"TF_CONFIG is {text!r} ({type(error).__name__}: {error}); expected "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}. '
            "Mend it or unset it; recipes launch sets it for workers on this machine"
        ) from None
    if jobs.get("ps") or kind == "ps":
        raise ConfigError(
            "TF_CONFIG names parameter servers ('ps'), which Keras 3 cannot train with; expected workers alone. "
            "Make them workers: every machine then holds the model (strategy='multi_worker')"
        )
    if kind not in ("chief", "worker"):
        raise ConfigError(f"TF_CONFIG makes this task {kind!r}; expected 'chief' or 'worker'. The chief evaluates")
    index += len(jobs.get("chief", ())) if kind == "worker" else 0
    if not 0 <= index < max(1, len(addresses)):
        raise ConfigError(f"TF_CONFIG makes this task {kind} {index}; expected one of its {len(addresses)} addresses")
    return Cluster(addresses, index)


def _from_slurm() -> Cluster:
    """Returns the cluster of an srun step; the port follows from the job's number, so that two jobs keep apart."""
    port = 20000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 10000
    try:
        # Its count of GPUs divides by zero on machines without; which GPUs a task sees is left to SLURM.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=2**16, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = tuple(resolver.cluster_spec().as_dict()["worker"])
        _, index = resolver.get_task_info()
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"cannot read the SLURM step from its variables: {error}. Start with srun, or unset SLURM_STEP_NUM_TASKS"
        ) from None
    return Cluster(addresses, index)


def is_chief() -> bool:
    """Returns whether this process writes: the chief of several workers, or the only one."""
    cluster = find_cluster()
    return cluster is None or cluster.worker == 0


class Workers:
    """The workers of a strategy, and what they send each other; one worker agrees with itself at no cost.

    Every worker must make the same calls in the same order, as with any collective operation.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy, self.count, self.index = strategy, 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            jobs = resolver.cluster_spec().as_dict()
            chiefs = len(jobs.get("chief", ()))
            self.count = chiefs + len(jobs.get("worker", ())) or 1
            self.index = (resolver.task_id or 0) + (chiefs if resolver.task_type == "worker" else 0)
        self.is_chief = self.index == 0

    def sum(self, values: Any) -> np.ndarray:
        """Returns the element-wise sum of each worker's array of int32."""
        array = np.asarray(values, np.int32)
        if self.count == 1:
            return array

        def mine(context: Any) -> tf.Tensor:
            first = context.replica_id_in_sync_group % (context.num_replicas_in_sync // self.count) == 0
            return tf.constant(array if first else np.zeros_like(array))

        each = self.strategy.experimental_distribute_values_from_function(mine)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None).numpy()

    def broadcast(self, data: bytes) -> bytes:
        """Returns the chief's bytes on every worker; what the others pass is ignored."""
        if self.count == 1:
            return data
        size_of_mine = np.array([len(data) if self.is_chief else 0], np.int64)  # two words: a message holds int32
        length = int(self.sum(size_of_mine.view(np.int32)).view(np.int64)[0])
        parts = []
        for start in range(0, length, MESSAGE):
            size = min(MESSAGE, length - start)
            words = np.zeros(-(-size // 4), np.int32)
            if self.is_chief:
                words = np.frombuffer(data[start : start + size].ljust(4 * len(words), b"\0"), np.int32)
            parts.append(self.sum(words).tobytes()[:size])
        return b"".join(parts)

    def broadcast_json(self, values: Any) -> Any:
        """Returns the chief's values, anything that JSON can hold, on every worker."""
        return json.loads(self.broadcast(json.dumps(values if self.is_chief else None).encode()))

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Returns all workers' arrays, (workers, ...), bit by bit; each passes one of the same shape and dtype."""
        if self.count == 1:
            return array[np.newaxis]
        raw = array.tobytes()
        slots = np.zeros((self.count, -(-len(raw) // 4)), np.int32)
        slots[self.index] = np.frombuffer(raw.ljust(4 * slots.shape[1], b"\0"), np.int32)
        every = self.sum(slots)
        return np.stack([np.frombuffer(row.tobytes()[: len(raw)], array.dtype).reshape(array.shape) for row in every])

    def chiefs(self, decide: Callable[[], Any]) -> Any:
        """Returns on every worker what the chief alone decides, or raises its RecipeError on every one."""
        decided, failure = None, None
        if self.is_chief:
            try:
                decided = decide()
            except RecipeError as error:
                failure = error
        decided, message = self.broadcast_json([decided, failure and str(failure)])
        if failure is not None:
            raise failure
        if message is not None:
            raise RunError(f"the chief says: {message}")
        return decided


@contextmanager
def lost_workers_explained(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns TensorFlow's words for a worker that is gone into a TrainingError."""
    workers = Workers(strategy)
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError,
            tf.errors.DeadlineExceededError) as error:  # fmt: skip
        if workers.count == 1:
            raise
        raise TrainingError(
            f"worker {workers.index} lost another of the {workers.count} workers ({type(error).__name__}); the job "
            "stops. See the other workers' output for the cause, then run the same command again on all of them: it "
            "resumes from the last checkpoint"
        ) from error
