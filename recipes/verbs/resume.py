"""`fit(resume="ID")`: an unfinished run, continued with its own settings and data, whatever the defaults are by now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recipes.data.splits import Splits
from recipes.errors import RunError
from recipes.runs.run_folder import Run, is_over, read_run, recipe_name
from recipes.runs.run_list import find_run, is_trained_now
from recipes.settings import with_changes

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


class Resumed(NamedTuple):
    """An unfinished run that is to be continued."""

    run: Run
    data: Any  # that was passed again; None: what the run was trained on

    @property
    def config(self) -> Any:
        """The run's own settings."""
        return self.run.config

    def load(self, recipe: Recipe) -> Splits:
        """Returns the data of the run, known by its fingerprint; a stand-in where it was begun on one.

        Raises:
            RunError: If the data is not what it was, or cannot be entered midway.
        """
        info, config, data = self.run.info, self.config, self.data
        if data is None and info.source == "stand-in":
            config = with_changes(config, dataset=info.name)
        splits = recipe.load_data(config, info.path if data is None else data)
        if splits.info.fingerprint != info.fingerprint:
            raise RunError(
                f"the run in {self.run.folder} was begun on {info}, and this is {splits.info}, with other examples; "
                "pass the same as data= (--data), or start a new run"
            )
        if not splits.can_be_resumed:
            raise RunError(
                f"the run in {self.run.folder} cannot be continued: its data, {info.name}, cannot be entered midway. "
                "Start a new run"
            )
        return replace(splits, info=replace(splits.info, stand_in_for=info.stand_in_for, reason=info.reason))


def unfinished_run(recipe: Recipe, name: str | Path, data: Any, runs: str | Path) -> Resumed:
    """Returns the run of an id, or in a folder, that is to be continued.

    Raises:
        RunError: If there is no such run, it is over, being trained, or was begun on data that is not passed.
    """
    folder = find_run(name, runs, recipe_name(recipe.config_class))
    run = read_run(folder, recipe.config_class)
    again = f"a new run with its settings: fit --config {folder / 'config.json'}"
    if (folder / "failed.txt").exists():
        why = (folder / "failed.txt").read_text(encoding="utf-8", errors="replace").strip()
        raise RunError(f"the run in {folder} has failed for good: {why}. For {again}, and what is to differ")
    if is_over(folder):
        raise RunError(f"the run in {folder} is finished; there is nothing to continue. For {again}")
    if is_trained_now(folder):
        raise RunError(f"another process is training in {folder}; wait for it, or end it first")
    if data is None and run.info.source == "user":
        raise RunError(
            f"the run in {folder} was begun on {run.info.name}, which is not kept in it; pass the same again as data= "
            "(--data)"
        )
    return Resumed(run, data)
