"""`tune`: Keras Tuner over a recipe's own search space, chosen on validation data alone."""

from __future__ import annotations

import hashlib
import json
import queue
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.data.splits import DataInfo
from recipes.devices.workers import refuse_several_machines
from recipes.errors import ConfigError, DataError, RunError, TrainingError, printable
from recipes.errors.hardware_errors import clear_errors
from recipes.runs.open_run import identity_of
from recipes.runs.run_folder import command_name, lock_folder, recipe_name
from recipes.runs.run_list import find_run
from recipes.runs.signals import ended_by_sigterm
from recipes.settings import with_changes
from recipes.tuning.hparams_board import write_hparams
from recipes.tuning.oracles import check_tuner, make_oracle
from recipes.tuning.search_folder import note_in_record, open_search, write_best, write_trials
from recipes.tuning.search_report import outcome, write_search_report
from recipes.tuning.search_workers import (
    IDENTITY,
    SEARCH,
    Address,
    OracleServer,
    find_chief,
    lost_chief_explained,
    remote_oracle,
    work,
)
from recipes.tuning.table import Table, shown_settings
from recipes.tuning.trial_results import START, Best, SearchResult, TrialResult, best_of
from recipes.verbs.trainers import Trainer, open_trainer
from recipes.verbs.trial import SearchSettings, TrialJob, UnknownObjectiveError

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def tune_recipe(
    recipe: Recipe,
    config: Any,
    data: Any,
    trials: int,
    tuner: str,
    workers: int,
    objective: tuple[str, str] | None,
    runs: str | Path,
    resume: bool | str | Path,
) -> Best:
    """Returns (config, figure) of the best trial; also in `<runs>/<recipe>/tune-<id>/best.json`. See `Recipe.tune`."""
    _check(trials, workers, objective)
    check_tuner(tuner)
    refuse_several_machines("tune", config.strategy, ", and give each machine Keras Tuner's variables (docs/tuning.md)")
    address = find_chief()
    again = "the search is saved; run the same command again to continue it"
    named = resume if isinstance(resume, bool) else find_run(resume, runs, recipe_name(config))
    with ended_by_sigterm("nothing is searched yet; run the same command again") as reason, ExitStack() as stack:
        trainer, info, has_validation = stack.enter_context(open_trainer(recipe, config, data, workers))
        goal = (objective[0], objective[1]) if objective else recipe.objective_on(info)
        if not has_validation and goal[0].startswith("val_"):
            raise DataError(f"tuning needs validation data, and {info.name} has none; set validation_fraction above 0")
        if info.stand_in_for:  # found out once, not in every trial
            config = with_changes(config, dataset=info.name)
        search = _Search(recipe, config, data, info, goal, tuner, trials, trainer, Path(runs) / recipe_name(config))
        reason[0] = again
        try:
            if address and not address.is_chief:
                return search.help(address)
            return search.run(named, address)
        except KeyboardInterrupt:
            print(f"\ninterrupted: {again}", flush=True)
            raise


def _check(trials: int, workers: int, objective: Any) -> None:
    """Refuses numbers below 1, and an objective that is no name with its direction."""
    for name, value in {"trials": trials, "workers": workers}.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name}={value!r}; expected a whole number, 1 or more")
    is_pair = isinstance(objective, (tuple, list)) and len(objective) == 2
    if objective is not None and not (is_pair and isinstance(objective[0], str) and objective[1] in ("max", "min")):
        raise ConfigError(
            f"objective={objective!r}; expected the name of a figure and its direction, as ('val_loss', 'min')"
        )


