"""Features of images, learned without a label: SimCLR on CIFAR-10, and two others that do without.

What is in an image does not change as it is cropped, mirrored, or seen in other colours. So each image of a batch is
shown in two *views*, and a network is to tell which two belong together. f makes features h of a view, a small network
g a vector z of these, and the cosines s of the 2N vectors are asked for the other view of each:

    h = f(view),  z = g(h),  s_ij = z_i . z_j / |z_i| |z_j|
    loss = - 1/2N sum_i log [ exp(s_ij(i) / tau) / sum_{k != i} exp(s_ik / tau) ]        (j(i): the other view of i)

Chen, Kornblith, Norouzi and Hinton, "A Simple Framework for Contrastive Learning of Visual Representations" (2020),
https://arxiv.org/abs/2002.05709, equation 1: NT-Xent. Without crops and colours it would be enough to compare
histograms of colours; without g, which may forget how the views were made, h would have to.

What the features are worth is measured by a *linear probe*: a last layer that learns the labels from h, and whose
gradient stops there. One is trained along, for `val_accuracy`; at the end it is solved, and is what `predict` answers
by. And by the nearest neighbours: the label of most of the 200 training images that are nearest to an image (Wu et al.
2018, https://arxiv.org/abs/1805.01978, section 3.4).

- `BARLOW`: no negatives. Each number of z is to be the same for both views, and to tell what the others do not: the
  matrix of correlations of the one view's numbers with the other's is to be the identity. Zbontar et al. (2021),
  "Barlow Twins", https://arxiv.org/abs/2103.03230: sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2.
- `ROTATION`: no views. Each image is turned by 0, 90, 180 and 270 degrees, and by how much is what is learned: who
  knows that must know what an image is of. Gidaris et al. (2018), https://arxiv.org/abs/1803.07728.
- `RANDOM`: f stays as it is drawn; what a probe can do without any learning.

What differs from the paper: eight convolutions where it has a ResNet-50 (for CIFAR-10, its appendix B.9), and 15 epochs
where that trains 100 to 1,000; SGD for LARS; a temperature of 0.2 for 0.5; crops of 20 % of the area and more, for 8 %;
all changes of colour at once, not one after the other. As there: no blur on CIFAR-10, batch normalisation and negatives
of all replicas.

Result: the probe 65.4 ± 0.4 % test accuracy, nearest neighbours 61.0 ± 0.2 % (3 seeds, bfloat16), in 13.5 to 20 min on
two cores beside other work; `RANDOM` 35.5 and 31.6 % (1 seed). keras.io's Barlow Twins has about 64 % after 25 epochs
(https://keras.io/examples/vision/barlow_twins/). The other settings are not measured.
Command: `python benchmarks/accuracy.py cifar_simclr --seeds 0 1 2`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.augment import crop_and_mirror, jitter_colours
from recipes.data.image_batches import image_splits
from recipes.data.splits import Sizes, Splits
from recipes.devices.replicas import first_row, of_all_replicas, replicas_here
from recipes.errors import ConfigError
from recipes.kinds.classifier_verbs import classifier_verbs
from recipes.kinds.image_classification import ImageClassification
from recipes.kinds.image_embeddings import embed_images, labelled_features, similar_images, unit_vectors
from recipes.layers.batch_norm import BatchNormalization
from recipes.layers.convolution import Conv2D
from recipes.optimization.losses import answers, objective
from recipes.optimization.optimizers import sgd, warmup_cosine
from recipes.settings import Count, Counts, ImageShape, Labelled, NotNegative, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(Labelled):
    """Settings of cifar_simclr. Change them by name: `fit(epochs=5)`, `recipes fit cifar_simclr --epochs 5`."""

    # data
    dataset: str = "cifar10"  # image-classification data set of tensorflow-datasets, or "shapes", "digits"
    image_column: str = ""  # of a table: images, or their paths from its folder on; "": guessed, and said
    validation_fraction: ValidationShare = 0.02  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    flip: bool = True  # mirror every other view left to right; False for digits and other signs
    crop_area: Share = 0.2  # a view is this share of the image's area and more; 0: all of it
    colour_strength: Share = 0.5  # how far the colours of a view may be from the image's; 0: not at all
    # model
    method: Literal["simclr", "barlow", "rotation", "random"] = "simclr"  # what is learned, see the top of the page
    filters: Counts = (32, 64, 128, 256)  # of both convolutions of each block, which halves the image
    projection: Counts = (256, 128)  # widths of g: simclr, barlow; the last is that of z
    temperature: Positive = 0.2  # tau, of cosines: simclr
    redundancy: NotNegative = 5e-3  # lambda: barlow
    probe_decay: Positive = 10.0  # lambda of the probe's logistic regression, sum of losses + lambda |W|^2 / 2
    # training
    batch_size: Count = 256  # images: twice as many views, or four times as many turns
    epochs: Count = 15
    learning_rate: Positive = 0.4  # SGD's highest; climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.1  # share of all steps in which the rate climbs
    momentum: Share = 0.9  # Nesterov's
    weight_decay: NotNegative = 1e-3  # share of each kernel taken off per step, times the rate

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method != "simclr":
            self.refuse_without_effect("temperature", f"method={self.method!r} has no cosines")
        if self.method != "barlow":
            self.refuse_without_effect("redundancy", f"method={self.method!r} has no correlations")
        if self.method in ("rotation", "random"):
            self.refuse_without_effect("projection", f"method={self.method!r} does not compare views")

    def refuse_for_task(self, task: str) -> None:
        """Refuses settings that would change nothing in a task."""
        super().refuse_for_task(task)
        if task == "classification":
            self.refuse_without_effect("label_smoothing", "the probe is solved, by the labels as they are", without=0.0)
        elif task != "auto":
            self.refuse_without_effect("probe_decay", f"task={task!r} keeps the probe that is trained along")


BARLOW = Config(method="barlow", projection=(512, 512))
ROTATION = Config(method="rotation", crop_area=0.0, colour_strength=0.0, epochs=8)
RANDOM = Config(method="random", epochs=5)
LONG = Config(filters=(64, 128, 256, 512), projection=(512, 128), batch_size=512, epochs=500)
TINY = Config(
    dataset="shapes", filters=(4, 8), projection=(8, 4), epochs=1, batch_size=32, max_examples=256, precision="float32"
)

# ---------------------------------------------------------------- data

CIFAR10 = Sizes(train_examples=49_000, image_shape=(32, 32, 3), num_classes=10)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the batches: of training (2 B, H, W, C) uint8 in [0, 255] and (2 B,) int32 labels, for the probe.

    Rows 2i and 2i + 1 are two views of one image, drawn from (seed, step); of `method="rotation"` rows 4i to 4i + 3 are
    its turns. The validation and test images are as they are. `data` may be your own: arrays `(images, labels)`, two or
    three such pairs (training, (validation,) test), a folder with a sub-folder of images per class, a table, or Splits.
    """
    plain = image_splits(config, data, standin="shapes", image_shape=CIFAR10.image_shape)
    height, width, channels = plain.train.element_spec[0].shape[1:]
    if config.method == "rotation" and height != width:
        square = (min(height, width), min(height, width), channels)
        raise ConfigError(
            f"method='rotation' turns images of {height}x{width}; expected squares, such as image_shape={square}"
        )

    def in_views(batches: tf.data.Dataset, start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        def views(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            image, *others = batch
            seed = tf.stack([tf.constant(config.seed, tf.int64), step])
            rows = several_of_each(image, seed, worker, workers, config)
            return rows, *(tf.repeat(other, VIEWS[config.method], axis=0) for other in others)

        return batches.enumerate(start).map(views, tf.data.AUTOTUNE, deterministic=True).prefetch(2)

    enter = plain.train_from
    return replace(
        plain,
        train=in_views(plain.train),
        train_from=enter and (lambda *place: in_views(enter(*place), *place)),
        originals=plain.train.take(plain.steps_per_epoch or -1),  # the training images as they are, for neighbours
    )


VIEWS = {"simclr": 2, "barlow": 2, "rotation": 4, "random": 1}  # rows of a batch that are of one image


def several_of_each(images: tf.Tensor, seed: tf.Tensor, worker: int, workers: int, config: Config) -> tf.Tensor:
    """Returns several rows for each image, in a row: (B, H, W, C) in [0, 255] to (B * VIEWS, H, W, C)."""

    def view(number: int) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(seed, number)
        x = crop_and_mirror(images, own, worker, workers, area=config.crop_area, mirror=config.flip, proportions=4 / 3)
        strength = config.colour_strength
        return jitter_colours(x, own, worker, workers, strength=strength, grey=0.4 * strength) if strength else x

    if config.method == "rotation":
        upright = view(0)
        rows = [tf.image.rot90(upright, turns) for turns in range(4)]
    else:
        rows = [view(number) for number in range(VIEWS[config.method])]
    return tf.reshape(tf.stack(rows, 1), [-1, *images.shape[1:]])


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = CIFAR10) -> keras.Model:
    """Returns the compiled model: (B, H, W, C) pixels in [0, 255] to the probe's (B, num_classes) float32 logits.

    Its layer "features" has h, (B, D) float32.

    Raises:
        ConfigError: If the blocks halve the image to nothing.
    """
    height, width, _ = sizes.image_shape
    if min(height, width) >> len(config.filters) < 1:
        raise ConfigError(
            f"{len(config.filters)} blocks halve a {height}x{width} image to nothing; expected fewer filters, or "
            "larger images"
        )
    image = keras.Input(sizes.image_shape, name="image")  # [0, 255]: scaled inside, so serving cannot disagree
    x = layers.Rescaling(1 / 64, offset=-2)(image)
    for filters in config.filters:  # (B, 16, 16, 32), (B, 8, 8, 64), (B, 4, 4, 128), (B, 2, 2, 256)
        x = layers.MaxPooling2D()(convolution(filters)(x))
        x = layers.Activation("relu")(BatchNormalization()(x))
        x = layers.Activation("relu")(BatchNormalization()(convolution(filters)(x)))
    features = layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)  # h, (B, 256)

    x = layers.BatchNormalization(scale=False, center=False, dtype="float32", name="standardised")(
        ops.stop_gradient(features)
    )
    logits = answers(layers.Dense(sizes.num_outputs, dtype="float32", name="logits")(x), sizes)
    model = Probed(image, logits, name="cifar_simclr")
    model.learns(*pretext(config, features))
    if config.method == "random":
        for layer in model.layers:
            layer.trainable = not isinstance(layer, layers.Conv2D)

    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(sgd(rate, config.momentum, config.weight_decay), **objective(sizes, config.label_smoothing))
    return model


