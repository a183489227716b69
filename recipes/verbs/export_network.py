"""Networks for other runtimes, LiteRT and ONNX: converted, run, compared with the Keras model, and published.

What they hold goes from tensors to tensors. What a SavedModel does besides (decoding images, splitting texts, the loop
that writes a text) is left to the program around it: recipe.json and tokenizer.json, beside the file, say how.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import recipes
from recipes.data.splits import Splits
from recipes.devices.keras_fixes import quiet_tensorflow
from recipes.devices.workers import is_chief
from recipes.errors import ConfigError, ExportError
from recipes.runs.run_folder import recipe_name
from recipes.verbs.evaluate import data_of_run, refuse_changed_data
from recipes.verbs.export import Source, publish, remove_parts_of_the_dead, without_cudnn

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe

TOLERANCE = 1e-4  # between a converted network and the Keras model, of an output's greatest value or of 1
AGREEMENT = 0.9  # the least between int8 and float32 on test examples; see `agreement`
EXAMPLES = 8  # that a converted network is compared on
REPRESENTATIVE = 256  # training examples that the ranges of int8 are measured on
MOST_TEST_EXAMPLES = 5_000  # that the figures of int8 are of

Tensors = dict[str, Any]  # by name


class Network(NamedTuple):
    """A function from tensors to tensors, and what is done outside of it."""

    function: Callable[..., Tensors]  # takes the inputs by position, in their order
    inputs: dict[str, tf.TensorSpec]  # (None, ...), or (None, None): token ids, padded with 0 at the end
    examples: dict[str, np.ndarray]  # of the inputs
    models: Sequence[Any]  # what the function computes with
    outside: str  # what a program does around it
    length: int = 0  # the most token ids; 0: it takes none

    def specs(self, batch: int | None, length: int | None) -> list[tf.TensorSpec]:
        """Returns the inputs' specs with a batch size and a number of token ids; None: any."""
        shapes = {name: (batch, *spec.shape[1:]) for name, spec in self.inputs.items()}
        return [
            tf.TensorSpec(
                [length if axis and size is None else size for axis, size in enumerate(shape)], spec.dtype, name
            )
            for (name, shape), spec in zip(shapes.items(), self.inputs.values(), strict=True)
        ]

    def padded(self) -> Network:
        """Returns the network with its examples' token ids padded with 0 to the full length."""
        examples = {
            name: np.pad(values, [[0, 0], [0, self.length - values.shape[1]]])
            if self.inputs[name].shape[1:].as_list() == [None]
            else values
            for name, values in self.examples.items()
        }
        return self._replace(examples=examples)


class Converted(NamedTuple):
    """A converted network, and how to run it."""

    content: bytes
    run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]  # on a batch
    network: Network  # with examples that fit it
    takes: str  # which batch sizes and lengths


def export_network(
    recipe: Recipe, model: keras.Model, path: str | Path, file_format: str, int8: bool = False, data: Any = None
) -> Path:
    """Writes `<path>/<recipe>/<format>/<version>/` with a file for each network of a recipe; see `Recipe.export`.

    Args:
        recipe: The model's.
        model: A trained model.
        path: Where exports are.
        file_format: "litert" or "onnx".
        int8: Whether LiteRT computes in whole numbers of 8 bits.
        data: For int8, the data that the model was trained on, where it is not found again by its name.

    Raises:
        ExportError: A package is missing, the network cannot be converted, or it answers otherwise than the model.
            Nothing is published.
    """
    folder = Path(path) / recipe_name(recipe.config_class) / (f"{file_format}-int8" if int8 else file_format)
    if not is_chief():
        print(f"the chief exports to {folder}")
        return folder
    run = getattr(model, "run", None)
    if not hasattr(recipe.kind, "networks"):
        raise ExportError(f"{type(recipe.kind).__name__} has no networks(), which says what {file_format} is to hold")
    convert, suffix = _converter(file_format)
    splits = _splits_of(recipe, model, data) if int8 else None
    source: Source = run or splits or recipe.load_data(recipe.config_class())
    files: dict[str, bytes] = {}
    described: dict[str, Any] = {}
    lines: list[str] = []
    with quiet_tensorflow(), without_cudnn(model):  # it warns of graphs that are made again
        for name, network in recipe.kind.networks(model, source, EXAMPLES).items():
            converted = convert(network)
            difference = greatest_difference(converted, file_format)
            figures: dict[str, Any] = {"greatest_difference": difference, "tolerance": TOLERANCE}
            line = f"differs from the model by at most {difference:.1e} of its greatest value"
            if splits is not None:
                examples = recipe.kind.networks(model, _Training(splits), REPRESENTATIVE)[name]
                smaller = convert(network, examples.padded() if network.length else examples)
                test = recipe.kind.networks(model, splits, MOST_TEST_EXAMPLES)[name]
                figures, line = int8_figures(smaller, test, splits, len(converted.content))
                converted = smaller
            files[f"{name}{suffix}"] = converted.content
            described[f"{name}{suffix}"] = {**_description(converted), **figures}
            lines.append(f"{name}{suffix}: {_megabytes(len(converted.content))}, takes {converted.takes}; {line}")
    published = _write(folder, files, {"format": folder.name, "files": described}, source, run)
    for line in lines:
        print(f"exported {published}/{line}")
    return published


