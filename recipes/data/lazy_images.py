"""Images that are read when they are asked for, so that a data set need not fit in memory to be looked at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.bad_files import complaint
from recipes.data.image_files import decode_file, decode_many
from recipes.data.in_memory import fingerprint
from recipes.errors import DataError, one_line


class Photographs:
    """Some images of a source, (H, W, 3) uint8 each; `[places]` returns some of them, in any order.

    Args:
        read: Rows of the source, in ascending order -> its images there, one after the other.
        rows: Which they are, each once.
        identity: Text that differs from that of all other sources.
    """

    def __init__(self, read: Callable[[np.ndarray], Iterator[np.ndarray]], rows: np.ndarray, identity: str) -> None:
        self.read, self.rows, self.identity = read, np.asarray(rows), identity

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> "Photographs":
        return Photographs(self.read, self.rows[places], self.identity)

    @property
    def key(self) -> str:
        """A text that tells these images from all others."""
        return fingerprint(np.frombuffer(self.identity.encode(), np.uint8), self.rows)

    def batches(self, size: int = 64) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields (places in `rows`, images (B, H, W, 3) uint8), in the order of the source."""
        order = np.argsort(self.rows)
        images = self.read(self.rows[order])
        for first in range(0, len(order), size):
            places = order[first : first + size]
            yield places, np.stack([next(images) for _ in places])

    def stacked(self) -> np.ndarray:
        """Returns all of them, (N, H, W, 3) uint8."""
        whole: np.ndarray | None = None
        for places, images in self.batches():
            if whole is None:
                whole = np.empty((len(self), *images.shape[1:]), np.uint8)
            whole[places] = images
        assert whole is not None
        return whole


def photographs(images: Any, image_size: int) -> Photographs:
    """Returns a user's images: (N, H, W, 3) in [0, 255], or paths of files."""
    if isinstance(images, (str, Path, bytes)) or not len(images):
        raise DataError(f"images is {images!r}; expected one or more: an array (N, H, W, 3), or a list of paths")
    if all(isinstance(image, (str, Path)) for image in images):
        return of_files([Path(path) for path in images], image_size)
    return of_array(images, image_size)


def of_array(images: Any, image_size: int) -> Photographs:
    """Returns a user's images, (N, H, W, 3) in [0, 255], at another size."""
    try:
        images = np.asarray(images)
    except ValueError:
        raise DataError("images differ in size; expected an array (N, H, W, 3), or a list of paths of files") from None
    if images.ndim != 4 or images.shape[-1] != 3 or not np.issubdtype(images.dtype, np.number):
        raise DataError(f"images are {images.dtype} {images.shape}; expected numbers (N, H, W, 3), or paths of files")
    low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 255.0)
    if not (low >= 0 and high <= 255) or (np.issubdtype(images.dtype, np.floating) and high <= 1):
        raise DataError(f"images lie in [{low:g}, {high:g}]; expected [0, 255] (the model does its own scaling)")

    def read(rows: np.ndarray) -> Iterator[np.ndarray]:
        for row in rows:
            yield at_size(images[row], image_size)

    return Photographs(read, np.arange(len(images)), f"{fingerprint(images)} {image_size}")


def of_files(paths: list[Path], image_size: int) -> Photographs:
    """Returns the images of some files; each is looked for at once, and read when it is needed.

    Raises:
        DataError: If files are missing, or, as they are read, cannot be read: names all of them.
    """
    identity, missing = [], {}
    for path in paths:
        try:
            identity.append(f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}")
        except OSError as error:
            missing[path] = f"cannot read {one_line(path)}: {error.strerror}; expected an image file"
    if missing:
        raise DataError(complaint(missing, len(paths), "photographs"))

    def read(rows: np.ndarray) -> Iterator[np.ndarray]:
        bad: dict[Path, str] = {}
        for row in rows:
            try:
                image = np.rint(decode_file(paths[row], (image_size, image_size, 3))).astype(np.uint8)
            except DataError as error:
                bad[paths[row]] = str(error)
            else:
                if not bad:  # else the rest is read to name all that are bad
                    yield image
        if bad:
            raise DataError(complaint(bad, len(rows), "photographs"))

    return Photographs(read, np.arange(len(paths)), f"{identity} {image_size}")


def unreadable(paths: list[Path]) -> dict[Path, str]:
    """Returns the files that cannot be read as images, and why."""
    bad = {}
    for path in paths:
        try:
            decode_file(path, (1, 1, 3))
        except DataError as error:
            bad[path] = str(error)
    return bad


def of_builder(builder: Any, splits: dict[str, str], image_size: int) -> Photographs:
    """Returns the images of some splits of a tfds data set, one split after the other.

    Args:
        builder: It is prepared, and has the feature "image".
        splits: Their names are its values.
        image_size: H and W that they are resized to.
    """
    import tensorflow_datasets as tfds

    def read(rows: np.ndarray) -> Iterator[np.ndarray]:
        for split, first, count in zip(splits.values(), firsts, counts, strict=True):
            here = rows[(first <= rows) & (rows < first + count)] - first
            if not len(here):
                continue  # not read at all
            wanted = tf.constant(np.isin(np.arange(here.max() + 1), here))
            encoded = builder.as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()}, shuffle_files=False)
            some = encoded.take(len(wanted)).enumerate().filter(lambda row, _, wanted=wanted: tf.gather(wanted, row))
            images = (features["image"] for _, features in some.prefetch(64).as_numpy_iterator())
            yield from decode_many(images, (image_size, image_size, 3), f"an image of {builder.name}")

    counts = [builder.info.splits[name].num_examples for name in splits.values()]
    firsts = np.cumsum([0, *counts])[:-1]
    sizes = [(name, builder.info.splits[name].num_bytes) for name in splits.values()]
    return Photographs(read, np.arange(sum(counts)), f"{builder.info.full_name} {sizes} {image_size}")


def at_size(image: np.ndarray, image_size: int) -> np.ndarray:
    """Returns an image, (H, W, 3) in [0, 255], as (image_size, image_size, 3) uint8; one of that size as it is."""
    if image.shape[:2] != (image_size, image_size):
        image = tf.image.resize(image, (image_size, image_size), antialias=True).numpy()
    return image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)
