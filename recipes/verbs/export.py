"""SavedModels for a server, checked before they are published."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras
import numpy as np
import psutil
import tensorflow as tf

import recipes
from recipes.data.splits import DataInfo
from recipes.devices.keras_fixes import all_layers
from recipes.devices.workers import is_chief
from recipes.errors import ExportError
from recipes.runs.run_folder import Run, recipe_name
from recipes.verbs.frozen import freeze_weights

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

TOLERANCE = 1e-5  # between the SavedModel and the model it was made from, of an output's greatest value or of 1


class Source(Protocol):
    """What tells the labels of a model and gives examples to check it with: a Run or Splits."""

    @property
    def info(self) -> DataInfo: ...  # noqa: D102
    def examples(self, count: int = 32) -> np.ndarray: ...  # noqa: D102


class Signature(NamedTuple):
    """One way to ask an exported model, with a question whose answer is known."""

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]  # by argument name
    question: dict[str, Any]  # example values of the inputs
    answer: dict[str, np.ndarray]  # of the trained model, for some or all of the outputs


def export_recipe(recipe: Recipe, model: keras.Model, path: str | Path, freeze: bool = False) -> Path:
    """Writes a recipe's SavedModel; see `Recipe.export`. Of several workers the chief alone writes."""
    folder, run = Path(path) / recipe_name(recipe.config_class), getattr(model, "run", None)
    if not is_chief():  # what follows would read examples that the chief alone has
        print(f"the chief exports to {folder}")
        return folder
    # The names of labels, and examples to check the answers with: of the run that a model of fit carries, else of the
    # default data.
    source: Source = run or recipe.load_data(recipe.config_class())
    models, signatures = recipe.kind.signatures(model, source)
    return export_signatures(models, source.info, folder, signatures, run=run, freeze=freeze)


def export_signatures(
    models: Sequence[Any],
    info: DataInfo,
    folder: str | Path,
    signatures: dict[str, Signature],
    *,
    run: Run | None = None,
    freeze: bool = False,
) -> Path:
    """Writes `<folder>/<version>/` with the given signatures, and returns it.

    The exported model should compute in float32 whatever precision it was trained in (`in_float32`): its weights are
    float32 already, and a server may have no bfloat16 arithmetic. `assets.extra/recipe.json` says what it is and what
    it was trained on.

    Args:
        models: What the signatures compute with: models, and tables of a tokenizer.
        info: What it was trained on.
        folder: The base path that a server watches.
        signatures: By name.
        run: The model's run.
        freeze: Whether weights are constants.

    Raises:
        ExportError: If the SavedModel does not answer as it should, or cannot be written. Nothing is published.
    """
    folder = Path(folder)
    part = folder / f".part-{os.getpid()}-{time.time_ns()}"
    _remove_parts_of_the_dead(folder)
    try:
        part.mkdir(parents=True)
        _save(models, signatures, part)
        if freeze:
            freeze_weights(part)
        check_export(part, signatures)
        _write_metadata(info, run, part)
        published = _publish(part, folder)
    except (OSError, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(f"cannot write {folder}: {why}; nothing was published") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"exported to {published}")
    return published


def in_float32(model: keras.Model) -> keras.Model:
    """Returns the model itself if it computes in float32, else a copy that does, with the same weights."""
    if all(layer.compute_dtype == "float32" for layer in all_layers(model)):
        return model
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: layer.__class__.from_config(_with_float32(layer.get_config())),
        recursive=True,
    )
    copy.set_weights(model.get_weights())
    return copy


def _with_float32(config: Any) -> Any:
    """Returns a layer's config with every dtype in it, of layers inside of it too, as float32."""
    if isinstance(config, dict):
        return {key: "float32" if key == "dtype" else _with_float32(value) for key, value in config.items()}
    return type(config)(map(_with_float32, config)) if isinstance(config, (list, tuple)) else config


def check_export(path: Path, signatures: dict[str, Signature]) -> None:
    """Refuses a SavedModel whose answers to known questions differ by more than TOLERANCE.

    Raises:
        ExportError: Names the signature, the output and the difference.
    """
    loaded = tf.saved_model.load(str(path))
    for name, signature in signatures.items():
        if not signature.answer:
            continue
        answers = loaded.signatures[name](**{key: tf.constant(value) for key, value in signature.question.items()})
        for output, expected in signature.answer.items():
            if answers[output].dtype == tf.string:
                for exported, trained in zip(answers[output].numpy().flat, expected.flat, strict=True):
                    if exported != trained:
                        raise ExportError(
                            f"the exported signature {name!r} answers {exported!r} in {output!r}, the trained model "
                            f"{trained!r}. Nothing was published"
                        )
                continue
            difference = float(np.abs(answers[output].numpy() - expected).max())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise ExportError(
                    f"the exported signature {name!r} differs from the trained model by {difference:.2g} in "
                    f"{output!r}; expected at most {TOLERANCE} of its greatest. Nothing was published"
                )


def _save(models: Sequence[Any], signatures: dict[str, Signature], path: Path) -> None:
    archive = keras.export.ExportArchive()
    for model in models:
        archive.track(model)
    for name, signature in signatures.items():
        specs = [tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in signature.inputs.items()]
        archive.add_endpoint(name, signature.function, input_signature=specs)
    archive.write_out(str(path), verbose=False)


def _write_metadata(info: DataInfo, run: Run | None, path: Path) -> None:
    """Writes assets.extra/recipe.json, which TensorFlow Serving leaves alone."""
    metadata: dict[str, Any] = {
        "recipe": path.parent.name,
        "recipes_version": recipes.__version__,
        "label_names": info.label_names,
        "image_shape": info.follows.get("image_shape"),
        "data": info.to_json(),
        "run": run.folder.name if run else None,
        "test": run.metrics.get("test") if run else None,
    }
    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "recipe.json").write_text(json.dumps(metadata, indent=2) + "\n")


def _remove_parts_of_the_dead(folder: Path) -> None:
    """Removes what exports that were killed have left half written."""
    for part in folder.glob(".part-*-*"):
        number = part.name.split("-")[1]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, folder: Path) -> Path:
    """Renames a finished export to the next free version."""
    while True:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        target = folder / str(max(versions, default=0) + 1)
        try:
            part.rename(target)
        except OSError:
            if not target.exists():  # not another export that took the number first
                raise
        else:
            return target
