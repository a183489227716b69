"""Where the trials of a search are trained: in processes of their own, or in this one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import tensorflow as tf

from recipes.data.read_once import SLOT
from recipes.data.splits import DataInfo
from recipes.errors import ConfigError, TrainingError, printable
from recipes.tuning.places import Place, logical_cpus
from recipes.tuning.processes import AVAILABLE, CannotBeSentError, ProcessEndedError, Processes
from recipes.verbs.page import Page
from recipes.verbs.trial import SearchSettings, TrialJob, data_of, look_at_data, train_trial, train_trial_of_page

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


class Trainer(Protocol):
    """Where trials are trained."""

    workers: int  # how many at a time

    def train(self, search: SearchSettings, job: TrialJob, worker: int, tell: Callable[[Any], bool]) -> dict[str, Any]:
        """Returns how a trial ended; see `train_trial`."""

    def close(self) -> None:
        """Has trials that are being trained save themselves and end."""


@contextmanager
def open_trainer(recipe: Recipe, config: Any, data: Any, workers: int) -> Iterator[tuple[Trainer, DataInfo, bool]]:
    """Yields (where trials are trained, what the data is, whether it has a validation split).

    Processes of their own where another process can have the recipe and the data; else this one, and a note says why.

    Raises:
        ConfigError: For several workers where that is so.
    """
    page = Page.of(recipe)
    reasons = {
        "this system cannot start them": not AVAILABLE,
        "a strategy's scope is entered": tf.distribute.has_strategy(),
        "the recipe is in no file that another process could read": page is None,
    }
    why = next((reason for reason, holds in reasons.items() if holds), "")
    modules = ["recipes.verbs.trial", *([page.module] if page and not page.file else [])]
    with tempfile.TemporaryFile() as read, Processes(modules, {SLOT: read.fileno()}) as processes:
        if page and not why:
            trainer = _Elsewhere(page, processes, workers)
            try:
                info, has_validation = trainer.look(config, data)
            except CannotBeSentError as error:
                why = f"data is a {type(data).__name__} that another process cannot read ({error})"
            else:
                yield trainer, info, has_validation
                return
    if workers > 1:
        raise ConfigError(f"workers={workers} needs processes of their own, and {why}; expected workers=1")
    print(printable(f"note: trials are trained in this process: {why}"), flush=True)
    yield _Here(recipe), *data_of(recipe, config, data)


class _Here:
    """Trains trials in this process, one after the other."""

    workers = 1

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def train(self, search: SearchSettings, job: TrialJob, worker: int, tell: Callable[[Any], bool]) -> dict[str, Any]:
        return train_trial(self.recipe, search, job, tell)

    def close(self) -> None:
        """Does nothing: nothing runs beside whoever calls this."""


class _Elsewhere:
    """Trains each trial in a process of its own, and each worker's on its share of the machine."""

    def __init__(self, page: Page, processes: Processes, workers: int) -> None:
        self.page, self.processes, self.workers = page, processes, workers
        self.logical_cpus = logical_cpus()

    def look(self, config: Any, data: Any) -> tuple[DataInfo, bool]:
        """Returns what the data is, without its tokenizer, and whether examples are held out for choosing."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.txt"
            try:
                return self.processes.run(look_at_data, self.page, asdict(config), data, log=log, on_message=print)
            except ProcessEndedError as error:
                raise TrainingError(f"the data could not be read: a process ended with status {error.status}") from None
            finally:
                if log.exists():
                    print(printable(log.read_text(errors="backslashreplace")), end="", flush=True)

    def train(self, search: SearchSettings, job: TrialJob, worker: int, tell: Callable[[Any], bool]) -> dict[str, Any]:
        folder = search.folder / job.id
        folder.mkdir(parents=True, exist_ok=True)
        log, place = folder / "log.txt", Place(worker, self.workers, self.logical_cpus)
        return self.processes.run(train_trial_of_page, self.page, search, job, place, log=log, on_message=tell)

    def close(self) -> None:
        self.processes.close()
