"""Images by what a network makes of them: the features of each, and those that are nearest to one's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.errors import ConfigError, DataError

FEATURES = "features"  # the name of the layer whose outputs (B, D) these are


def embed_images(model: keras.Model, photos: Any) -> np.ndarray:
    """Returns the features of photographs, (N, D) float32: alike where what they show is.

    Args:
        model: A trained model.
        photos: As `predict` takes them: paths of files or folders, bytes, arrays, PIL images.

    Raises:
        DataError: If some cannot be read.
    """
    return np.concatenate([features for _, features in _features_of(model, photos)])


def similar_images(
    model: keras.Model, photo: Any, photos: Any, k: int = 5, picture: str | Path | None = None
) -> list[tuple[str, float]]:
    """Returns the names of the k photographs whose features are nearest to one's, with the cosine of the angle.

    Args:
        model: A trained model.
        photo: One, as `predict` takes it.
        photos: Among which; a folder, or a list.
        k: How many, at most.
        picture: A PNG file to write, with the photographs that are found and their cosines; None: none.

    Raises:
        ConfigError: If k is less than 1, or the picture cannot be written.
        DataError: If some cannot be read.
    """
    from recipes.kinds.options import check_option

    check_option("k", k, int, lambda value: value >= 1, "how many to return, at least 1")
    photos = list(photos) if isinstance(photos, Iterator) else photos  # is read twice
    names, rows = [], []
    for batch_names, features in _features_of(model, photos):
        names += batch_names
        rows.append(features)
    among, one = (np.concatenate(each) for each in (rows, [f for _, f in _features_of(model, [photo])]))
    cosines = unit_vectors(among) @ unit_vectors(one)[0]
    nearest = np.argsort(-cosines, kind="stable")[:k]
    found = [(names[index], float(cosines[index])) for index in nearest]
    if picture is not None:
        from recipes.kinds.contact_sheet import write_sheet

        what = f"like {Path(photo).name}" if isinstance(photo, (str, Path)) else "like the photograph"
        write_sheet(picture, what, photos, tuple(model.input_shape[1:]), nearest, found)
    return found


def _features_of(model: keras.Model, photos: Any) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields (names, features (B, D)) of some photographs at a time.

    Raises:
        DataError: If one cannot be read, or there are none.
    """
    from recipes.kinds.inputs import image_batches

    network = keras.Model(model.inputs[0], layer_of(model, FEATURES).output)
    features = tf.function(lambda image: network(image, training=False), reduce_retracing=True)
    count = 0
    for names, images in image_batches(photos, tuple(model.input_shape[1:])):
        yield names, features(tf.constant(images)).numpy()
        count += len(names)
    if not count:
        raise DataError("photos has none; expected a folder with photographs, or a list of one or more")


def labelled_features(model: keras.Model, batches: tf.data.Dataset) -> tuple[np.ndarray, ...]:
    """Returns the features (N, D) float32, class indices (N,) and, where they have some, weights (N,) of examples.

    Args:
        model: A model with such features.
        batches: Images (B, H, W, C), labels (B,) or (B, V), of which the likeliest class counts, and perhaps weights.
    """
    network = keras.Model(model.inputs[0], layer_of(model, FEATURES).output)
    features = tf.function(lambda image: network(tf.cast(image, tf.float32), training=False), reduce_retracing=True)
    columns = [(features(image).numpy(), *(other.numpy() for other in others)) for image, *others in batches]
    rows, labels, *weights = map(np.concatenate, zip(*columns, strict=True))
    return rows, labels.argmax(-1) if labels.ndim == 2 else labels, *weights


def unit_vectors(rows: np.ndarray) -> np.ndarray:
    """Returns rows (N, D) at length 1; those of length 0 stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def layer_of(model: keras.Model, name: str) -> keras.layers.Layer:
    """Returns a layer of `build`'s, refusing a model that has none of that name."""
    if name not in [layer.name for layer in model.layers]:
        raise ConfigError(f"{model.name} has no layer {name!r}, as an ensemble has none; ask one of its members")
    return model.get_layer(name)
