"""SavedModels for a server, checked before they are published."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import keras
import numpy as np
import psutil
import tensorflow as tf

from recipes.data.splits import DataInfo
from recipes.devices.keras_fixes import all_layers
from recipes.devices.workers import is_chief
from recipes.errors import ExportError
from recipes.runs.atomic_files import sync, write_json
from recipes.runs.run_folder import Run, recipe_name
from recipes.serving.signatures import CLASSIFY, PREDICT, REGRESS
from recipes.verbs.frozen import freeze_weights

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

METHODS = {"predict": PREDICT, "classify": CLASSIFY, "regress": REGRESS}


class Source(Protocol):
    """What tells the labels of a model and gives examples to check it with: a Run or Splits."""

    @property
    def info(self) -> DataInfo: ...  # noqa: D102
    def examples(self, count: int = 32) -> np.ndarray: ...  # noqa: D102


class Signature(NamedTuple):
    """One way to ask an exported model, with a question whose answer is known.

    Inputs and outputs have a row for each example, (B, ...), and a row of the answer follows from that row of the
    question alone: a server may put several requests into one batch. An empty batch has an empty answer.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]  # by argument name
    question: dict[str, Any]  # example values of the inputs
    answer: dict[str, np.ndarray]  # of the trained model, for some or all of the outputs
    meaning: str = ""  # what it answers, in one line
    method: str = "predict"  # of TensorFlow Serving: or "classify", "regress"


def export_recipe(recipe: Recipe, model: keras.Model, path: str | Path, freeze: bool = False) -> Path:
    """Writes a recipe's SavedModel; see `Recipe.export`. Of several workers the chief alone writes."""
    folder, run = Path(path) / recipe_name(recipe.config_class), getattr(model, "run", None)
    if not is_chief():  # what follows would read examples that the chief alone has
        print(f"the chief exports to {folder}")
        return folder
    # The names of labels, and examples to check the answers with: of the run that a model of fit carries, else of the
    # default data.
    source: Source = run or recipe.load_data(recipe.config_class())
    with without_cudnn(model):
        models, signatures = recipe.kind.signatures(model, source)
        kind = getattr(recipe.kind, "name", "other")
        return export_signatures(models, source.info, folder, signatures, run=run, kind=kind, freeze=freeze)


def export_signatures(
    models: Sequence[Any],
    info: DataInfo,
    folder: str | Path,
    signatures: dict[str, Signature],
    *,
    run: Run | None = None,
    kind: str = "other",
    freeze: bool = False,
) -> Path:
    """Writes `<folder>/<version>/` with some signatures, and returns it.

    The exported model should compute in float32 whatever precision it was trained in (`in_float32`): its weights are
    float32 already, and a server may have no bfloat16 arithmetic. Beside it, in assets.extra, are recipe.json, which
    says what it is and what it was trained on, the requests that a server warms up with, and a tokenizer. All of it is
    on the disk before the folder has its name.

    Args:
        models: What the signatures compute with: models, and tables of a tokenizer.
        info: What it was trained on.
        folder: The base path that a server watches.
        signatures: By name.
        run: The model's run.
        kind: What kind of model it is, such as "image_classification".
        freeze: Whether weights are constants.

    Raises:
        ExportError: If the SavedModel does not answer as it should, holds what servers refuse, or cannot be written.
            Nothing is published.
    """
    from recipes.verbs.export_manifest import write_manifest
    from recipes.verbs.saved_model_checks import check_answers, check_graph
    from recipes.verbs.warmup_requests import small_request, write_requests

    signatures = {name: _with_arrays(signature) for name, signature in signatures.items()}
    folder = Path(folder)
    part = folder / f".part-{os.getpid()}-{time.time_ns()}"
    remove_parts_of_the_dead(folder)
    try:
        part.mkdir(parents=True)
        _save(models, signatures, part)
        if freeze:
            freeze_weights(part)
        check_graph(part)
        requests = {name: small_request(signature.question) for name, signature in signatures.items()}
        check_answers(part, signatures, requests)
        extra = part / "assets.extra"
        extra.mkdir(exist_ok=True)
        write_requests(extra, folder.name, requests)
        if info.tokenizer:
            write_json(extra / "tokenizer.json", info.tokenizer.to_json())
        write_manifest(part, kind, info, run, signatures)
        published = publish(part, folder)
    except (OSError, tf.errors.OpError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ExportError(f"cannot write {folder}: {why}; nothing was published") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"exported to {published}")
    return published


def _with_arrays(signature: Signature) -> Signature:
    """Returns a signature whose question is arrays of its inputs' dtypes; texts are objects of bytes."""
    question = {
        name: tf.constant(values, signature.inputs[name].dtype).numpy() for name, values in signature.question.items()
    }
    return signature._replace(question=question)


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
    use_cudnn = {layer.name: layer.use_cudnn for layer in all_layers(model) if hasattr(layer, "use_cudnn")}
    for layer in all_layers(copy):
        if layer.name in use_cudnn:
            layer.use_cudnn = use_cudnn[layer.name]  # which is no part of a layer's config
    return copy


@contextmanager
def without_cudnn(model: keras.Model) -> Iterator[None]:
    """Has a model's recurrent layers make graphs of operations that run on any machine, not on NVIDIA's GPUs alone.

    The graphs that it has already, of training, stay as they are.
    """
    layers = [layer for layer in all_layers(model) if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    try:
        for layer in layers:
            layer.use_cudnn = False
        yield
    finally:
        for layer, use_cudnn in zip(layers, before, strict=True):
            layer.use_cudnn = use_cudnn


def _with_float32(config: Any) -> Any:
    """Returns a layer's config with every dtype in it, of layers inside of it too, as float32."""
    if isinstance(config, dict):
        return {key: "float32" if key == "dtype" else _with_float32(value) for key, value in config.items()}
    return type(config)(map(_with_float32, config)) if isinstance(config, (list, tuple)) else config


def _save(models: Sequence[Any], signatures: dict[str, Signature], path: Path) -> None:
    archive = keras.export.ExportArchive()
    for model in models:
        archive.track(model)
    for name, signature in signatures.items():
        specs = [tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in signature.inputs.items()]
        archive.add_endpoint(name, signature.function, input_signature=specs)
    try:
        archive.write_out(str(path), verbose=False)
    except AssertionError as error:
        if "untracked" not in str(error):
            raise
        raise ExportError(
            "a signature uses a lookup table or a variable that is not saved with it; return it beside the models from "
            "`signatures`. Nothing was published"
        ) from error
    special = {name: signature.method for name, signature in signatures.items() if signature.method != "predict"}
    if special:
        names = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
        for name, method in special.items():
            names.replace_method_name(name, METHODS[method])
        names.save()


def remove_parts_of_the_dead(folder: Path) -> None:
    """Removes what exports that were killed have left half written."""
    for part in folder.glob(".part-*-*"):
        number = part.name.split("-")[1]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(part, ignore_errors=True)


def publish(part: Path, folder: Path) -> Path:
    """Renames a finished export, on the disk by then, to the next free version."""
    for path in [*part.rglob("*"), part]:
        sync(path)
    while True:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
        target = folder / str(max(versions, default=0) + 1)
        try:
            part.rename(target)
        except OSError:
            if not target.exists():  # not another export that took the number first
                raise
        else:
            sync(folder)
            return target
