"""Weights in PyTorch's file format of before 2020, read with numpy alone.

Such a file is a row of pickles, and a pickle may run any program. This reader knows five names, which make arrays and
nothing else, and refuses a file that asks for any other.
"""

import collections
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recipes.errors import DataError

MAGIC = 0x1950A86A20F9469CFC6C  # what the first pickle holds
#: The element type of each kind of storage that is understood
STORAGES = {"FloatStorage": np.dtype("<f4"), "DoubleStorage": np.dtype("<f8"), "LongStorage": np.dtype("<i8")}


class _Storage:
    """The numbers that arrays are views of; known by its key before it is read."""

    def __init__(self, dtype: np.dtype, count: int) -> None:
        self.dtype, self.count = dtype, count
        self.values: np.ndarray | None = None


class _View:
    """An array to be: a place, a shape and strides in a storage."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        """Returns the array, a copy; the storage has been read by now."""
        values = self.storage.values
        if not isinstance(values, np.ndarray):
            raise ValueError("an array is of numbers that the file does not hold")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides)) < 0 or (np.prod(self.shape) and last >= len(values)):
            raise ValueError(f"an array of shape {self.shape} reaches beyond its {len(values)} numbers")
        strides = tuple(stride * values.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides, writeable=False).copy()


class _Reader(pickle.Unpickler):
    """Makes ordered dictionaries of views of storages, and refuses whatever else a pickle asks for."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns what one of the five names stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _View
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need")

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns the storage of a key: ("storage", its kind, its key, a device, its length, None)."""
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None or int(count) < 0:
            raise pickle.UnpicklingError(f"it holds {repr(pid)[:100]}, which is no storage")
        return self.storages.setdefault(key, _Storage(dtype, int(count)))


def read_torch_file(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a state dictionary by name, as `torch.save` wrote them before PyTorch 1.6.

    Raises:
        DataError: If the file is missing, damaged, of another format, or asks for more than arrays.
    """
    try:
        with Path(path).open("rb") as file:
            if _Reader(file).load() != MAGIC:
                raise ValueError("it does not begin as one")
            _Reader(file).load()  # version of the format
            if not _Reader(file).load().get("little_endian"):
                raise ValueError("its bytes stand the other way round")
            reader = _Reader(file)
            views = reader.load()
            for key in _Reader(file).load():
                storage = reader.storages[key]
                if np.frombuffer(file.read(8), "<i8") != storage.count:
                    raise ValueError(f"storage {key} has another length than its arrays say")
                numbers = file.read(storage.count * storage.dtype.itemsize)
                storage.values = np.frombuffer(numbers, storage.dtype, storage.count)
            return {name: view.array() for name, view in views.items()}
    except OSError as error:
        raise DataError(f"cannot read the weights {path}: {error.strerror}") from None
    except Exception as error:  # whatever a damaged pickle makes the unpickler raise
        raise DataError(f"{path} is no file of weights that can be read safely: {error}; install it anew") from None
