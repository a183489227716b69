"""Where examples come from: tensorflow-datasets, or the stand-in; a `Kind` says what examples are expected."""

import functools
import os
import re
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from recipes.data.free_memory import refuse_if_too_large
from recipes.data.in_memory import Arrays, Columns
from recipes.data.read_once import read_once
from recipes.data.splits import DataInfo
from recipes.data.tfds_records import in_file_order
from recipes.errors import DataError, did_you_mean

NETWORK_PROBE = "https://storage.googleapis.com"  # where tensorflow-datasets looks first
NETWORK_SECONDS = 8.0


def data_dir() -> Path:
    """Returns the tensorflow-datasets folder: `TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()


class Kind(NamedTuple):
    """A kind of data set: what tells one, how it is read, and what there is in place of one."""

    check: Callable[[Any], Any]  # tfds builder -> refuses (DataError) one of another kind
    read: Callable[[Any], Arrays]  # tfds builder of a prepared one -> its examples
    standins: Mapping[str, Callable[[], Arrays]]  # by name


def find_arrays(
    dataset: str, kind: Kind, *, standin: str, offline: str, reads_as: tuple[Any, ...] | None = None
) -> tuple[Arrays, DataInfo]:
    """Returns the examples of a data set and what they are; see `read_once`.

    Args:
        dataset: A tensorflow-datasets name, as `tfds.load` takes it ("cifar10", "mnist:3.*.*", "glue/sst2"), or a
            stand-in's ("shapes").
        kind: What is expected.
        standin: The stand-in to use where the data set is neither on disk nor to be downloaded.
        offline: "stand-in" to use it, "error" to refuse.
        reads_as: What decides, beside these, what is read; None: it is read anew in every process.

    Raises:
        DataError: If the data is unknown, unavailable with offline="error", damaged or of another kind.
    """
    if reads_as is None:
        return _find(dataset, kind, standin, offline)
    return read_once((dataset, standin, offline, *reads_as), lambda: _find(dataset, kind, standin, offline))


def _find(dataset: str, kind: Kind, standin: str, offline: str) -> tuple[Arrays, DataInfo]:
    if dataset in kind.standins:
        return _standin(dataset, kind)
    _check_name(dataset, kind)
    builder = _on_disk(dataset)
    if builder is None:
        reason = _download(dataset, kind)
        if reason and offline == "error":
            raise DataError(
                f"{dataset} is not in {data_dir()} and cannot be downloaded: {reason.removesuffix('.')}. Connect to a "
                "network, point TFDS_DATA_DIR to a folder that holds it, or allow the stand-in with offline='stand-in'"
            )
        if reason:
            print(_box(dataset, standin, reason))
            return _standin(standin, kind, stand_in_for=dataset, reason=reason)
        builder = _on_disk(dataset)
    kind.check(builder)
    if "train" not in builder.info.splits:
        raise DataError(f"{builder.name} has the splits {', '.join(builder.info.splits)}; expected one named 'train'")
    try:
        arrays = kind.read(builder)
    except (tf.errors.OpError, OSError, ValueError, StopIteration) as error:
        raise _damaged(builder.name, error) from error
    config = builder.info.config_name  # "2012" of "voc/2012"; a default one is not in the name that was asked for
    name = f"{builder.name}/{config}" if config and f"/{config}" in dataset else builder.name
    info = DataInfo(name, version=str(builder.version), source="tfds", label_names=arrays.label_names)
    return arrays, info


def stays_in_memory(name: str, needed: int, in_memory: str) -> bool:
    """Returns whether examples that need so many bytes are kept in memory, as the setting `in_memory` has it.

    Raises:
        DataError: If they are to be, and need more than half of the memory that is free.
    """
    try:
        refuse_if_too_large(name, needed, "read it from the disk instead with in_memory='no'")
    except DataError:
        if in_memory == "yes":
            raise
        if in_memory == "auto":
            print(f"note: {name} needs {needed / 2**30:.1f} GiB, more than half of the free memory: it stays on disk")
        return False
    return in_memory != "no"


def read_splits(builder: Any, read: Callable[[str], Columns]) -> tuple[Columns, Columns | None, Columns | None]:
    """Returns the training, validation and test examples of a prepared data set; `read` reads a split by its name."""
    there = builder.info.splits
    validation, test = (read(name) if name in there else None for name in ("validation", "test"))
    return read("train"), validation, test


def read_columns(
    builder: Any,
    split: str,
    example: Callable[[dict], tuple[tf.Tensor, ...]],
    decode: Callable[[Iterable[bytes]], Iterable[np.ndarray]] | None = None,
) -> Columns:
    """Returns the examples of a split as columns of equal length, in memory.

    Args:
        builder: Its tfds builder.
        split: Its name.
        example: The features of an example -> its values, one for each column.
        decode: Decodes the feature "image", the first column, in place of tensorflow-datasets.
    """
    import tensorflow_datasets as tfds

    decoders = {"image": tfds.decode.SkipDecoding()} if decode else None
    dataset = in_file_order(builder, split, decoders).map(example, num_parallel_calls=tf.data.AUTOTUNE)
    count = builder.info.splits[split].num_examples
    columns = next(iter(dataset.batch(count)))
    if len(columns[0]) != count:
        raise ValueError(f"{split} has {len(columns[0])} examples, {count} were expected")
    first, *rest = (column.numpy() for column in columns)
    return (np.stack([*decode(first)]) if decode else first, *rest)


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


def _standin(name: str, kind: Kind, stand_in_for: str = "", reason: str = "") -> tuple[Arrays, DataInfo]:
    arrays = _generate(kind.standins[name])
    return arrays, DataInfo(
        name, source="stand-in", stand_in_for=stand_in_for, reason=reason, label_names=arrays.label_names
    )


@functools.lru_cache(maxsize=2)
def _generate(standin: Callable[[], Arrays]) -> Arrays:
    return standin()


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


def _check_name(dataset: str, kind: Kind) -> None:
    """Refuses what is no name of a data set, of ours or of tensorflow-datasets'."""
    from tensorflow_datasets.core.naming import parse_builder_name_kwargs

    if "[" in dataset:
        raise DataError(
            f"dataset={dataset!r} is a part of a split; expected a data set's name: max_examples takes some of "
            "each split"
        )
    try:
        name, arguments = parse_builder_name_kwargs(dataset)
    except ValueError:
        raise _unknown(dataset, kind) from None
    if name.namespace:
        raise DataError(
            f"dataset={dataset!r} is of the namespace {name.namespace!r}, and no data sets of namespaces are read; "
            "expected a name from the catalogue of tensorflow-datasets, or what you load yourself as data="
        )
    if arguments.keys() - {"config", "version"}:
        raise DataError(
            f"dataset={dataset!r} has arguments of its own; expected NAME, NAME/CONFIG or NAME/CONFIG:VERSION"
        )


