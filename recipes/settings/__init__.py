"""Settings by name: checked when they are made, changed by name, written and read back.

A recipe's `Config` is a frozen dataclass that inherits `Settings`, the fields that every run has. A field's type says
what its values may be, range included (`Count`, `Share`, ...), and pydantic checks it wherever the value comes from:
Python, the command line, a file or Keras Tuner. `--help`, `recipes config` and report.md show a field's comment.
"""

import functools
import inspect
import json
import re
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from recipes.errors import ConfigError, did_you_mean

SettingsT = TypeVar("SettingsT", bound="Settings")

# ---------------------------------------------------------------- what a value may be

Count = Annotated[int, Field(ge=1)]  # 1, 2, 3, ...
Natural = Annotated[int, Field(ge=0)]  # 0, 1, 2, ...
Share = Annotated[float, Field(ge=0, lt=1)]  # of a whole, never all of it
Between = Annotated[float, Field(gt=0, lt=1)]  # of a whole, neither nothing nor all of it
Strength = Annotated[float, Field(ge=0, le=1)]  # from nothing to the most
ValidationShare = Annotated[float, Field(ge=0, le=0.9)]  # so much may be held out
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
VocabSize = Annotated[int, Field(ge=2)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1)]  # one number or more
Seed = Annotated[int, Field(ge=0, lt=2**31)]
ImageShape = tuple[Count, Count, Count]  # height, width, channels


@dataclass(frozen=True)
class Settings:
    """What every run has. A recipe's `Config` adds what its data and its model have, and its own defaults."""

    dataset: str = ""  # data set of tensorflow-datasets, or a stand-in's name
    max_examples: Count | None = None  # most examples of each split to use; None: all
    batch_size: Count = 128  # examples per step, over all replicas
    epochs: Count = 1  # passes over the training split
    seed: Seed = 0  # decides on first weights, order, augmentation and dropout
    offline: Literal["stand-in", "error"] = "stand-in"  # the data set cannot be had: train on its stand-in, or stop
    on_bad_file: Literal["error", "skip"] = "error"  # a file in a folder cannot be read: stop, or leave it out
    in_memory: Literal["auto", "yes", "no"] = "auto"  # keep examples there; auto: in less than half of what is free
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: NotNegative = 60.0  # a checkpoint to resume from at most so often, in seconds
    checkpoint_steps: Count | None = None  # and one every so many steps; None: by time alone
    # how any recipe may be trained; docs/training.md says what each does
    early_stopping: Count | None = None  # training ends after so many epochs that are no better; None: it does not
    average_weights: Between | None = None  # momentum of the average of the weights that is kept, as 0.999; None: none
    accumulate_steps: Count = 1  # batches whose gradients together make an update
    clip_norm: Positive | None = None  # gradients are clipped to this norm, all weights together; None: not at all
    constant_rate: bool = False  # learning_rate stays, for callbacks to change; False: the recipe's own schedule

    former: ClassVar[dict[str, Any]] = {}  # settings of older runs that are none any more; see `read_config_of_run`

    def __post_init__(self) -> None:
        """Refuses a wrong type or range; lists become tuples, and whole numbers floats where these are declared."""
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in fields(self):
            value = _check(field.name, _as_declared(getattr(self, field.name), hints[field.name]), hints[field.name])
            object.__setattr__(self, field.name, value)  # frozen for users; this runs while it is being made
        if self.constant_rate:
            self.refuse_without_effect("warmup_fraction", "constant_rate=True has no schedule", without=0.0)

    def refuse_without_effect(self, names: str, why: str, without: Any = None) -> None:
        """Refuses settings that would change nothing beside the others: those of `names` must be at their defaults.

        Args:
            names: Names of fields, with spaces between.
            why: "SGD has one rate for all".
            without: A value that says the same as leaving them out.
        """
        for field in fields(self):
            if field.name in names.split() and getattr(self, field.name) not in (field.default, without):
                raise WithoutEffectError(field.name, getattr(self, field.name), why)


@dataclass(frozen=True)
class Labelled(Settings):
    """What every run on labelled examples has."""

    task: Literal["auto", "classification", "multi_label", "regression"] = "auto"  # auto: what the labels look like
    class_weight: Literal["none", "balanced"] = "none"  # balanced: all classes weigh the same, however many each has
    label_smoothing: Share = 0.0  # probability that the targets spread over all classes; 0: none
    label_column: str = ""  # of a table: the labels; "": guessed, and said
    label_separator: str = ""  # of a table: stands between several labels of one example; "": each has one
    weight_column: str = ""  # of a table: how much each example counts; "": all the same

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_for_task(self.task)

    def refuse_for_task(self, task: str) -> None:
        """Refuses settings that would change nothing in a task: "classification", "multi_label" or "regression"."""
        if task == "regression":
            self.refuse_without_effect("class_weight label_smoothing", "a number has no classes", without=0.0)
        if task == "multi_label":
            self.refuse_without_effect("class_weight", "an example of several labels is of no one class")