def greatest_difference(converted: Converted, file_format: str) -> float:
    """Returns how far a converted network is from the Keras model on its examples, of the greatest value or of 1.

    Raises:
        ExportError: Names the output that differs by more than TOLERANCE.
    """
    examples, greatest = converted.network.examples, 0.0
    for batch in (examples, {name: values[:1] for name, values in examples.items()}):
        answers = converted.run(batch)
        for output, expected in answers_of(converted.network, batch).items():
            scale = max(1.0, float(np.abs(expected).max()))
            difference = float(np.abs(answers[output] - expected).max()) / scale
            if not difference <= TOLERANCE:
                raise ExportError(
                    f"the {file_format} network differs from the trained model by {difference:.2g} of its greatest "
                    f"value in {output!r}; expected at most {TOLERANCE}. Nothing was published"
                )
            greatest = max(greatest, difference)
    return greatest


def int8_figures(converted: Converted, test: Network, splits: Splits, float_bytes: int) -> tuple[dict[str, Any], str]:
    """Returns what int8 costs on the test split, as figures and in words.

    Args:
        converted: To int8.
        test: The network with the first test examples.
        splits: Their labels, where they have classes.
        float_bytes: The size of the float32 file.

    Raises:
        ExportError: If int8 and float32 agree less than AGREEMENT. Nothing is published.
    """
    if converted.network.length:
        test = test.padded()
    expected, answers = answers_of(test, test.examples), converted.run(test.examples)
    count = len(next(iter(test.examples.values())))
    name, agree = min(
        ((name, agreement(name, value, answers[name], splits.info.task)) for name, value in expected.items()),
        key=lambda pair: pair[1],
    )
    if not agree >= AGREEMENT:
        raise ExportError(
            f"int8 agrees with float32 to {agree:.3f} in {name!r} on {count:,} test examples; expected at least "
            f"{AGREEMENT}. Nothing was published; export without int8"
        )
    sizes = f"size {_megabytes(float_bytes)} -> {_megabytes(len(converted.content))}"
    figures = {"agreement": agree, "least_agreement": AGREEMENT, "test_examples": count, "float_bytes": float_bytes}
    line = f"agrees with float32 to {agree:.4f} on {count:,} test examples, {sizes}"
    labels = _class_labels(splits, count) if "probabilities" in expected else None
    if labels is not None:
        accuracies = [float((given["probabilities"].argmax(-1) == labels).mean()) for given in (expected, answers)]
        figures |= dict(zip(("float_accuracy", "int8_accuracy"), accuracies, strict=True))
        line = f"test accuracy float {accuracies[0]:.4f}, int8 {accuracies[1]:.4f}; {line}"
    return figures, line


def agreement(name: str, expected: np.ndarray, answers: np.ndarray, task: str = "classification") -> float:
    """Returns how far two networks agree in an output, 1 for wholly.

    Of probabilities and logits: the share of examples, or positions, whose likeliest class or token is the same; of
    several labels, the share of labels that both say are there, or are not. Of other numbers: 1 less the root mean
    square of their difference, divided by the deviation of what is expected.
    """
    if name == "probabilities" and task == "multi_label":
        return float(((expected >= 0.5) == (answers >= 0.5)).mean())
    if name in ("probabilities", "logits"):
        return float((expected.argmax(-1) == answers.argmax(-1)).mean())
    return 1 - float(np.sqrt(np.square(expected - answers).mean()) / max(float(expected.std()), 1e-12))