def _download(dataset: str, kind: Kind) -> str:
    """Downloads and prepares a data set; returns "" or why it could not be."""
    import tensorflow_datasets as tfds

    try:
        builder_class = tfds.builder_cls(re.split("[/:]", dataset)[0])
        by_hand = builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS
        builder = tfds.builder(dataset, data_dir=data_dir())
    except tfds.core.DatasetNotFoundError:
        raise _unknown(dataset, kind) from None
    except (AssertionError, TypeError, ValueError) as error:  # no such version, no such config
        why = str(error).splitlines()[0].rpartition('": ')[2].partition(". Here are")[0]
        raise DataError(f"tensorflow-datasets has no {dataset}: {why}") from None
    there = data_dir() / "downloads" / "manual"
    if not (by_hand and there.is_dir() and any(there.iterdir())):
        reason = network_problem()
        if by_hand and (reason or not getattr(builder_class, "DOWNLOADS_BY_ITSELF", False)):
            return f"{reason or 'it is downloaded by hand'}. {' '.join(by_hand.split())}"
        if reason:
            return reason
    try:
        kind.check(builder)
        print(f"downloading {dataset} to {data_dir()}")
        builder.download_and_prepare()
    except DataError:
        raise
    except Exception as error:  # a server that is down, a checksum, a disk that is full: TFDS keeps nothing half-made
        return f"the download failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _unknown(dataset: str, kind: Kind) -> DataError:
    import tensorflow_datasets as tfds

    near = did_you_mean(
        re.split("[/:]", dataset)[0], [*tfds.list_builders(with_community_datasets=False), *kind.standins]
    )
    return DataError(
        f"unknown data set {dataset!r}{near}; expected a name from the catalogue of tensorflow-datasets, or "
        f"{' or '.join(map(repr, kind.standins))}"
    )


def _damaged(dataset: str, error: Exception) -> DataError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    folder = data_dir() / re.split("[/:]", dataset)[0]
    return DataError(
        f"{dataset} in {data_dir()} is damaged: {first[:300]}. Delete {folder} and run again to get it anew"
    )


def _box(dataset: str, standin: str, reason: str) -> str:
    lines = [
        f"{dataset} is not in {data_dir()} and cannot be downloaded:",
        *textwrap.wrap(reason, 100, initial_indent="  ", subsequent_indent="  "),
        f"Using the stand-in {standin!r} instead. Its figures say nothing about {dataset}.",
        "To refuse stand-ins: offline='error' (--offline error).",
    ]
    width = max(map(len, lines))
    rule = "+" + "-" * (width + 2) + "+"
    return "\n".join([rule, *(f"| {line:<{width}} |" for line in lines), rule])
