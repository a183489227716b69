"""Labels for image files, computed by the very functions that an export serves."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.images import decode_file
from recipes.errors import ConfigError, DataError
from recipes.training.export import classify_function, in_float32


def classify_files(
    model: keras.Model, files: Iterable[Path], label_names: tuple[str, ...]
) -> Iterator[tuple[Path, dict[str, Any] | DataError]]:
    """Yields (file, {"label", "probability", "probabilities"}), or (file, the DataError that says why there is none).

    Args:
        model: Image classifier: (B, H, W, C) in [0, 255] to logits.
        files: JPEG, PNG or GIF, of any size.
        label_names: By class index.

    Raises:
        ConfigError: If the model is none.
    """
    if getattr(model, "output_shape", ())[1:] != (len(label_names),):
        raise ConfigError(f"{model.name} names nothing in an image; expected a recipe that classifies")
    classify = classify_function(in_float32(model), label_names)
    for file in files:
        try:
            image = decode_file(file, tuple(model.input_shape[1:]))
        except DataError as error:
            yield file, error
            continue
        answer = classify(tf.constant(image[np.newaxis]))
        yield (
            file,
            {
                "label": answer["label"].numpy()[0].decode(),
                "probability": float(answer["probability"][0]),
                "probabilities": answer["probabilities"].numpy()[0],
            },
        )