def convolution(filters: int) -> layers.Layer:
    """Returns a 3x3 convolution without a bias, which batch normalisation would take out again."""
    return Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")


def pretext(config: Config, features: keras.KerasTensor) -> tuple[keras.KerasTensor, Callable[[Any], Any]]:
    """Returns (what is made of the features in training alone, the loss of that) of a method."""
    if config.method == "random":
        return features, lambda h: 0.0 * ops.sum(h)
    if config.method == "rotation":
        return layers.Dense(4, dtype="float32", name="turns")(features), rotation_loss
    z = features
    for number, width in enumerate(config.projection[:-1]):
        z = layers.Dense(width, use_bias=False, name=f"projection_{number}")(z)
        z = layers.Activation("relu")(BatchNormalization()(z))
    z = layers.Dense(config.projection[-1], dtype="float32", name="projection")(z)
    if config.method == "barlow":
        return z, partial(barlow_loss, redundancy=config.redundancy)
    return z, partial(nt_xent, temperature=config.temperature)


class Probed(keras.Model):
    """The functional model of a probe, of features that learn by a loss of their own.

    In training it logs "loss", the probe's as on a validation split, and "pretext", what the features learn by.
    """

    def learns(self, outputs: keras.KerasTensor, loss: Callable[[Any], Any]) -> None:
        """Takes what is made of the features in training alone, and its loss: (rows of this replica, ...) -> scalar."""
        self.learner = keras.Model(self.inputs[0], [self.outputs[0], outputs])
        self.pretext, self.pretext_mean = loss, keras.metrics.Mean(name="pretext")

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns the logits, (B, V); while training, [logits, what is made of the features]."""
        return self.learner(inputs, training=True) if training else super().call(inputs, training=False, mask=mask)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the probe's loss; while training, with the features' own, of which this is one replica's share."""
        if not isinstance(y_pred, (list, tuple)):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        logits, outputs = y_pred
        loss = self.pretext(outputs)
        self.pretext_mean.update_state(loss)
        return super().compute_loss(x, y, logits, sample_weight, training) + loss / replicas_here()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Returns the metrics of the probe; while training, with the mean of the features' own loss."""
        if not isinstance(y_pred, (list, tuple)):
            return super().compute_metrics(x, y, y_pred, sample_weight)
        logs, mean = super().compute_metrics(x, y, y_pred[0], sample_weight), self.pretext_mean.result()
        return {**logs, "loss": logs["loss"] - mean, "pretext": mean}

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics of the probe alone."""
        return {name: value for name, value in super().get_metrics_result().items() if name != "pretext"}

    def probe(self) -> keras.Model:
        """Returns the probe with its features, without what training alone needs: a model of Keras's own layers."""
        with self.distribute_strategy.scope():
            model = keras.Model(self.inputs[0], self.outputs[0], name=self.name)
            model.compile_from_config(self.get_compile_config())
        return model

    def save(self, *args: Any, **options: Any) -> None:
        """Writes the `probe`."""
        self.probe().save(*args, **options)


