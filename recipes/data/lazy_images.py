"""Images that are decoded when they are asked for: what does not fit in memory is trained on like what does."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.bad_files import complaint
from recipes.data.image_files import decode_file
from recipes.data.image_items import read_image
from recipes.data.in_memory import fingerprint
from recipes.data.tf_data import in_python
from recipes.data.tfds_records import Records
from recipes.errors import DataError

AT_A_TIME = 256  # images that are decoded ahead of whoever reads all of them
SAMPLED = 1000  # files of a folder whose content is part of its identity


class LazyImages:
    """Some images of a source; `[places]` returns some of them, in any order, and decodes none.

    Args:
        read: Row of the source -> its image, (H, W, C) of `dtype`; raises DataError. Threads call it.
        image_shape: H, W, C.
        rows: Which images these are, (N,) integer.
        identity: Text that differs from that of all other sources.
        dtype: uint8 or float32.
    """

    def __init__(
        self,
        read: Callable[[int], np.ndarray],
        image_shape: tuple[int, ...],
        rows: Any,
        identity: str = "",
        dtype: Any = np.uint8,
    ) -> None:
        self.read, self.image_shape, self.rows = read, tuple(image_shape), np.asarray(rows)
        self.identity, self.dtype = identity, np.dtype(dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> "LazyImages":
        return LazyImages(self.read, self.image_shape, self.rows[places], self.identity, self.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        return (len(self), *self.image_shape)

    @property
    def key(self) -> str:
        """A text that tells these images from all others."""
        return fingerprint(self.identity, self.rows)

    def at(self, place: tf.Tensor) -> tf.Tensor:
        """Returns the image at a place, a scalar integer, in a graph: (H, W, C)."""

        def read(place: np.ndarray) -> np.ndarray:
            return self.read(int(self.rows[place]))

        return tf.ensure_shape(in_python(read, [place], self.dtype), self.image_shape)

    def each(self) -> Iterator[np.ndarray | DataError]:
        """Yields each image, in order, or why it cannot be read; some are decoded ahead, on all processors."""

        def read(row: int) -> np.ndarray | DataError:
            try:
                return self.read(row)
            except DataError as error:
                return error

        with ThreadPoolExecutor() as pool:  # TensorFlow decodes without Python's lock
            for first in range(0, len(self), AT_A_TIME):
                yield from pool.map(read, self.rows[first : first + AT_A_TIME].tolist())

    def batches(self, size: int = 64) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (places, images (B, H, W, C)), in the order of the source.

        Raises:
            DataError: If there are images that cannot be read: once all are looked at, and names all.
        """
        order = np.argsort(self.rows, kind="stable")
        images = self[order].each()
        bad: dict[int, str] = {}
        for first in range(0, len(order), size):
            places = order[first : first + size]
            batch = [next(images) for _ in places]
            bad |= {place: str(image) for place, image in zip(places, batch) if isinstance(image, DataError)}
            if not bad:  # else the rest is looked at to name all that are bad
                yield places, np.array(batch)
        if bad:
            raise DataError(complaint(bad, len(self), "images"))

    def stacked(self) -> np.ndarray:
        """Returns all of them, (N, H, W, C); raises as `batches` does."""
        whole = np.empty(self.shape, self.dtype)
        for places, images in self.batches():
            whole[places] = images
        return whole

    def readable(self) -> tuple[np.ndarray, dict[int, str]]:
        """Returns (all of them, (N, H, W, C); place -> why, of those that cannot be read and are black)."""
        whole = np.zeros(self.shape, self.dtype)
        bad: dict[int, str] = {}
        for place, image in enumerate(self.each()):
            if isinstance(image, DataError):
                bad[place] = str(image)
            else:
                whole[place] = image
        return whole, bad

    def unreadable(self) -> dict[int, str]:
        """Returns place -> why, of the images that cannot be read; looks at all of them."""
        return {place: str(image) for place, image in enumerate(self.each()) if isinstance(image, DataError)}

    def changed(self, change: Callable[[np.ndarray], np.ndarray], image_shape: tuple[int, ...]) -> "LazyImages":
        """Returns the same images with each changed, (H, W, C) to `image_shape`, once it is decoded."""
        identity = f"{self.identity} {image_shape}"
        return LazyImages(lambda row: change(self.read(row)), image_shape, self.rows, identity, self.dtype)


