"""What a model must know of the devices and replicas that it is trained on."""

from typing import Any

import tensorflow as tf


def several_replicas() -> bool:
    """Returns whether the active strategy has several replicas, whose batch norm must then be synchronized."""
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def on_processor() -> bool:
    """Returns whether there is neither a GPU nor a TPU, for which Keras has what is faster."""
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def compiled_by_xla(jit_compile: bool | None, deterministic: bool) -> bool:
    """Returns whether XLA makes one program of a step: if that is asked for, where one device trains.

    Not with `deterministic`, which XLA's programs do not promise to be.

    Args:
        jit_compile: None: on GPUs. On processors the operations one by one are faster.
        deterministic: Of the settings.
    """
    wanted = bool(tf.config.list_logical_devices("GPU")) if jit_compile is None else jit_compile
    return wanted and not (deterministic or several_replicas())


def replicas_here() -> int:
    """Returns the number of replicas in sync; 1 outside of a replica, as while a model is being built."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def replica_rows(batch: Any) -> Any:
    """Returns the rows of a whole batch, (B, ...), that this replica trains on: (B / replicas, ...).

    Noise that a `train_step` draws for the whole batch and takes its rows of is the same on any number of replicas.
    Drawn for each replica's part, it would be the same part again on every one: they start from one seed.
    """
    context = tf.distribute.get_replica_context()
    if context is None:  # a model is being built, in a strategy's scope
        return batch
    rows = tf.shape(batch)[0] // context.num_replicas_in_sync
    return batch[context.replica_id_in_sync_group * rows :][:rows]


def _rows_by_replica(rows: Any) -> tf.Tensor:
    """Returns how many rows each replica has, (replicas,) int32, of how many this one has."""
    context = tf.distribute.get_replica_context()
    place = tf.one_hot(context.replica_id_in_sync_group, context.num_replicas_in_sync, dtype=tf.int32)
    return context.all_reduce("SUM", place * rows)


def first_row(rows: Any) -> Any:
    """Returns how many rows the replicas before this one have, of how many this one has."""
    if replicas_here() == 1:
        return 0
    return tf.reduce_sum(_rows_by_replica(rows)[: tf.distribute.get_replica_context().replica_id_in_sync_group])


def of_all_replicas(batch: Any) -> Any:
    """Returns the rows of all replicas, (N, ...), of those of this one, (B, ...); gradients flow back to each.

    A replica's rows stand between zeros, and all are added up: the gradient of a sum over replicas is one, too.
    """
    if replicas_here() == 1:
        return batch
    context, rows = tf.distribute.get_replica_context(), tf.shape(batch)[0]
    before, whole = first_row(rows), tf.reduce_sum(_rows_by_replica(rows))
    others = [[0, 0]] * (len(batch.shape) - 1)
    return context.all_reduce("SUM", tf.pad(batch, [[before, whole - before - rows], *others]))
