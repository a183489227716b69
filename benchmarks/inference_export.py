"""Exports a recipe's network, and answers with it: a contestant of inference.py, which runs it.

- `inference_export.py prepare NAME FOLDER` writes FOLDER/NAME/1, and for batches of 1 and 64 a folder each.
- `inference_export.py serve NAME FOLDER/64` answers.
"""

import importlib
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import recipes  # noqa: F401 - first: the package may set what TensorFlow reads

import numpy as np
import tensorflow as tf

from turns import serve

BATCHES = (1, 64)


def prepare(name: str, folder: Path) -> None:
    """Writes the export of a network that is built and not trained, and what the contestants are asked."""
    import keras

    from step_batches import batch_of

    recipe = importlib.import_module(f"recipes.{name}")
    keras.config.set_dtype_policy("float32")
    config = recipe.Config()
    splits = recipe.load_data(config)
    sizes = splits.info.sizes(recipe.fit.__self__.sizes)
    model = recipe.build(config, sizes)
    recipe.export(model, path=folder)
    settings = {
        "config": asdict(config),
        "sizes": asdict(sizes),
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }
    for size in BATCHES:
        (folder / str(size)).mkdir()
        inputs, target = batch_of(name, replace(config, batch_size=size), sizes)
        inputs = inputs.astype(np.float32) if inputs.ndim == 4 else inputs
        np.savez(folder / str(size) / "batch.npz", inputs, target)
        (folder / str(size) / "settings.json").write_text(json.dumps(settings))


def main() -> None:
    """Serves answers."""
    kind, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if kind == "prepare":
        prepare(name, folder)
        return
    loaded = tf.saved_model.load(folder.parent / name / "1")
    with np.load(folder / "batch.npz") as arrays:
        inputs = tf.constant(next(iter(arrays.values())))
    signature = loaded.signatures["image" if inputs.shape.rank == 4 else "token_ids"]
    [argument] = signature.structured_input_signature[1]

    def answers(count: int) -> None:
        for _ in range(count):
            signature(**{argument: inputs})["probabilities"].numpy()

    serve(answers, {})


if __name__ == "__main__":
    main()
