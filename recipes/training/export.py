"""SavedModels for a server: `export_classifier`, and `export_signatures` for other models; checked before kept."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

import recipes
from recipes.data.images import check_channels, decode_image
from recipes.data.splits import DataInfo
from recipes.devices.workers import is_chief
from recipes.errors import ExportError
from recipes.training.runs import Run

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
    answer: dict[str, np.ndarray]  # what the trained model says to it, for some or all of the outputs


def export_classifier(model: keras.Model, source: Source, folder: str | Path) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    Signatures, each with the outputs `label` (B,) string, `probability` (B,) float32 and `probabilities`
    (B, classes) float32:

    - `serving_default`: `image_bytes` (B,) string, encoded JPEG, PNG or GIF of any size, colour or grey.
    - `image`: `image` (B, H, W, C) float32 in [0, 255].
    - `image_uint8`: `image` (B, H, W, C) uint8.

    Args:
        model: Image classifier: (B, H, W, C) in [0, 255] to logits.
        source: The model's run, or Splits of its data.
        folder: The base path that a server watches.

    Raises:
        ExportError: See `export_signatures`.
    """
    if not is_chief():  # what follows would read examples that the chief alone has
        return export_signatures([model], source.info, folder, {})
    check_channels(tuple(model.input_shape[1:]))
    served, images = in_float32(model), source.examples(16)
    classify = classify_function(served, source.info.label_names)
    probabilities = keras.ops.softmax(served.predict(images.astype(np.float32), verbose=0))
    answer = {"probabilities": keras.ops.convert_to_numpy(probabilities)}
    signatures = image_signatures(classify, tuple(model.input_shape[1:]), images, answer)
    return export_signatures([served], source.info, folder, signatures, run=getattr(model, "run", None))


def image_signatures(
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    image_shape: tuple[int, int, int],
    images: np.ndarray,
    answer: dict[str, np.ndarray],
) -> dict[str, Signature]:
    """Returns the three signatures of a function of images: encoded bytes, float32 and uint8.

    Args:
        function: (B, H, W, C) in [0, 255] -> outputs by name.
        image_shape: H, W, C; encoded images of other sizes are resized.
        images: Examples; encoded ones are asked only where a PNG can hold them.
        answer: What the trained model says to them.
    """
    images = images.astype(np.float32)
    exact = np.array_equal(images, np.rint(images))  # what a PNG can hold
    pixels = images.astype(np.uint8)
    png = np.array([tf.io.encode_png(image).numpy() for image in pixels] if exact else [], object)

    def of_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return function(decode_batch(image_bytes, image_shape))

    def spec(dtype: tf.DType) -> dict[str, tf.TensorSpec]:
        return {"image": tf.TensorSpec((None, *image_shape), dtype)}

    known = answer if exact else {}
    return {
        "serving_default": Signature(
            of_bytes, {"image_bytes": tf.TensorSpec((None,), tf.string)}, {"image_bytes": png}, known
        ),
        "image": Signature(function, spec(tf.float32), {"image": images}, answer),
        "image_uint8": Signature(function, spec(tf.uint8), {"image": pixels}, known),
    }


def export_signatures(
    models: Sequence[keras.Model],
    info: DataInfo,
    folder: str | Path,
    signatures: dict[str, Signature],
    *,
    run: Run | None = None,
) -> Path:
    """Writes `<folder>/<version>/` with the given signatures, and returns it.

    The exported model should compute in float32 whatever precision it was trained in (`in_float32`): its weights are
    float32 already, and a server may have no bfloat16 arithmetic. `assets.extra/recipe.json` says what it is and what
    it was trained on. Of several workers the chief alone writes; the others are given `folder` itself.

    Args:
        models: What the signatures compute with.
        info: What it was trained on.
        folder: The base path that a server watches.
        signatures: By name.
        run: The model's run.

    Raises:
        ExportError: If the SavedModel does not answer as it should, or cannot be written. Nothing is published.
    """
    folder = Path(folder)
    if not is_chief():
        print(f"the chief exports to {folder}")
        return folder
    part = folder / f".part-{os.getpid()}-{time.time_ns()}"
    try:
        part.mkdir(parents=True)
        _save(models, signatures, part)
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


def classify_function(model: keras.Model, label_names: tuple[str, ...]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function (B, H, W, C) images in [0, 255] -> {"label", "probability", "probabilities"}."""
    names = label_names or tuple(map(str, range(model.output_shape[-1])))
    if len(names) != model.output_shape[-1]:
        raise ExportError(f"the model has {model.output_shape[-1]} classes and the data {len(names)} label names")

    def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(image)[0]
        one_if_empty = tf.cast(count == 0, tf.int32)  # oneDNN's fused convolutions fail on an empty batch
        padded = tf.pad(tf.cast(image, tf.float32), [[0, one_if_empty], [0, 0], [0, 0], [0, 0]])
        logits = model(padded, training=False)[:count]
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {
            "label": tf.gather(tf.constant(names), tf.argmax(probabilities, axis=-1)),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    return classify


def decode_batch(image_bytes: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns (B,) encoded images as (B, H, W, C) float32 in [0, 255]."""
    return tf.map_fn(
        lambda encoded: decode_image(encoded, image_shape),
        image_bytes,
        fn_output_signature=tf.TensorSpec(image_shape, tf.float32),
    )


def in_float32(model: keras.Model) -> keras.Model:
    """Returns the model itself if it computes in float32, else a copy that does, with the same weights."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    copy = keras.models.clone_model(
        model,
        clone_function=lambda layer: layer.__class__.from_config({**layer.get_config(), "dtype": "float32"}),
        recursive=True,
    )
    copy.set_weights(model.get_weights())
    return copy


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
            difference = float(np.abs(answers[output].numpy() - expected).max())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise ExportError(
                    f"the exported signature {name!r} differs from the trained model by {difference:.2g} in "
                    f"{output!r}; expected at most {TOLERANCE} of its greatest. Nothing was published"
                )


def _save(models: Sequence[keras.Model], signatures: dict[str, Signature], path: Path) -> None:
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
