"""A recipe's training steps, and those of the same model in Keras' own layers: contestants of steps.py, which runs it.

- `steps_keras.py prepare FOLDER NAME...` writes settings.json, batch.npz and model.keras to FOLDER/NAME.
- `steps_keras.py float32 NAME FOLDER`, or mixed_bfloat16, trains the recipe's own model.
- `steps_keras.py stock NAME FOLDER` trains what plain Keras, without our package, makes of the file.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if "stock" not in sys.argv:
    import recipes  # noqa: F401 - first: the package may set what TensorFlow reads

import keras
import numpy as np
import tensorflow as tf

from turns import serve


def prepare(name: str, folder: Path) -> None:
    """Writes what the contestants share, in float32."""
    from recipes.devices.keras_fixes import classes_of_ours
    from recipes.devices.precision import processor_flags
    from step_batches import batch_of

    folder.mkdir()
    recipe = importlib.import_module(f"recipes.{name}")
    config, sizes = recipe.Config(), recipe.fit.__self__.sizes
    arrays = batch_of(name, config, sizes)
    np.savez(folder / "batch.npz", *arrays)
    model = recipe.build(config, sizes)
    model.save(folder / "model.keras")
    settings = {
        "config": asdict(config),
        "sizes": asdict(sizes),
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "batch": [[*array.shape, str(array.dtype)] for array in arrays],
        "classes_of_ours": sorted(classes_of_ours(folder / "model.keras")),
        "has_bfloat16": bool(processor_flags() & {"avx512_bf16", "amx_bf16"}),
    }
    (folder / "settings.json").write_text(json.dumps(settings))


def ours(name: str) -> keras.Model:
    """Returns the recipe's own model, in the policy that is set."""
    recipe = importlib.import_module(f"recipes.{name}")
    return recipe.build(recipe.Config(), recipe.fit.__self__.sizes)


def stock(path: Path) -> keras.Model:
    """Returns the model in a file, of Keras' own layers, loss and optimizer."""
    model = keras.models.load_model(path)
    if type(model.loss) is keras.losses.CategoricalCrossentropy:  # in place of our smoothing one, of class indices
        model.compile(model.optimizer, model.loss, metrics=["accuracy"])
    return model


def batch_for(model: keras.Model, folder: Path) -> Any:
    """Returns the batch as `Model.fit` takes it; one-hot labels for a loss that asks for them."""
    with np.load(folder / "batch.npz") as arrays:
        *inputs, target = arrays.values()
    if type(model.loss) is keras.losses.CategoricalCrossentropy:
        target = np.eye(model.output_shape[-1], dtype=np.float32)[target]
    return (inputs[0] if len(inputs) == 1 else tuple(inputs)), target


def main() -> None:
    """Serves."""
    if sys.argv[1] == "prepare":
        for name in sys.argv[3:]:
            prepare(name, Path(sys.argv[2]) / name)
        return
    kind, name, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    model, steps = steps_of(kind, name, folder)
    serve(steps, {"parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)})


def steps_of(kind: str, name: str, folder: Path) -> tuple[keras.Model, Callable[[int], None]]:
    """Returns a contestant's model, and what makes so many of its training steps.

    Args:
        kind: "float32" or "mixed_bfloat16", the recipe's own in that policy; "stock", in Keras' own layers.
        name: Of the recipe.
        folder: That `prepare` has written.
    """
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32" if kind == "stock" else kind)
    model = stock(folder / "model.keras") if kind == "stock" else ours(name)
    batches = tf.data.Dataset.from_tensors(batch_for(model, folder)).repeat().prefetch(2)
    model.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)  # makes train_function
    iterator = iter(batches)

    def steps(count: int) -> None:
        for _ in range(max(1, count // model.steps_per_execution)):
            logs = model.train_function(iterator)
        float(tf.nest.flatten(logs)[0])

    return model, steps


if __name__ == "__main__":
    main()
