"""What people pass to `predict`, read one by one: images and texts in the forms that they have them."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from recipes.errors import DataError

T = TypeVar("T")


def read_images(inputs: Any, image_shape: tuple[int, int, int]) -> Iterator[tuple[str, np.ndarray | DataError]]:
    """Yields (its name, (H, W, C) float32 in [0, 255]) for each image, or why it cannot be read.

    Images of another size are resized and grey ones made colour, or the reverse, as in training on files.

    Args:
        inputs: One image or many; see `image_items`. An array (N, H, W, C) is N of them; the path of a folder is all
            the images in it and in its sub-folders, sorted.
        image_shape: H, W, C of the model.
    """
    from recipes.data.image_items import read_image

    return read_each(inputs, lambda item, name: read_image(item, image_shape, name))


def read_each(inputs: Any, read: Callable[[Any, str], T]) -> Iterator[tuple[str, T | DataError]]:
    """Yields (its name, what is read of it) for each image, or why it cannot be read.

    Args:
        inputs: As `read_images` takes them.
        read: (image in any form, its name for messages) -> what is wanted of it; raises DataError.
    """
    from recipes.data.image_bytes import ENDINGS, UNREAD_ENDINGS

    for number, item in enumerate(_files_of_folders(_each(inputs, largest=3), ENDINGS + UNREAD_ENDINGS, "images")):
        if isinstance(item, DataError):
            yield f"image {number}", item
            continue
        name = str(item) if isinstance(item, (str, Path)) else f"image {number}"
        try:
            value = read(item, name)
        except DataError as error:
            yield name, error
        else:
            yield name, value


def read_image_files(inputs: Iterable[str | Path]) -> Iterator[tuple[str, bytes | DataError]]:
    """Yields (its name, its bytes) of each image file, or why it cannot be read; of a folder, of all images in it."""
    from recipes.data.image_bytes import ENDINGS, UNREAD_ENDINGS, read_image_bytes

    for number, item in enumerate(_files_of_folders(inputs, ENDINGS + UNREAD_ENDINGS, "images")):
        if isinstance(item, DataError):
            yield f"image {number}", item
            continue
        try:
            yield str(item), read_image_bytes(Path(item))
        except DataError as error:
            yield str(item), error


def read_texts(inputs: Any) -> Iterator[tuple[str, str | DataError]]:
    """Yields (its name, the text) for each text, or why it cannot be read.

    Args:
        inputs: One text or many: str, or a Path of a text file in UTF-8; that of a folder is all the .txt files in it.
    """
    from recipes.data.text_reading import read_text_file, shortened, text_problem

    def items() -> Iterator[Any]:
        for item in _each(inputs, largest=0):
            yield from _files_of_folders([item], (".txt",), "texts") if isinstance(item, Path) else [item]

    for number, item in enumerate(items()):
        if isinstance(item, DataError):
            yield f"text {number}", item
        elif isinstance(item, Path):
            try:
                yield str(item), read_text_file(item)
            except DataError as error:
                yield str(item), error
        elif problem := text_problem(item):
            remedy = "" if isinstance(item, str) else ", or a Path of a text file"
            yield f"text {number}", DataError(f"text {number} {problem}{remedy}")
        else:
            yield shortened(item), str(item)  # NumPy's strings too


def in_batches(values: Iterator[tuple[str, Any]], size: int = 64) -> Iterator[tuple[list[str], list[Any]]]:
    """Yields (names, values) of up to `size` at a time, in order."""
    names: list[str] = []
    batch: list[Any] = []
    for name, value in values:
        names.append(name)
        batch.append(value)
        if len(batch) == size:
            yield names, batch
            names, batch = [], []
    if batch:
        yield names, batch


def image_batches(
    inputs: Any, image_shape: tuple[int, int, int], size: int = 32
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields (names, images (B, H, W, C) float32 in [0, 255]) of up to `size` images at a time; see `read_images`.

    Raises:
        DataError: If one of them cannot be read.
    """
    for names, images in in_batches(read_images(inputs, image_shape), size):
        for image in images:
            if isinstance(image, DataError):
                raise image
        yield names, np.stack(images).astype(np.float32)


def predict_each(
    values: Iterator[tuple[str, Any]], predict: Any, size: int = 64
) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
    """Yields (name, prediction) in the order of the inputs; of one that could not be read, its DataError.

    Args:
        values: (name, what was read or a DataError).
        predict: A list of what was read -> as many predictions.
        size: How many are predicted at a time.
    """
    for names, batch in in_batches(values, size):
        readable = [value for value in batch if not isinstance(value, DataError)]
        predictions = iter(predict(readable) if readable else ())
        for name, value in zip(names, batch, strict=True):
            yield name, value if isinstance(value, DataError) else next(predictions)


def _each(inputs: Any, largest: int) -> Any:
    """Returns the inputs one by one; an array of up to `largest` dimensions is a single one."""
    if hasattr(inputs, "numpy") and not hasattr(inputs, "iloc"):  # a tensor
        inputs = inputs.numpy()
    if isinstance(inputs, (str, bytes, Path)) or hasattr(inputs, "getbbox"):  # a PIL image
        return [inputs]
    if isinstance(inputs, np.ndarray) and inputs.ndim <= largest and inputs.dtype.kind not in "OSU":  # one image
        return [inputs]
    try:
        return iter(inputs)
    except TypeError:
        raise DataError(f"inputs is a {type(inputs).__name__}; expected one or a list of them") from None


def _files_of_folders(items: Iterable[Any], endings: tuple[str, ...], what: str) -> Iterator[Any]:
    """Yields items; for the path of a folder those of its files with some endings, or why there are none."""
    from recipes.data.folder_entries import list_files
    from recipes.errors import one_line

    for item in items:
        if not isinstance(item, (str, Path)) or not os.path.isdir(item):  # noqa: PTH112 - no name is an error to it
            yield item
            continue
        try:
            files: list[Any] = [path for path in list_files(Path(item)) if path.suffix.lower() in endings]
        except DataError as error:
            files = [error]
        yield from files or [DataError(f"the folder {one_line(item)} has no {what}")]
