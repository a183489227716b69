"""What `load_data` returns: three data sets, and what they are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class DataInfo:
    """What the examples are and where they came from; every artefact of a run says it."""

    name: str  # the TFDS name, the stand-in's name, the folder, or "arrays"
    version: str = ""  # TFDS version; "" where there is none
    source: str = "user"  # "tfds", "stand-in", "folder" or "user"
    stand_in_for: str = ""  # the data set that was asked for and could not be had; "" for none
    reason: str = ""  # why it could not be had
    examples: dict[str, int] = field(default_factory=dict)  # split -> number of examples
    label_names: tuple[str, ...] = ()  # by class index
    follows: dict[str, Any] = field(default_factory=dict)  # Config fields that the data decides, such as num_classes
    fingerprint: str = ""  # of the examples, to know the same data by; "" for a user's own Splits

    @property
    def stand_in_note(self) -> str:
        """Returns ", the stand-in for X", or nothing where the data is what was asked for."""
        return f", the stand-in for {self.stand_in_for}" if self.stand_in_for else ""

    def __str__(self) -> str:
        sizes = ", ".join(f"{count:,} {split}" for split, count in self.examples.items())
        named = " ".join(word for word in (self.name, self.version) if word)
        return f"{named}{self.stand_in_note}" + (f" ({sizes})" if sizes else "")

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Splits:
    """Training, validation and test data, kept apart.

    Ours: `train` is endless, epoch after epoch, in an order that follows from (seed, epoch, step), and
    `steps_per_epoch` says where an epoch ends. A user's own `train` may be finite; `steps_per_epoch` is then None.
    A run is continued after a kill only with `train_from`, which enters the stream at any step.
    Batches are (image, label): (B, H, W, C) uint8 in [0, 255] or float, and (B,) integer in [0, num_classes).
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None = None  # for choosing; None: none was held out
    test: tf.data.Dataset | None = None  # for reporting, once
    info: DataInfo = DataInfo("your own Splits")
    steps_per_epoch: int | None = None
    # (step, worker, workers) -> `train` from that step on; of each batch, the rows that are this worker's.
    train_from: Callable[[int, int, int], tf.data.Dataset] | None = None

    def examples(self, count: int = 32) -> np.ndarray:
        """Returns the first images of the test split (of the validation or training split where there is none)."""
        split = self.test or self.validation or self.train
        return next(iter(split.unbatch().batch(count)))[0].numpy()