# ---------------------------------------------------------------- what the features learn by


def nt_xent(z: Any, temperature: float) -> Any:
    """Returns the mean NT-Xent of this replica's rows, in nats; their negatives are the rows of all replicas.

    Args:
        z: (2 N, D); rows 2i and 2i + 1 are of one image.
        temperature: tau.

    Of two images whose vectors are orthogonal, and the same in both views, log(1 + 2 exp(-2)) at tau = 0.5; where all
    vectors are equal, log(2 N - 1). Chen et al. (2020), equation 1 and algorithm 1.
    """
    z = ops.normalize(z, axis=-1, epsilon=1e-12)
    others, first = of_all_replicas(z), first_row(ops.shape(z)[0])
    own = first + ops.arange(ops.shape(z)[0])  # the place of each row among all
    places = ops.arange(ops.shape(others)[0])
    logits = ops.matmul(z, ops.transpose(others)) / temperature  # (rows, 2 N)
    logits = ops.where(own[:, None] == places, -1e9, logits)  # no view is a negative of itself
    return ops.mean(ops.sparse_categorical_crossentropy(own + 1 - 2 * (own % 2), logits, from_logits=True))


def barlow_loss(z: Any, redundancy: float) -> Any:
    """Returns the loss of Barlow Twins, of the rows (2 N, D) of all replicas; rows 2i and 2i + 1 are of one image.

    Zbontar et al. (2021), equations 1 and 2, over D: correlations of the one view's numbers with the other's.
    """
    z = of_all_replicas(z)
    one, other = ((each - ops.mean(each, 0)) / ops.sqrt(ops.var(each, 0) + 1e-5) for each in (z[0::2], z[1::2]))
    correlations = ops.matmul(ops.transpose(one), other) / ops.cast(ops.shape(one)[0], one.dtype)  # (D, D)
    off = correlations * (1 - ops.eye(z.shape[-1]))
    return (ops.sum((1 - ops.diagonal(correlations)) ** 2) + redundancy * ops.sum(off**2)) / z.shape[-1]


