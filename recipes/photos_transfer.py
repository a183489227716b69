"""Photographs of your own, classified with what a network has learned on ImageNet: transfer learning.

Some hundred photographs cannot teach a network to see. One that was trained on the million of ImageNet can: without its
last layer it makes features of any photograph, f(x), and a new last layer is all that is to be learned:

    logits = W f(x) + b
    W, b = argmin  sum_n -log softmax(W f(x_n) + b)[y_n] + lambda |W|^2 / 2

With f frozen that is logistic regression: it has one minimum, found in seconds (`solve_head`), on features that are
computed once and kept. From there W and, with `fine_tune="top"` or "all", the network itself are trained on cropped and
mirrored photographs, the network at a tenth of the rate: what it knows is not to be washed out by the first gradients.

    Donahue et al., "DeCAF" (2014), https://arxiv.org/abs/1310.1531: features of one task for another
    Yosinski et al., "How transferable are features in deep neural networks?" (2014), https://arxiv.org/abs/1411.1792
    Selvaraju et al., "Grad-CAM" (2017), https://arxiv.org/abs/1610.02391: `explain`, where a network looks

The default data is 396 photographs of ants and bees, of PyTorch's tutorial on transfer learning
(https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html): 243 to train on, 153 to test; there a
frozen ResNet-18 has 95.42 %, the best of 25 epochs by the test photographs. What differs: EfficientNet-Lite0, of 3.4
million weights for 11.2; photographs of 256x256, squeezed, of which parts of 40 % and more are trained on; a solved
last layer, whose lambda was chosen, as were these two, by cross-validation on the training photographs. Yours:
`fit(data="folder")`, with a folder of photographs per class.

Result: 95.21 ± 0.38 % test accuracy (3 seeds, float32), about a minute on two cores beside other work; with all
photographs to train on, `validation_fraction=0`, 95.64 ± 0.38 %.
Command: `python benchmarks/accuracy.py photos_transfer --seeds 0 1 2`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.augment import crop_and_mirror
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.data.standins.catalogue import STANDINS
from recipes.errors import ConfigError, did_you_mean
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.kinds.image_embeddings import embed_images, labelled_features, layer_of, similar_images
from recipes.layers.batch_norm import BatchNormalization
from recipes.optimization.losses import answers, objective
from recipes.optimization.optimizers import sgd, warmup_cosine
from recipes.settings import (
    Count,
    Counts,
    ImageShape,
    LabelledImages,
    NotNegative,
    Positive,
    Share,
    ValidationShare,
)
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


ENCODERS = ("efficientnet_lite0", "efficientnet_v2_b0", "vgg19", "convnet")


@dataclass(frozen=True)
class Config(LabelledImages):
    """Settings of photos_transfer. Change them by name: `fit(data="photos", fine_tune="all")`."""

    # data
    dataset: str = "hymenoptera"  # ants and bees; or an image-classification set of tensorflow-datasets, or "shapes"
    validation_fraction: ValidationShare = 0.1  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = (256, 256, 3)  # height, width, channels to resize photographs to
    flip: bool = True  # mirror every other training photograph, drawn anew each time; False for signs
    crop_area: Share = 0.4  # training photographs are cropped to this share of their area and more; 0: not at all
    # model
    encoder: str = "efficientnet_lite0"  # or "efficientnet_v2_b0", "vgg19", "convnet", untrained, or a run's folder
    filters: Counts = (32, 64, 128)  # of "convnet", each of which halves the image
    fine_tune: Literal["head", "top", "all"] = "head"  # what is trained: the last layer, the last blocks too, or all
    head_epochs: Count = 4  # how often each photograph is seen, cropped anew, to solve the last layer
    head_decay: Positive = 3.0  # lambda, of the last layer on frozen features
    linear: Literal["softmax", "svm"] = "softmax"  # what the last layer is: logistic regression, or a linear SVM
    dropout: Share = 0.0  # share of the features dropped before the last layer
    # training
    batch_size: Count = 27
    epochs: Count = 4
    learning_rate: Positive = 3e-3  # SGD's highest for the last layer; a tenth of it for the network
    momentum: Share = 0.9  # Nesterov's
    weight_decay: NotNegative = 0.05  # share of each kernel taken off per step, times the learning rate; as lambda / N
    warmup_fraction: Share = 0.1  # share of the steps in which the rate climbs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder not in ENCODERS and not is_folder(self.encoder):
            raise ConfigError(
                f"encoder={self.encoder!r} is unknown{did_you_mean(self.encoder, ENCODERS)}; expected "
                f"{', '.join(ENCODERS)}, or the folder of a run, such as runs/cifar_resnet/ID"
            )
        if self.linear == "svm":
            self.refuse_without_effect("label_smoothing", "a linear SVM has no probabilities to smooth", without=0.0)
        if self.encoder == "convnet":
            self.refuse_without_effect(
                "fine_tune head_epochs head_decay", "encoder='convnet' is always trained as a whole"
            )
        else:
            self.refuse_without_effect("filters", f"encoder={self.encoder!r} has its own")
        if self.encoder not in ENCODERS:
            self.refuse_without_effect("image_shape", f"the network of {self.encoder} takes images of its own size")


def is_folder(encoder: str) -> bool:
    """Returns whether an encoder is named as a folder is: of a run that may be elsewhere by now."""
    return "/" in encoder or Path(encoder).is_dir()


TINY = Config(
    dataset="shapes",
    image_shape=None,
    encoder="convnet",
    filters=(4, 8),
    batch_size=32,
    epochs=1,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data

HYMENOPTERA = Sizes(train_examples=219, image_shape=(256, 256, 3), num_classes=2)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, H, W, C) uint8 in [0, 255] and (B,) int32 labels.

    Training photographs are shifted and mirrored, drawn from (seed, step). `data` may be your own: a folder with a
    sub-folder of photographs per class, arrays `(images, labels)`, two or three such pairs (training, (validation,)
    test), a table, or Splits. Generated images, the stand-in, stay as they are, and `encoder` is then "convnet".
    """
    import recipes.data.tfds.hymenoptera  # noqa: F401 - makes the name known

    augment = partial(crop_and_mirror, area=config.crop_area, mirror=config.flip)
    if config.encoder not in ENCODERS:
        config = replace(config, encoder=ENCODERS[0], image_shape=network_of_run(config.encoder)[0].input_shape[1:])
    shape = config.image_shape or HYMENOPTERA.image_shape
    read = partial(image_splits, data=data, standin="shapes", image_shape=shape, augment=augment)
    splits = read(replace(config, image_shape=None))  # generated images, and others of one size, as they are
    if splits.info.name in STANDINS:
        return replace(splits, info=replace(splits.info, follows={**splits.info.follows, "encoder": "convnet"}))
    if config.image_shape in (None, tuple(splits.info.follows["image_shape"])):
        return splits
    return read(config)


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = HYMENOPTERA) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to (B, num_classes) float32 logits.

    Its layer "maps" has the last features that have places, (B, h, w, D), "features" their means over them, (B, D).

    Raises:
        ConfigError: If a pretrained network cannot take the images.
        DataError: If its weights are not installed, or cannot be downloaded.
    """
    image, maps = encoder(config, sizes.image_shape)
    x = layers.Activation("linear", dtype="float32", name="maps")(maps)
    x = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    if config.encoder != "convnet":
        x = ops.stop_gradient(x) + 0.1 * (x - ops.stop_gradient(x))  # itself; its gradient, and so SGD's step, a tenth
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(sizes.num_outputs, dtype="float32", name="logits")(x)
    model = keras.Model(image, answers(logits, sizes), name="photos_transfer")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    aim = objective(sizes, config.label_smoothing)
    if config.linear == "svm" and sizes.task == "classification":
        aim["loss"] = SquaredHinge()
    model.compile(sgd(rate, config.momentum, config.weight_decay), **aim)
    return model


@keras.saving.register_keras_serializable("recipes")
class SquaredHinge(keras.losses.Loss):
    """The loss of linear support vector machines, one class against the others: sum_c max(0, 1 - y_c s_c)^2, y_c = +-1.

    Tang, "Deep Learning using Linear Support Vector Machines" (2013), https://arxiv.org/abs/1306.0239, equation 5.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example: labels (B,) integer or (B, V) of 0 and 1, scores (B, V) -> (B,)."""
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[:, 0]
        y = y_true if y_true.ndim == 2 else ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return ops.sum(ops.relu(1 - (2 * ops.cast(y, y_pred.dtype) - 1) * y_pred) ** 2, -1)


