"""The models being served: which versions are in memory, how they come and go without a failed request.

A version is START, LOADING, AVAILABLE, UNLOADING, END, as in TensorFlow Serving. A new one is loaded and warmed up
beside the old, which is unloaded once the new is AVAILABLE and its own last request is answered; a version that fails
to load displaces nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from recipes.serving.batching import Batcher, BatchingParameters
from recipes.serving.engine import Engine
from recipes.serving.model_config import ModelConfig
from recipes.serving.saved_model_files import read_manifest
from recipes.serving.status import Code, ServingError, invalid

log = logging.getLogger(__name__)

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
RETRIES, RETRY_SECONDS = 5, 60.0  # of a version that cannot be loaded, as in TensorFlow Serving
PAST = 16  # versions that are no longer served and still listed, for each model


class ModelSpec(NamedTuple):
    """Which model is asked: the version of that number, or of that label, or the highest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        """As TensorFlow Serving's messages have it."""
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"


class VersionStatus(NamedTuple):
    """Where a version stands."""

    version: int
    state: str
    code: Code
    message: str


class Served(NamedTuple):
    """A version that answers."""

    name: str
    version: int
    engine: Engine
    run: Callable[..., dict[str, Any]]  # of the engine, or of a batcher before it
    manifest: dict[str, Any] | None  # what the exporter wrote beside it


@dataclass(eq=False)
class _Version:
    number: int
    path: Path
    state: str = START
    error: ServingError | None = None
    served: Served | None = None
    in_use: int = 0
    failures: int = 0
    failed_at: tuple[float, Any] = (0.0, None)  # when, and what its file looked like

    def may_be_tried(self) -> bool:
        if self.error is None:
            return True
        when, stamp = self.failed_at
        return stamp != _stamp(self.path) or (
            self.failures <= RETRIES and time.monotonic() - when > RETRY_SECONDS  # a slow disk, a copy under way
        )


@dataclass(eq=False)
class _Model:
    config: ModelConfig
    versions: dict[int, _Version] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    at_work: threading.Lock = field(default_factory=threading.Lock)  # one poll of a model at a time