def rotation_loss(logits: Any) -> Any:
    """Returns the mean cross-entropy, in nats, of logits (4 N, 4) of turns: row n is turned by n % 4 quarters."""
    return ops.mean(ops.sparse_categorical_crossentropy(ops.arange(ops.shape(logits)[0]) % 4, logits, from_logits=True))


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    methods: dict[str, Any] = {}
    if config.method == "simclr":
        methods["temperature"] = hp.Float("temperature", 0.1, 1.0, sampling="log")
    if config.method == "barlow":
        methods["redundancy"] = hp.Float("redundancy", 1e-3, 5e-2, sampling="log")
    return replace(
        config,
        **methods,
        learning_rate=hp.Float("learning_rate", 0.05, 2.0, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-4, 1e-2, sampling="log"),
    )


# ---------------------------------------------------------------- what the features are worth


def solved_probe(model: Probed, splits: Splits, config: Config) -> keras.Model:
    """Returns the probe alone, of Keras's own layers, solved: logistic regression on h of the plain training images.

    The one that is trained along lags behind features that change, and sees views. Of several labels for an example, or
    of numbers, it stays.
    """
    from sklearn.linear_model import LogisticRegression

    from recipes.kinds.solved_head import solve_last_layer

    probe = model.probe()
    if splits.info.task == "classification":
        h, labels, *weights = labelled_features(probe, splits.originals)
        if len(np.unique(labels)) < 2:  # as few examples may be
            return probe
        mean, variance = h.mean(0), h.var(0)
        probe.get_layer("standardised").set_weights([mean, variance])
        h = (h - mean) / np.sqrt(variance + probe.get_layer("standardised").epsilon)
        solver = LogisticRegression(C=1 / config.probe_decay, max_iter=300)
        solve_last_layer(probe.get_layer("logits"), solver, h, labels, *weights)
    return probe


