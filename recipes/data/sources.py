"""Where examples come from: tensorflow-datasets, a user's arrays or folder, or the stand-in."""

import functools
import os
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from recipes.data.arrays import Arrays, Pair, from_arrays
from recipes.data.images import read_folder
from recipes.data.splits import DataInfo
from recipes.data.standins import STANDINS
from recipes.errors import DataError, did_you_mean

NETWORK_PROBE = "https://storage.googleapis.com"  # where tensorflow-datasets looks first
NETWORK_SECONDS = 8.0


def data_dir() -> Path:
    """Returns the tensorflow-datasets folder: `TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()


def find_images(
    dataset: str, *, standin: str, offline: str, image_shape: tuple[int, int, int], data: Any = None
) -> tuple[Arrays, DataInfo]:
    """Returns the examples of an image-classification data set and what they are.

    Args:
        dataset: A tensorflow-datasets name ("cifar10") or a stand-in's ("shapes", "digits").
        standin: The stand-in to use where the data set is neither on disk nor to be downloaded.
        offline: "stand-in" to use it, "error" to refuse.
        image_shape: (H, W, C) that images of varying size are resized to.
        data: A user's own data instead: a folder with a sub-folder per class; arrays `(images, labels)`, or two or
            three such pairs: training, (validation,) test. Images are (N, H, W) or (N, H, W, C) in [0, 255].

    Raises:
        DataError: If the data is unknown, unavailable with offline="error", damaged or of another kind.
    """
    if isinstance(data, (str, Path)):
        arrays = read_folder(data, image_shape)
        return arrays, DataInfo(str(Path(data).resolve()), source="folder", label_names=arrays.label_names)
    if data is not None:
        arrays = from_arrays(data)
        return arrays, DataInfo("your own arrays", label_names=arrays.label_names)
    if dataset in STANDINS:
        return _standin(dataset)
    if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.]+)?", dataset):
        raise _unknown(dataset)
    builder = _on_disk(dataset)
    if builder is None:
        reason = _download(dataset)
        if reason and offline == "error":
            raise DataError(
                f"{dataset} is not in {data_dir()} and cannot be downloaded: {reason}. Connect to a network, point "
                f"TFDS_DATA_DIR to a folder that holds it, or allow the stand-in with offline='stand-in'"
            )
        if reason:
            print(_box(dataset, standin, reason))
            return _standin(standin, stand_in_for=dataset, reason=reason)
        builder = _on_disk(dataset)
    return _read(builder, image_shape)


def all_for_testing(data: Any, image_shape: tuple[int, int, int]) -> tuple[Pair, tuple[str, ...]]:
    """Returns (the examples, the label names) to evaluate on: the test split of a user's data, or all of it."""
    arrays = read_folder(data, image_shape) if isinstance(data, (str, Path)) else from_arrays(data)
    return arrays.test or arrays.train, arrays.label_names


