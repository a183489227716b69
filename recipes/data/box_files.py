"""Files of boxes around what is in photographs, as people have them: COCO, Pascal VOC, YOLO, tables.

Whatever their form, a box becomes (y_min, x_min, y_max, x_max), shares of the photograph's height and width.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recipes.data.bad_files import complaint, counted, note_skipped
from recipes.data.folder_entries import SPLIT_NAMES, list_files, split_of, sub_folders
from recipes.data.image_bytes import ENDINGS
from recipes.data.image_items import upright_size
from recipes.data.table_files import ENDINGS as TABLE_ENDINGS
from recipes.data.tables import Table, is_missing, of_file
from recipes.data.text_reading import read_text_file
from recipes.errors import DataError, one_line

EXPECTED = (
    "a COCO .json file, a table of image,x_min,y_min,x_max,y_max,label in pixels, or a folder that has one of these, "
    "Pascal VOC's Annotations and JPEGImages, or YOLO's images and labels; or train, validation and test with these"
)
SAME_SHAPE = 0.02  # most by which the ratio of height and width may differ from what an annotation says

#: What a column of a table holds -> names that tell it, in small letters, without marks
COLUMNS = {
    "image": "image img file filename filepath imagepath imagename imageid path photo",
    "label": "label class category name",
    "x_min": "xmin left x1 bboxxmin",
    "y_min": "ymin top y1 bboxymin",
    "x_max": "xmax right x2 bboxxmax",
    "y_max": "ymax bottom y2 bboxymax",
}


class Boxes(NamedTuple):
    """The boxes of what is in a photograph."""

    boxes: np.ndarray  # (M, 4) float64: y_min, x_min, y_max, x_max, shares of height and width, in [0, 1]
    labels: tuple[str, ...]  # of each


class Annotated(NamedTuple):
    """A photograph and where its boxes are read."""

    photo: Path
    read: Callable[[], Boxes]  # raises DataError


Found = tuple[dict[str, list[Annotated]], list[str]]  # of each split its photographs; names of labels, [] if not known


def read_annotations(
    path: Path, on_bad_file: str = "error"
) -> tuple[dict[str, tuple[list[Path], list[Boxes]]], list[str], dict[Path, str]]:
    """Returns (of each split its photographs and their boxes, the names of labels, files that were left out -> why).

    Args:
        path: Of a file or a folder in one of the forms that EXPECTED tells.
        on_bad_file: "error", or "skip" to leave out photographs whose boxes or which themselves cannot be read.

    Raises:
        DataError: If it is none of these, or some cannot be read: names all of them.
    """
    splits, names = _found(path)
    bad: dict[Path, str] = {}
    read: dict[str, tuple[list[Path], list[Boxes]]] = {}
    for split, items in splits.items():
        photos, boxes = read.setdefault(split, ([], []))
        for item in items:
            try:
                of_photo = item.read()
            except DataError as error:
                bad[item.photo] = str(error)
            else:
                photos.append(item.photo)
                boxes.append(of_photo)
    count = sum(map(len, splits.values()))
    if not count:
        raise DataError(f"{one_line(path)} has no photographs with boxes; expected {EXPECTED}")
    if bad and (on_bad_file == "error" or len(bad) == count):
        raise DataError(complaint(bad, count, "photographs"))
    if bad:
        note_skipped(bad, count, "photographs")
    used = {label for _, boxes in read.values() for one in boxes for label in one.labels}
    return read, names or sorted(used), bad


def checked(boxes: Any, labels: Sequence[Any], name: str) -> Boxes:
    """Returns boxes, (M, 4) shares, cut off at the photograph's edges, without those that have no area.

    Raises:
        DataError: If they are no numbers, or one ends before it begins.
    """
    values = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not np.isfinite(values).all():
        raise DataError(f"{name} has a box with numbers that are not finite; expected four of each box")
    turned = (values[:, 2:] < values[:, :2]).any(1)
    if turned.any():
        raise DataError(f"{name} has a box that ends before it begins, its {turned.argmax() + 1}.; expected min <= max")
    values = np.clip(values, 0, 1)
    has_area = np.all(values[:, 2:] > values[:, :2], axis=1)
    return Boxes(values[has_area], tuple(str(label) for label, kept in zip(labels, has_area, strict=True) if kept))


def of_pixels(corners: Any, labels: Sequence[Any], size: tuple[float, float], name: str) -> Boxes:
    """Returns the boxes of corners (M, 4), x_min, y_min, x_max, y_max in pixels, of a photograph of (height, width)."""
    corners = np.asarray(corners, np.float64).reshape(-1, 4)
    if len(corners) and 0 < corners.max() <= 1:
        raise DataError(f"{name} has boxes of numbers up to {corners.max():g}; expected pixels, not shares")
    height, width = size
    return checked(corners[:, [1, 0, 3, 2]] / [height, width, height, width], labels, name)


def _found(path: Path) -> Found:
    """Returns what is in a file or a folder, in whatever form."""
    if path.is_file():
        if path.suffix.lower() == ".json":
            return _of_coco(path)
        if path.suffix.lower() in TABLE_ENDINGS:
            return _of_table(of_file(path))
    if not path.is_dir():
        raise DataError(f"{one_line(path)} is not such data; expected {EXPECTED}")
    folders = {name.lower(): path / name for name in sub_folders(path)}
    split_folders = {split_of(name): folder for name, folder in folders.items() if split_of(name)}
    if "annotations" in folders and any(folders["annotations"].glob("*.json")):
        return _joined({split_of_file(file) or "train": _of_coco(file) for file in _json_files(folders["annotations"])})
    if "annotations" in folders and any(folders["annotations"].glob("*.xml")):
        return _of_voc(path, folders["annotations"])
    if "labels" in folders and "images" in folders:
        return _of_yolo(path, folders["images"], folders["labels"])
    if "train" in split_folders:
        return _joined({split: _found(folder) for split, folder in split_folders.items()}, path)
    if files := _json_files(path):
        return _joined({split_of_file(file) or "train": _of_coco(file) for file in files})
    if any(path.glob("*.xml")):
        return _of_voc(path, path)
    tables = [file for file in list_files(path, deep=False) if file.suffix.lower() in TABLE_ENDINGS]
    if tables:
        return _joined({split_of_file(file) or "train": _of_table(of_file(file)) for file in tables})
    raise DataError(f"{one_line(path)} has no boxes; expected {EXPECTED}")


def split_of_file(path: Path) -> str:
    """Returns the split that a file's name tells: "instances_val2017.json" is of "validation"; "" for none."""
    words = "".join(letter if letter.isalpha() else " " for letter in path.stem).split()
    return next((split for split in SPLIT_NAMES if any(split_of(word) == split for word in words)), "")


