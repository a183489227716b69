"""How good generated images are, beside the same figure for real ones: nothing is downloaded for it.

`KernelDistance` needs no labels and is computed while a model trains; `classifier_metrics` asks a classifier that
another recipe has trained.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.devices.keras_fixes import read_model
from recipes.errors import ConfigError, DataError
from recipes.kinds.autoencoding import predict_in_batches

#: Squared bandwidths of the kernel, as shares of the number of pixels. Two MNIST images differ by 0.5 on average.
BANDWIDTHS = 0.05, 0.2, 0.8


@keras.saving.register_keras_serializable("recipes")
class KernelDistance(keras.metrics.Metric):
    """How far generated images are from real ones: the maximum mean discrepancy of a Gaussian kernel on pixels.

    0 for equal distributions (about sqrt(2 / N) with N images of each), at most sqrt(2).
    The kernel is approximated by random features, so that a sum over images is all that is kept. Gretton et al. (2012),
    https://jmlr.org/papers/v13/gretton12a.html, equation 2; Rahimi and Recht (2007), algorithm 1.

    Args:
        features: How many random features for each of the three bandwidths.
        name: Of the metric.
    """

    def __init__(self, features: int = 512, name: str = "distance", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.features = features
        self.real, self.generated = (
            self.add_weight(shape=(len(BANDWIDTHS) * features,), initializer="zeros", name=kind)
            for kind in ("real", "made")
        )
        self.images = self.add_weight(initializer="zeros", name="images")
        self.steps = self.add_weight(initializer="zeros", name="steps")  # on replicas each counts its own

    def update_state(self, real: Any, generated: Any) -> None:
        """Takes as many real as generated images: (B, H, W, C) twice, in [-1, 1]."""
        of_real, of_generated = tf.split(self._features(tf.concat([real, generated], 0)), 2)
        self.real.assign_add(tf.reduce_sum(of_real, 0))
        self.generated.assign_add(tf.reduce_sum(of_generated, 0))
        self.images.assign_add(tf.cast(tf.shape(real)[0], "float32"))
        self.steps.assign_add(1.0)

    def result(self) -> Any:
        """Returns the distance."""
        difference = (self.real - self.generated) / keras.ops.maximum(self.images, 1)
        return keras.ops.sqrt(keras.ops.sum(keras.ops.square(difference)))

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "features": self.features}

    def _features(self, images: Any) -> tf.Tensor:
        """Returns features whose inner product is the kernel: (B, ...) to (B, bandwidths * features)."""
        flat = tf.cast(keras.ops.reshape(images, (tf.shape(images)[0], -1)), "float32")
        pixels = int(np.prod(images.shape[1:]))
        directions = tf.random.stateless_normal((pixels, self.features), [0, 1]) * pixels**-0.5
        phases = tf.random.stateless_uniform((self.features,), [0, 2], maxval=2 * np.pi)
        along = flat @ directions
        parts = [tf.cos(along * bandwidth**-0.5 + phases) for bandwidth in BANDWIDTHS]
        return tf.concat(parts, -1) * (2 / (len(BANDWIDTHS) * self.features)) ** 0.5


def judge_samples(
    sample: Callable[..., np.ndarray], model: keras.Model, splits: Splits, judge: keras.Model | str | Path
) -> dict[str, float]:
    """Returns `classifier_metrics` of samples, (model, count) -> images: half as many as the test split has images."""
    if splits.test is None:
        raise DataError(f"{splits.info.name} has no test split to compare samples with; pass Splits with one as data=")
    real = np.concatenate([images for images, _ in splits.test.as_numpy_iterator()])
    return classifier_metrics(sample(model, len(real) // 2), real, judge)


def classifier_metrics(generated: np.ndarray, real: np.ndarray, judge: keras.Model | str | Path) -> dict[str, float]:
    """Returns what a classifier sees in generated images, beside what it sees in real ones.

    The figures: "score", the classifier score (Salimans et al. 2016, section 4), from 1 to the number of classes;
    "classes", how many classes at least 1 % of the images are taken for; "frechet", the distance of the features before
    its last layer (Heusel et al. 2017, equation 6); and each of them "_of_real" images. Distances are taken to the
    first half of the real images, in their order: of as many generated ones, and of the other half. Where images are
    sorted by class, the halves are of other classes, and distances mean nothing; those of tensorflow-datasets are
    shuffled. Distances fall with the number of images: compare figures of as many.

    Args:
        generated: Generated images, (N, H, W, C) in [0, 255].
        real: Real ones that neither model was trained on, (M, H, W, C) in [0, 255].
        judge: The classifier, or the folder of its run.

    Raises:
        ConfigError: If it is none, or takes other images.
    """
    classifier = _read(judge)
    if tuple(classifier.input_shape[1:]) != generated.shape[1:] or len(classifier.output_shape) != 2:
        raise ConfigError(
            f"the judge takes {classifier.input_shape[1:]} to {classifier.output_shape[1:]}; expected a classifier of "
            f"{generated.shape[1:]} images, trained on the same data"
        )
    half = min(len(generated), len(real) // 2)
    features = keras.Model(classifier.inputs[0], classifier.layers[-1].input)
    reference = predict_in_batches(features, real[:half])
    figures = {}
    for key, images in (("", generated[:half]), ("_of_real", real[half : 2 * half])):
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(predict_in_batches(classifier, images)))
        shares = np.bincount(probabilities.argmax(-1), minlength=probabilities.shape[-1]) / half
        figures[f"score{key}"] = classifier_score(probabilities)
        figures[f"classes{key}"] = int((shares >= 0.01).sum())
        figures[f"frechet{key}"] = frechet_distance(predict_in_batches(features, images), reference)
    return figures


def classifier_score(probabilities: np.ndarray) -> float:
    """Returns exp(E KL(p(y|x) || p(y))), (N, V) to a number from 1, all alike or unclear, to V, all clear and equal."""
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(-1).mean()))


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns |m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)) of the means and covariances of two sets, (N, D) and (M, D)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    c, c_other = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other))
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    # C C' has the eigenvalues of the symmetric C^(1/2) C' C^(1/2), none of them negative but for rounding.
    of_product = np.linalg.eigvalsh(root @ c_other @ root).clip(min=0)
    traces = np.trace(c) + np.trace(c_other) - 2 * np.sqrt(of_product).sum()
    return float(np.square(one.mean(0) - other.mean(0)).sum() + traces)


def mean_pairwise_distance(images: np.ndarray) -> float:
    """Returns the mean distance of two of some images, (N, H, W, C) in [0, 255].

    In the root mean square of the difference of their pixels, in [0, 2]. It falls towards 0 as a generator collapses.
    """
    flat = images.reshape(len(images), -1).astype(np.float64) / 127.5
    distances = np.sqrt(np.square(flat[:, None] - flat).mean(-1))
    return float(distances[np.triu_indices(len(flat), 1)].mean())


class SampleGrids(keras.callbacks.Callback):
    """Writes a grid of the same 64 samples after each epoch: samples/epoch-01.png in the run's folder, and so on.

    Args:
        sample: (model, count) -> images.
    """

    def __init__(self, sample: Callable[..., np.ndarray]) -> None:
        super().__init__()
        self.sample = sample

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the epoch's grid; of several workers the chief alone does."""
        from recipes.kinds.plots import draw_images
        from recipes.runs.atomic_files import save_picture

        run = self.model.run
        if run.writes:
            (run.folder / "samples").mkdir(exist_ok=True)
            grid = draw_images(self.sample(self.model, 64), column_title=f"after epoch {epoch + 1}")
            save_picture(grid, run.folder / "samples" / f"epoch-{epoch + 1:02}.png")


def _read(judge: keras.Model | str | Path) -> keras.Model:
    """Returns the classifier, read from its run's folder where it is none yet."""
    if isinstance(judge, keras.Model):
        return judge
    try:
        return read_model(Path(judge) / "model.keras")
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a class that is not imported
        raise ConfigError(
            f"{judge} holds no classifier ({(str(error).splitlines() or [''])[0]}); expected the folder of a finished "
            "run, such as one of mnist_dense"
        ) from None