def encoder(config: Config, image_shape: tuple[int, ...]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns (images (B, H, W, C) in [0, 255], the last features with places (B, h, w, D)) of what makes features.

    Of a pretrained network what `fine_tune` names is trained, but for its batch normalisation: a small batch's mean and
    variance would be worse than ImageNet's.
    """
    if config.encoder == "convnet":
        image = keras.Input(image_shape, name="image")
        x = layers.Rescaling(1 / 128, offset=-1)(image)
        for filters in config.filters:
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.MaxPooling2D(padding="same")(layers.Activation("relu")(BatchNormalization()(x)))
        return image, x
    if config.encoder not in ENCODERS:
        network, maps = network_of_run(config.encoder)
        if network.input_shape[1:] != tuple(image_shape):
            raise ConfigError(
                f"image_shape={tuple(image_shape)}; the network of {config.encoder} takes {network.input_shape[1:]}"
            )
        of_top = [layer for layer in network.layers if layer.output.shape[1:3] == maps.shape[1:3]]
        freeze(network, config.fine_tune, of_top)
        image = keras.Input(image_shape, name="image")
        return image, keras.Model(network.inputs[0], maps, name="encoder")(image)  # its layers keep their names
    from recipes.pretrained.encoders import BACKBONES, network_of

    if image_shape[0] != image_shape[1] or image_shape[2] != 3:
        raise ConfigError(
            f"image_shape={tuple(image_shape)}; {config.encoder} takes squares of three colours: expected (256, 256, 3)"
        )
    network, backbone = network_of(config.encoder, image_shape[0]), BACKBONES[config.encoder]
    of_top = [layer for layer in network.layers if layer.name.startswith(backbone.last)]
    freeze(network, config.fine_tune, of_top)
    return network.inputs[0], network.get_layer(backbone.maps).output


def freeze(network: keras.Model, fine_tune: str, top: Sequence[layers.Layer]) -> None:
    """Leaves a network's layers as they are but for those that `fine_tune` names; batch normalisation always."""
    names = {layer.name for layer in {"head": [], "top": top, "all": network.layers}[fine_tune]}
    for layer in network.layers:
        layer.trainable = layer.name in names and not isinstance(layer, layers.BatchNormalization)


def network_of_run(folder: str) -> tuple[keras.Model, keras.KerasTensor]:
    """Returns (the network of a run of a recipe of images, its last features that have places, (B, h, w, D)).

    Raises:
        ConfigError: If the folder holds none.
    """
    from recipes.verbs.load import know_shared_layers

    know_shared_layers()
    path = Path(folder) / "model.keras"
    if not path.is_file():
        raise ConfigError(f"encoder={folder!r} holds no model.keras; expected the folder of a finished run")
    network = keras.models.load_model(path, compile=False)
    with_places = [layer for layer in network.layers if isinstance(layer.output, keras.KerasTensor)]
    maps = [layer for layer in with_places if layer.output.ndim == 4 and layer.name != "maps"]  # `build` adds its own
    if len(network.inputs) != 1 or network.inputs[0].ndim != 4 or len(maps) < 2:
        raise ConfigError(f"encoder={folder!r} is a network of {network.input_shape}; expected one of images")
    return network, maps[-1].output


def solve_head(model: keras.Model, splits: Splits, config: Config) -> None:
    """Sets the last layer by logistic regression on the features of the training photographs, cropped and mirrored.

    With `linear="svm"` by that many linear support vector machines, one class against the others. `head_decay` is
    lambda where each photograph counts once, however often it is seen. Of several labels for an example, or of numbers,
    the layer begins as it is drawn.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    from recipes.kinds.solved_head import solve_last_layer

    if config.encoder == "convnet" or splits.info.task != "classification":
        return
    features, labels, *weights = labelled_training_features(model, splits, config)
    weight = 1 / config.head_decay / config.head_epochs
    solver = (
        LinearSVC(C=weight, random_state=0) if config.linear == "svm" else LogisticRegression(C=weight, max_iter=1_000)
    )
    solve_last_layer(model.get_layer("logits"), solver, features, labels, *weights)


MOST_FEATURES = 50_000  # by which the last layer is solved


def labelled_training_features(model: keras.Model, splits: Splits, config: Config) -> tuple[np.ndarray, ...]:
    """Returns features (N, D), labels (N,) and, with `class_weight`, weights (N,) of the batches of `head_epochs`.

    The features are computed once for all runs, but of your own Splits, or of mixed photographs.
    """
    from recipes.data.in_memory import fingerprint
    from recipes.pretrained.encoders import digest
    from recipes.pretrained.feature_cache import computed_once

    network = keras.Model(model.inputs[0], model.get_layer("features").output, name=Path(config.encoder).name)
    steps = config.head_epochs * (splits.steps_per_epoch or int(splits.train.cardinality()))
    batches = splits.train.repeat().take(min(steps, max(1, MOST_FEATURES // config.batch_size)))
    if splits.info.fingerprint and not (config.mixup or config.cutmix):
        columns = [[each.numpy() for each in others] for _, *others in batches]
        labels, *weights = map(np.concatenate, zip(*columns, strict=True))
        places = np.split(np.arange(len(labels)), len(labels) // config.batch_size)
        how = repr([getattr(config, name) for name in ("seed", "batch_size", "flip", "crop_area", "rand_augment")])
        key = f"{digest(network)}-{fingerprint(splits.info.fingerprint, how)}"
        images = (image for image, *_ in batches)
        features = computed_once(network, key, len(labels), zip(places, images, strict=True))
        return np.asarray(features, np.float32), labels, *weights
    return labelled_features(model, batches)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    pretrained = {} if config.encoder == "convnet" else {"fine_tune": hp.Choice("fine_tune", ["head", "top", "all"])}
    return replace(
        config,
        **pretrained,
        dropout=hp.Float("dropout", 0.0, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 1e-3, 0.1, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-5, 1e-2, sampling="log"),
    )


# ---------------------------------------------------------------- what a network knows of photographs


def explain_photos(model: keras.Model, photos: Any) -> list[dict[str, Any]]:
    """Returns of each photograph what it is taken for, and where that is seen: Grad-CAM.

    "label" and "probability" are as of `predict`; "heatmap" (H, W) float32 in [0, 1] is high where more of the last
    features A_k would make the predicted class's logit y higher, and "image" (H, W, C) what the network saw:

        heatmap = relu(sum_k a_k A_k),  a_k = mean over places of dy / dA_k

    Selvaraju et al. (2017), equations 1 and 2.

    Args:
        model: A trained model.
        photos: As `predict` takes them.

    Raises:
        ConfigError: If the labels are no classes.
        DataError: If some cannot be read.
    """
    from recipes.kinds.classes import names_of, refuse_other_than_classes
    from recipes.kinds.inputs import image_batches
    from recipes.verbs.load import run_of

    info = run_of(model).info
    refuse_other_than_classes(info, "explain")
    names = names_of(info, model.output_shape[-1])
    both = keras.Model(model.inputs[0], [layer_of(model, "maps").output, model.outputs[0]])
    explained = []
    for _, images in image_batches(photos, tuple(model.input_shape[1:])):
        with tf.GradientTape() as tape:
            maps, logits = both(tf.constant(images), training=False)
            of_class = tf.reduce_sum(tf.reduce_max(logits, -1))
        weights = tf.reduce_mean(tape.gradient(of_class, maps), (1, 2), keepdims=True)  # a, (B, 1, 1, D)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, -1, keepdims=True))  # (B, h, w, 1)
        heat = tf.image.resize(heat / (tf.reduce_max(heat, (1, 2, 3), keepdims=True) + 1e-12), images.shape[1:3])[
            ..., 0
        ]
        probabilities = tf.nn.softmax(logits).numpy()
        for image, row, heatmap in zip(images, probabilities, heat.numpy(), strict=True):
            label = names[row.argmax()]
            explained.append({"label": label, "probability": float(row.max()), "heatmap": heatmap, "image": image})
    return explained


def report(model: keras.Model, splits: Splits) -> Any:
    """Yields where the network looks in the first test photographs: explanations.png."""
    from recipes.kinds.plots import draw_images, in_colour

    if splits.test is None or splits.info.task != "classification":
        return
    if "maps" not in [layer.name for layer in model.layers]:  # an ensemble
        return
    explained = explain_photos(model, splits.examples(12))

    def overlaid(one: dict[str, Any]) -> np.ndarray:
        """Returns a photograph that is dark where the network does not look."""
        return in_colour(one["image"]) * (0.25 + 0.75 * one["heatmap"][..., np.newaxis])

    titles = [f"{one['label']} ({one['probability']:.0%})" for one in explained]
    images = np.stack([overlaid(one) for one in explained])
    title = "The first test photographs, what they are taken for, and where that is seen: light, by Grad-CAM"
    yield title, "explanations.png", lambda: draw_images(images, titles, columns=4)


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config,
    load_data,
    build,
    search_space,
    kind=ImageClassification(embeds="features"),
    objective=("val_accuracy", "max"),
    prepare=solve_head,
    report=report,
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)
embed, similar, explain = recipe.verb(embed_images), recipe.verb(similar_images), recipe.verb(explain_photos)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
