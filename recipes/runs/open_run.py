"""Finds the unfinished run of the same settings and data, or starts a new one."""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from recipes.data.splits import DataInfo, Splits
from recipes.devices.keras_fixes import name_layers_from_the_start
from recipes.devices.precision import OwnStep, Precision, choose_precision
from recipes.devices.workers import Workers
from recipes.errors import ConfigError, RunError
from recipes.runs.run_folder import Run, earlier_runs, is_over, next_number, precision_of, recipe_name

#: How the names begin of settings that change no bit of what is trained.
WITHOUT_TRACE = ("checkpoint_", "in_memory")


def open_run(
    config: Any,
    splits: Splits,
    runs: str | Path = "runs",
    resume: bool | Path = True,
    own_step: OwnStep | None = None,
) -> Run:
    """Returns the unfinished run of the same settings and data, or a new one that is not on disk yet.

    Sets Keras's dtype policy to the run's, which a resumed run keeps, and has layers named from the beginning.
    On several workers the chief decides.

    Args:
        config: The settings, those that follow the data included.
        splits: The data.
        runs: Where run folders are.
        resume: Whether to resume an unfinished run of the same settings, data and source of the recipe. A folder: the
            run there, whatever its identity.
        own_step: By which precision="auto" is decided.

    Raises:
        ConfigError: If workers were started with different settings or data.
    """
    recipe, identity = recipe_name(config), identity_of(config, splits.info)
    workers = Workers(tf.distribute.get_strategy())
    # How often to save is no part of the identity, but all workers must save at the same steps.
    own = {**identity, "checkpoint_steps": getattr(config, "checkpoint_steps", None)}

    def decide() -> dict[str, Any]:
        if isinstance(resume, Path):
            return {**_named(resume, identity), "agreed": own}
        earlier = earlier_runs(Path(runs) / recipe)
        same, record = next((run for run in earlier if run[1]["identity"] == identity), (None, {}))
        resumes = same is not None and resume and not is_over(same) and _can_be_resumed(splits, identity)
        if not resumes:
            _note_unfinished(earlier, identity, resume)
        kept = precision_of(same, record) if same and resumes else None
        precision = kept or choose_precision(config.precision, own_step)
        number = next_number(earlier)
        return {"folder": str(same) if resumes else None, "precision": precision, "number": number, "agreed": own}

    plan = workers.chiefs(decide)
    _agree(workers, own, plan["agreed"])
    precision = Precision(*plan["precision"])
    keras.config.set_dtype_policy(precision.policy)
    name_layers_from_the_start()
    return Run(
        folder=Path(plan["folder"] or runs),
        recipe=recipe,
        config=config,
        info=splits.info,
        precision=precision,
        number=plan["number"],
        identity=identity,
        resumes=plan["folder"] is not None,
        writes=workers.is_chief,
    )


def _named(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Returns the plan for continuing the unfinished run in a folder; notes what has changed since it was begun."""
    earlier = earlier_runs(folder.parent)
    record = next((record for path, record in earlier if path == folder), {})
    precision = precision_of(folder, record)
    if precision is None:
        raise RunError(f"{folder / 'environment.json'} cannot be read, so its precision is unknown; start a new run")
    differ = differences(identity, record["identity"]) if record else ""
    if differ:
        print(f"note: since the run in {folder} was begun, this has changed: {differ}")
    number = next_number(earlier)
    return {"folder": str(folder), "precision": precision, "number": number}


def _can_be_resumed(splits: Splits, identity: dict[str, Any]) -> bool:
    """Returns whether a run of this data and recipe can be recognised and entered midway."""
    return bool(splits.can_be_resumed and identity["source"])


def identity_of(config: Any, info: DataInfo) -> dict[str, Any]:
    """Returns what makes two lines the same: settings, data and the recipe's source, as JSON gives them back."""
    settings = {name: value for name, value in asdict(config).items() if not name.startswith(WITHOUT_TRACE)}
    file = getattr(sys.modules[config.__module__], "__file__", None)
    source = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else ""
    values = {**settings, "data": [info.name, info.version, info.fingerprint], "source": source}
    return json.loads(json.dumps(values))


def _note_unfinished(earlier: list[tuple[Path, dict[str, Any]]], identity: dict[str, Any], resume: bool) -> None:
    """Says why the last run, where it is unfinished, is not resumed."""
    if not earlier or is_over(earlier[0][0]):
        return
    folder, record = earlier[0]
    differ = differences(identity, record["identity"])
    otherwise = "its data or recipe cannot be recognised" if resume else "resume=False"
    why = f"it differs ({differ})" if differ else otherwise
    print(f"note: the unfinished run in {folder} is not resumed: {why}. This is a new run")


def differences(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Returns what two lines differ in, in words; nothing where they are the same."""
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    return ", ".join(f"{name} {there.get(name)!r} there, {here.get(name)!r} here" for name in names)


def _agree(workers: Workers, own: dict[str, Any], chiefs: dict[str, Any]) -> None:
    """Refuses workers of different settings or data, on every one of them."""
    differ = differences(own, chiefs)
    if not workers.sum([bool(differ)])[0]:
        return
    if differ:
        raise ConfigError(f"worker {workers.index} differs from the chief: {differ}. Start all with the same command")
    raise ConfigError("another worker has other settings or data than the chief; its own message says which")
