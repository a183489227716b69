"""Encoded images: turned as EXIF says, right colours of every format, guards; the same in Python and in a graph."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes.data import image_headers
from recipes.data.image_files import decode_bytes, decode_image
from recipes.data.image_headers import FORMATS, read_header, read_header_in_graph
from recipes.data.images import read_images as read_folder_of_images
from recipes.errors import DataError
from recipes.kinds.inputs import read_images

A, B, C, D, E, F = 0, 50, 100, 150, 200, 250
STORED = [[A, B, C], [D, E, F]]
#: EXIF's orientation -> the image as it is to be seen (the EXIF standard's pictures, by hand)
SEEN = {
    1: [[A, B, C], [D, E, F]],
    2: [[C, B, A], [F, E, D]],
    3: [[F, E, D], [C, B, A]],
    4: [[D, E, F], [A, B, C]],
    5: [[A, D], [B, E], [C, F]],
    6: [[D, A], [E, B], [F, C]],
    7: [[F, C], [E, B], [D, A]],
    8: [[C, F], [B, E], [A, D]],
}
BLOCK = 16  # pixels a side of each letter: what a JPEG keeps


def file_of(pixels, format_, **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, np.uint8))
    image.save(file, format_, **options)
    return file.getvalue()


def exif(orientation, order="<", kind=3):
    """EXIF with a tag before the orientation: the bytes of a TIFF file, in either order."""
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    make = struct.pack(order + "HHI4s", 0x010F, 2, 4, b"abc\0")
    directory = struct.pack(order + "H", 2) + make + struct.pack(order + "HHI", 0x0112, kind, 1) + value
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + b"\0\0\0\0"


def with_exif(encoded, content):
    """Puts EXIF into a JPEG or a PNG, at its beginning, or into a WebP, at its end."""
    if encoded.startswith(b"\xff\xd8"):
        content = b"Exif\0\0" + content
        return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + encoded[2:]
    if encoded.startswith(b"\x89PNG"):
        chunk = b"eXIf" + content
        return (
            encoded[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + encoded[33:]
        )
    height, width = (len(STORED) * BLOCK, len(STORED[0]) * BLOCK)
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + struct.pack("<I", width - 1)[:3]
    extended += struct.pack("<I", height - 1)[:3]
    chunks = extended + encoded[12:] + b"EXIF" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def blocks(image):
    """The letters of an image: the pixels in the middle of its blocks."""
    return np.rint(np.asarray(image, float)[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK, 0])


def photograph(format_="JPEG"):
    pixels = np.kron(STORED, np.ones((BLOCK, BLOCK)))
    return file_of(np.repeat(pixels[..., None], 3, 2), format_, **({"quality": 95} if format_ == "JPEG" else {}))


@pytest.fixture(scope="module")
def served():
    """`decode_image` as an exported model has it: one graph for images of any size; here to (8, 8, 3)."""
    return tf.function(lambda one: decode_image(one, (8, 8, 3)), [tf.TensorSpec((), tf.string)], autograph=False)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_all_orientations_by_hand(format_, order, served, tmp_path):
    for number, (orientation, seen) in enumerate(SEEN.items()):
        encoded = with_exif(photograph(format_), exif(orientation, order, kind=(3, 4)[number % 2]))
        shape = (len(seen) * BLOCK, len(seen[0]) * BLOCK, 3)
        decoded = decode_bytes(encoded, shape, "a photograph")
        np.testing.assert_allclose(blocks(decoded), seen, atol=3, err_msg=f"orientation {orientation}")
        assert Image.open(io.BytesIO(encoded)).getexif()[0x0112] == orientation, "Pillow reads the test's EXIF, too"
        [(_, of_pillow)] = read_images(Image.open(io.BytesIO(encoded)), shape)
        np.testing.assert_allclose(blocks(of_pillow), seen, atol=3)
        np.testing.assert_array_equal(served(encoded), decode_bytes(encoded, (8, 8, 3), ""), "export = predict")
        if format_ == "JPEG" and order == "<":
            for name in ("a", "b"):
                (tmp_path / str(orientation) / name).mkdir(parents=True)
                (tmp_path / str(orientation) / name / "photo.jpg").write_bytes(encoded)
            images, _ = read_folder_of_images(tmp_path / str(orientation), shape).train
            np.testing.assert_array_equal(images[0], np.rint(decoded), "training = predict")


def test_no_exif_and_damaged_exif_leave_an_image_as_it_is(served):
    whole = exif(6, ">")
    damaged = [whole[:length] for length in range(len(whole) - 7)]  # the entry itself is cut
    damaged += [exif(0), exif(9), exif(300), b"XX*\0" + whole[4:], whole[:4] + b"\xff\xff\xff\xff" + whole[8:]]
    damaged += [whole[:8] + b"\xff\xff" + b"\0" * 24, whole.replace(b"\x01\x12\0\x03", b"\x01\x12\0\x07")]
    as_it_is = decode_bytes(photograph(), (8, 8, 3), "")
    for content in damaged:
        encoded = with_exif(photograph(), content)
        assert read_header(encoded).orientation == 1, content
        np.testing.assert_array_equal(decode_bytes(encoded, (8, 8, 3), ""), as_it_is)
    np.testing.assert_array_equal(served(encoded), as_it_is)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_graph_and_python_read_the_same_of_damaged_files(data):
    """No bytes are an error, and no two readers differ."""
    encoded = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(0, 4))):
        encoded[data.draw(st.integers(0, min(len(encoded), 90) - 1))] = data.draw(st.integers(0, 255))
    encoded = bytes(encoded[: data.draw(st.integers(0, len(encoded)) | st.just(len(encoded)))])
    assert tuple(read_header(encoded)) == tuple(int(value) for value in read_header_in_graph(tf.constant(encoded)))


COLOURS = Image.new("RGB", (10, 6), (200, 30, 10))
COLOURS.paste((20, 40, 220), (5, 0, 10, 6))
GREY = COLOURS.convert("L")
SIXTEEN = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
FILES = [file_of(COLOURS, format_) for format_ in ("JPEG", "PNG", "GIF", "BMP", "WEBP")]
FILES += [file_of(COLOURS.convert("P"), "BMP"), file_of(COLOURS, "WEBP", lossless=True)]
FILES += [file_of(COLOURS, "GIF", save_all=True, append_images=[COLOURS.rotate(180)] * 3)]
FILES += [with_exif(photograph(format_), exif(8)) for format_ in ("JPEG", "PNG", "WEBP")]

SERVED = {  # name: (the file, how far its colours may be off)
    "JPEG": (file_of(COLOURS, "JPEG", quality=95, subsampling=0), 6),
    "progressive": (file_of(COLOURS, "JPEG", quality=95, subsampling=0, progressive=True), 6),
    "CMYK": (file_of(COLOURS.convert("CMYK"), "JPEG", quality=95), 12),
    "PNG": (file_of(COLOURS, "PNG"), 0),
    "RGBA PNG": (file_of(COLOURS.convert("RGBA"), "PNG"), 0),
    "PNG with a palette": (file_of(COLOURS.quantize(2), "PNG"), 0),
    "PNG with a palette and transparency": (file_of(COLOURS.quantize(2), "PNG", transparency=0), 0),
    "GIF": (file_of(COLOURS.quantize(2), "GIF"), 0),
    "BMP": (file_of(COLOURS, "BMP"), 0),
    "RGBA BMP": (file_of(COLOURS.convert("RGBA"), "BMP"), 0),
    "BMP of 8 bits": (file_of(COLOURS.quantize(200), "BMP"), 0),
    "BMP of 4 bits": (file_of(COLOURS.quantize(7), "BMP"), 0),
    "BMP of 1 bit": (file_of(COLOURS.quantize(2).convert("P"), "BMP", bits=1), 0),
    "WebP": (file_of(COLOURS, "WEBP", lossless=True), 0),
    "RGBA WebP": (file_of(COLOURS.convert("RGBA"), "WEBP", lossless=True), 0),
}
IN_PYTHON = {
    "TIFF": (file_of(COLOURS, "TIFF"), 0),
    "LZW TIFF": (file_of(COLOURS, "TIFF", compression="tiff_lzw"), 0),
    "AVIF": (file_of(COLOURS, "AVIF", quality=100), 12),
    "JPEG 2000": (file_of(COLOURS, "JPEG2000"), 0),
    "PPM": (file_of(COLOURS, "PPM"), 0),
    "TGA": (file_of(COLOURS, "TGA"), 0),
    "ICO": (file_of(COLOURS, "ICO", sizes=[(10, 6)]), 0),
    "WebP that moves": (file_of(COLOURS, "WEBP", lossless=True, save_all=True, append_images=[COLOURS.rotate(180)]), 0),
}


@pytest.mark.parametrize("name", [*SERVED, *IN_PYTHON])
def test_every_format_has_its_colours(name, served):
    encoded, off = (SERVED | IN_PYTHON)[name]
    decoded = decode_bytes(encoded, (6, 10, 3), name)
    np.testing.assert_allclose(decoded[1, 1], (200, 30, 10), atol=off)
    np.testing.assert_allclose(decoded[4, 8], (20, 40, 220), atol=off)
    if name in SERVED:
        np.testing.assert_array_equal(served(encoded), decode_bytes(encoded, (8, 8, 3), name))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be decoded; expected a JPEG, PNG, GIF, WebP"):
            served(encoded)


@pytest.mark.parametrize(
    "encoded",
    [
        *(file_of(SIXTEEN, format_) for format_ in ("PNG", "TIFF", "PPM")),
        *(file_of(GREY, format_) for format_ in ("PNG", "BMP", "TIFF", "PPM")),
        file_of(COLOURS.convert("LA"), "PNG"),
    ],
)
def test_grey_of_8_and_16_bits(encoded):
    decoded = decode_bytes(encoded, (6, 10, 1), "")
    assert (decoded[1, 1, 0], decoded[4, 8, 0]) == (GREY.getpixel((1, 1)), GREY.getpixel((8, 4)))


def test_a_bmp_may_begin_at_its_top(served):
    encoded = bytearray(file_of(GREY, "BMP"))
    encoded[22:26] = struct.pack("<i", -6)
    upside_down = decode_bytes(bytes(encoded), (6, 10, 1), "")
    np.testing.assert_array_equal(upside_down[..., 0], np.asarray(GREY)[::-1])
    np.testing.assert_array_equal(served(bytes(encoded)), decode_bytes(bytes(encoded), (8, 8, 3), ""))


def claiming(encoded, side):
    """Returns a small file that says it is as large as that."""
    encoded = bytearray(encoded)
    if encoded.startswith(b"\x89PNG"):
        encoded[16:24] = struct.pack(">II", side, side)
        encoded[29:33] = struct.pack(">I", zlib.crc32(encoded[12:29]))
    elif encoded.startswith(b"BM"):
        encoded[18:26] = struct.pack("<II", side, side)
    elif encoded.startswith(b"GIF"):
        encoded[6:10] = struct.pack("<HH", side, side)
    elif encoded.startswith(b"\xff\xd8"):
        start = encoded.index(b"\xff\xc0") + 5
        encoded[start : start + 4] = struct.pack(">HH", side, side)
    else:
        encoded[26:30] = struct.pack("<HH", side, side)
    return bytes(encoded)


@pytest.mark.parametrize("encoded", FILES[:6])
def test_what_is_too_large_is_called_so_before_it_is_decoded(encoded, served):
    large = claiming(encoded, 12000)
    with pytest.raises(
        DataError, match="photo is too large: 12000x12000 pixels; expected at most 64 megapixels: shrink"
    ):
        decode_bytes(large, (8, 8, 3), "photo")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="too large: 12000x12000 pixels; expected at most 64,000,000"
    ):
        served(large)


def test_a_large_image_that_pillow_reads_is_refused():
    [(_, error)] = read_images(Image.new("1", (9000, 9000)), (8, 8, 3))
    assert str(error).startswith("image 0 is too large: 9000x9000 pixels")
    huge = b"P6 30000 30000 255\n"
    with pytest.raises(DataError, match="photo is too large"):
        decode_bytes(huge, (8, 8, 3), "photo")


def test_of_a_gif_the_first_frame_alone_is_decoded(served):
    one = file_of(COLOURS.quantize(2), "GIF")
    frames = [COLOURS.rotate(angle).quantize(9) for angle in (30, 60, 180)]
    many = file_of(COLOURS.quantize(2), "GIF", save_all=True, append_images=frames)
    end = read_header(many).end
    assert end < len(one) + 20 < len(many) - 50
    for encoded in (many, many[: end + 20], many[:end] + b"no frames"):
        np.testing.assert_array_equal(decode_bytes(encoded, (8, 8, 3), ""), decode_bytes(one, (8, 8, 3), ""))
        np.testing.assert_array_equal(served(encoded), served(one))


def test_a_file_of_endless_parts_has_an_end(monkeypatch):
    monkeypatch.setattr(image_headers, "MOST_PARTS", 50)
    for encoded in (
        b"\xff\xd8" + b"\xff" * 1000,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 1000,
        b"GIF89a" + b"\1\0\1\0\0\0\0" + b"\x21\0\0" * 1000,
    ):
        assert FORMATS[read_header(encoded).format] == "unknown"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\xff\xd8\xff\xe0 torn", b"BM", b"GIF89a", b"RIFF    WEBP", b"%PDF"]
)
def test_what_is_no_image_is_no_crash(content, served):
    with pytest.raises(DataError, match="x is not a readable image"):
        decode_bytes(content, (8, 8, 3), "x")
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 0 of the batch cannot be decoded; expected"):
        served(content)
