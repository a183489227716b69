"""What the header of an encoded image tells: format, size, orientation, and where its first frame ends.

The same lines read bytes in Python and, as AutoGraph turns them into TensorFlow operations, a string tensor in a served
model. Nothing is decoded. Whatever a file says of itself is checked against its length, so a damaged header has an
answer and never an error.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

#: What TensorFlow decodes; a header's `format` is a place here.
FORMATS = ("unknown", "JPEG", "PNG", "GIF", "WebP", "BMP", "BMP with a palette")
UNKNOWN, JPEG, PNG, GIF, WEBP, BMP, PALETTE_BMP = range(len(FORMATS))

MOST_PARTS = 20_000  # of a file that are stepped over: 160 MB of a PNG, a frame of 5 MB of a GIF
ORIENTATION = 0x0112  # the EXIF tag
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)  # a JPEG's markers with a size

Data = Any  # bytes, or Bytes
Number = Any  # int, or () int64


class Bytes(NamedTuple):
    """The bytes of a string tensor."""

    padded: tf.Tensor  # (N,) uint8, with zeros after its end
    length: tf.Tensor  # () int64, without those


class Header(NamedTuple):
    """What an encoded image is."""

    format: Number  # a place in FORMATS
    height: Number  # pixels as they are stored, before the image is turned
    width: Number
    orientation: Number  # EXIF's: 1, which is upright, to 8
    end: Number  # bytes: where the first frame ends


def read_header(encoded: bytes) -> Header:
    """Returns the header of an encoded image.

    Its format is UNKNOWN where it is none of FORMATS, is damaged, or is of a variety that TensorFlow does not decode: a
    WebP that moves, a BMP that is compressed.
    """
    return Header(*_read(encoded))


def read_header_in_graph(encoded: tf.Tensor) -> Header:
    """Returns the header of an encoded image, a scalar string, as `read_header` does; each a () int64 tensor."""
    return Header(*_in_graph()(encoded))


@functools.cache
def _in_graph() -> Any:
    def read(encoded: tf.Tensor) -> tuple[Number, ...]:
        return _read(to_bytes(encoded))

    with tf.init_scope():  # outside of the first graph that needs it: it takes seconds, and later ones share it
        return tf.function(read, input_signature=[tf.TensorSpec((), tf.string)]).get_concrete_function()


def to_bytes(encoded: tf.Tensor) -> Bytes:
    """Returns the bytes of a scalar string, for `number_at`."""
    data = tf.io.decode_raw(encoded, tf.uint8)
    return Bytes(tf.concat([data, tf.zeros(PADDING, tf.uint8)], 0), tf.size(data, tf.int64))


def _read(data: Data) -> tuple[Number, ...]:
    if _has(data, 0, b"\xff\xd8\xff"):
        header = _jpeg(data)
    elif _has(data, 0, b"\x89PNG\r\n\x1a\n"):
        header = _png(data)
    elif _has(data, 0, b"GIF8"):
        header = _gif(data)
    elif _has(data, 0, b"RIFF") and _has(data, 8, b"WEBP"):
        header = _webp(data)
    elif _has(data, 0, b"BM"):
        header = _bmp(data)
    else:
        header = _none(data)
    known, height, width, exif, exif_end, end = header
    if height == 0 or width == 0:
        known = _whole(data, UNKNOWN)
    return known, height, width, _orientation(data, exif, exif_end), end


# Of each format: (a place in FORMATS, height, width, where its EXIF begins or 0, where that ends, where the frame ends)


def _none(data: Data) -> tuple[Number, ...]:
    nothing = _whole(data, 0)
    return _whole(data, UNKNOWN), nothing, nothing, nothing, nothing, nothing


def _jpeg(data: Data) -> tuple[Number, ...]:
    """Steps over the segments to the start of the frame, which has the size; EXIF stands before it, in APP1."""
    position, parts = _whole(data, 2), _whole(data, 0)
    height = width = exif = end = _whole(data, 0)
    while (
        height == 0
        and parts < MOST_PARTS
        and number_at(data, position, 1) == 0xFF
        and number_at(data, position + 1, 1) != 0xDA
    ):
        marker, size = number_at(data, position + 1, 1), number_at(data, position + 2, 2)
        if marker == 0xFF:  # any number of them may stand before a marker
            position += 1
        elif marker == 0x01 or (marker >= 0xD0 and marker <= 0xD9):  # alone
            position += 2
        else:
            if _among(marker, FRAMES):
                height, width = number_at(data, position + 5, 2), number_at(data, position + 7, 2)
            if marker == 0xE1 and exif == 0 and _has(data, position + 4, b"Exif\0\0"):
                exif, end = position + 10, position + 2 + size
            position += 2 + size
        parts += 1
    return _whole(data, JPEG), height, width, exif, end, _length(data)


def _png(data: Data) -> tuple[Number, ...]:
    exif, end = _find_chunk(data, 8, b"eXIf", True)
    known = _whole(data, UNKNOWN)
    if _has(data, 12, b"IHDR"):
        known = _whole(data, PNG)
    return known, number_at(data, 20, 4), number_at(data, 16, 4), exif, end, _length(data)


def _gif(data: Data) -> tuple[Number, ...]:
    """Steps over the blocks to the end of the first image; the frames that follow need not be decoded."""
    width, height = (
        number_at(data, 6, 2, True),
        number_at(data, 8, 2, True),
    )  # the canvas; a damaged file's frame is larger
    position = 13 + _colours(data, 10)
    parts, place = _whole(data, 0), _whole(data, BETWEEN)
    while place != DONE and position < _length(data) and parts < MOST_PARTS:
        byte = number_at(data, position, 1)
        if place != BETWEEN:  # in sub-blocks, each after its length; the last has none
            position += 1 + byte
            if byte == 0:
                place = _whole(data, DONE) if place == IMAGE else _whole(data, BETWEEN)
        elif byte == 0x2C:  # an image: place and size, its own colours, the first code's size
            width = _larger(width, number_at(data, position + 5, 2, True))
            height = _larger(height, number_at(data, position + 7, 2, True))
            position += 11 + _colours(data, position + 9)
            place = _whole(data, IMAGE)
        else:  # an extension and its label; or the end
            position += 2
            place = _whole(data, EXTENSION) if byte == 0x21 else _whole(data, DONE)
        parts += 1
    known = _whole(data, UNKNOWN) if parts == MOST_PARTS else _whole(data, GIF)
    end = position if position < _length(data) else _length(data)
    return known, height, width, _whole(data, 0), _whole(data, 0), end


def _webp(data: Data) -> tuple[Number, ...]:
    """A WebP is a RIFF file of one chunk, VP8 or VP8L, or of several after a VP8X."""
    exif, end = _find_chunk(data, 12, b"EXIF", False)
    if _has(data, exif, b"Exif\0\0"):
        exif += 6
    known = _whole(data, WEBP)
    if _has(data, 12, b"VP8X"):
        width, height = number_at(data, 24, 3, True) + 1, number_at(data, 27, 3, True) + 1
        if number_at(data, 20, 1) // 2 % 2 == 1:  # it moves
            known = _whole(data, UNKNOWN)
    elif _has(data, 12, b"VP8L"):
        bits = number_at(data, 21, 4, True)
        width, height = bits % 2**14 + 1, bits // 2**14 % 2**14 + 1
    else:
        width, height = number_at(data, 26, 2, True) % 2**14, number_at(data, 28, 2, True) % 2**14
    return known, height, width, exif, end, _length(data)


def _bmp(data: Data) -> tuple[Number, ...]:
    width, height = number_at(data, 18, 4, True), number_at(data, 22, 4, True)
    if height >= 2**31:  # negative: the first row is the topmost
        height = 2**32 - height
    bits, compression = number_at(data, 28, 2, True), number_at(data, 30, 4, True)
    usual = _has(data, 54, b"\0\0\xff\0\0\xff\0\0\xff\0\0\0")  # where red, green and blue stand
    known = _whole(data, UNKNOWN)
    if number_at(data, 14, 4, True) < 40:  # an older header, of OS/2
        known = _whole(data, UNKNOWN)
    elif (compression == 0 and _among(bits, (24, 32))) or (compression == 3 and bits == 32 and usual):
        known = _whole(data, BMP)
    elif compression == 0 and _among(bits, (1, 4, 8)):
        known = _whole(data, PALETTE_BMP)
    return known, height, width, _whole(data, 0), _whole(data, 0), _length(data)


def _orientation(data: Data, start: Number, end: Number) -> Number:
    """Returns the orientation in the EXIF from `start` to `end`; 1 where there is none, or it is damaged."""
    little, value = _has(data, start, b"II*\0"), _whole(data, 1)
    if start > 0 and (little or _has(data, start, b"MM\0*")):
        entry = start + number_at(data, start + 4, 4, little) + 2
        last = entry + 12 * number_at(data, entry - 2, 2, little)
        last = last if last < end else end
        while entry + 12 <= last and entry + 12 <= _length(data):
            if number_at(data, entry, 2, little) == ORIENTATION:
                kind = number_at(data, entry + 2, 2, little)
                if kind == 3:
                    value = number_at(data, entry + 8, 2, little)
                elif kind == 4:
                    value = number_at(data, entry + 8, 4, little)
                entry = last
            entry += 12
    return _whole(data, 1) if value < 1 or value > 8 else value


def _find_chunk(data: Data, start: int, name: bytes, is_png: bool) -> tuple[Number, Number]:
    """Returns (where the contents of a chunk of a PNG or a RIFF file begin, where they end); 0 for no such chunk."""
    name_at, size_at, after = (4, 0, 12) if is_png else (0, 4, 8)  # a PNG's chunk ends in a check sum of 4 bytes
    position, parts, found, end = _whole(data, start), _whole(data, 0), _whole(data, 0), _whole(data, 0)
    while found == 0 and position < _length(data) and parts < MOST_PARTS:
        size = number_at(data, position + size_at, 4, not is_png)
        if _has(data, position + name_at, name):
            found, end = position + 8, position + 8 + size
        position += after + size + (0 if is_png else size % 2)
        parts += 1
    return found, end


# ---------------------------------------------------------------- bytes

BETWEEN, EXTENSION, IMAGE, DONE = range(4)  # where in a GIF
PADDING = 16  # zeros after the bytes of a tensor


def _whole(data: Data, value: Number) -> Number:
    return value if isinstance(data, bytes) else tf.cast(value, tf.int64)


def _length(data: Data) -> Number:
    return len(data) if isinstance(data, bytes) else data.length


def _slice(data: Bytes, position: Number, size: int) -> tf.Tensor:
    """Returns `size` bytes at a position, (size,) uint8; zeros beyond the end."""
    return tf.ensure_shape(tf.slice(data.padded, [tf.minimum(_whole(data, position), data.length)], [size]), (size,))


def number_at(data: Data, position: Number, size: int, little: Any = False) -> Number:
    """Returns the whole number of 1 to 4 bytes at a position; `little`: its lowest byte comes first."""
    if isinstance(data, bytes):
        return int.from_bytes(data[position : position + size].ljust(size, b"\0"), "little" if little else "big")
    digits = tf.cast(_slice(data, position, size), tf.int64)
    if size == 1:
        return digits[0]
    weights = [256**place for place in range(size)]
    if isinstance(little, bool):
        return tf.reduce_sum(digits * (weights if little else weights[::-1]))
    return tf.reduce_sum(digits * tf.where(little, tf.constant(weights, tf.int64), weights[::-1]))


def _has(data: Data, position: Number, letters: bytes) -> Any:
    """Returns whether some letters, at most PADDING, stand at a position."""
    if isinstance(data, bytes):
        return data.startswith(letters, position)
    return tf.reduce_all(_slice(data, position, len(letters)) == list(letters))


def _among(value: Number, others: tuple[int, ...]) -> Any:
    return value in others if isinstance(value, int) else tf.reduce_any(value == others)


def _larger(one: Number, other: Number) -> Number:
    return max(one, other) if isinstance(one, int) else tf.maximum(one, other)


def _colours(data: Data, position: Number) -> Number:
    """Returns how many bytes a GIF's table of colours takes; its flags stand at `position`."""
    flags = number_at(data, position, 1)
    return flags // 128 * 3 * 2 ** (flags % 8 + 1)
