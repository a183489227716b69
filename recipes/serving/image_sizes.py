"""How large the encoded images among a request's texts are, before anything decodes them.

A file of 136 kB may hold an image of 144 million pixels, and a GIF of 4 MB two thousand of them; TensorFlow would
decode them all.
"""

from __future__ import annotations

import io
import threading
import warnings
from typing import Any

import numpy as np

from recipes.serving.status import invalid

STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM")  # of what TensorFlow decodes
_PILLOW = threading.Lock()  # its limit, and Python's filters of warnings, are of the whole process


def check_images(name: str, texts: np.ndarray, most: int) -> None:
    """Refuses an input that holds an encoded image of more pixels, in all its frames together, than `most`.

    Args:
        name: Of the input.
        texts: Object array of bytes, of any shape.
        most: Pixels.

    Raises:
        ServingError: Names the input, the place of the image in it, and its size.
    """
    for place, text in enumerate(texts.flat):
        if text.startswith(STARTS) and (pixels := _pixels_of(text, most)) > most:
            raise invalid(f"image {place} of {name!r} has {pixels:,} pixels; expected at most {most:,}")


def _pixels_of(encoded: bytes, most: int) -> int:
    """Returns the number of pixels, 0 where it cannot be read; frames are counted until there are too many."""
    from PIL import Image

    try:
        with _opened(encoded) as image:
            size = pixels = image.width * image.height
            while image.format == "GIF" and pixels <= most:
                image.seek(image.tell() + 1)
                pixels += size
            return pixels
    except EOFError:  # after the last frame of a GIF
        return pixels
    except Image.DecompressionBombError:  # a later frame is larger than the first
        return most + 1
    except Exception:  # no image after all, or a damaged one: the model says so
        return 0


def _opened(encoded: bytes) -> Any:
    """Returns an image whose header alone is read, whatever its size: Pillow's own, softer, limit is set aside."""
    from PIL import Image

    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG", "GIF", "WEBP", "BMP"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
