"""Out of memory and disk full, explained."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from recipes.errors import TrainingError


@contextmanager
def clear_errors(batch_size: int, folder: str | Path | None = None) -> Iterator[None]:
    """Turns out of memory and disk full into a TrainingError that says what to do; others pass as they are.

    Args:
        batch_size: Of the run, for the advice.
        folder: What is written to, where anything is.
    """
    try:
        yield
    except (tf.errors.OpError, MemoryError, OSError) as error:
        text = str(error)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
            raise TrainingError(
                f"the disk of {folder} is full; what was being written there is not finished. Make space, or name "
                "another folder with runs="
            ) from error
        if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise TrainingError(
                f"out of memory with batch_size={batch_size}; try batch_size={max(1, batch_size // 2)}, or a smaller "
                "model"
            ) from error
        raise
