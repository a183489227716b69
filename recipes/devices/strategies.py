"""Where a model is trained: one device, several, several machines, or a TPU."""

import functools
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from recipes.devices.workers import Cluster, find_cluster, lost_workers_explained
from recipes.errors import ConfigError
from recipes.errors.hardware_errors import clear_errors


@contextmanager
def training_scope(config: Any) -> Iterator[tf.distribute.Strategy]:
    """Enters a config's strategy: models built inside have its variables. The dtype policy is put back at the end.

    Args:
        config: Reads `strategy` ("auto" or a name that `choose_strategy` knows) and `batch_size`, which is global: the
            replicas share it.

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
    try:
        with clear_errors(config.batch_size), lost_workers_explained(strategy):
            if tf.distribute.has_strategy():  # the caller's own scope is entered already
                yield strategy
            else:
                with strategy.scope():
                    yield strategy
    finally:
        keras.config.set_dtype_policy(before)


def choose_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Returns the tf.distribute strategy of that name.

    "auto" is the active one inside a `strategy.scope()`; several machines where `TF_CONFIG` or SLURM names them; a TPU
    where there is one and TensorFlow can use it; mirrored over several GPUs; else one device. "mirrored" is over all
    GPUs, or over the logical CPUs where there is no GPU.

    Raises:
        ConfigError: If the strategy cannot be had here, or Keras 3 cannot train under the active one.
    """
    if tf.distribute.has_strategy():
        return _active(name)
    cluster = find_cluster() if name in ("auto", "multi_worker") else None
    if cluster:
        return multi_worker(cluster)
    if name == "multi_worker":
        raise ConfigError(
            "strategy='multi_worker' found no other workers; expected TF_CONFIG or SLURM to name them. On one machine: "
            "recipes launch --workers 2 fit NAME"
        )
    if name == "tpu" or (name == "auto" and has_tpu()):
        return tpu()
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


def _active(name: str) -> tf.distribute.Strategy:
    """Returns the strategy whose scope is entered, if it is what the name says and can train."""
    active = tf.distribute.get_strategy()
    if isinstance(active, tf.distribute.ParameterServerStrategy):
        raise ConfigError(
            "the scope is that of a ParameterServerStrategy, which Keras 3 cannot train with; expected another. "
            "tf.distribute.MultiWorkerMirroredStrategy (strategy='multi_worker') trains on several machines"
        )
    kinds = {
        "multi_worker": isinstance(active, tf.distribute.MultiWorkerMirroredStrategy),
        "tpu": isinstance(active, tf.distribute.TPUStrategy),
        "mirrored": active.num_replicas_in_sync > 1,
        "single": active.num_replicas_in_sync == 1,
    }
    if name == "auto" or kinds[name]:
        return active
    raise ConfigError(
        f"strategy={name!r} inside the scope of a {type(active).__name__} with {active.num_replicas_in_sync} "
        "replica(s); expected 'auto', which keeps the active one"
    )


def mirrored(devices: list[str]) -> tf.distribute.Strategy:
    """Returns the strategy that keeps a copy of the model on each device.

    On processors the gradients are summed on one of them: the default there, collective operations, breaks when a
    process makes a second strategy ("Shape mismatch in the collective instance", TensorFlow 2.21).
    """
    on_gpus = "GPU" in devices[0]
    return tf.distribute.MirroredStrategy(devices, None if on_gpus else tf.distribute.ReductionToOneDevice())


@functools.cache
def multi_worker(cluster: Cluster) -> tf.distribute.Strategy:
    """Returns the strategy over the workers of a cluster, when all of them have come; once in a process.

    Raises:
        ConfigError: If TensorFlow was used before, or this worker's port cannot be had.
    """
    print(
        f"worker {cluster.worker} of {len(cluster.addresses)} ({cluster.addresses[cluster.worker]}): "
        "waiting for the others",
        flush=True,
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.worker,
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"TensorFlow cannot join the workers any more ({error}). Call fit before anything else uses TensorFlow"
        ) from None
    except tf.errors.OpError as error:
        raise ConfigError(
            f"worker {cluster.worker} cannot be reached at {cluster.addresses[cluster.worker]}: {error.message}. "
            "Expected a free port of this machine; see TF_CONFIG"
        ) from None


def has_tpu() -> bool:
    """Returns whether there is a TPU and a TensorFlow with the library for it."""
    return (
        bool(os.environ.get("TPU_NAME") or Path("/dev/accel0").exists())
        and importlib.util.find_spec("libtpu") is not None
    )


def tpu() -> tf.distribute.Strategy:
    """Returns the strategy over all cores of the TPU that `TPU_NAME` names, or of this machine's own.

    Raises:
        ConfigError: If there is none, or this TensorFlow has no support for it.
    """
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)  # before any other use of TensorFlow
        tf.tpu.experimental.initialize_tpu_system(resolver)  # wipes its memory: before any variable
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"strategy='tpu' found no TPU it can use ({type(error).__name__}: {reason}); expected a TPU machine with "
            "tensorflow-tpu, an environment of its own (docs/distributed.md). Elsewhere use strategy='auto'"
        ) from None


def describe_strategy(strategy: tf.distribute.Strategy) -> str:
    """Returns one phrase, such as "one device (CPU)" or "mirrored over 2 GPUs"."""
    replicas = strategy.num_replicas_in_sync
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return f"{replicas} TPU cores"
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    cluster = find_cluster() if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else None
    if cluster:
        return f"{len(cluster.addresses)} workers, {replicas} {kind}s in all"
    return f"one device ({kind})" if replicas == 1 else f"mirrored over {replicas} {kind}s"
