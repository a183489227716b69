"""What is read once for several processes: the trials of a search, each in a process of its own, read the same data."""

import contextlib
import copyreg
import hashlib
import mmap
import os
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

#: Environment variable: the number of an open file that processes inherit. It has no name, so none is left behind.
SLOT = "RECIPES_READ_ONCE"

T = TypeVar("T")
HEAD = hashlib.sha256().digest_size  # bytes at the file's beginning that say what the rest is


def _proxy(values: dict) -> MappingProxyType:
    return MappingProxyType(values)


copyreg.pickle(MappingProxyType, lambda mapping: (_proxy, (dict(mapping),)))


def read_once(key: Any, read: Callable[[], T]) -> T:
    """Returns what `read()` does, or what it has returned for the same key in another process that shares the file.

    The first that reads keeps it there, where it can be pickled; lazily read data cannot.

    Args:
        key: All that decides what is read; its `repr` tells.
        read: Reads.
    """
    if SLOT not in os.environ:
        return read()
    file, digest = int(os.environ[SLOT]), hashlib.sha256(repr(key).encode()).digest()
    if os.fstat(file).st_size > HEAD:
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            if view[:HEAD] == digest:
                return pickle.loads(view[HEAD:])
    value = read()
    with contextlib.suppress(Exception):  # no room on the disk, or nothing that can be pickled: others read, too
        _keep(file, digest, pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
    return value


def _keep(file: int, digest: bytes, content: bytes) -> None:
    """Writes the content, and then its digest, which makes it valid; a file that has one stays as it is."""
    import fcntl  # which Windows does not have

    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        if not any(os.pread(file, HEAD, 0)):
            rest, place = memoryview(content), HEAD
            while rest:
                written = os.pwrite(file, rest, place)
                rest, place = rest[written:], place + written
            os.pwrite(file, digest, 0)
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