def of_files(paths: Sequence[str | Path], image_shape: tuple[int, int, int], identity: str = "") -> LazyImages:
    """Returns the images of some files, uint8; none is looked at yet."""
    return LazyImages(
        lambda row: np.rint(decode_file(Path(paths[row]), image_shape)).astype(np.uint8),
        image_shape,
        np.arange(len(paths)),
        identity,
    )


def identity_of_files(paths: Sequence[str | Path], folder: Path | None = None) -> str:
    """Returns a text that differs for other files: by their names, their sizes, and the content of some.

    That is the content of all files, or of `SAMPLED` ones that are spread evenly where there are more: a million files
    are not read through to know them again. Where the files are, and when they were written, is no part of it.

    Args:
        paths: In order.
        folder: That their names are taken from; None: their whole paths.
    """
    sizes = np.array([_size(path) for path in paths], np.int64)
    prefix = len(str(folder)) + 1 if folder else 0
    names = "\n".join(str(path)[prefix:] for path in paths).encode(errors="surrogateescape")
    contents = [np.frombuffer(_content(paths[place]), np.uint8) for place in _sampled(len(paths))]
    return fingerprint(np.frombuffer(names, np.uint8), sizes, *contents)


def of_items(items: Sequence[Any], image_shape: tuple[int, int, int]) -> LazyImages:
    """Returns images of any form, uint8; see `image_items`. A sequence may make each when it is asked for it."""
    items = items if hasattr(items, "__getitem__") and not hasattr(items, "iloc") else list(items)
    if isinstance(items[0], (str, Path)):
        return of_files(items, image_shape, identity_of_files(items))

    def read(row: int) -> np.ndarray:
        return np.rint(read_image(items[row], image_shape, f"image {row}")).astype(np.uint8)

    images = LazyImages(read, image_shape, np.arange(len(items)))
    images.identity = fingerprint(*(image for _, image in images[_sampled(len(items))].batches()))
    return images


def of_array(images: np.ndarray) -> LazyImages:
    """Returns the images of an array on a disk, (N, H, W, C), as `np.load(path, mmap_mode="r")` opens one."""
    parts = (images[first : first + AT_A_TIME] for first in range(0, len(images), AT_A_TIME))
    dtype = np.uint8 if images.dtype == np.uint8 else np.float32
    identity = fingerprint(*parts)
    return LazyImages(
        lambda row: np.array(images[row], dtype), images.shape[1:], np.arange(len(images)), identity, dtype
    )


def of_records(records: Records, image_shape: tuple[int, ...], decode: Callable[[Any], np.ndarray]) -> LazyImages:
    """Returns the images of a split of tensorflow-datasets.

    Args:
        records: The split.
        image_shape: H, W, C.
        decode: The feature "image", encoded, -> (H, W, C) uint8.
    """

    def read(row: int) -> np.ndarray:
        return decode(records[row]["image"])

    return LazyImages(read, image_shape, np.arange(len(records)), f"{records.identity} {image_shape}")


def joined(parts: Sequence[LazyImages]) -> LazyImages:
    """Returns the images of several sources, one after the other; they have one shape."""
    ends = np.cumsum([len(part) for part in parts])
    firsts = ends - [len(part) for part in parts]

    def read(row: int) -> np.ndarray:
        part = int(np.searchsorted(ends, row, side="right"))
        return parts[part].read(int(parts[part].rows[row - firsts[part]]))

    identity = " ".join(part.identity for part in parts)
    return LazyImages(read, parts[0].image_shape, np.arange(ends[-1]), identity, parts[0].dtype)


def _sampled(count: int) -> np.ndarray:
    """Returns the places of up to `SAMPLED` of so many things, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(SAMPLED, count)).astype(int))


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a Path of each of a million takes its time
    except OSError:  # it is an error when it is decoded
        return -1


def _content(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes() if Path(path).is_file() else b""  # a pipe would be waited for
    except OSError:
        return b""
