"""What `load_data` returns: three data sets, and what they are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.tokenizers import Tokenizer
from recipes.errors import DataError


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
    tokenizer: Tokenizer | None = None  # of text: what its token ids stand for

    @property
    def stand_in_note(self) -> str:
        """Returns ", the stand-in for X", or nothing where the data is what was asked for."""
        return f", the stand-in for {self.stand_in_for}" if self.stand_in_for else ""

    def __str__(self) -> str:
        sizes = ", ".join(f"{count:,} {split}" for split, count in self.examples.items())
        named = " ".join(word for word in (self.name, self.version) if word)
        return f"{named}{self.stand_in_note}" + (f" ({sizes})" if sizes else "")

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, ready for JSON, but for the tokenizer, which has a file of its own."""
        values = asdict(replace(self, tokenizer=None))
        return {name: value for name, value in values.items() if name != "tokenizer"}


@dataclass(frozen=True)
class Splits:
    """Training, validation and test data, kept apart.

    Ours: `train` is endless, epoch after epoch, in an order that follows from (seed, epoch, step), and
    `steps_per_epoch` says where an epoch ends. A user's own `train` may be finite; `steps_per_epoch` is then None.
    A run is continued after a kill only with `train_from`, which enters the stream at any step.
    Batches are (inputs, targets). Of images: (B, H, W, C) uint8 in [0, 255] or float, and (B,) integer in
    [0, num_classes); of text: (B, T) int32 token ids, and what the recipe's `load_data` says.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None = None  # for choosing; None: none was held out
    test: tf.data.Dataset | None = None  # for reporting, once
    info: DataInfo = DataInfo("your own Splits")
    steps_per_epoch: int | None = None
    # (step, worker, workers) -> `train` from that step on; of each batch, the rows that are this worker's.
    train_from: Callable[[int, int, int], tf.data.Dataset] | None = None
    # of translation: the sources and targets of the test split as they are written, to score translations by
    texts: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    # of captions: the images of the test split, and what people said of each; a `recipes.data.captions.Gallery`
    gallery: Any = None

    def examples(self, count: int = 32) -> np.ndarray:
        """Returns the first inputs of the test split (of the validation or training split where there is none).

        Where a model reads what stands for images: the images themselves.
        """
        if self.gallery is not None:
            return self.gallery.images[:count]
        split = self.test or self.validation or self.train
        inputs = split.map(lambda inputs, *_: tf.nest.flatten(inputs)[0])
        return next(iter(inputs.unbatch().take(count).padded_batch(count))).numpy()


def train_examples(splits: Splits, batch_size: int) -> dict[str, Any]:
    """Returns {"train_examples": of an epoch of a user's own Splits}, or {} where that is not known before it is read.

    Raises:
        DataError: If `train` is endless and no steps_per_epoch says where an epoch ends.
    """
    steps = splits.steps_per_epoch or int(splits.train.cardinality())
    if steps == tf.data.INFINITE_CARDINALITY:
        raise DataError("train is endless; give Splits a steps_per_epoch")
    return {"train_examples": steps * batch_size} if steps > 0 else {}
