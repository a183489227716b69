"""What models of two halves share: an encoder, images to a code, and a decoder, a code to the logits of pixels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.kinds.image_classification import image_signatures
from recipes.kinds.plots import draw_images
from recipes.runs.atomic_files import save_picture
from recipes.runs.run_folder import Run
from recipes.verbs.export import Signature, Source, export_signatures, in_float32


def pixels(logits: Any) -> np.ndarray:
    """Returns the pixels in [0, 255] that a decoder's logits stand for, float32."""
    return 255 * keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))


def apply(model: keras.Model, values: Any, batch_size: int = 256) -> np.ndarray:
    """Returns what a model says to an array, (N, ...) of any length, batch by batch; of several outputs the first."""
    answers = []
    for start in range(0, len(values), batch_size):
        answer = model(np.asarray(values[start : start + batch_size], np.float32), training=False)
        answers.append(keras.ops.convert_to_numpy(answer[0] if isinstance(answer, (list, tuple)) else answer))
    return np.concatenate(answers)


def draw_reconstructions(
    reconstruct: Callable[[np.ndarray], np.ndarray], splits: Splits, folder: Path
) -> dict[str, str]:
    """Writes reconstructions.png: test images as they went in, as they came out, and as they are; see `Pictures`."""
    if splits.test is None:
        return {}
    images, targets = next(iter(splits.test.unbatch().batch(12)))
    rows = np.concatenate([images, reconstruct(images.numpy()), 255 * targets])
    save_picture(draw_images(rows, columns=len(images)), folder / "reconstructions.png")
    return {"Test images as they went in, as they came out, and as they are": "reconstructions.png"}


def draw_walks(decode: Callable[[np.ndarray], np.ndarray], codes: np.ndarray, folder: Path) -> dict[str, str]:
    """Writes traversals.png: the first code decoded with one of its numbers from -2.5 to 2.5; see `Pictures`.

    The eight numbers that vary most over the codes, (N, L). Those that hardly do, by a variance of 0.01 or less, are
    said not to be used: Burda et al. (2016), section 5.2; https://arxiv.org/abs/1509.00519.
    """
    steps, variance = np.linspace(-2.5, 2.5, 11), codes.var(0)
    walks = np.tile(codes[0], (min(8, len(variance)), len(steps), 1))
    for walk, number in zip(walks, np.argsort(-variance), strict=False):
        walk[:, number] = steps
    images = decode(walks.reshape(-1, len(variance)))
    save_picture(draw_images(images, columns=len(steps)), folder / "traversals.png")
    used = f"{(variance > 0.01).sum()} of {len(variance)} are used"
    return {
        f"One test image's code with one of its numbers from -2.5 to 2.5, the others kept; {used}": "traversals.png"
    }


def export_halves(encoder: keras.Model, decoder: keras.Model, source: Source, folder: Path, run: Run | None) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel of both halves; returns that folder.

    `serving_default` (encoded images), `image` and `image_uint8` answer with the `code` and the reconstructed `image`,
    (B, H, W, C) float32 in [0, 255]; `decode` takes a `code`, (B, ...) float32, and answers with `image`.

    Args:
        encoder: Images to a code, or to a list whose first is one.
        decoder: A code to logits.
        source: The model's run, or Splits of its data: gives the examples to check with.
        folder: The base path that a server watches.
        run: The model's run, for the metadata.

    Raises:
        ExportError: See `export_signatures`.
    """
    encoder, decoder = in_float32(encoder), in_float32(decoder)

    def decode(code: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": 255 * tf.sigmoid(decoder(code, training=False))}

    def reconstruct(image: tf.Tensor) -> dict[str, tf.Tensor]:
        code = encoder(tf.cast(image, tf.float32), training=False)
        code = code[0] if isinstance(code, (list, tuple)) else code
        return {"code": code, **decode(code)}

    images = source.examples(8).astype(np.float32)
    answer = {name: value.numpy() for name, value in reconstruct(tf.constant(images)).items()}
    signatures = image_signatures(reconstruct, tuple(encoder.input_shape[1:]), images, answer)
    code_spec = {"code": tf.TensorSpec((None, *decoder.input_shape[1:]), tf.float32)}
    signatures["decode"] = Signature(decode, code_spec, {"code": answer["code"]}, {"image": answer["image"]})
    return export_signatures([encoder, decoder], source.info, folder, signatures, run=run)
