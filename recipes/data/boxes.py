"""Photographs with boxes around what is in them: read from wherever they are, and batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.bad_files import listed
from recipes.data.box_files import Boxes, of_frame, of_pixels, read_annotations
from recipes.data.folder_entries import by_split
from recipes.data.folders import setting_of
from recipes.data.image_batches import eval_batches, train_batches
from recipes.data.image_files import decode_bytes
from recipes.data.image_items import resized, upright_size
from recipes.data.in_memory import Arrays, Columns, EvaluationData, fingerprint, three_way
from recipes.data.lazy_images import LazyImages, identity_of_files, of_files, of_items, of_records
from recipes.data.read_once import read_once
from recipes.data.sources import Kind, find_arrays, read_splits, stays_in_memory
from recipes.data.splits import DataInfo, Splits, refuse_less_than_a_batch, train_examples
from recipes.data.standins.groups import groups
from recipes.data.tables import as_table
from recipes.data.tfds_records import Records, identity_of_split, in_file_order
from recipes.errors import DataError

NONE = -1  # the label of a row of boxes that has no box any more

#: (images (B, H, W, C), boxes (B, M, 4), labels (B, M)), seed (2,), worker, workers -> the same, changed
Change = Callable[[tuple[tf.Tensor, ...], tf.Tensor, int, int], tuple[tf.Tensor, ...]]

#: (boxes (B, M, 4), labels (B, M)) -> what a model is to answer, (B, A, 5)
Encode = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def box_splits(
    config: Any,
    data: Any = None,
    *,
    augment: Change,
    encoder: Callable[[tuple[int, ...]], Encode],
) -> Splits:
    """Returns batches of (images (B, H, W, 3) uint8, targets (B, A, 5) float32); `originals` are the test boxes.

    Boxes are (y_min, x_min, y_max, x_max), shares of height and width; of a photograph with fewer than others the rest
    has the label -1.

    Args:
        config: Reads `dataset`, `offline`, `on_bad_file`, `in_memory`, `validation_fraction`, `max_examples`,
            `image_shape`, `batch_size` and `seed`.
        data: A user's own: a folder or a file, see `box_files`; `(images, boxes, labels)`, boxes (M, 4) of each image,
            x_min, y_min, x_max, y_max in its pixels; a DataFrame with a row for each box; two or three of any:
            training, (validation,) test; or Splits of such batches.
        augment: Changes training batches.
        encoder: Image shape -> the function that makes targets.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return _own_splits(data, config)
    arrays, info = find_boxes(config, data)
    train, validation, test = three_way(arrays, config.validation_fraction, config.max_examples, stratified=False)
    count, image_shape = len(train[0]), tuple(train[0].shape[1:])
    refuse_less_than_a_batch(count, config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(columns[0]) for split, columns in named.items() if columns},
        follows={"image_shape": image_shape, "num_classes": len(info.label_names), "train_examples": count},
        fingerprint=arrays.fingerprint(train, validation),
    )
    encode = encoder(image_shape)

    def change(batch: tuple[tf.Tensor, ...], seed: tf.Tensor, worker: int, workers: int) -> tuple[tf.Tensor, ...]:
        images, boxes, labels = augment(batch, seed, worker, workers)
        return images, encode(boxes, labels)

    def evaluated(columns: Columns) -> tf.data.Dataset:
        batches = eval_batches(columns, config.batch_size)
        return batches.map(lambda images, boxes, labels: (images, encode(boxes, labels)))

    train_from = train_batches(train, config.batch_size, config.seed, mixing=change)
    return Splits(
        train=train_from(0, 0, 1),
        validation=evaluated(validation) if validation else None,
        test=evaluated(test),
        info=info,
        steps_per_epoch=count // config.batch_size,
        train_from=train_from,
        originals=(np.asarray(test[1]), np.asarray(test[2])),
    )


