"""Encoded images as pixels, turned upright and resized: the same in training, in prediction and in a served model.

TensorFlow decodes what it can, everywhere; Pillow what it alone can, in Python, not in a served model.
"""

import io
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.batch_rows import check_rows
from recipes.data.image_bytes import READ, read_image_bytes
from recipes.data.image_headers import (
    FORMATS,
    GIF,
    PALETTE_BMP,
    UNKNOWN,
    Header,
    number_at,
    read_header,
    read_header_in_graph,
    to_bytes,
)
from recipes.errors import DataError, one_line

#: Most pixels of an image that is decoded. Cameras and telephones make 12 to 61 million; 64 million take 0.2 GB as
#: colours, and a file of 100 kB can claim a hundred times as many.
MOST_PIXELS = 64_000_000

AT_A_TIME = 8  # images of a served batch that are decoded beside each other

SERVED = "a JPEG, PNG, GIF, WebP or BMP file"

#: What Pillow may read: no format that starts a program (EPS) or is no picture.
PILLOW_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "TGA", "TIFF", "WEBP")


def decode_images(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns encoded images as (B, H, W, C) float32 in [0, 255], in TensorFlow operations alone.

    Args:
        encoded: (B,) string: the bytes of a JPEG, PNG, GIF or WebP (its first frame) or BMP each, of any size up to
            MOST_PIXELS, colour or grey. They are turned as their EXIF says.
        image_shape: (H, W, C); images are resized to H x W without keeping their aspect ratio, with antialiasing, and
            turned to grey or colour for C of 1 or 3. An image of that size already keeps its exact pixels.

    Raises:
        tf.errors.InvalidArgumentError: If one is none of these, is damaged, or is too large; names the first such row,
            of a batch of several.
    """
    with tf.device("/CPU:0"):  # thousands of small operations
        headers = _headers(encoded)
        unknown = f"image {{}} of the batch cannot be decoded; expected {SERVED}, whole"
        large = f"image {{}} of the batch is too large: {{}}x{{}} pixels; expected at most {MOST_PIXELS:,} in all"
        has_size = headers.height * headers.width <= MOST_PIXELS
        checks = [
            check_rows(headers.format != UNKNOWN, unknown),
            check_rows(has_size, large, headers.width, headers.height),
        ]
        with tf.control_dependencies([check for check in checks if check is not None]):  # None: checked at once
            encoded = tf.identity(encoded)

        def decode(one: tf.Tensor, *header: tf.Tensor) -> tf.Tensor:
            known = Header(*header)
            return _at_size(_upright(_decode(one, known), known.orientation), image_shape)

        def decode_each() -> tf.Tensor:
            spec = tf.TensorSpec(image_shape, tf.float32)
            return tf.map_fn(lambda row: decode(*row), (encoded, *headers), fn_output_signature=spec)

        # An operation that fails cannot say in which row it was; a data set leaves that row out. It takes about a
        # millisecond, which one image, whose row is known, is spared.
        return tf.cond(tf.size(encoded) > 1, lambda: _decode_named(decode, encoded, headers, image_shape), decode_each)


def _decode_named(
    decode: Callable[..., tf.Tensor], encoded: tf.Tensor, headers: Header, image_shape: tuple[int, int, int]
) -> tf.Tensor:
    """Returns (B, H, W, C): `decode` of each row; stops a graph with the number of the first that is damaged."""
    rows = tf.range(tf.size(encoded, tf.int64))
    count = tf.size(rows)
    images = tf.data.Dataset.from_tensor_slices((rows, encoded, *headers))
    images = images.map(lambda row, *image: (row, decode(*image)), num_parallel_calls=AT_A_TIME, deterministic=True)
    one_more = tf.data.Dataset.from_tensors(
        (tf.size(encoded, tf.int64), tf.zeros(image_shape))
    )  # for none make no batch
    in_one = images.ignore_errors().concatenate(one_more).batch(tf.size(encoded, tf.int64) + 1)
    decoded_rows, decoded = in_one.get_single_element()
    is_decoded = tf.scatter_nd(decoded_rows[:, tf.newaxis], tf.ones_like(decoded_rows), [count + 1])[:-1] > 0
    formats = tf.gather(tf.constant(FORMATS), headers.format)
    message = "image {} of the batch cannot be decoded: its {} data is damaged"
    check = check_rows(is_decoded, f"{message}; expected {SERVED}, whole", formats)
    with tf.control_dependencies([check] if check is not None else []):
        return tf.ensure_shape(decoded[:-1], (None, *image_shape))


def decode_image(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns one encoded image, a scalar string, as (H, W, C) float32 in [0, 255]; see `decode_images`."""
    return decode_images(tf.convert_to_tensor(encoded)[tf.newaxis], image_shape)[0]


def upright_sizes(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the (height, width) of encoded images, turned as their EXIF says: (B,) string to (B, 2) float32."""
    with tf.device("/CPU:0"):
        headers = _headers(encoded)
        sizes = tf.stack([headers.height, headers.width], 1)
        return tf.cast(tf.where(headers.orientation[:, tf.newaxis] >= 5, sizes[:, ::-1], sizes), tf.float32)


def _headers(encoded: tf.Tensor) -> Header:
    """Returns the headers of encoded images, (B,) string, each part (B,) int64."""
    specs = Header(*[tf.TensorSpec((), tf.int64)] * len(Header._fields))
    return tf.map_fn(read_header_in_graph, encoded, fn_output_signature=specs)


def _decode(encoded: tf.Tensor, header: Header) -> tf.Tensor:
    """Returns an image as (height, width, 3) uint8, as it is stored."""
    end = tf.cast(header.end, tf.int32)

    def usual() -> tf.Tensor:
        # Colour first: decoding a palette or colour PNG straight to one channel drops colours instead of mixing them.
        # TensorFlow decodes all the frames of a GIF to give the first, so it is given the first alone.
        trailer = tf.where(end < tf.strings.length(encoded), ";", "")
        first = tf.strings.substr(encoded, 0, end) + trailer
        return tf.io.decode_image(first, channels=3, expand_animations=False)

    image = tf.cond(tf.equal(header.format, PALETTE_BMP), lambda: _decode_palette_bmp(encoded, header), usual)
    return tf.ensure_shape(image, (None, None, 3))


def _decode_palette_bmp(encoded: tf.Tensor, header: Header) -> tf.Tensor:
    """Returns a BMP of 1, 4 or 8 bits as its colours; TensorFlow takes their numbers for shades of grey."""
    data = to_bytes(encoded)
    start, bits = number_at(data, 10, 4, True), number_at(data, 28, 2, True)
    stride = (header.width * bits + 31) // 32 * 4
    rows = tf.reshape(data.padded[start : start + header.height * stride], tf.stack([header.height, stride]))
    per_byte = 8 // bits
    shifts = bits * (per_byte - 1 - tf.range(per_byte, dtype=tf.int64))  # the leftmost pixel stands in the highest bits
    shifted = tf.bitwise.right_shift(rows[..., tf.newaxis], tf.cast(shifts, tf.uint8))
    numbers = tf.bitwise.bitwise_and(shifted, tf.cast(2**bits - 1, tf.uint8))
    numbers = tf.reshape(numbers, tf.stack([header.height, -1]))[:, : header.width]
    from_the_top = number_at(data, 22, 4, True) >= 2**31
    numbers = tf.cond(from_the_top, lambda: numbers, lambda: numbers[::-1])
    first = 14 + number_at(data, 14, 4, True)
    colours = tf.reshape(data.padded[first : first + 4 * 2**bits], (-1, 4))[:, 2::-1]  # from blue, green, red, 0
    return tf.gather(colours, tf.cast(numbers, tf.int32))


def _upright(image: tf.Tensor, orientation: Any) -> tf.Tensor:
    """Returns an image, (H, W, C), turned and mirrored as EXIF's orientation says."""
    orientation = tf.cast(orientation, tf.int64)

    def where(orientations: list[int], change: Any, image: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.reduce_any(orientation == orientations), lambda: change(image), lambda: image)

    image = where([5, 6, 7, 8], lambda image: tf.transpose(image, (1, 0, 2)), image)
    image = where([2, 3, 6, 7], lambda image: image[:, ::-1], image)
    return where([3, 4, 7, 8], lambda image: image[::-1], image)


def _at_size(image: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns colours, (h, w, 3) uint8, as (H, W, C) float32 in [0, 255]."""
    height, width, channels = image_shape
    if channels == 1:
        # ITU-R BT.601 luma; a grey image has three equal channels and keeps its exact values.
        red, green, blue = tf.unstack(tf.cast(image, tf.int32), axis=-1)
        image = ((299 * red + 587 * green + 114 * blue + 500) // 1000)[..., tf.newaxis]
    if image.shape[:2] == (height, width):
        return tf.cast(image, tf.float32)
    resized = tf.image.resize(image, (height, width), method="bilinear", antialias=True)
    return tf.ensure_shape(resized, image_shape)


# ---------------------------------------------------------------- in Python


def decode_file(path: Path, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns an image file as (H, W, C) float32 in [0, 255].

    Raises:
        DataError: If the file cannot be read, is not an image or too large a one, or its channels cannot be had.
    """
    return decode_bytes(read_image_bytes(path), image_shape, one_line(path))


def decode_bytes(encoded: bytes, image_shape: tuple[int, int, int], name: str) -> np.ndarray:
    """Returns an encoded image as (H, W, C) float32 in [0, 255]; `name` is what messages call it.

    Raises:
        DataError: If it is not an image or too large a one, or its channels cannot be had.
    """
    check_channels(image_shape)
    header = read_header(encoded)
    refuse_large(header.width, header.height, name)
    with tf.device("/CPU:0"):
        try:
            if header.format == UNKNOWN:
                pixels = tf.constant(decoded_with_pillow(encoded, name))
            else:
                pixels = _upright_at_once(_decode_at_once(encoded, header), header.orientation)
        except tf.errors.InvalidArgumentError:  # damaged, or a variety that Pillow knows
            pixels = tf.constant(decoded_with_pillow(encoded, name))
        return _at_size(pixels, image_shape).numpy()


def _decode_at_once(encoded: bytes, header: Header) -> tf.Tensor:
    """Returns what `_decode` does; the usual formats by the one operation that it comes to, in a third of the time."""
    if header.format in (PALETTE_BMP, GIF):
        return _decode(tf.constant(encoded), header)
    return tf.raw_ops.DecodeImage(contents=encoded, channels=3, dtype=tf.uint8, expand_animations=False)


def _upright_at_once(image: tf.Tensor, orientation: int) -> tf.Tensor:
    return image if orientation == 1 else _upright(image, orientation)


def decode_many(encoded: Iterable[bytes], image_shape: tuple[int, int, int], name: str) -> Iterator[np.ndarray]:
    """Yields encoded images as (H, W, C) uint8, in order; see `decode_bytes`."""

    def decode(one: bytes) -> np.ndarray:
        return np.rint(decode_bytes(one, image_shape, name)).astype(np.uint8)

    left = iter(encoded)
    with ThreadPoolExecutor() as pool:  # TensorFlow decodes without Python's lock
        while some := [*itertools.islice(left, 256)]:
            yield from pool.map(decode, some)


def refuse_large(width: int, height: int, name: str) -> None:
    """Refuses an image of more than MOST_PIXELS."""
    if width * height > MOST_PIXELS:
        most = f"expected at most {MOST_PIXELS / 1e6:.0f} megapixels"
        raise DataError(f"{name} is too large: {width}x{height} pixels; {most}: shrink it")


def check_channels(image_shape: tuple[int, int, int]) -> None:
    """Refuses an image shape whose channels no image file gives: others than 1 (grey) or 3 (colour)."""
    if image_shape[-1] not in (1, 3):
        raise DataError(f"image files are read in 1 or 3 channels; expected one of these in place of {image_shape}")


def decoded_with_pillow(encoded: bytes, name: str) -> np.ndarray:
    """Returns an image that TensorFlow cannot decode, the first where it holds several, as (h, w, 3) uint8, upright."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):  # of sizes, which are refused here, and of damaged EXIF
            image = Image.open(io.BytesIO(encoded), formats=PILLOW_FORMATS)
            pixels = pillow_pixels(image, name)
    except Image.DecompressionBombError:
        raise DataError(
            f"{name} is too large; expected at most {MOST_PIXELS / 1e6:.0f} megapixels: shrink it"
        ) from None
    except DataError:
        raise
    except Exception:  # whatever a damaged file makes of one of a dozen decoders
        raise DataError(f"{name} is not a readable image; expected {READ}") from None
    if pixels.dtype != np.uint8:
        raise DataError(f"{name} holds numbers of 32 bits; expected 8 or 16 bits for a colour")
    return np.repeat(pixels[..., np.newaxis], 3, -1) if pixels.ndim == 2 else pixels


def pillow_pixels(image: Any, name: str) -> np.ndarray:
    """Returns the pixels of a PIL image, upright: (h, w) or (h, w, 3), uint8 but for modes of wide numbers."""
    from PIL import ImageOps

    refuse_large(image.width, image.height, name)
    sixteen_bits = image.mode.startswith("I;16") or (image.format, image.mode) == ("PPM", "I")
    image = ImageOps.exif_transpose(image)
    if sixteen_bits:
        return (np.asarray(image) // 256).astype(np.uint8)  # as files of 16 bits are read
    if image.mode in ("I", "F"):  # which `convert` would cut off at 255
        return np.asarray(image)
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
