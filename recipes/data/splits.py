"""What `load_data` returns: three data sets, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from recipes.errors import ConfigError, DataError, one_line

if TYPE_CHECKING:
    import keras

    from recipes.data.tokenizers import Tokenizer


ENOUGH_STEPS = 10  # of an epoch


@dataclass(frozen=True)
class Sizes:
    """What of a model, and of its schedule, follows from the data, and so is no setting. 0 and (): not of this data."""

    train_examples: int = 0  # of an epoch: images, texts, windows of a text, words, captions
    image_shape: tuple[int, ...] = ()  # height, width, channels
    num_classes: int = 0  # of several labels for each example: how many labels there are
    vocab_size: int = 0  # tokens that the tokenizer knows
    task: str = "classification"  # or "multi_label", or "regression": what the labels are
    columns: tuple[int, ...] = ()  # of a table of features: how many categories each has; 0: a number, -1: or none
    target_mean: float = 0.0  # regression: of the training labels
    target_std: float = 1.0  # likewise; above 0

    @property
    def num_outputs(self) -> int:
        """The width of a model's last layer: a logit for each class or label; 1 for a number."""
        return 1 if self.task == "regression" else self.num_classes

    def steps(self, epochs: int, batch_size: int) -> int:
        """Returns the number of training steps: the length of a learning rate's schedule."""
        return epochs * (self.train_examples // batch_size)


@dataclass(frozen=True)
class DataInfo:
    """What the examples are and where they came from; every artefact of a run says it."""

    name: str  # the TFDS name, the stand-in's name, the path of the folder or file, or "your own arrays"
    version: str = ""  # TFDS version; "" where there is none
    source: str = "user"  # "tfds", "stand-in", "folder", "file", or "user" for what is not found again by its name
    stand_in_for: str = ""  # the data set that was asked for and could not be had; "" for none
    reason: str = ""  # why it could not be had
    examples: dict[str, int] = field(default_factory=dict)  # split -> number of examples
    label_names: tuple[str, ...] = ()  # by class index
    follows: dict[str, Any] = field(default_factory=dict)  # what the data decides: the fields of `Sizes` that it has
    fingerprint: str = ""  # of the examples, to know the same data by; "" for a user's own Splits
    skipped: dict[str, str] = field(default_factory=dict)  # the first files left out -> why they cannot be read
    tokenizer: Tokenizer | None = None  # of text: what its token ids stand for

    @property
    def path(self) -> str | None:
        """Where the examples are read again; None for those that were no folder or file."""
        return self.name if self.source in ("folder", "file") else None

    def sizes(self, unknown: Sizes) -> Sizes:
        """Returns the sizes of this data; where it does not know one, that of `unknown`."""
        names = {field.name for field in fields(Sizes)}
        known = {name: value for name, value in self.follows.items() if name in names}
        known |= {name: tuple(value) for name, value in known.items() if isinstance(value, list)}  # as JSON has it
        return replace(unknown, **known)

    @property
    def task(self) -> str:
        """What the labels are: "classification", "multi_label" or "regression"."""
        return self.follows.get("task", "classification")

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
        sizes = ", ".join(f"{count:,} {split}" for split, count in self.examples.items())
        named = " ".join(word for word in (one_line(self.name), self.version) if word)
        return f"{named}{self.stand_in_note}" + (f" ({sizes} examples)" if sizes else "")

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
    Batches are (inputs, targets), or with the weights (B,) of the examples after them. Of images: (B, H, W, C) uint8 in
    [0, 255] or float, and (B,) integer in [0, num_classes), or as `label_follows` says; of text: (B, T) int32 token
    ids, and what the recipe's `load_data` says.
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


def number_of_classes(splits: Splits, known: int = 0) -> int:
    """Returns how many classes a user's own Splits of (inputs, class indices) have.

    The validation and test splits are read through, for their labels; the training split where nobody says how many
    classes there are, else its first batch.

    Args:
        splits: The user's.
        known: As many as their info names; 0: read it from an epoch.

    Raises:
        DataError: If a split is endless or empty, or has labels below 0 or beyond the classes.
    """
    epoch = splits.train.take(1 if known else splits.steps_per_epoch or -1)
    parts = {"train": epoch, "validation": splits.validation, "test": splits.test}
    classes, whose = known, "its info names"
    for name, split in parts.items():
        if split is None:
            continue
        if split.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise DataError(f"{name} is endless; expected each of its examples once")
        lowest, highest = _label_range(split)
        if lowest > highest:
            raise DataError(f"{name} holds no examples; expected at least one batch")
        if not classes:
            classes, whose = max(2, highest + 1), "train has"
        if lowest < 0 or highest >= classes:
            reach = f"reach {highest}" if lowest >= 0 else f"go down to {lowest}"
            raise DataError(
                f"the labels of {name} {reach}, and {whose} {classes} classes; expected labels from 0 to {classes - 1}"
            )
    return classes


def label_follows(splits: Splits, task: str = "auto") -> dict[str, Any]:
    """Returns what follows from the labels of a user's own Splits, of any kind, by the names that `Sizes` has for it.

    Integers (B,) are class indices, see `number_of_classes`. Floats (B,) or (B, 1) are numbers to predict, whose mean
    and deviation are taken over an epoch. (B, V) are the probabilities of classes where each row adds up to 1, one-hot
    ones among them, and else 0 and 1 for each of several labels; an epoch is looked through.

    Args:
        splits: The user's.
        task: What the labels are; "auto": what they look like.
    """
    label, task = splits.train.element_spec[1], splits.info.follows.get("task", task)
    wide = label.shape.rank == 2 and label.shape[1] != 1
    if label.dtype.is_integer and not wide and task != "regression":
        known = splits.info.follows.get("num_classes", len(splits.info.label_names))
        return {"num_classes": number_of_classes(splits, known)}
    batches = (batch[1].numpy().astype(np.float64) for batch in splits.train.take(splits.steps_per_epoch or -1))
    values = np.concatenate([np.zeros((0, *label.shape[1:])), *batches])
    if not len(values) or not np.isfinite(values).all():
        raise DataError("train has no labels, or some that are no finite numbers; expected one for each example")
    if not wide:
        return {"task": "regression", "target_mean": float(values.mean()), "target_std": float(values.std()) or 1.0}
    if task == "auto":
        adds_up = np.allclose(values.sum(1), 1, atol=1e-3) and (values >= 0).all()
        task = "classification" if adds_up else "multi_label"
        print(
            f"note: labels are rows of {values.shape[1]} that {'' if adds_up else 'do not '}add up to 1: task={task!r}"
        )
    if task == "multi_label" and not np.isin(values, (0, 1)).all():
        raise DataError(
            "train has rows of labels with other numbers than 0 and 1; expected these, or rows that add up to 1"
        )
    return {"num_classes": values.shape[1], **({"task": task} if task == "multi_label" else {})}


def _label_range(batches: tf.data.Dataset) -> tuple[int, int]:
    """Returns the least and the greatest label of batches (inputs, labels); the greatest below the least for none."""

    def both(state: tuple[tf.Tensor, tf.Tensor], batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        labels = tf.cast(batch[1], tf.int64)  # of none, the least is the greatest number there is
        return tf.minimum(state[0], tf.reduce_min(labels)), tf.maximum(state[1], tf.reduce_max(labels))

    lowest, highest = batches.reduce((tf.int64.max, tf.int64.min), both)
    return int(lowest), int(highest)


def few_steps_note(splits: Splits, batch_size: int) -> str:
    """Returns what to do about an epoch of a few steps; "" where there are enough, or nothing is to be done.

    A model that is updated once an epoch learns little, and its batch norm's averages lag behind it.
    """
    steps = splits.steps_per_epoch or 0
    better = 2 ** int(np.log2(max(1, splits.info.follows.get("train_examples", 0) // ENOUGH_STEPS)))
    if not 0 < steps < ENOUGH_STEPS or better >= batch_size:
        return ""
    return (
        f"note: an epoch has {steps} step{'s' * (steps > 1)} of batch_size={batch_size}: few updates, and little is "
        f"learned; try batch_size={better}"
    )
