"""What `load_data` returns: three data sets, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from recipes.errors import ConfigError, DataError

if TYPE_CHECKING:
    import keras

    from recipes.data.tokenizers import Tokenizer


@dataclass(frozen=True)
class Sizes:
    """What of a model, and of its schedule, follows from the data, and so is no setting. 0 and (): not of this data."""

    train_examples: int = 0  # of an epoch: images, texts, windows of a text, words, captions
    image_shape: tuple[int, ...] = ()  # height, width, channels
    num_classes: int = 0
    vocab_size: int = 0  # tokens that the tokenizer knows

    def steps(self, epochs: int, batch_size: int) -> int:
        """Returns the number of training steps: the length of a learning rate's schedule."""
        return epochs * (self.train_examples // batch_size)


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
    follows: dict[str, Any] = field(default_factory=dict)  # what the data decides: the fields of `Sizes` that it has
    fingerprint: str = ""  # of the examples, to know the same data by; "" for a user's own Splits
    skipped: dict[str, str] = field(
        default_factory=dict
    )  # files left out -> why they cannot be read; the first of them
    tokenizer: Tokenizer | None = None  # of text: what its token ids stand for

    def sizes(self, unknown: Sizes) -> Sizes:
        """Returns the sizes of this data; where it does not know one, that of `unknown`."""
        names = {field.name for field in fields(Sizes)}
        known = {name: value for name, value in self.follows.items() if name in names}
        if "image_shape" in known:
            known["image_shape"] = tuple(known["image_shape"])  # a list in JSON
        return replace(unknown, **known)

    def known_tokenizer(self) -> Tokenizer:
        """Returns the tokenizer, refusing data that has none."""
        if self.tokenizer is None:
            raise ConfigError(f"{self.name} has no tokenizer; pass Splits whose info= has one")
        return self.tokenizer

    @property
    def stand_in_note(self) -> str:
        """Returns ", the stand-in for X", or nothing where the data is what was asked for."""
        return f", the stand-in for {self.stand_in_for}" if self.stand_in_for else ""

    def __str__(self) -> str:
        from recipes.data.file_names import printable

        sizes = ", ".join(f"{count:,} {split}" for split, count in self.examples.items())
        named = " ".join(word for word in (printable(self.name), self.version) if word)
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
    A run is resumed after a kill only with `train_from`, which enters the stream at any step.
    Data that comes about as a model trains, such as games that it plays against itself, has a `train_step` in place of
    `train`: see docs/adding_a_recipe.md.
    Batches are (inputs, targets). Of images: (B, H, W, C) uint8 in [0, 255] or float, and (B,) integer in
    [0, num_classes); of text: (B, T) int32 token ids, and what the recipe's `load_data` says.
    """

    train: Any  # a tf.data.Dataset; None with a `train_step`
    validation: tf.data.Dataset | None = None  # for choosing; None: none was held out
    test: tf.data.Dataset | None = None  # for reporting, once
    info: DataInfo = DataInfo("your own Splits")
    steps_per_epoch: int | None = None
    # (step, worker, workers) -> `train` from that step on; of each batch, the rows that are this worker's.
    train_from: Callable[[int, int, int], tf.data.Dataset] | None = None
    # (model, step) -> logs: makes the data of a step from its number, counted from the first epoch's first, and trains
    # on it. What it keeps from step to step must be in variables of the model, or a resumed run would not have it.
    train_step: Callable[[keras.Model, int], dict[str, float]] | None = None
    # the test split before it became tensors: what that is, its kind knows (sentence pairs, images with captions)
    originals: Any = None
    # the first images of the test split, where a model reads what stands for images
    first_images: np.ndarray | None = None

    @property
    def can_be_resumed(self) -> bool:
        """Whether a run on this data can be recognised and entered midway."""
        return bool((self.train_from or self.train_step) and self.info.fingerprint)

    def examples(self, count: int = 32) -> np.ndarray:
        """Returns the first inputs of the test split (of the validation or training split where there is none).

        Where a model reads what stands for images: the images themselves.
        """
        if self.first_images is not None:
            return self.first_images[:count]
        split = self.test or self.validation or self.train
        if split is None:
            return np.zeros((0,))  # it comes about in training
        inputs = split.map(lambda inputs, *_: tf.nest.flatten(inputs)[0])
        return next(iter(inputs.unbatch().take(count).padded_batch(count))).numpy()


def refuse_less_than_a_batch(count: int, batch_size: int, name: str) -> None:
    """Refuses a training split of `count` examples that does not fill one batch; `name` is the data's."""
    if count < batch_size:
        raise DataError(
            f"batch_size={batch_size} is more than the {count} training examples of {name}; expected at most {count}"
        )


def train_examples(splits: Splits, batch_size: int) -> dict[str, Any]:
    """Returns {"train_examples": of an epoch of a user's own Splits}, or {} where that is not known before it is read.

    Raises:
        DataError: If `train` is endless and no steps_per_epoch says where an epoch ends.
    """
    steps = splits.steps_per_epoch or int(splits.train.cardinality())
    if steps == tf.data.INFINITE_CARDINALITY:
        raise DataError("train is endless; give Splits a steps_per_epoch")
    return {"train_examples": steps * batch_size} if steps > 0 else {}
