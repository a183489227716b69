"""Settings by name: checked when made, changed by name, written and read back.

A recipe's `Config` is a frozen dataclass that calls `check_config(self)` in its `__post_init__`, so a wrong type or
a value out of range is refused wherever it comes from: Python, the command line, a file or Keras Tuner.
"""

import inspect
import json
import re
from dataclasses import asdict, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import typeguard

from recipes.errors import ConfigError, did_you_mean
from recipes.runs.atomic_files import write_json

ConfigT = TypeVar("ConfigT")

#: Field name -> (lowest, highest) that its value, or each value of a tuple, may have. None: no bound.
#: A name means the same in every recipe, so its range stands here once.
RANGES: dict[str, tuple[float | None, float | None]] = {
    "attention_penalty": (0, None),
    "attention_units": (1, None),
    "batch_size": (1, None),
    "beta": (0, None),
    "checkpoint_seconds": (0, None),
    "checkpoint_steps": (1, None),
    "clip_norm": (1e-6, None),
    "crop_padding": (0, None),
    "dropout": (0, 0.999),
    "embed_dim": (1, None),
    "entropy_weight": (0, None),
    "epochs": (1, None),
    "ff_dim": (1, None),
    "filters": (1, None),
    "image_shape": (1, None),
    "image_size": (8, None),
    "label_smoothing": (0, 0.999),
    "latent_dim": (1, None),
    "learning_rate": (1e-12, None),
    "max_examples": (1, None),
    "modules": (1, None),
    "momentum": (0, 0.9999),
    "negatives": (1, None),
    "noise": (0, 10),
    "num_classes": (2, None),
    "num_heads": (1, None),
    "num_layers": (1, None),
    "policy_weight": (0, None),
    "seed": (0, 2**31 - 1),
    "sequence_length": (1, None),
    "state_dropout": (0, 0.999),
    "subsampling": (0, 1),
    "train_examples": (1, None),
    "units": (1, None),
    "validation_fraction": (0, 0.9),
    "vocab_size": (2, None),
    "warmup_fraction": (0, 1),
    "weight_decay": (0, None),
    "width": (0.01, None),
    "window": (1, None),
    "word_dropout": (0, 0.999),
}


#: What a user may look for and Keras 3 does not have -> what to take.
IMPOSSIBLE = {
    "parameter_server": ". Keras 3 cannot train with parameter servers; 'multi_worker' trains on several machines"
}


def check_config(config: Any) -> None:
    """Refuses a wrong type or range; turns lists (from JSON) into tuples and whole numbers into floats where declared.

    Args:
        config: A dataclass instance; its `__post_init__` calls this.

    Raises:
        ConfigError: Names the field, the value got and what was expected.
    """
    for name, hint in get_type_hints(type(config)).items():
        value = _as_declared(getattr(config, name), hint)
        try:
            if isinstance(value, bool) and hint is not bool:
                raise typeguard.TypeCheckError("is a bool")
            typeguard.check_type(value, hint, collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS)
        except typeguard.TypeCheckError:
            instead = IMPOSSIBLE.get(value, "") if isinstance(value, str) else ""
            raise ConfigError(
                f"{name}={value!r} is a {type(value).__name__}; expected {_readable(hint)}{instead}"
            ) from None
        _check_range(name, value)
        object.__setattr__(config, name, value)  # frozen for users; this runs while it is being made


def change(config: ConfigT, **changes: Any) -> ConfigT:
    """Returns a copy of a config with the named fields changed.

    Raises:
        ConfigError: For a name that the config does not have (the nearest one is named), a wrong type or range.
    """
    names = [field.name for field in fields(config)]  # type: ignore[arg-type]
    for name in changes:
        if name not in names:
            raise ConfigError(f"unknown setting {name!r}{did_you_mean(name, names)}. Settings: {', '.join(names)}")
    return replace(config, **changes)  # type: ignore[type-var]


def comments(config_class: type) -> dict[str, str]:
    """Returns each field's comment from the source: its unit, range and special values."""
    lines = inspect.getsource(config_class).splitlines()
    found = (re.match(r"    (\w+): [^#]*?#\s*(.*)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def write_config(config: Any, path: Path) -> None:
    """Writes a config as JSON."""
    write_json(path, asdict(config))


def read_config(config_class: type[ConfigT], path: str | Path) -> ConfigT:
    """Returns the config that `write_config` or `tune` wrote.

    Raises:
        ConfigError: If the file is missing, is not JSON, or has a field that the config does not have.
    """
    try:
        values = json.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not a JSON file of settings: {error}") from None
    if isinstance(values, dict) and isinstance(values.get("config"), dict):  # best.json of a search
        values = values["config"]
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a JSON {type(values).__name__}; expected an object of settings")
    return change(config_class(), **values)


def _as_declared(value: Any, hint: Any) -> Any:
    """Returns the value with lists as tuples, and numpy and whole numbers as the declared Python number."""
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_as_declared(item, get_args(hint)[0]) for item in value)
    if isinstance(value, bool):
        return value
    if hint is float and isinstance(value, Real):
        return float(value)
    if isinstance(value, Integral):
        return int(value)
    return value


def _check_range(name: str, value: Any) -> None:
    if name == "filters" and value == ():  # where no `units` is a linear model, no `filters` is none at all
        raise ConfigError("filters=() is empty; expected at least one number")
    lowest, highest = RANGES.get(name, (None, None))
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            continue
        too_low, too_high = lowest is not None and number < lowest, highest is not None and number > highest
        if too_low or too_high or number != number or number in (float("inf"), float("-inf")):
            expected = " and ".join(
                [f"at least {lowest}"] * (lowest is not None) + [f"at most {highest}"] * (highest is not None)
            )
            raise ConfigError(f"{name}={value!r} is out of range; expected {expected or 'a finite number'}")


def _readable(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