def figures(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the figures of the probe on the test split, see `label_figures.figures`, and "knn_accuracy", of classes.

    That is the share of test images whose label is that of most of their nearest training images: `nearest_label`.
    """
    values = recipe.kind.evaluate(model, splits)
    if not has_neighbours(model, splits):
        return values
    (bank, of_bank, *_), (h, labels, *_) = (labelled_features(model, each) for each in (splits.originals, splits.test))
    return {**values, "knn_accuracy": float((nearest_label(h, bank, of_bank) == labels).mean())}


def has_neighbours(model: keras.Model, splits: Splits) -> bool:
    """Returns whether there are classes, training images, a test split, and features, which an ensemble has not."""
    of_classes = splits.info.task == "classification" and None not in (splits.originals, splits.test)
    return of_classes and "features" in [layer.name for layer in model.layers]


def nearest_label(features: np.ndarray, bank: np.ndarray, labels: np.ndarray, k: int = 200) -> np.ndarray:
    """Returns the label with most votes of the k nearest of a bank: (B, D), (N, D), (N,) integer -> (B,).

    Each votes with exp(cosine / 0.07). Wu et al. (2018), section 3.4.
    """
    bank, k = unit_vectors(bank), min(k, len(bank))

    def winners(some: np.ndarray) -> np.ndarray:
        cosines = some @ bank.T
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        votes = np.exp(np.take_along_axis(cosines, nearest, 1) / 0.07)
        counts = np.zeros((len(some), labels.max() + 1))
        np.add.at(counts, (np.arange(len(some))[:, np.newaxis], labels[nearest]), votes)
        return counts.argmax(1)

    parts = np.array_split(unit_vectors(features), len(features) // 500 + 1)  # all cosines at once would fill memory
    return np.concatenate([winners(part) for part in parts])


def report(model: keras.Model, splits: Splits) -> Any:
    """Yields some test images, each with the training images whose features are nearest: neighbours.png."""
    from recipes.kinds.classes import names_of
    from recipes.kinds.contact_sheet import draw_sheet

    if splits.test is None or not has_neighbours(model, splits):
        return
    names = names_of(splits.info, model.output_shape[-1])
    rows: list[tuple[np.ndarray, ...]] = []  # of some test images, and then of the training images: pixels, h, label
    for batches in (splits.test.take(1).unbatch().take(6).batch(6), splits.originals):
        pixels = np.concatenate([image for image, *_ in batches.as_numpy_iterator()])
        rows.append((pixels, *labelled_features(model, batches)[:2]))
    (images, h, labels), (bank, of_bank, bank_labels) = rows
    nearest = np.argsort(-unit_vectors(h) @ unit_vectors(of_bank).T, axis=1, kind="stable")[:, :5]
    shown = [[image, *bank[places]] for image, places in zip(images, nearest, strict=True)]
    titles = [["", *(names[label] for label in bank_labels[places])] for places in nearest]
    above = [names[label] for label in labels]
    title = f"Test images, and of {len(bank):,} training images those whose features are nearest"
    yield title, "neighbours.png", lambda: draw_sheet(above, shown, titles)


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config,
    load_data,
    build,
    search_space,
    kind=ImageClassification(embeds="features"),
    objective=("val_accuracy", "max"),
    conclude=solved_probe,
    report=report,
    figures=figures,
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
calibrate, ensemble = classifier_verbs(recipe)
embed, similar = recipe.verb(embed_images), recipe.verb(similar_images)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