def answers_of(network: Network, inputs: dict[str, np.ndarray], batch_size: int = 64) -> dict[str, np.ndarray]:
    """Returns what the Keras model answers to inputs of any number, as NumPy arrays."""
    function = tf.function(network.function, input_signature=network.specs(None, None))
    return in_batches(
        lambda batch: {name: value.numpy() for name, value in function(*map(tf.constant, batch.values())).items()},
        inputs,
        batch_size,
    )


def in_batches(
    function: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], inputs: dict[str, np.ndarray], batch_size: int
) -> dict[str, np.ndarray]:
    """Returns the outputs of a function for inputs of any number, batch by batch."""
    starts = range(0, len(next(iter(inputs.values()))), batch_size)
    batches = [
        function({name: values[start : start + batch_size] for name, values in inputs.items()}) for start in starts
    ]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def import_extra(extra: str, *modules: str) -> list[Any]:
    """Returns the modules that an extra of this package installs, or says how to install them."""
    try:
        return [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise ExportError(f'{error}; install what it needs: pip install "keras-recipes[{extra}]"') from None


# ---------------------------------------------------------------- helpers


class _Training(NamedTuple):
    """The training examples as a Source: shuffled, and never of the test split."""

    splits: Splits

    @property
    def info(self) -> Any:
        return self.splits.info

    def examples(self, count: int = 32) -> np.ndarray:
        return replace(self.splits, validation=None, test=None, first_images=None).examples(count)


def _converter(file_format: str) -> tuple[Callable[..., Converted], str]:
    """Returns (the function that converts a Network, the suffix of its file)."""
    if file_format == "litert":
        from recipes.verbs.export_litert import to_litert

        return to_litert, ".tflite"
    from recipes.verbs.export_onnx import to_onnx

    return to_onnx, ".onnx"


def _splits_of(recipe: Recipe, model: keras.Model, data: Any) -> Splits:
    """Returns the splits that a model was trained on, held out as they were."""
    run = getattr(model, "run", None)
    config = run.config if run else recipe.config_class()
    if data is None:
        config, data = data_of_run(recipe, model)
    splits = recipe.load_data(config, data, run.info.tokenizer if run else None)
    if run:
        refuse_changed_data(run, splits.info)
    if splits.train is None or splits.test is None:
        raise ConfigError(f"int8 needs training and test examples, and {splits.info.name} has not both")
    return splits


def _class_labels(splits: Splits, count: int) -> np.ndarray | None:
    """Returns the class indices of the first test examples, (count,); None where they have other labels."""
    if splits.test is None or splits.info.task != "classification":
        return None
    labels = next(iter(splits.test.map(lambda _, label, *rest: label).unbatch().take(count).batch(count))).numpy()
    return labels if labels.ndim == 1 else labels.argmax(-1)


def _description(converted: Converted) -> dict[str, Any]:
    """Returns what a program that runs a file has to know of it."""
    network = converted.network

    def written(specs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {name: {"dtype": spec.dtype.name, "shape": list(spec.shape)} for name, spec in specs}

    return {
        "inputs": written(network.inputs.items()),
        "outputs": sorted(answers_of(network, {name: values[:1] for name, values in network.examples.items()})),
        "takes": converted.takes,
        "outside": network.outside,
    }


def _write(folder: Path, files: dict[str, bytes], description: dict[str, Any], source: Source, run: Any) -> Path:
    """Publishes files, recipe.json and tokenizer.json as the next version in a folder, all at once."""
    info = source.info
    about = {
        "recipe": folder.parent.name,
        "recipes_version": recipes.__version__,
        **description,
        "label_names": info.label_names,
        "data": info.to_json(),
        "run": run.folder.name if run else None,
        "test": run.metrics.get("test") if run else None,
    }
    part = folder / f".part-{os.getpid()}-{time.time_ns()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_parts_of_the_dead(folder)
        part.mkdir()
        for name, content in files.items():
            (part / name).write_bytes(content)
        (part / "recipe.json").write_text(json.dumps(about, indent=2) + "\n")
        if info.tokenizer:
            (part / "tokenizer.json").write_text(json.dumps(info.tokenizer.to_json(), indent=2) + "\n")
        return publish(part, folder)
    except OSError as error:
        raise ExportError(f"cannot write {folder}: {error.strerror}; nothing was published") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