class _Search:
    """A search on this machine: its own, or its part of one whose chief is elsewhere."""

    def __init__(
        self,
        recipe: Recipe,
        config: Any,
        data: Any,
        info: DataInfo,
        objective: tuple[str, str],
        tuner: str,
        trials: int,
        trainer: Trainer,
        parent: Path,
    ) -> None:
        self.recipe, self.config, self.data, self.info = recipe, config, data, info
        self.objective, self.tuner, self.trials, self.trainer, self.parent = objective, tuner, trials, trainer, parent
        self.oracle = make_oracle(
            tuner, objective, trials, config.seed, config.epochs, lambda hp: recipe.search_space(hp, config)
        )
        space = self.oracle.get_space().get_config()["space"]
        identity = {**identity_of(config, info), "tuner": tuner, "objective": list(objective), "space": space}
        if tuner == "hyperband":  # its brackets follow from it
            identity["trials"] = trials
        self.identity = json.loads(json.dumps(identity))
        self.digest = _digest({**self.identity, "trials": trials})
        # else another search of the same settings could be taken for this one
        self.is_recognised = bool(info.fingerprint and identity["source"])
        self.trained: list[Path] = []  # folders of the trials that this machine has trained

    def run(self, resume: bool | Path, address: Address | None) -> Best:
        """Searches, and writes what comes of it; returns (config, figure) of the best trial."""
        resume = resume if isinstance(resume, Path) else resume and self.is_recognised
        self.folder, continued = open_search(self.parent, self.identity, self.trials, resume)
        try:
            return self._run(continued, address)
        except UnknownObjectiveError:
            if not continued:  # nothing can come of it
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _run(self, continued: bool, address: Address | None) -> Best:
        with clear_errors(self.config.batch_size, self.folder), ExitStack() as stack:
            stack.callback(lock_folder(self.folder, "searching", "search").release)
            self.oracle.begin(self.folder, self.config.epochs, self.config.early_stopping is not None, self._ended)
            done = [self.oracle.result(name) for name in self.oracle.ended]
            self.table = Table(self.objective, self.trials, self.oracle.planned_epochs(), done)
            self._announce(continued)
            marks = {SEARCH: self.folder.name, IDENTITY: self.digest}
            with OracleServer(self.oracle, address, marks) if address else nullcontext():
                self._work(self.oracle, "chief" if address else "worker", address)
                if self.oracle.failure:
                    raise self.oracle.failure
            return self._finish()

    def help(self, address: Address) -> Best:
        """Trains trials for a chief that is elsewhere, until there are no more; returns the best that it knows."""
        where = f"{address.host}:{address.port}"
        print(printable(f"{address.name} trains for the chief at {where}, on {self.info}"), flush=True)
        with lost_chief_explained(address):
            oracle = remote_oracle(self.objective)
            self._work(oracle, address.name, address)
            [best] = oracle.get_best_trials(1) or [None]
        for folder in self.trained:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        if best is None:
            raise TrainingError("no trial of the search has succeeded yet; see the chief's table")
        config = self._wanted(self.recipe.search_space(best.hyperparameters, self.config))
        return Best(config, best.score, self.objective[0], self.parent)

    def _announce(self, continued: bool) -> None:
        at_a_time = f", {self.trainer.workers} at a time" * (self.trainer.workers > 1)
        name, direction = self.objective
        print(printable(f"tuning {recipe_name(self.config)} on {self.info}"))
        settings = f"{self.trials} setting{'s' * (self.trials > 1)}"
        print(f"{settings} by {self.tuner}{at_a_time}; objective: {name} ({direction})")
        print(f"search folder: {self.folder}")
        if continued:
            done = len(self.oracle.ended)
            print(f"continuing the search there, after {done} trials (resume=False, --no-resume, starts over)")
            note_in_record(self.folder, trials=self.trials)
        self.table.header()

    def _work(self, oracle: Any, name: str, address: Address | None) -> None:
        """Has this machine's workers train until there are no more trials."""
        over, failures = threading.Event(), queue.Queue[BaseException]()

        def is_over() -> bool:
            return over.is_set() or getattr(oracle, "failure", None) is not None  # which a client does not know of

        def one(worker: int) -> None:
            with lost_chief_explained(address):
                work(oracle, f"{name}-{worker}", lambda trial, tell: self._train(trial, tell, worker), is_over)

        def in_thread(worker: int) -> None:
            try:
                one(worker)
            except BaseException as failure:  # raised again in the main thread
                failures.put(failure)

        if self.trainer.workers == 1:
            return one(0)
        threads = [threading.Thread(target=in_thread, args=[n], daemon=True) for n in range(self.trainer.workers)]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads) and failures.empty():
                threads[0].join(0.2) if threads[0].is_alive() else time.sleep(0.2)
            if not failures.empty():
                raise failures.get()
        finally:
            over.set()
            self.trainer.close()
            for thread in threads:
                thread.join(10)  # until it has seen that

    def _train(self, trial: Any, tell: Callable[[Any], bool], worker: int) -> dict[str, Any]:
        values = trial.hyperparameters.values
        if values.get(IDENTITY, self.digest) != self.digest:
            raise RunError(
                "the chief searches with other settings, data, tuner or number of trials than this worker; start all "
                "with the same command"
            )
        folder = self.parent / values.get(SEARCH, "") if SEARCH in values else self.folder
        job = TrialJob(
            trial.trial_id,
            {} if trial.trial_id == START else trial.hyperparameters.get_config(),
            values.get("tuner/epochs"),
            values.get("tuner/trial_id", ""),
        )
        self.trained.append(folder / "trials" / job.id)
        search = SearchSettings(asdict(self.config), self.data, self.objective, folder / "trials")
        return self.trainer.train(search, job, worker, tell)

    # ------------------------------------------------------------ what comes of it

    def _ended(self, trial: TrialResult) -> None:
        """Writes and prints what a trial has come to."""
        self._write_results()
        write_hparams(self.folder / "tensorboard" / trial.id, trial, self.objective[0])
        if trial.asked >= self.config.epochs:  # else it may be promoted, and continues from there
            shutil.rmtree(self.folder / "trials" / trial.id / "checkpoints", ignore_errors=True)
        self.table.row(trial)

    def _write_results(self) -> tuple[list[TrialResult], list[TrialResult]]:
        """Writes trials.csv and best.json, whatever a killed process has left of them.

        Returns:
            (START or nothing, the trials that have ended).
        """
        start = [self.oracle.result(START)] if START in self.oracle.ended else []
        results = self.oracle.results()
        write_trials(self.folder / "trials.csv", self.objective[0], [*start, *results])
        if best := best_of([*start, *results], self.direction):
            about = self.info.to_json()
            write_best(self.folder / "best.json", best, self.objective, about, self._wanted(self._config_of(best)))
        return start, results

    def _finish(self) -> Best:
        """Writes the report; returns (config, figure) of the best."""
        start, results = self._write_results()
        failed = [trial for trial in results if trial.error]
        if len(failed) == len(results):
            note_in_record(self.folder, ended=self.trials, failed=self.trials)
            first = failed[0].error if failed else "no trial at all: the space is empty"
            raise TrainingError(
                f"all {len(results)} trials failed, the first with: {first}. See {self.folder / 'trials.csv'}"
            )
        best = best_of([*start, *results], self.direction)
        assert best is not None
        assert best.figure is not None
        config = self._wanted(self._config_of(best))
        path = self.folder / "best.json"
        defaults = self.recipe.config_class()
        values = {f.name: getattr(config, f.name) for f in fields(config)}
        arguments = [f"{name}={value!r}" for name, value in values.items() if value != getattr(defaults, name)]
        command = ["recipes", "fit", command_name(config), "--config", str(path)]
        if isinstance(self.data, (str, Path)):
            arguments.insert(0, f"data={str(self.data)!r}")
            command += ["--data", str(self.data)]
        elif self.data is not None:  # in memory
            arguments.insert(0, "data=data")
            command = []
        fit_line = f"fit({', '.join(arguments)})"
        result = SearchResult(
            recipe=recipe_name(config),
            command=command_name(config),
            tuner=self.tuner,
            objective=self.objective[0],
            direction=self.direction,
            data=str(self.info),
            stand_in_for=self.info.stand_in_for,
            trials=tuple(results),
            start=start[0] if start else None,
            space=self.oracle.get_space().space,
            best=best,
            fit_line=fit_line,
            fit_command=shlex.join(command),
            seconds=self.oracle.seconds,
            workers=self.trainer.workers,
            validation_examples=self.info.examples.get("validation", 0),
        )
        write_search_report(self.folder, result)
        note_in_record(self.folder, ended=self.trials)
        for trial in results:
            shutil.rmtree(self.folder / "trials" / trial.id / "checkpoints", ignore_errors=True)
        print(printable(f"best {result.objective} {best.figure:.4f}: {shown_settings(best.changed)}"))
        print(printable(outcome(result)[0]))
        print(f"report: {self.folder / 'report.md'}")
        print(f"next: {result.fit_command or f'{result.recipe}.fit(best, data), with the same data'}", flush=True)
        return Best(config, best.figure, self.objective[0], self.folder)

    @property
    def direction(self) -> str:
        """Which figures are better: "max" or "min"."""
        return self.objective[1]

    def _config_of(self, trial: TrialResult) -> Any:
        return with_changes(self.config, **trial.changed)

    def _wanted(self, config: Any) -> Any:
        """Returns a trial's config for the data that was asked for, where the stand-in was searched on."""
        return with_changes(config, dataset=self.info.stand_in_for) if self.info.stand_in_for else config


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