class WithoutEffectError(ConfigError):
    """A setting that would change nothing."""

    def __init__(self, name: str, value: Any, why: str) -> None:
        super().__init__(f"{name}={value!r} would change nothing: {why}. Leave it out, or change that")
        self.name = name


# ---------------------------------------------------------------- of a kind of data: columns of a table, augmentation


@dataclass(frozen=True)
class Images(Settings):
    """Settings of a recipe that learns from images alone."""

    image_column: str = ""  # of a table: images, or their paths from its folder on; "": guessed, and said


@dataclass(frozen=True)
class CaptionedImages(Images):
    """Settings of a recipe that learns from images with captions."""

    caption_column: str = ""  # of a table: a caption, or a list of them; "": guessed, and said


@dataclass(frozen=True)
class LabelledImages(Labelled):
    """Settings of a recipe that learns from images with labels."""

    image_column: str = ""  # of a table: images, or their paths from its folder on; "": guessed, and said
    rand_augment: Strength = 0.0  # strength of two operations drawn for each image (RandAugment); 0: none
    mixup: NotNegative = 0.0  # alpha of mixup, as 0.2: images and labels are mixed in pairs; 0: they are not
    cutmix: NotNegative = 0.0  # alpha of CutMix, as 1: a box of each image is another's; 0: none


@dataclass(frozen=True)
class PlainText(Settings):
    """Settings of a recipe that learns from one long text."""

    text_column: str = ""  # of a table: texts, which become one, a line each; "": guessed, and said


@dataclass(frozen=True)
class LabelledTexts(Labelled):
    """Settings of a recipe that learns from texts with labels."""

    text_column: str = ""  # of a table: the texts; "": guessed, and said


@dataclass(frozen=True)
class SentencePairs(Settings):
    """Settings of a recipe that learns from pairs of sentences."""

    source_column: str = ""  # of a table: what is translated; "": guessed, and said
    target_column: str = ""  # of a table: its translations; "": guessed, and said


# ---------------------------------------------------------------- change, write, read


def with_changes(config: SettingsT, **changes: Any) -> SettingsT:
    """Returns a copy of a config with the named fields changed.

    Raises:
        ConfigError: For a name that the config does not have (the nearest one is named), a wrong type or range, or a
            setting that would change nothing.
    """
    names = [field.name for field in fields(config)]
    for name in changes:
        if name not in names:
            raise ConfigError(f"unknown setting {name!r}{did_you_mean(name, names)}. Settings: {', '.join(names)}")
    return replace(config, **changes)


def read_config(config_class: type[SettingsT], path: str | Path) -> SettingsT:
    """Returns the config in a JSON file: a run's config.json, or a search's best.json.

    Raises:
        ConfigError: If the file is missing, is not JSON, or has a field that the config does not have.
    """
    return with_changes(config_class(), **read_values(path))


def read_config_of_run(config_class: type[SettingsT], path: str | Path) -> SettingsT:
    """Returns the config of a run, of an older version of the recipe too.

    What follows the data was a setting once, and is in data.json; what had no effect was not refused; and what a
    recipe has had is in its Config's `former`: name -> the only value that it may have had, or None for any.

    Raises:
        ConfigError: As `read_config`.
    """
    values = read_values(path)
    own = {field.name for field in fields(config_class)}
    for name, expected in {**dict.fromkeys(FOLLOWED_THE_DATA), **config_class.former}.items():
        if name in values and name not in own and (expected is None or values[name] == expected):
            del values[name]
    if "image_shape" in own and "on_bad_file" not in values:  # before version 0.3: it followed the data, too
        values.pop("image_shape", None)
    while True:
        try:
            return with_changes(config_class(), **values)
        except WithoutEffectError as error:
            del values[error.name]


#: Fields of configs before version 0.2 that the data decided.
FOLLOWED_THE_DATA = ("image_shape", "num_classes", "train_examples", "vocab_size")


def read_values(path: str | Path) -> dict[str, Any]:
    """Returns the settings in a JSON file, not checked yet."""
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a JSON file of settings: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("config"), dict):  # best.json of a search
        values = values["config"]
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a JSON {type(values).__name__}; expected an object of settings")
    return values


