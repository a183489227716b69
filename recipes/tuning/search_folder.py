"""The folder of a search, `runs/<recipe>/tune-<id>/`: which one a line continues, and what is written there.

search.json tells what it is, oracle.json all that is known of its trials; trials.csv and best.json are for people and
for `fit`, and report.md comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipes.errors import RunError
from recipes.runs.atomic_files import read_json, write_csv, write_json
from recipes.runs.open_run import differences
from recipes.runs.run_folder import new_folder, next_number
from recipes.runs.run_list import SEARCH
from recipes.tuning.trial_results import TrialResult

RECORD = "search.json"


def open_search(parent: Path, identity: dict[str, Any], trials: int, resume: bool | Path) -> tuple[Path, bool]:
    """Returns (the folder of the search to continue, or a new one; whether it was begun before).

    An unfinished search of the same identity is continued, and one that has tried fewer settings than are asked for.

    Args:
        parent: Where a recipe's runs are.
        identity: Settings, data and space, as JSON gives them back.
        trials: How many settings are to be tried.
        resume: Whether to continue one; or which.

    Raises:
        RunError: If the search that is named has another identity, or has tried as many.
    """
    if isinstance(resume, Path):
        record = _read(resume)
        if differ := _differences(identity, record["identity"]):
            raise RunError(
                f"the search in {resume} is another: {differ}. Pass the same settings, data and tuner, or start a new "
                "search"
            )
        if record["ended"] >= trials:
            raise RunError(f"the search in {resume} has tried {record['ended']} settings; ask for more than that")
        return resume, True
    earlier = sorted(_records(parent), key=lambda each: (each[1]["number"], each[0].name), reverse=True)
    for folder, record in earlier if resume else ():
        if record["identity"] == identity and record["ended"] < trials:
            return folder, True
    if earlier and not earlier[0][1]["ended"]:
        why = _differences(identity, earlier[0][1]["identity"])
        why = f"it differs ({why})" if why else "resume=False"
        print(f"note: the unfinished search in {earlier[0][0]} is not continued: {why}. This is a new one")
    folder = new_folder(parent, prefix=SEARCH)
    number = next_number(earlier)
    write_json(folder / RECORD, {"number": number, "identity": identity, "trials": trials, "ended": 0})
    return folder, False


def _records(parent: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Returns the searches in a folder with what their search.json says; one that is damaged is named, and left."""
    records = []
    for path in parent.glob(f"{SEARCH}*/{RECORD}"):
        try:
            records.append((path.parent, _read(path.parent)))
        except RunError as error:
            print(f"note: {error}; that search cannot be continued", flush=True)
    return records


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / RECORD).exists():
        raise RunError(f"{folder} holds no search that can be continued: it has no {RECORD}")
    record = read_json(folder / RECORD)
    kinds = {"number": int, "identity": dict, "ended": int}
    if any(not isinstance(record.get(name), kind) for name, kind in kinds.items()):
        raise RunError(f"{folder / RECORD} is damaged: it describes no search")
    return record


def _differences(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Returns what two searches differ in; of their spaces, the hyperparameters."""

    def flat(identity: dict[str, Any]) -> dict[str, Any]:
        space = {f"space of {each['config']['name']}": each["config"] for each in identity.get("space", ())}
        return {name: value for name, value in identity.items() if name != "space"} | space

    return differences(flat(here), flat(there))


def note_in_record(folder: Path, **values: int) -> None:
    """Notes in search.json how many settings are asked for (`trials`), or that as many have been tried (`ended`)."""
    write_json(folder / RECORD, {**read_json(folder / RECORD), **values})


def write_trials(path: Path, objective: str, trials: Sequence[TrialResult]) -> None:
    """Writes trials.csv, a row for each that has ended, in one step."""
    own = ("trial", objective, "epochs", "seconds", "cut", "error")
    rows = [
        {
            "trial": trial.id,
            objective: "" if trial.figure is None else trial.figure,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            **{f"{name} (setting)" if name in own else name: value for name, value in trial.values.items()},
            "cut": trial.cut,
            "error": trial.error,
        }
        for trial in trials
    ]
    names = list(dict.fromkeys(name for row in rows for name in row if name not in ("cut", "error")))
    write_csv(path, rows, [*names, "cut", "error"])


def write_best(path: Path, best: TrialResult, objective: tuple[str, str], data: dict[str, Any], config: Any) -> None:
    """Writes best.json: the settings of the best trial, as `fit --config` reads them."""
    about = {"objective": objective[0], "direction": objective[1], "figure": best.figure, "trial": best.id}
    write_json(path, {**about, "data": data, "config": asdict(config)})
