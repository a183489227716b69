"""One image as people have it: a path, the bytes of a file, an array, a PIL image."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.free_memory import refuse_if_too_large
from recipes.data.image_bytes import read_image_bytes
from recipes.data.image_files import check_channels, decode_bytes, decode_file, decoded_with_pillow, pillow_pixels
from recipes.data.image_headers import UNKNOWN, read_header
from recipes.errors import DataError

FORMS = "a path, the bytes of an image file, an array (H, W) or (H, W, C) in [0, 255], or a PIL image"


def are_items(images: Any) -> bool:
    """Returns whether images are to be read one by one: paths, bytes, PIL's, {"bytes": ...}, arrays of several sizes.

    Raises:
        DataError: If they are no collection.
    """
    if hasattr(images, "shape") and str(images.dtype) != "object":  # an array; not a column of a DataFrame
        return False
    if isinstance(images, (str, bytes, Path)) or not isinstance(images, Iterable):
        raise DataError(f"images are a {type(images).__name__}; expected an array, or a list whose items are {FORMS}")
    first = next(iter(images), None)
    if isinstance(first, (str, Path, bytes, Mapping)) or hasattr(first, "getbbox"):
        return True
    return len({np.shape(image) for image in images}) > 1


def read_image(item: Any, image_shape: tuple[int, int, int], name: str) -> np.ndarray:
    """Returns an image in any form as (H, W, C) float32 in [0, 255]; `name` is what messages call it.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(item, Mapping):  # as Hugging Face's data sets have those that are not decoded
        item = item.get("bytes") or item.get("path")
    if isinstance(item, (str, Path)):
        return decode_file(Path(item), image_shape)
    if isinstance(item, bytes):
        return decode_bytes(item, image_shape, name)
    return resized(_pixels(item, name)[np.newaxis], image_shape)[0].astype(np.float32)


def upright_size(item: Any, name: str) -> tuple[int, int]:
    """Returns (height, width) of an image in any form, turned as its EXIF says; `name` is what messages call it.

    Raises:
        DataError: If it cannot be read.
    """
    if isinstance(item, Mapping):
        item = item.get("bytes") or item.get("path")
    if isinstance(item, (str, Path)):
        item = read_image_bytes(Path(item))
    if not isinstance(item, bytes):
        return _pixels(item, name).shape[:2]
    header = read_header(item)
    if header.format == UNKNOWN:
        return decoded_with_pillow(item, name).shape[:2]
    height, width = int(header.height), int(header.width)
    return (width, height) if header.orientation >= 5 else (height, width)


def resized(images: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns images, (N, h, w, c) in [0, 255], as (N, H, W, C) of the same dtype; those of that shape as they are.

    Grey becomes colour by repetition, colour grey by its luma; the aspect ratio is not kept.
    """
    if images.shape[1:] == tuple(image_shape):
        return images
    if images.shape[-1] != image_shape[-1]:
        check_channels(image_shape)
        if images.shape[-1] not in (1, 3):
            raise DataError(f"images have {images.shape[-1]} channels; expected 1 or 3, to make {image_shape[-1]} of")
        luma = np.array([[0.299], [0.587], [0.114]]) if image_shape[-1] == 1 else np.ones((1, 3))
    else:
        luma = None
    refuse_if_too_large("images at this size", len(images) * int(np.prod(image_shape)) * images.itemsize, "choose less")
    outputs = np.empty((len(images), *image_shape), images.dtype)
    for first in range(0, len(images), 256):
        part = images[first : first + 256].astype(np.float32)
        part = part if luma is None else (part @ luma).astype(np.float32)
        part = tf.image.resize(part, image_shape[:2], antialias=True).numpy()
        outputs[first : first + 256] = np.rint(part) if images.dtype == np.uint8 else part
    return outputs


def _pixels(item: Any, name: str) -> np.ndarray:
    """Returns an image in memory as (H, W, C)."""
    try:
        if hasattr(item, "convert") and hasattr(item, "getbbox"):  # PIL's: palettes and transparency become colour
            item = pillow_pixels(item, name)
        pixels = np.asarray(item)
    except (OSError, SyntaxError) as error:  # PIL reads a file only now
        raise DataError(f"{name} cannot be read: {error}") from None
    except ValueError:
        pixels = np.array(None)
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.dtype.kind not in "iuf" or not pixels.size:
        raise DataError(f"{name} is a {type(item).__name__} {pixels.dtype} {pixels.shape}; expected {FORMS}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 255) or (np.issubdtype(pixels.dtype, np.floating) and 0 < high <= 1):
        raise DataError(f"{name} lies in [{low:g}, {high:g}]; expected [0, 255] (the model does its own scaling)")
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
