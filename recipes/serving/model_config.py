"""Which models are served: every one of a folder, or those of TensorFlow Serving's model config file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.serving.status import ServingError, invalid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelConfig:
    """A model: its name, where its versions are, and which of them are wanted."""

    name: str
    base_path: Path  # holds a folder for each version, named by its number
    latest: int = 1  # how many of the highest versions; 0: all of them
    versions: tuple[int, ...] = ()  # exactly these instead
    labels: Mapping[str, int] = field(default_factory=dict)  # label -> version

    def wanted(self) -> dict[int, Path]:
        """Returns the folders of the versions that are wanted and there, highest first."""
        there = versions_in(self.base_path)
        if self.versions:
            return {number: path for number, path in there.items() if number in self.versions}
        return dict(list(there.items())[: self.latest or None])


def versions_in(base_path: Path) -> dict[int, Path]:
    """Returns the folders of a base path whose names are numbers, highest first; of one number, the last name."""
    there: dict[int, Path] = {}
    try:
        for path in sorted(base_path.iterdir()):
            if path.name.isascii() and path.name.isdigit() and path.is_dir():
                if int(path.name) in there:
                    log.warning("%s and %s are one version; the second is served", there[int(path.name)], path)
                there[int(path.name)] = path
    except OSError as error:
        log.debug("%s: %s", base_path, error)
    return {number: there[number] for number in sorted(there, reverse=True) if number < 1 << 63}


def models_in(root: Path, names: Iterable[str] = ()) -> list[ModelConfig]:
    """Returns the models of a folder, `<root>/<name>/<version>/`; where there are names, those alone."""
    try:
        folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        folders = []
    wanted = set(names)
    if not wanted:
        return [ModelConfig(path.name, path) for path in folders if versions_in(path)]
    return [ModelConfig(name, root / name) for name in sorted(wanted)]


def read_model_config(path: Path) -> Any:
    """Returns the ModelServerConfig of a text file.

    Raises:
        ServingError: It cannot be read.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_server_config_pb2.ModelServerConfig())
    except OSError as error:
        raise invalid(f"{path} cannot be read: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        message = f"Error parsing text-format tensorflow.serving.ModelServerConfig: {path}: {error}"
        raise invalid(message) from None


def models_of(config: Any) -> list[ModelConfig]:
    """Returns the models of a ModelServerConfig.

    Raises:
        ServingError: It is of another kind than model_config_list, or a model in it is wrong.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid("ServerCore expects the models as model_config_list; got another kind of config")
    models = [_model_of(one) for one in config.model_config_list.config]
    names = [model.name for model in models]
    if twice := {name for name in names if names.count(name) > 1}:
        raise invalid(f"Duplicate model names: {', '.join(sorted(twice))}")
    return models


def _model_of(one: Any) -> ModelConfig:
    if not one.name:
        raise invalid("a model of the config has no name")
    if not Path(one.base_path).is_absolute():
        raise invalid(f"Expected model {one.name} to have an absolute base_path; got {one.base_path!r}")
    if one.model_platform not in ("tensorflow", ""):
        raise invalid(f"model {one.name} is of the platform {one.model_platform!r}; expected 'tensorflow'")
    policy, latest, versions = one.model_version_policy, 1, ()
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        latest = 0
    elif kind == "latest":
        latest = policy.latest.num_versions or 1
    elif kind == "specific":
        versions = tuple(policy.specific.versions)
        if not versions:
            raise invalid(f"model {one.name} asks for specific versions and names none")
    return ModelConfig(one.name, Path(one.base_path), latest, versions, dict(one.version_labels))


def source_of_file(path: Path) -> Callable[[], list[ModelConfig] | None]:
    """Returns a function that reads a config file again where it has changed; None: it has not.

    A file that can no longer be read changes nothing, which is logged once.
    """
    last: list[Any] = [None]

    def read() -> list[ModelConfig] | None:
        try:
            state = path.stat()
        except OSError as error:
            if last[0] != str(error):
                log.error("%s", error)
            last[0] = str(error)
            return None
        if last[0] == (state.st_mtime_ns, state.st_size, state.st_ino):
            return None
        last[0] = (state.st_mtime_ns, state.st_size, state.st_ino)
        try:
            return models_of(read_model_config(path))
        except ServingError as error:
            log.error("%s; the models stay as they are", error)
            return None

    return read