def find_boxes(config: Any, data: Any) -> tuple[Arrays, DataInfo]:
    """Returns (columns of images, boxes (N, M, 4) float32 and labels (N, M) int32; what they are)."""
    shape, in_memory = tuple(config.image_shape), config.in_memory
    if isinstance(data, Arrays):  # of `evaluation_boxes`
        return data, DataInfo("your own photographs with boxes", label_names=data.label_names)
    if isinstance(data, (str, Path)):
        path = Path(data)
        key = ("boxes", str(path.absolute()), shape, config.on_bad_file, in_memory)
        arrays = read_once(key, lambda: _of_path(path, shape, config.on_bad_file, in_memory))
        source = "file" if path.is_file() else "folder"
        return arrays, DataInfo(
            str(path.resolve()), source=source, label_names=arrays.label_names, skipped=listed(arrays.skipped)
        )
    if data is not None:
        arrays = _of_memory(data, shape, in_memory)
        return arrays, DataInfo("your own photographs with boxes", label_names=arrays.label_names)
    import recipes.data.tfds.bccd  # noqa: F401 - makes the name known

    kind = Kind(_check, lambda builder: _of_tfds(builder, shape, in_memory), {"groups": groups})
    return find_arrays(
        config.dataset, kind, standin="groups", offline=config.offline, reads_as=("boxes", shape, in_memory)
    )


