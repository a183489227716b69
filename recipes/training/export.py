"""`export_classifier`: a SavedModel that takes encoded images and answers with labels, checked before it is kept."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

import recipes
from recipes.data.images import check_channels, decode_image
from recipes.data.splits import DataInfo
from recipes.devices.workers import is_chief
from recipes.errors import ExportError

TOLERANCE = 1e-5  # of a probability, between the SavedModel and the model it was made from


class Source(Protocol):
    """What tells the labels of a model and gives examples to check it with: a Run or Splits."""

    @property
    def info(self) -> DataInfo: ...  # noqa: D102

    def examples(self, count: int = 32) -> np.ndarray: ...  # noqa: D102


def export_classifier(model: keras.Model, source: Source, folder: str | Path) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    Signatures, each with the outputs `label` (B,) string, `probability` (B,) float32 and `probabilities`
    (B, classes) float32:

    - `serving_default`: `image_bytes` (B,) string, encoded JPEG, PNG or GIF of any size, colour or grey.
    - `image`: `image` (B, H, W, C) float32 in [0, 255].
    - `image_uint8`: `image` (B, H, W, C) uint8.

    The exported model computes in float32 whatever precision it was trained in: its weights are float32 already, and
    a server may have no bfloat16 arithmetic. `assets.extra/recipe.json` says what it is and what it was trained on.

    Of several workers the chief alone writes; the others are given `folder` itself.

    Args:
        model: Image classifier: (B, H, W, C) in [0, 255] to logits.
        source: The model's run, or Splits of its data.
        folder: The base path that a server watches.

    Raises:
        ExportError: If the SavedModel does not answer as the model does, or cannot be written. Nothing is published.
    """
    folder = Path(folder)
    if not is_chief():
        print(f"the chief exports to {folder}")
        return folder
    check_channels(tuple(model.input_shape[1:]))
    served, examples = in_float32(model), source.examples(16)
    part = folder / f".part-{os.getpid()}-{time.time_ns()}"
    try:
        part.mkdir(parents=True)
        _save(served, source.info, part)
        check_export(part, served, examples)
        _write_metadata(model, source, part)
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
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})
    )
    copy.set_weights(model.get_weights())
    return copy


def check_export(path: Path, model: keras.Model, examples: np.ndarray) -> None:
    """Refuses a SavedModel whose answers on real examples differ from the model's by more than TOLERANCE.

    Raises:
        ExportError: Names the signature and the difference.
    """
    images = examples.astype(np.float32)
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(images, verbose=0)))
    loaded = tf.saved_model.load(str(path))
    answers = {"image": loaded.signatures["image"](image=tf.constant(images))}
    if np.array_equal(images, np.rint(images)):  # what a PNG can hold
        pixels = images.astype(np.uint8)
        png = tf.constant([tf.io.encode_png(image).numpy() for image in pixels])
        answers["serving_default"] = loaded.signatures["serving_default"](image_bytes=png)
        answers["image_uint8"] = loaded.signatures["image_uint8"](image=tf.constant(pixels))
    for signature, answer in answers.items():
        difference = float(np.abs(answer["probabilities"].numpy() - expected).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the exported signature {signature!r} differs from the trained model by {difference:.2g} in a "
                f"probability; expected at most {TOLERANCE}. Nothing was published"
            )


def _save(model: keras.Model, info: DataInfo, path: Path) -> None:
    height, width, channels = image_shape = tuple(model.input_shape[1:])
    classify = classify_function(model, info.label_names)

    def of(dtype: tf.DType) -> list[tf.TensorSpec]:
        return [tf.TensorSpec((None, height, width, channels), dtype, name="image")]

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        lambda image_bytes: classify(decode_batch(image_bytes, image_shape)),
        input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")],
    )
    archive.add_endpoint("image", classify, input_signature=of(tf.float32))
    archive.add_endpoint("image_uint8", classify, input_signature=of(tf.uint8))
    archive.write_out(str(path), verbose=False)


def _write_metadata(model: keras.Model, source: Source, path: Path) -> None:
    """Writes assets.extra/recipe.json, which TensorFlow Serving leaves alone."""
    run = getattr(model, "run", None)
    metadata: dict[str, Any] = {
        "recipe": path.parent.name,
        "recipes_version": recipes.__version__,
        "label_names": source.info.label_names,
        "image_shape": model.input_shape[1:],
        "data": source.info.to_json(),
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
