"""Out of memory, disk full and files that cannot be read, explained."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from recipes.errors import DataError, TrainingError


@contextmanager
def clear_errors(batch_size: int, folder: str | Path | None = None) -> Iterator[None]:
    """Turns out of memory and disk full into a TrainingError that says what to do; others pass as they are.

    A DataError that was raised while tf.data read an example becomes itself again.

    Args:
        batch_size: Of the run, for the advice.
        folder: What is written to, where anything is.
    """
    try:
        yield
    except (tf.errors.OpError, MemoryError, OSError) as error:
        text = str(error)
        if of_data := re.search(r"DataError: (.*?)\n(Traceback|\s*\n|\s*\[\[)", text, re.DOTALL):
            raise DataError(of_data[1]) from error
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