def evaluation_boxes(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate on: the test split of a user's data, or all of it."""
    shape, names = tuple(model.input_shape[1:]), model.run.info.label_names if hasattr(model, "run") else ()
    how = setting_of(model, "on_bad_file", "error"), setting_of(model, "in_memory", "auto")
    if isinstance(data, (str, Path)):
        arrays = _of_path(Path(data), shape, *how, names)
    else:
        arrays = _of_memory(data, shape, how[1], names)
    test = arrays.test or arrays.train
    return EvaluationData(Arrays(test, test=test, label_names=arrays.label_names), len(test[0]))


# ---------------------------------------------------------------- sources


def _of_path(
    path: Path, shape: tuple[int, ...], on_bad_file: str, in_memory: str, names: tuple[str, ...] = ()
) -> Arrays:
    """Returns the splits of a folder or a file; `names` are those of a trained model's labels."""
    splits, known, bad = read_annotations(path, on_bad_file)
    if "train" not in splits and len(splits) > 1:
        raise DataError(f"{path} has the splits {', '.join(splits)} and no train; expected train, or one split alone")
    if "train" not in splits:
        splits = {"train": next(iter(splits.values()))}
    names = names or tuple(known)
    columns = {}
    for split, (photos, boxes) in splits.items():
        identity = identity_of_files(photos, path if path.is_dir() else path.parent)
        images = of_files(photos, shape, identity)  # type: ignore[arg-type]
        if on_bad_file == "skip" and (broken := images.unreadable()):
            bad |= {photos[place]: why for place, why in broken.items()}
            kept = [place for place in range(len(photos)) if place not in broken]
            images, boxes = images[kept], [boxes[place] for place in kept]
        columns[split] = (_held(images, str(path), in_memory), *padded(boxes, names, str(path)))
    return _arrays(columns, names)._replace(skipped=bad)


def _of_memory(data: Any, shape: tuple[int, ...], in_memory: str, names: tuple[str, ...] = ()) -> Arrays:
    """Returns a user's objects, one split of them or two or three."""
    parts = [data] if _is_part(data) else data
    if not isinstance(parts, (tuple, list)) or not 1 <= len(parts) <= 3 or not all(map(_is_part, parts)):
        raise DataError(
            f"data is a {type(data).__name__}; expected a folder, a file, a DataFrame with a row for each box, "
            "(images, boxes, labels), or two or three such: training, (validation,) test"
        )
    read: list[tuple[Any, list[Boxes]]] = []
    for part in parts:
        table = as_table(part) if not isinstance(part, (tuple, list)) else None
        if table is not None:
            photos, boxes = of_frame(table)
            read.append((of_files(photos, shape, identity_of_files(photos)), boxes))  # type: ignore[arg-type]
        else:
            images, corners, labels = part
            read.append(_of_columns(images, corners, labels, shape))
    names = names or tuple(sorted({label for _, boxes in read for one in boxes for label in one.labels}))
    columns = [(_held(images, "data", in_memory), *padded(boxes, names, "data")) for images, boxes in read]
    return _arrays(by_split(columns), names)


def _is_part(data: Any) -> bool:
    if isinstance(data, (tuple, list)):
        return len(data) == 3 and not any(map(_is_part, data)) and len({len(column) for column in data}) == 1
    return as_table(data) is not None


def _of_columns(images: Any, boxes: Any, labels: Any, shape: tuple[int, ...]) -> tuple[Any, list[Boxes]]:
    """Returns the (images, boxes) of a user's columns, one row for each image."""
    read = []
    for place, (image, corners, of_each) in enumerate(zip(images, boxes, labels, strict=True)):
        if len(corners) != len(of_each):
            raise DataError(f"image {place} has {len(corners)} boxes and {len(of_each)} labels; expected one of each")
        read.append(of_pixels(corners, list(of_each), upright_size(image, f"image {place}"), f"image {place}"))
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return resized(images, shape).round().astype(np.uint8), read  # type: ignore[arg-type]
    return of_items(images, shape), read  # type: ignore[arg-type]


def _of_tfds(builder: Any, shape: tuple[int, ...], in_memory: str) -> Arrays:
    """Returns the splits of a prepared data set."""
    import tensorflow_datasets as tfds

    names = tuple(builder.info.features["objects"].feature["label"].names)
    no_images = {"image": tfds.decode.SkipDecoding()}

    def decode(encoded: bytes) -> np.ndarray:
        return np.rint(decode_bytes(encoded, shape, f"an image of {builder.name}")).astype(np.uint8)  # type: ignore[arg-type]

    def read(split: str) -> Columns:
        boxes = []
        for features in in_file_order(builder, split, no_images).as_numpy_iterator():
            there = features["objects"]
            boxes.append(Boxes(there["bbox"], tuple(names[label] for label in there["label"])))
        images = of_records(Records(builder, split), shape, decode)
        return (_held(images, builder.name, in_memory), *padded(boxes, names, builder.name))

    identity = " ".join(identity_of_split(builder, split) for split in builder.info.splits)
    return Arrays(*read_splits(builder, read), names, identity=fingerprint(identity, str(shape)))


def _check(builder: Any) -> None:
    """Refuses a data set without boxes that have labels."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    there = dict(getattr(features.get("objects"), "feature", None) or {})
    if not isinstance(there.get("label"), tfds.features.ClassLabel) or "bbox" not in there:
        raise DataError(
            f"{builder.name} has the features {', '.join(features)}; expected an 'image', and 'objects' with a 'bbox' "
            "and a 'label' each"
        )


def _held(images: Any, name: str, in_memory: str) -> Any:
    """Returns images, decoded now where they are kept in memory."""
    if not isinstance(images, LazyImages):
        return images
    return images.stacked() if stays_in_memory(name, 2 * int(np.prod(images.shape)), in_memory) else images


def _arrays(columns: dict[str, Columns], names: tuple[str, ...]) -> Arrays:
    if not names:
        raise DataError("data has no boxes at all; expected some in the training split")
    return Arrays(columns["train"], columns.get("validation"), columns.get("test"), names)


def padded(boxes: Sequence[Boxes], names: Sequence[str], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (boxes (N, M, 4) float32, labels (N, M) int32), M of the photograph that has most; -1 where is no more.

    Raises:
        DataError: If a label is none of the names.
    """
    most = max(1, *(len(one.boxes) for one in boxes))
    places, numbers = np.zeros((len(boxes), most, 4), np.float32), np.full((len(boxes), most), NONE, np.int32)
    number_of = {label: number for number, label in enumerate(names)}
    for row, one in enumerate(boxes):
        unknown = [label for label in one.labels if label not in number_of]
        if unknown:
            raise DataError(f"{name} has a box of {unknown[0]!r}; expected one of {', '.join(names)}")
        places[row, : len(one.boxes)] = one.boxes
        numbers[row, : len(one.boxes)] = [number_of[label] for label in one.labels]
    return places, numbers


def _own_splits(splits: Splits, config: Any) -> Splits:
    """Returns a user's own Splits with the sizes that a model must have, refusing those that do not fit."""
    spec = splits.train.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and spec[0].shape.rank == 4 and spec[1].shape.rank == 3):
        raise DataError(
            f"train holds {spec}; expected batches of (images (B, H, W, 3), targets (B, A, 5)), as load_data makes them"
        )
    if not splits.info.label_names:
        raise DataError("the info of Splits names no labels; expected label_names=, one for each class")
    follows = {"image_shape": tuple(spec[0].shape[1:]), "num_classes": len(splits.info.label_names)}
    follows |= train_examples(splits, config.batch_size)
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))