def _json_files(folder: Path) -> list[Path]:
    return [file for file in list_files(folder, deep=False) if file.suffix.lower() == ".json"]


def _joined(parts: dict[str, Found], folder: Path | None = None) -> Found:
    """Returns several splits; names are those of the training split, or of a file beside them."""
    names = (_yolo_names(folder) if folder else []) or parts.get("train", next(iter(parts.values())))[1]
    return {split: [item for items in found[0].values() for item in items] for split, found in parts.items()}, names


# ---------------------------------------------------------------- COCO


def _of_coco(path: Path) -> Found:
    """Returns what a COCO file tells: https://cocodataset.org/#format-data. Boxes of crowds are left out."""
    try:
        content = json.loads(read_text_file(path))
        images = {image["id"]: image for image in content["images"]}
        names = {one["id"]: str(one["name"]) for one in sorted(content["categories"], key=lambda one: one["id"])}
        of_image: dict[Any, list[tuple[list[float], str]]] = {number: [] for number in images}
        crowds = 0
        for one in content["annotations"]:
            crowds += bool(one.get("iscrowd"))
            if not one.get("iscrowd"):
                of_image[one["image_id"]].append((one["bbox"], names[one["category_id"]]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{one_line(path)} is no COCO file: {type(error).__name__}: {error}; expected images, annotations with "
            "image_id, category_id and bbox, and categories"
        ) from None
    if crowds:
        print(f"note: {counted(crowds, 'boxes')} of crowds in {one_line(path)} are left out")
    used = {name for boxes in of_image.values() for _, name in boxes}
    folder = _folder_of([str(image["file_name"]) for image in images.values()], path)

    def reader(image: dict[str, Any], boxes: list[tuple[list[float], str]]) -> Callable[[], Boxes]:
        def read() -> Boxes:
            photo = folder / image["file_name"]
            size = _stated_size(image.get("height"), image.get("width"), photo)
            corners = [[x, y, x + w, y + h] for (x, y, w, h), _ in boxes]
            return of_pixels(corners, [name for _, name in boxes], size, one_line(image["file_name"]))

        return read

    items = [Annotated(folder / image["file_name"], reader(image, of_image[key])) for key, image in images.items()]
    return {"train": items}, [name for name in names.values() if name in used or len(used) < 2]


def _folder_of(files: list[str], path: Path) -> Path:
    """Returns the folder that the photographs of a COCO file are in: its own, or one nearby."""
    near = [path.parent, path.parent / "images", path.parent.parent, path.parent.parent / "images"]
    near += [folder / name for folder in near if folder.is_dir() for name in sub_folders(folder)]
    for folder in near:
        if files and (folder / files[0]).is_file():
            return folder
    raise DataError(
        f"the photographs of {one_line(path)}, {one_line(files[0]) if files else 'none'} first, are not beside it; "
        "expected them in its folder, or in images"
    )


# ---------------------------------------------------------------- Pascal VOC


def _of_voc(root: Path, annotations: Path) -> Found:
    """Returns what Pascal VOC's XML files tell; ImageSets/Main has the names of each split, where there are such."""
    photos = {file.stem: file for folder in (root, annotations) for file in list_files(folder) if _is_photo(file)}
    lists = {split_of(file.stem): file for file in sorted((root / "ImageSets" / "Main").glob("*.txt"))}
    lists = {split: file for split, file in lists.items() if split}
    named = {split: read_text_file(file).split() for split, file in lists.items()}
    if not named:
        named = {"train": [file.stem for file in list_files(annotations) if file.suffix.lower() == ".xml"]}

    def item(name: str) -> Annotated:
        file = annotations / f"{name}.xml"

        def read() -> Boxes:
            if name not in photos:
                raise DataError(f"there is no photograph of {one_line(file)}; expected {one_line(name)}.jpg or alike")
            try:
                content = file.read_bytes()
            except OSError as error:
                raise DataError(f"cannot read {one_line(file)}: {error.strerror}") from None
            return boxes_of_voc(content, one_line(file), photos[name])

        return Annotated(photos.get(name, file), read)

    return {split: [item(name) for name in names] for split, names in named.items()}, []


def boxes_of_voc(content: bytes, name: str, photo: Path | None = None) -> Boxes:
    """Returns the boxes of one of Pascal VOC's XML files, whose pixels are counted from 1 and of which the last counts.

    Args:
        content: Of the file.
        name: Of the file, for messages.
        photo: Whose size it is compared with; None: is what the file says.

    >>> boxes_of_voc(b"<annotation><size><width>4</width><height>2</height></size><object><name>a</name><bndbox>"
    ...     b"<xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>", "a.xml").boxes
    array([[0. , 0. , 1. , 0.5]])
    """
    try:
        root = ElementTree.fromstring(content)
        height, width = (float(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
        labels, corners = [], []
        for one in root.iter("object"):
            labels.append((one.findtext("name") or "").strip())
            corners.append([float(one.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")])
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{name} is no annotation of Pascal VOC: {error}; expected objects with name, bndbox") from None
    if "" in labels:
        raise DataError(f"{name} has an object without a name; expected one of each")
    size = _stated_size(height, width, photo) if photo else (height, width)
    from_zero = np.array(corners).reshape(-1, 4) - [1, 1, 0, 0]
    sizes = from_zero[:, 2:] - from_zero[:, :2]
    is_nothing = ((sizes >= 0) & (sizes <= 1)).any(1)  # xmin = xmax: drawn by a slip
    from_zero[is_nothing, 2:] = from_zero[is_nothing, :2]
    return of_pixels(from_zero, labels, size, name)


# ---------------------------------------------------------------- YOLO


def _of_yolo(root: Path, images: Path, labels: Path) -> Found:
    """Returns what YOLO's text files tell: of each photograph lines of `class x_centre y_centre width height`, shares.

    A photograph without a file, or whose file is empty, shows nothing.
    """
    names = _yolo_names(root) or _yolo_names(root.parent)
    splits: dict[str, list[Annotated]] = {}
    for photo in list_files(images):
        if _is_photo(photo):
            place = photo.relative_to(images)
            file = labels / place.with_suffix(".txt")
            split = split_of(place.parts[0]) if len(place.parts) > 1 else ""
            splits.setdefault(split or "train", []).append(Annotated(photo, _yolo_reader(file, names)))
    return splits, names


def _yolo_reader(file: Path, names: list[str]) -> Callable[[], Boxes]:
    def read() -> Boxes:
        labels, boxes = [], []
        lines = read_text_file(file).splitlines() if file.is_file() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                label, *values = (float(word) for word in line.split())
                index = int(label)
                if index != label or index < 0 or (names and index >= len(names)):
                    raise ValueError(f"class {label:g} of {len(names)}")
                if len(values) == 4:
                    (x, y), (w, h) = values[:2], values[2:]
                    box = [y - h / 2, x - w / 2, y + h / 2, x + w / 2]
                elif len(values) >= 6 and len(values) % 2 == 0:  # the corners of an outline
                    x_all, y_all = values[::2], values[1::2]
                    box = [min(y_all), min(x_all), max(y_all), max(x_all)]
                else:
                    raise ValueError(f"{len(values)} numbers after the class")
                if not (min(box) >= -0.01 and max(box) <= 1.01):
                    raise ValueError("a box beyond the photograph")
            except ValueError as error:
                raise DataError(
                    f"line {number} of {one_line(file)} is {line!r}: {error}; expected class x_centre y_centre width "
                    "height, the last four shares in [0, 1]"
                ) from None
            labels.append(names[index] if names else f"{index}")
            boxes.append(box)
        return checked(boxes, labels, one_line(file))

    return read


def _yolo_names(folder: Path) -> list[str]:
    """Returns the names of the classes of data.yaml or classes.txt in a folder; [] where there is none."""
    for file in ("data.yaml", "dataset.yaml", "data.yml"):
        if (folder / file).is_file():
            import yaml  # type: ignore[import-untyped]

            try:
                names = yaml.safe_load(read_text_file(folder / file))["names"]
            except (yaml.YAMLError, KeyError, TypeError) as error:
                raise DataError(f"{one_line(folder / file)} names no classes: {error}; expected `names:`") from None
            return [str(names[key]) for key in sorted(names)] if isinstance(names, dict) else list(map(str, names))
    for file in ("classes.txt", "obj.names"):
        if (folder / file).is_file():
            return [line.strip() for line in read_text_file(folder / file).splitlines() if line.strip()]
    return []


# ---------------------------------------------------------------- tables


def of_frame(table: Table) -> tuple[list[Path], list[Boxes]]:
    """Returns the photographs and boxes of a table in memory, which has a row for each box; see `_of_table`."""
    items = _of_table(table)[0]["train"]
    return [item.photo for item in items], [item.read() for item in items]


def _of_table(table: Table) -> Found:
    """Returns what a table tells that has a line for each box: the photograph, its corners in pixels, the label.

    A photograph that shows nothing has a line with its name alone.
    """
    columns = _columns(table)
    cells = table.read([columns[role] for role in COLUMNS], None)
    of_photo: dict[str, list[tuple[list[Any], Any]]] = {}
    for number, image, label, *corners in zip(cells.lines, *cells.columns, strict=True):
        if is_missing(image):
            raise DataError(f"{table.unit} {number} of {table.name} names no photograph; expected one")
        boxes = of_photo.setdefault(str(image), [])
        if is_missing(label) and all(map(is_missing, corners)):
            continue
        try:
            boxes.append(([float(value) for value in corners], str(label).strip()))
        except (TypeError, ValueError):
            raise DataError(
                f"{table.unit} {number} of {table.name} has the box {corners}; expected four numbers"
            ) from None
        if is_missing(label):
            raise DataError(f"{table.unit} {number} of {table.name} has a box without a label; expected one")

    def reader(photo: Path, boxes: list[tuple[list[Any], Any]]) -> Callable[[], Boxes]:
        def read() -> Boxes:
            size = upright_size(photo, one_line(photo))
            return of_pixels([box for box, _ in boxes], [label for _, label in boxes], size, one_line(photo))

        return read

    items = [Annotated(table.folder / name, reader(table.folder / name, boxes)) for name, boxes in of_photo.items()]
    return {"train": items}, []


def _columns(table: Table) -> dict[str, str]:
    """Returns what is in a column -> its name."""
    keys = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in table.names}
    chosen = {role: [keys[word] for word in words.split() if word in keys] for role, words in COLUMNS.items()}
    missing = [role for role, names in chosen.items() if not names]
    if missing:
        raise DataError(
            f"{table.name} has the columns {', '.join(map(one_line, table.names))} and none for {', '.join(missing)}; "
            f"expected {', '.join(COLUMNS)}: a line for each box, in pixels"
        )
    return {role: names[0] for role, names in chosen.items()}


# ---------------------------------------------------------------- photographs


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _stated_size(height: Any, width: Any, photo: Path) -> tuple[float, float]:
    """Returns (height, width) of the photograph that boxes were drawn on, which may have been shrunk since.

    Raises:
        DataError: If the photograph cannot be read, or has another shape: it was turned or cut.
    """
    real = upright_size(photo, one_line(photo))
    if not height or not width:
        return real
    if abs((height / width) / (real[0] / real[1]) - 1) > SAME_SHAPE:
        raise DataError(
            f"{one_line(photo)} is {real[1]:g}x{real[0]:g} pixels, upright, and its boxes are of one of "
            f"{width:g}x{height:g}; expected the photograph that they were drawn on"
        )
    return float(height), float(width)
