"""Files of images as they lie on the disk: by what endings they are known, and their bytes; without TensorFlow."""

from pathlib import Path

from recipes.data.free_memory import refuse_if_too_large
from recipes.errors import DataError, one_line

READ = "a JPEG, PNG, GIF, WebP, BMP, TIFF, AVIF or JPEG 2000 file"

#: Endings of files that are read as images, the usual ones first.
ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".jfif", ".jpe", ".jp2", ".j2k"),
    *(".dib", ".ico", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".tga"),
)
#: Endings of images that are not read: such a file is an error, not something else that lies there.
UNREAD_ENDINGS = (
    *(".heic", ".heif", ".jxl", ".svg", ".eps", ".psd", ".xcf", ".exr", ".hdr"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
)


def read_image_bytes(path: Path) -> bytes:
    """Returns what is in an image file.

    Raises:
        DataError: If it cannot be read, or is known by its ending to be none that is read here.
    """
    name = one_line(path)
    if path.suffix.lower() in UNREAD_ENDINGS:
        raise DataError(f"{name} is an image of a kind that is not read; expected {READ}: convert it")
    try:
        if not path.is_file() and path.exists():  # a pipe would be waited for
            raise DataError(f"{name} is no file; expected {READ}")
        refuse_if_too_large(name, path.stat().st_size, f"expected {READ}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {name}: {getattr(error, 'strerror', error)}") from None
