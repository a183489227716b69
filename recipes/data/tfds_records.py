"""Examples of a prepared data set of tensorflow-datasets in any order, without reading those before them."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.in_memory import fingerprint
from recipes.devices.environment import cache_dir


def in_file_order(builder: Any, split: str, decoders: Any = None) -> tf.data.Dataset:
    """Returns the examples of a split as they stand in its files, one file after the other."""
    import tensorflow_datasets as tfds

    if is_array_record(builder):
        if isinstance(decoders, tfds.decode.PartialDecoding):  # which it does not know
            decoders = {"image": tfds.decode.SkipDecoding()} if "image" in builder.info.features else None
        source = builder.as_data_source(split, decoders=decoders)
        kinds = tf.nest.map_structure(tf.convert_to_tensor, source[0])
        spec = tf.nest.map_structure(lambda value: tf.TensorSpec([None] * value.shape.rank, value.dtype), kinds)
        return tf.data.Dataset.from_generator(
            lambda: (source[row] for row in range(len(source))), output_signature=spec
        )
    read_config = tfds.ReadConfig(interleave_cycle_length=1)
    return builder.as_dataset(split=split, decoders=decoders, shuffle_files=False, read_config=read_config)


def is_array_record(builder: Any) -> bool:
    """Returns whether a data set is in array_record files, which are made to be read in any order."""
    import tensorflow_datasets as tfds

    return builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD


class Records:
    """The examples of a split, in the order of its files; `[row]` reads one: its features, images not decoded.

    TFRecord files are read through once for an index of where each record begins, which is kept beside other caches.

    Args:
        builder: Its tfds builder.
        split: Its name.

    Raises:
        ValueError: If files do not hold what tensorflow-datasets says of them.
    """

    def __init__(self, builder: Any, split: str) -> None:
        import tensorflow_datasets as tfds

        self.builder, self.features, self.split = builder, builder.info.features, builder.info.splits[split]
        self.decoders = {"image": tfds.decode.SkipDecoding()} if "image" in self.features else None
        self.identity = identity_of_split(builder, split)
        self.source: Any = None
        self.paths = [os.fspath(path) for path in self.split.filepaths]
        if is_array_record(builder):
            self.source = builder.as_data_source(split, decoders=self.decoders)
        else:
            self.files, self.starts, self.sizes = _kept_index(self.paths, self.split.shard_lengths)

    def __len__(self) -> int:
        return self.split.num_examples

    def __getitem__(self, row: int) -> dict[str, Any]:
        if self.source is not None:
            return self.source[row]
        record = _read_at(self.paths[self.files[row]], int(self.starts[row]), int(self.sizes[row]))
        return self.features.deserialize_example_np(record, decoders=self.decoders)

    def column(self, name: str) -> np.ndarray:
        """Returns a small feature of all examples, (N,): every file is read through, and its checksums are checked."""
        import tensorflow_datasets as tfds

        alone = tfds.decode.PartialDecoding({name: True})
        values = [batch[name].numpy() for batch in in_file_order(self.builder, self.split.name, alone).batch(4096)]
        if sum(map(len, values)) != len(self):
            raise ValueError(f"{self.split.name} has {sum(map(len, values))} examples, {len(self)} were expected")
        return np.concatenate(values)


def identity_of_split(builder: Any, split: str) -> str:
    """Returns a text that differs where the split of a data set does: in its version, or in its files' sizes."""
    info = builder.info.splits[split]
    return f"{builder.info.full_name} {split} {info.num_bytes} {list(info.shard_lengths)}"


def _kept_index(paths: list[str], lengths: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (file, first byte, bytes) of each record, from the cache where the files are as they were."""
    states = [f"{path} {(status := Path(path).stat()).st_size} {status.st_mtime_ns}" for path in paths]
    kept = cache_dir() / "records" / f"{fingerprint(*states)}.npz"
    try:
        with np.load(kept) as arrays:
            index = arrays["files"], arrays["starts"], arrays["sizes"]
        if all(len(column) == sum(lengths) for column in index):
            return index
    except Exception:  # there is none, or it is damaged: it is made
        pass
    index = make_index(paths, lengths)
    part = kept.with_suffix(f".{os.getpid()}.npz")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(part, files=index[0], starts=index[1], sizes=index[2])
        part.replace(kept)
    except OSError:  # a full disk, or one that is only read: it is made again next time
        part.unlink(missing_ok=True)
    return index


def make_index(paths: list[str], lengths: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (file, first byte, bytes) of each record of some TFRecord files, (N,) integer each.

    A record is its length in 8 bytes, a checksum of that in 4, its content, and a checksum of that in 4.

    Args:
        paths: Of the files.
        lengths: How many records each of them must have.

    Raises:
        ValueError: If one has not.
    """
    starts: list[int] = []
    sizes: list[int] = []
    for path, expected in zip(paths, lengths, strict=True):
        before, end, position = len(starts), Path(path).stat().st_size, 0
        with Path(path).open("rb") as file:
            while position < end:
                file.seek(position)
                header = file.read(12)
                size = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else end
                if position + 16 + size > end:
                    raise ValueError(f"{Path(path).name} breaks off in record {len(starts) - before}")
                starts.append(position + 12)
                sizes.append(size)
                position += 16 + size
        if len(starts) - before != expected:
            raise ValueError(f"{Path(path).name} has {len(starts) - before} examples, {expected} were expected")
    files = np.repeat(np.arange(len(paths), dtype=np.int32), lengths)
    return files, np.array(starts, np.int64), np.array(sizes, np.int64)


def _read_at(path: str, start: int, size: int) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.pread(file, size, start)
    finally:
        os.close(file)
