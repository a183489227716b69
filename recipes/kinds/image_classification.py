"""Classifiers of images: a SavedModel of them that takes encoded images, and the functions that it serves."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from recipes.data.images import check_channels, decode_image
from recipes.devices.workers import is_chief
from recipes.errors import ExportError
from recipes.verbs.export import Signature, Source, export_signatures, in_float32


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


def classify_function(model: keras.Model, label_names: tuple[str, ...]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function (B, H, W, C) images in [0, 255] -> {"label", "probability", "probabilities"}."""
    name = name_function(model, label_names)

    def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(image)[0]
        one_if_empty = tf.cast(count == 0, tf.int32)  # oneDNN's fused convolutions fail on an empty batch
        padded = tf.pad(tf.cast(image, tf.float32), [[0, one_if_empty], [0, 0], [0, 0], [0, 0]])
        return name(model(padded, training=False)[:count])

    return classify


def name_function(model: keras.Model, label_names: tuple[str, ...]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function (B, V) logits -> {"label", "probability", "probabilities"}."""
    names = label_names or tuple(map(str, range(model.output_shape[-1])))
    if len(names) != model.output_shape[-1]:
        raise ExportError(f"the model has {model.output_shape[-1]} classes and the data {len(names)} label names")

    def name(logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {
            "label": tf.gather(tf.constant(names), tf.argmax(probabilities, axis=-1)),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    return name


def decode_batch(image_bytes: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns (B,) encoded images as (B, H, W, C) float32 in [0, 255]."""
    return tf.map_fn(
        lambda encoded: decode_image(encoded, image_shape),
        image_bytes,
        fn_output_signature=tf.TensorSpec(image_shape, tf.float32),
    )
