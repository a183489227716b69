"""Where images with captions come from: tensorflow-datasets, generated scenes, or a user's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.bad_files import complaint, listed, note_skipped
from recipes.data.folders import setting_of
from recipes.data.image_files import decode_bytes
from recipes.data.in_memory import Arrays, Columns, EvaluationData, fingerprint
from recipes.data.lazy_images import LazyImages, identity_of_files, joined, of_files, of_records
from recipes.data.sources import Kind, find_arrays
from recipes.data.splits import DataInfo
from recipes.data.standins.scenes import SIZE, scenes
from recipes.data.text_files import check_texts, decoded
from recipes.data.text_reading import read_text_file, shortened
from recipes.data.tfds_records import Records, in_file_order
from recipes.errors import DataError, one_line


def find_captions(config: Any, data: Any = None) -> tuple[Arrays, DataInfo, LazyImages]:
    """Returns (columns: row of the image, its captions; what they are; the images).

    Args:
        config: Reads `offline`, `on_bad_file`, `image_size` and `dataset`: "flickr8k", "scenes", or a
            tensorflow-datasets name of a set with an "image" and "captions", such as "coco_captions".
        data: A user's own: `(images, captions)`, the path of a text file of "photo.jpg<tab>caption" lines, or two or
            three of either: training, (validation,) test. Images are (N, H, W, 3) in [0, 255] or paths of files, the
            captions of each a str or a list of them.
    """
    if data is not None:
        parts = data if _several(data) else [data]
        if len(parts) > 3:
            raise DataError(f"data holds {len(parts)} splits; expected one, or training, (validation,) test")
        bad: dict[Path, str] | None = {} if config.on_bad_file == "skip" else None
        read_parts = {
            id(part): own_part(part, config.image_size, bad) for part in parts
        }  # one that is passed twice is read once
        arrays, images = _joined([read_parts[id(part)] for part in parts])
        return arrays, DataInfo("your own captions", skipped=listed(bad or {})), images
    import recipes.data.tfds.flickr8k  # noqa: F401 - makes the name known

    read_images: list[LazyImages] = []

    def read(builder: Any) -> Arrays:
        arrays, images = _read(builder, config.image_size)
        read_images.append(images)
        return arrays

    kind = Kind(_check, read, {"scenes": scenes})
    arrays, info = find_arrays(config.dataset, kind, standin="scenes", offline=config.offline)
    if not read_images:  # generated: the first column is the images
        arrays, images = _joined([(of_colours(split[0], SIZE), *split[1:]) for split in arrays.named.values()])
        return arrays, info, images
    return arrays, info, read_images[0]


def evaluation_captions(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate on: the test split of a user's data, or all of it."""
    test = data[-1] if _several(data) else data
    captions = own_part(test, 8, {} if setting_of(model, "on_bad_file", "error") == "skip" else None)[1]
    return EvaluationData((test, test), sum(map(len, captions)))


def own_part(part: Any, image_size: int, bad: dict[Path, str] | None = None) -> tuple[LazyImages, np.ndarray]:
    """Returns (images, the captions of each) of one split of a user's data.

    Args:
        part: The split.
        image_size: H and W that images are resized to.
        bad: Gets the files that cannot be read, and why; they are left out. None: they are errors.
    """
    expected = "expected (images, captions), or the path of a file with 'photo.jpg<tab>caption' lines"
    if isinstance(part, (str, Path)):
        part = _read_lines(Path(part))
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise DataError(f"data holds a {type(part).__name__}, {shortened(part)}; {expected}")
    images, captions = part
    if len(images) != len(captions) or not len(images):
        raise DataError(f"data holds {len(images)} images and the captions of {len(captions)}; {expected}")
    of_each = np.empty(len(captions), object)
    for row, texts in enumerate(captions):
        of_each[row] = tuple(check_texts([texts] if isinstance(texts, str) else texts))
        if not of_each[row]:
            raise DataError(f"image {row} has no caption; expected one or more of each")
    if bad is not None and all(isinstance(image, (str, Path)) for image in images):
        unreadable = of_files(images, (1, 1, 3)).unreadable()
        mine = {Path(images[row]): why for row, why in unreadable.items()}
        bad |= mine
        good = [row for row in range(len(images)) if row not in unreadable]
        if mine:
            note_skipped(mine, len(images), "photographs")
        if not good:
            raise DataError(complaint(mine, len(images), "photographs"))
        images, of_each = [images[row] for row in good], of_each[good]
    return photographs(images, image_size), of_each


def _several(data: Any) -> bool:
    """Returns whether data is several splits: tuples of paths of text files, or of (images, captions)."""
    if not isinstance(data, (tuple, list)) or not data:
        return False
    first = data[0]
    if not isinstance(first, (tuple, list)):
        return isinstance(first, (str, Path))
    # Two paths or two (H, W, 3) are the images of one split.
    return len(first) == 2 and not isinstance(first[0], (str, Path)) and getattr(first[0], "ndim", 4) != 3