class Models:
    """The models being served.

    Args:
        source: Returns the models that are wanted, or None for "as before"; asked at every poll.
        load: Returns the engine of a version's folder, warmed up; any error of it is the version's.
        batching: How requests are joined; None: each is run by itself.
        poll_seconds: Between two looks at the folders; 0: only at the start.
    """

    def __init__(
        self,
        source: Callable[[], Sequence[ModelConfig] | None],
        load: Callable[[ModelConfig, Path], Engine],
        *,
        batching: BatchingParameters | None = None,
        poll_seconds: float = 1.0,
    ) -> None:
        self._source, self._load, self._poll_seconds = source, load, poll_seconds
        self._batching = batching
        self._models: dict[str, _Model] = {}
        self._from_source: list[ModelConfig] = []
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._loaders = ThreadPoolExecutor(4, "load")
        self._poller: threading.Thread | None = None

    # ------------------------------------------------------------ asking

    def names(self) -> list[str]:
        """Returns the names of the models that are wanted."""
        return sorted(self._models)

    @contextmanager
    def using(self, spec: ModelSpec) -> Iterator[Served]:
        """Returns a version that answers, and keeps it in memory for as long as the context is open.

        Raises:
            ServingError: There is no such model, version or label that is AVAILABLE.
        """
        with self._changed:
            version = self._available(spec)
            version.in_use += 1
            served = version.served
            assert served is not None
        try:
            yield served
        finally:
            with self._changed:
                version.in_use -= 1
                if version.state == UNLOADING:
                    self._changed.notify_all()

    def _available(self, spec: ModelSpec) -> _Version:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        model = self._models.get(spec.name)
        if spec.label is not None:
            if model is None or spec.label not in model.labels:
                raise invalid(f"Unrecognized servable version label: {spec.label}")
            spec = ModelSpec(spec.name, model.labels[spec.label])
        versions = model.versions if model else {}
        numbers = [spec.version] if spec.version is not None else sorted(versions, reverse=True)
        for number in numbers:
            if number in versions and versions[number].state == AVAILABLE:
                return versions[number]
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {spec}")

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Returns where a model's versions stand, the highest first; those no longer served, too.

        Raises:
            ServingError: There is no such model or version.
        """
        with self._changed:
            versions = self._models[name].versions if name in self._models else {}
            chosen = [one for number, one in sorted(versions.items(), reverse=True) if version in (None, number)]
            if not chosen:
                what = "any versions" if version is None else f"version {version}"
                raise ServingError(Code.NOT_FOUND, f"Could not find {what} of model {name}")
            return [
                VersionStatus(
                    one.number, one.state, *((one.error.code, one.error.message) if one.error else (Code.OK, ""))
                )
                for one in chosen
            ]

    def available(self, name: str) -> list[int]:
        """Returns the versions of a model that answer, the highest first; none of a model that is not there."""
        with self._changed:
            versions = self._models[name].versions if name in self._models else {}
            return sorted((number for number, one in versions.items() if one.state == AVAILABLE), reverse=True)

    def labels(self, name: str) -> dict[str, int]:
        """Returns a model's labels: label -> version."""
        return dict(self._models[name].labels) if name in self._models else {}

    def is_ready(self, spec: ModelSpec | None = None) -> bool:
        """Returns whether a model, or every one, answers; with no models at all, nothing does."""
        specs = [spec] if spec else [ModelSpec(name) for name in self.names()]
        with self._changed:
            for one in specs:
                try:
                    self._available(one)
                except ServingError:
                    return False
        return bool(specs) and not self._stopped.is_set()

    # ------------------------------------------------------------ loading and unloading

    def start(self) -> None:
        """Loads what is wanted and there, then looks again every `poll_seconds` until `close`.

        Raises:
            ServingError: A label names a version that is not AVAILABLE.
        """
        self.poll()
        if self._poll_seconds:
            self._poller = threading.Thread(target=self._keep_polling, name="poll", daemon=True)
            self._poller.start()

    def poll(self) -> None:
        """Looks once: takes in changed models, loads and unloads; returns when all of that is done or has failed."""
        configs = self._source()
        if configs is not None and list(configs) != self._from_source:
            self._from_source = list(configs)
            self._set(configs)
        self._poll_all()
        if not self._stopped.is_set():
            self._set_labels()

    def reload(self, config: Sequence[ModelConfig]) -> None:
        """Serves exactly these models until the source tells of others than before; returns when they are loaded.

        Raises:
            ServingError: A version could not be loaded, or a label names one that is not AVAILABLE: the model's labels
                then stay as they were.
        """
        before = {name: dict(model.labels) for name, model in self._models.items()}
        self._set(config)
        self._poll_all()
        try:
            self._set_labels()
        except ServingError:
            with self._changed:
                for name, model in self._models.items():
                    model.config = replace(model.config, labels=before.get(name, {}))
            raise
        for one in config:
            for version in self._models[one.name].versions.values():
                if version.error and version.number in one.wanted():
                    raise version.error

    def _keep_polling(self) -> None:
        last = ""
        while not self._stopped.wait(self._poll_seconds):
            try:
                self.poll()
                last = ""
            except Exception as error:  # the next look may do better
                if str(error) != last:
                    log.error("%s", error)
                last = str(error)

    def _set(self, configs: Sequence[ModelConfig]) -> None:
        with self._changed:
            for config in configs:
                if config.name in self._models:
                    self._models[config.name].config = config
                else:
                    self._models[config.name] = _Model(config)
            gone = [self._models.pop(name) for name in set(self._models) - {config.name for config in configs}]
        for model in gone:  # no new request reaches them
            for version in list(model.versions.values()):
                self._unload(version)

    def _set_labels(self) -> None:
        """Gives every model the labels of its config; one that has a label of no AVAILABLE version keeps its own."""
        refused = None
        with self._changed:
            for name, model in self._models.items():
                missing = [
                    (label, number)
                    for label, number in model.config.labels.items()
                    if number not in model.versions or model.versions[number].state != AVAILABLE
                ]
                if not missing:
                    model.labels = dict(model.config.labels)
                elif model.labels != model.config.labels:
                    label, number = missing[0]
                    refused = ServingError(
                        Code.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        f"available for inference (label {label!r})",
                    )
        if refused:
            raise refused

    def _poll_all(self) -> None:
        list(self._loaders.map(self._poll_model, list(self._models.values())))

    def _poll_model(self, model: _Model) -> None:
        with model.at_work:
            wanted = model.config.wanted()
            if not wanted and not model.config.base_path.is_dir():
                return  # a folder that is not there (any more) changes nothing
            for number, path in wanted.items():
                version = model.versions.get(number)
                if version is None or (version.state == END and version.error is None):
                    version = _Version(number, path)
                    with self._changed:
                        model.versions[number] = version
                version.path = path
                if version.state in (START, END) and version.may_be_tried():
                    if self._stopped.is_set():  # the end does not wait for what nobody will ask
                        return
                    self._load_version(model, version)
            is_ready = any(
                number in wanted and version.state == AVAILABLE for number, version in model.versions.items()
            )
            if is_ready or not wanted:
                for number in sorted(set(model.versions) - set(wanted)):
                    self._unload(model.versions[number])
            self._forget_the_past(model)

    def _load_version(self, model: _Model, version: _Version) -> None:
        version.state = LOADING
        stamp = _stamp(version.path)
        try:
            engine = self._load(model.config, version.path)
        except Exception as error:
            if not isinstance(error, ServingError):
                error = ServingError(Code.UNKNOWN, f"{version.path} cannot be loaded: {error}")
            version.failures += 1
            version.failed_at = (time.monotonic(), stamp)
            with self._changed:
                version.state, version.error = END, error
            log.error("%s version %d is not served: %s", model.config.name, version.number, error)
            return
        run = Batcher(engine, self._batching).run if self._batching else engine.run
        with self._changed:
            version.served = Served(model.config.name, version.number, engine, run, read_manifest(version.path))
            version.state, version.error = AVAILABLE, None
            self._changed.notify_all()
        log.info("%s version %d is served", model.config.name, version.number)

    def _unload(self, version: _Version) -> None:
        with self._changed:
            if version.served is None:
                version.state = END
                return
            version.state = UNLOADING
            self._changed.wait_for(lambda: version.in_use == 0)
            served, version.served, version.state = version.served, None, END
        served.engine.close()
        log.info("%s version %d is unloaded", served.name, version.number)

    def _forget_the_past(self, model: _Model) -> None:
        past = [number for number, version in model.versions.items() if version.state == END and not version.error]
        with self._changed:
            for number in sorted(past)[:-PAST]:
                del model.versions[number]

    def stop(self) -> None:
        """Is no longer ready, and loads no more versions; what is loaded still answers."""
        self._stopped.set()

    def close(self) -> None:
        """Unloads everything, once its last request is answered."""
        self.stop()
        if self._poller:
            self._poller.join()
        self._set([])
        self._loaders.shutdown()


def _stamp(path: Path) -> Any:
    try:
        state = (path / "saved_model.pb").stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
