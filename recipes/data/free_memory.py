"""What does not fit into memory, refused before it is read."""

import psutil

from recipes.errors import DataError


def refuse_if_too_large(name: str, needed: int, remedy: str) -> None:
    """Refuses examples that need more bytes than half of the memory that is free."""
    if needed > psutil.virtual_memory().available / 2:
        raise DataError(f"{name} needs {needed / 2**30:.1f} GiB of memory, more than half of what is free; {remedy}")
