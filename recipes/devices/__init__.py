"""Where a model is trained, and in which numbers: hardware, precision, strategies, several machines."""

from recipes.devices.batch_norm import BatchNormalization
from recipes.devices.strategies import compiled_by_xla, replica_rows, replicas_here, several_replicas, training_scope

__all__ = [
    "BatchNormalization",
    "compiled_by_xla",
    "replica_rows",
    "replicas_here",
    "several_replicas",
    "training_scope",
]