def network_problem(seconds: float = NETWORK_SECONDS) -> str:
    """Returns why there is no network, or "" where there is; answers within `seconds` (TFDS alone retries minutes)."""
    answer = [f"no answer from {NETWORK_PROBE} in {seconds:.0f} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(NETWORK_PROBE, timeout=seconds).close()
        except urllib.error.HTTPError:  # an answer all the same
            answer[0] = ""
        except (OSError, ValueError) as error:
            answer[0] = f"no network ({getattr(error, 'reason', error)})"
        else:
            answer[0] = ""

    thread = threading.Thread(target=probe, daemon=True)  # resolving a name can hang beyond any time-out of ours
    thread.start()
    thread.join(seconds)
    return answer[0]


def prepared_datasets() -> list[str]:
    """Returns the names of the data sets in `data_dir()`."""
    return sorted({path.relative_to(data_dir()).parts[0] for path in data_dir().glob("*/**/dataset_info.json")})


def _standin(name: str, stand_in_for: str = "", reason: str = "") -> tuple[Arrays, DataInfo]:
    arrays = _generate(name)
    return arrays, DataInfo(
        name, source="stand-in", stand_in_for=stand_in_for, reason=reason, label_names=arrays.label_names
    )


@functools.lru_cache(maxsize=2)
def _generate(name: str) -> Arrays:
    return STANDINS[name]()


def _on_disk(dataset: str) -> Any:
    """Returns the tfds builder of a data set that is prepared on disk, or None. Never asks the network."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.read_only_builder import builder_from_files

    try:
        return builder_from_files(dataset, data_dir=data_dir())
    except (tfds.core.DatasetNotFoundError, FileNotFoundError):
        return None
    except Exception as error:  # whatever a torn dataset_info.json makes of it
        raise _damaged(dataset, error) from error


def _download(dataset: str) -> str:
    """Downloads and prepares a data set; returns "" or why it could not be."""
    import tensorflow_datasets as tfds

    if re.split("[/:]", dataset)[0] not in tfds.list_builders(with_community_datasets=False):
        raise _unknown(dataset)
    reason = network_problem()
    if reason:
        return reason
    try:
        builder = tfds.builder(dataset, data_dir=data_dir())
        _check_kind(builder)
        print(f"downloading {dataset} to {data_dir()}")
        builder.download_and_prepare()
    except DataError:
        raise
    except Exception as error:  # a server that is down, a checksum, a disk that is full: TFDS keeps nothing half-made
        return f"the download failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _read(builder: Any, image_shape: tuple[int, int, int]) -> tuple[Arrays, DataInfo]:
    """Returns the splits of a prepared data set as arrays."""
    image, label = _check_kind(builder)
    fixed = None not in image.shape
    shape = tuple(image.shape) if fixed else image_shape
    splits = builder.info.splits
    needed = sum(split.num_examples for split in splits.values()) * int(np.prod(shape))
    if needed > psutil.virtual_memory().available / 2:
        raise DataError(
            f"{builder.name} needs {needed / 2**30:.1f} GiB of memory at {shape}, more than half of what is free; "
            "choose a smaller image_shape, or pass your own Splits as data="
        )
    if "train" not in splits:
        raise DataError(f"{builder.name} has the splits {', '.join(splits)}; expected one named 'train'")

    def read(split: str) -> Pair:
        def example(features: dict) -> tuple[tf.Tensor, tf.Tensor]:
            pixels = features["image"]
            if not fixed:
                pixels = tf.cast(tf.round(tf.image.resize(pixels, shape[:2], antialias=True)), tf.uint8)
            return pixels, tf.cast(features["label"], tf.int32)

        dataset = builder.as_dataset(split=split).map(example, num_parallel_calls=tf.data.AUTOTUNE)
        count = splits[split].num_examples
        images, labels = next(iter(dataset.batch(count)))
        if len(images) != count:
            raise ValueError(f"{split} has {len(images)} examples, {count} were expected")
        return images.numpy(), labels.numpy()

    try:
        train = read("train")
        validation = read("validation") if "validation" in splits else None
        test = read("test") if "test" in splits else None
    except (tf.errors.OpError, OSError, ValueError, StopIteration) as error:
        raise _damaged(builder.name, error) from error
    names = tuple(label.names)
    return Arrays(train, validation, test, names), DataInfo(
        builder.name, version=str(builder.version), source="tfds", label_names=names
    )


def _check_kind(builder: Any) -> tuple[Any, Any]:
    """Returns the features "image" and "label" of a data set, refusing one of another kind."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise DataError(
            f"{builder.name} has the features {', '.join(features)}; expected an image-classification data set with "
            "an 'image' and a 'label'"
        )
    return image, label


def _unknown(dataset: str) -> DataError:
    import tensorflow_datasets as tfds

    near = did_you_mean(dataset, [*tfds.list_builders(with_community_datasets=False), *STANDINS])
    return DataError(
        f"unknown data set {dataset!r}{near}; expected a name from the catalogue of tensorflow-datasets, or "
        f"{' or '.join(map(repr, STANDINS))}"
    )


def _damaged(dataset: str, error: Exception) -> DataError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"{dataset} in {data_dir()} is damaged: {first[:300]}. Delete {data_dir() / dataset} and run again to get it "
        "anew"
    )


def _box(dataset: str, standin: str, reason: str) -> str:
    lines = [
        f"{dataset} is not in {data_dir()} and cannot be downloaded:",
        f"  {reason}",
        f"Using the stand-in {standin!r} instead. Its figures say nothing about {dataset}.",
        "To refuse stand-ins: offline='error' (--offline error).",
    ]
    width = max(map(len, lines))
    rule = "+" + "-" * (width + 2) + "+"
    return "\n".join([rule, *(f"| {line:<{width}} |" for line in lines), rule])