def _read_lines(path: Path) -> tuple[list[Path], list[list[str]]]:
    """Returns the photographs that a text file names, in its folder, and their captions."""
    captions: dict[Path, list[str]] = {}
    for number, line in enumerate(read_text_file(path).split("\n"), 1):  # splitlines also ends them within captions
        name, tab, caption = line.partition("\t")
        if line.strip() and not (tab and name and caption.strip()):
            raise DataError(f"line {number} of {path} is {shortened(line)!r}; expected 'photo.jpg<tab>caption'")
        if line.strip():
            captions.setdefault(path.parent / name, []).append(caption.strip())
    return list(captions), list(captions.values())


def _joined(parts: Sequence[tuple[Any, ...]]) -> tuple[Arrays, LazyImages]:
    """Returns the columns of several splits, and one source of their images.

    Args:
        parts: Of each split its images and what goes with them; they become their rows in the one source.
    """
    sources = list({id(images): images for images, *_ in parts}.values())
    ends = np.cumsum([len(images) for images in sources])
    rows_of = {id(images): np.arange(end - len(images), end) for images, end in zip(sources, ends, strict=True)}
    train, *rest = [(rows_of[id(images)], *columns) for images, *columns in parts]
    arrays = Arrays(train, rest[0] if len(rest) == 2 else None, rest[-1] if rest else None)
    return arrays, joined(sources)


def photographs(images: Any, image_size: int) -> LazyImages:
    """Returns a user's images: (N, H, W, 3) in [0, 255], or paths of files."""
    if isinstance(images, (str, Path, bytes)) or not len(images):
        raise DataError(f"images is {images!r}; expected one or more: an array (N, H, W, 3), or a list of paths")
    if all(isinstance(image, (str, Path)) for image in images):
        missing = {}
        for path in images:
            try:
                Path(path).stat()
            except OSError as error:
                missing[path] = f"cannot read {one_line(path)}: {error.strerror}; expected an image file"
        if missing:
            raise DataError(complaint(missing, len(images), "photographs"))
        return of_files(images, (image_size, image_size, 3), identity_of_files(images))
    return of_colours(images, image_size)


def of_colours(images: Any, image_size: int) -> LazyImages:
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

    def read(row: int) -> np.ndarray:
        return _at_size(images[row], image_size)

    return LazyImages(read, (image_size, image_size, 3), np.arange(len(images)), f"{fingerprint(images)} {image_size}")


def _at_size(image: np.ndarray, image_size: int) -> np.ndarray:
    """Returns an image, (H, W, 3) in [0, 255], as (image_size, image_size, 3) uint8; one of that size as it is."""
    if image.shape[:2] != (image_size, image_size):
        image = tf.image.resize(image, (image_size, image_size), antialias=True).numpy()
    return image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)


def _check(builder: Any) -> None:
    """Refuses a data set without images and captions."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    captions = features.get("captions")
    feature = getattr(captions, "feature", None)
    texts = (
        dict(feature).get("text") if isinstance(feature, tfds.features.FeaturesDict) else feature
    )  # COCO: with a number
    if not isinstance(features.get("image"), tfds.features.Image) or not isinstance(texts, tfds.features.Text):
        raise DataError(
            f"{builder.name} has the features {', '.join(features)}; expected a data set with an 'image' and 'captions'"
        )


def _read(builder: Any, image_size: int) -> tuple[Arrays, LazyImages]:
    """Returns the columns (row, captions) of a prepared data set's splits, and its images."""
    import tensorflow_datasets as tfds

    there = builder.info.splits
    splits = {"train": "train", "validation": "validation" if "validation" in there else "val", "test": "test"}
    splits = {name: split for name, split in splits.items() if split in there}
    columns: dict[str, Columns] = {}
    first = 0
    for name, split in splits.items():
        data = in_file_order(builder, split, tfds.decode.PartialDecoding({"captions": True}))
        captions = [features["captions"] for features in data.as_numpy_iterator()]
        texts = [some["text"] if isinstance(some, dict) else some for some in captions]
        of_each = np.empty(len(texts), object)
        for row, some in enumerate(texts):
            of_each[row] = tuple(decoded(some))
        if len(of_each) != there[split].num_examples:
            raise ValueError(f"{split} has {len(of_each)} examples, {there[split].num_examples} were expected")
        captioned = np.array([row for row, texts in enumerate(of_each) if texts], int)
        if len(captioned):  # COCO's own test split keeps its captions to itself
            columns[name] = first + captioned, of_each[captioned]
        first += len(of_each)
    if "train" not in columns:
        raise DataError(f"the training split of {builder.name} has no captions; expected one or more of each image")
    shape, name = (image_size, image_size, 3), f"an image of {builder.name}"

    def decode(encoded: bytes) -> np.ndarray:
        return np.rint(decode_bytes(encoded, shape, name)).astype(np.uint8)

    images = joined([of_records(Records(builder, split), shape, decode) for split in splits.values()])
    return Arrays(columns["train"], columns.get("validation"), columns.get("test")), images