def comments(config_class: type) -> dict[str, str]:
    """Returns each field's comment from the source: its unit and special values. A field without one has its base's."""
    by_name: dict[str, str] = {}
    for kind in reversed(config_class.__mro__[:-1]):
        for line in inspect.getsource(kind).splitlines():
            if match := re.match(r"    (\w+): [^#]*?#\s*(.*)", line):
                by_name[match[1]] = match[2]
    return {field.name: by_name[field.name] for field in fields(config_class) if field.name in by_name}


def meanings(config_class: type[Settings]) -> dict[str, str]:
    """Returns each field's comment and, of a number, its range: "passes over the training split (>= 1)"."""
    hints = _hints(config_class)  # type: ignore[arg-type]
    try:
        explained = comments(config_class)
    except OSError:  # a Config typed into a notebook has no source file
        explained = {}
    return {field.name: explained.get(field.name, "") + _interval(hints[field.name]) for field in fields(config_class)}


# ---------------------------------------------------------------- checks

#: What a user may look for and Keras 3 does not have -> what to take.
IMPOSSIBLE = {
    "parameter_server": ". Keras 3 cannot train with parameter servers; 'multi_worker' trains on several machines"
}


@functools.cache
def _hints(config_class: Any) -> dict[str, Any]:
    return get_type_hints(config_class, include_extras=True)


@functools.cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(Annotated[hint, Field()], config=ConfigDict(strict=True, allow_inf_nan=False))


def _check(name: str, value: Any, hint: Any) -> Any:
    """Returns a value as pydantic has it, or raises the ConfigError that names the field, the value and the range."""
    try:
        if isinstance(value, bool) and bool not in (hint, *get_args(hint)):  # which Python takes for 0 or 1
            raise ConfigError(f"{name}={value!r} is a bool; expected {_readable(hint)}")
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        kinds = {detail["type"] for detail in error.errors()}
        if kinds & {"greater_than_equal", "greater_than", "less_than_equal", "less_than", "finite_number"}:
            expected = "a finite number" if "finite_number" in kinds else _bounds(hint)
            raise ConfigError(f"{name}={value!r} is out of range; expected {expected}") from None
        if "too_short" in kinds:
            raise ConfigError(f"{name}={value!r} is empty; expected at least one number") from None
    instead = IMPOSSIBLE.get(value, "") if isinstance(value, str) else ""
    got = "is unknown" if get_origin(hint) is Literal and isinstance(value, str) else f"is a {type(value).__name__}"
    raise ConfigError(f"{name}={value!r} {got}; expected {_readable(hint)}{instead}") from None


def _limits(hint: Any) -> dict[str, float]:
    """Returns the limits that stand in a type, or in the types that it is made of: {"ge": 0, "lt": 1}."""
    limits: dict[str, float] = {}
    for metadata in getattr(hint, "__metadata__", ()):
        for limit in getattr(metadata, "metadata", ()):
            limits |= {key: getattr(limit, key) for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)}
    for part in get_args(hint):
        limits = {**_limits(part), **limits}
    return limits


def _bounds(hint: Any) -> str:
    """Returns a type's limits as a sentence has them: "at least 0 and less than 1"."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{words[key]} {limit}" for key, limit in _limits(hint).items())


def _interval(hint: Any) -> str:
    """Returns a type's limits in short: " (>= 1)", ", in [0, 1)"; "" for none."""
    limits = _limits(hint)
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if low is None:
        return ""
    if high is None:
        return f" ({'>=' if 'ge' in limits else '>'} {low})"
    return f", in {'[' if 'ge' in limits else '('}{low}, {high}{']' if 'le' in limits else ')'}"


def _as_declared(value: Any, hint: Any) -> Any:
    """Returns the value with lists as tuples, and NumPy and whole numbers as the declared Python number."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_as_declared(item, get_args(hint)[0]) for item in value)
    if isinstance(value, (list, tuple)) and any(get_origin(part) is tuple for part in get_args(hint)):  # tuple | None
        return tuple(_as_declared(item, int) for item in value)
    if isinstance(value, bool):
        return value
    if hint is float and isinstance(value, Real):
        return float(value)
    if isinstance(value, Integral):
        return int(value)
    return value


def _readable(hint: Any) -> str:
    """Returns a type in words, without the ranges that it is declared with."""
    if get_origin(hint) is Annotated:
        return _readable(get_args(hint)[0])
    if isinstance(hint, type) and not get_args(hint):
        return "None" if hint is type(None) else hint.__name__
    if get_origin(hint) is tuple:
        return f"tuple[{', '.join('...' if part is Ellipsis else _readable(part) for part in get_args(hint))}]"
    if get_origin(hint) is Literal:
        *others, last = map(repr, get_args(hint))
        return f"{', '.join(others)} or {last}" if others else last
    return " | ".join(map(_readable, get_args(hint))) if get_args(hint) else str(hint).replace("typing.", "")
