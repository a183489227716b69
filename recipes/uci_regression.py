"""A number from a row of a table, and how sure that is: regression with a mean and a deviation for each row.

Nix and Weigend (1994), https://doi.org/10.1109/ICNN.1994.374138, and Lakshminarayanan et al. (2017), section 2.2.1,
https://arxiv.org/abs/1612.01474: a network has two outputs for a row x, the mean mu(x) and the variance sigma(x)^2 of a
Gaussian over y, and is trained to make what did happen likely, by its negative log likelihood in nats,

    NLL = 1/2 log(2 pi sigma(x)^2) + (y - mu(x))^2 / (2 sigma(x)^2)

A large sigma makes an error cheap and costs its logarithm, so that the network learns where it errs. `ensemble` makes
one Gaussian of M networks, with the mean and the variance of their mixture (section 2.4), which also grows where they
disagree. With dropout, `predict(rows, samples=100)` and `evaluate(samples=100)` take as many networks that drop other
units, Gal and Ghahramani's (2016), in place of the M:

    mu*(x) = 1/M sum_m mu_m(x),   sigma*(x)^2 = 1/M sum_m sigma_m(x)^2 + (mu_m(x) - mu*(x))^2

The data are five tables of UCI, each with the 20 splits into training and test rows of Hernandez-Lobato and Adams
(2015), https://arxiv.org/abs/1502.05336, `split=0` to 19, that such figures are given for. What differs from
Lakshminarayanan et al.: two hidden layers of 100 units for one of 50; AdamW with a strong weight decay, whose rate
climbs and falls, for Adam; 100 epochs for 40; no adversarial examples; and the figures below are of single networks
without dropout.

Result: RMSE and log likelihood of the test rows, mean ± deviation over the 20 splits, all training rows trained on, one
seed each; beside them Gal and Ghahramani's by dropout (2016), https://arxiv.org/abs/1506.02142, table 1, as the page of
their code gives them with deviations, https://github.com/yaringal/DropoutUncertaintyExps:

    uci_concrete  5.24 ± 0.54  (5.23 ± 0.53)    -3.08 ± 0.23  (-3.04 ± 0.09)
    uci_energy    0.58 ± 0.10  (1.66 ± 0.19)    -0.88 ± 0.51  (-1.99 ± 0.09)
    uci_yacht     1.04 ± 1.04  (1.11 ± 0.38)    -0.24 ± 0.79  (-1.55 ± 0.12)
    uci_wine      0.63 ± 0.04  (0.62 ± 0.04)    -0.95 ± 0.08  (-0.93 ± 0.06)    with NOISY
    uci_boston    3.44 ± 1.09  (2.97 ± 0.85)    -2.51 ± 0.26  (-2.46 ± 0.25)    with NOISY

Ten times the epochs gave them 4.81, 1.09, 0.72, 0.61 and 2.80, and -2.94, -1.72, -1.38, -0.92 and -2.39. They chose
dropout and noise for each split, of ours two settings were chosen for all, on held-out training rows of splits 0 and 1.
The targets' 95 % intervals hold 90 to 95 % of them. A default run takes 19 s on two cores beside other work.
Command: `python benchmarks/uci.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from keras import layers, ops
from pydantic import Field

from recipes.data.splits import Sizes, Splits
from recipes.errors import DataError
from recipes.kinds.gaussian_regression import GaussianRegression
from recipes.optimization.optimizers import warmup_cosine
from recipes.settings import Count, Counts, NotNegative, Positive, Settings, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of uci_regression. Change them by name: `fit(dataset="uci_energy", split=3)`."""

    # data
    dataset: str = "uci_concrete"  # or "uci_energy", "uci_yacht", "uci_wine", "uci_boston", or "friedman", generated
    split: Annotated[int, Field(ge=0, le=19)] = 0  # which of the published splits into training and test rows
    validation_fraction: ValidationShare = 0.1  # share of the training rows held out for choosing; 0: none
    label_column: str = ""  # of a table: what is predicted; "": the column "target" or the like, else the last; said
    # model
    units: Counts = (100, 100)  # width of each hidden layer
    dropout: Share = 0.0  # share of the hidden units dropped in training
    # training
    batch_size: Count = 32
    epochs: Count = 100
    learning_rate: Positive = 1e-2  # Adam's highest; climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.1  # share of the steps in which the rate climbs
    weight_decay: NotNegative = 1.0  # share of each kernel taken off per step, times the learning rate

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_without_effect("in_memory", "a table is always kept in memory", without="yes")
        self.refuse_without_effect("on_bad_file", "a table is one file")


#: For tables of much noise, such as tastes and prices, which a network that is trained for longer learns by heart.
NOISY = Config(dataset="uci_wine", epochs=50, weight_decay=3.0)
TINY = Config(
    dataset="friedman", units=(8,), batch_size=32, epochs=1, max_examples=256, learning_rate=1e-2, precision="float32"
)

# ---------------------------------------------------------------- data

CONCRETE = Sizes(train_examples=834, columns=(0,) * 8, task="regression", target_mean=35.8, target_std=16.7)


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the batches (features (B, F) float32, targets (B,) float32), in the units of the table.

    Of the features, a missing number is NaN and a category its index. `data` may be your own: a CSV file, a DataFrame,
    a dict of columns or a list of dicts, (features (N, F), targets (N,)), two or three of these (training,
    (validation,) test), or Splits. Columns are numbers (true and false among them) or categories, which are texts. What
    the columns are, and their means and deviations, follows from the training rows alone.
    """
    from recipes.data.feature_tables import find_features, read_own
    from recipes.data.image_batches import splits_of_rows
    from recipes.data.in_memory import Arrays
    from recipes.data.labels import sizes_of_labels
    from recipes.data.own_data import with_origin
    from recipes.data.splits import DataInfo

    if isinstance(data, Splits):
        return own_splits(data, config)
    if data is None:
        table, schema, info = find_features(config.dataset, config.offline)
        features, targets, is_test = table.train
        train, test = ((features[rows], targets[rows]) for rows in split_rows(is_test, config.split))
        arrays = Arrays(train, None, test)
    else:
        config.refuse_without_effect("split", "it is of the published tables, and data is your own")
        columns, schema = read_own(data, config)
        arrays = Arrays(columns["train"], columns.get("validation"), columns.get("test"))
        info = with_origin(DataInfo("your own table"), data)

    def follows(train: Any) -> dict[str, Any]:
        return {
            **schema.to_json(),
            **sizes_of_labels("regression", (), train[1]),
            **statistics(train[0]),
            "columns": tuple(feature.width for feature in schema.features),
        }

    return splits_of_rows(arrays, config, info, follows)


def split_rows(is_test: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of (the training rows, the test rows) of a published split; `is_test` is (N, 20) bool."""
    return np.flatnonzero(~is_test[:, split]), np.flatnonzero(is_test[:, split])


def statistics(features: np.ndarray) -> dict[str, list[float]]:
    """Returns {"means", "deviations"} of columns, (N, F), without what is missing; the deviation of a constant is 1."""
    features = features.astype(np.float64)
    deviations = np.nanstd(features, axis=0)
    return {
        "means": np.nanmean(features, axis=0).tolist(),
        "deviations": np.where(deviations > 0, deviations, 1.0).tolist(),
    }


def own_splits(splits: Splits, config: Config) -> Splits:
    """Returns a user's own Splits with what a model must know of them: numbers all, none of them missing."""
    from recipes.data.splits import label_follows, train_examples

    spec = splits.train.element_spec
    features = spec[0] if isinstance(spec, tuple) and len(spec) in (2, 3) else None
    if features is None or features.shape.rank != 2 or features.shape[1] is None or not spec[1].dtype.is_floating:
        raise DataError(f"train holds {spec}; expected batches (features (B, F), targets (B,)) of floats, with F known")
    if "columns" in splits.info.follows:
        return splits
    epoch = [batch[0].numpy() for batch in splits.train.take(splits.steps_per_epoch or -1)]
    names = [{"name": f"x{n + 1}", "categories": None, "may_be_missing": False} for n in range(features.shape[1])]
    follows = {
        "columns": (0,) * features.shape[1],
        "features": names,
        "label": "target",
        **statistics(np.concatenate(epoch)),
        **train_examples(splits, config.batch_size),
        **label_follows(splits, "regression"),
    }
    return replace(splits, info=replace(splits.info, follows={**follows, **splits.info.follows}))


# ---------------------------------------------------------------- model and objective


def build(config: Config = Config(), sizes: Sizes = CONCRETE) -> keras.Model:
    """Returns the compiled model: (B, F) features to (B, 2) float32, the mean and the deviation of each target."""
    features = keras.Input((len(sizes.columns),), name="features")
    x = Standardize(sizes.columns, dtype="float32", name="standardize")(features)
    for units in config.units:
        x = layers.Dense(units, "relu")(x)
        x = layers.Dropout(config.dropout)(x) if config.dropout else x
    x = layers.Dense(2, dtype="float32")(x)
    gaussian = Gaussian(sizes.target_mean, sizes.target_std, dtype="float32", name="gaussian")(x)

    model = keras.Model(features, gaussian, name="uci_regression")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, loss=GaussianNLL(), metrics=[MeanError()])
    return model


@keras.saving.register_keras_serializable("recipes")
class Standardize(layers.Layer):
    """A table's columns as a network takes them: numbers of mean 0 and deviation 1, and 0 and 1 for categories.

    A missing number becomes the mean, and a 1 of its own says so, where some were missing in training.
    """

    def __init__(self, columns: Sequence[int], **kwargs: Any) -> None:
        """Makes the layer.

        Args:
            columns: How many categories each column has; 0: a number, -1: one that may be missing.
            **kwargs: Of Keras.
        """
        super().__init__(**kwargs)
        self.columns = tuple(columns)

    def build(self, input_shape: Any) -> None:
        """Makes the means and the deviations, which `set_statistics` sets and no gradient changes."""
        self.means = self.add_weight((len(self.columns),), "zeros", trainable=False, name="means")
        self.deviations = self.add_weight((len(self.columns),), "ones", trainable=False, name="deviations")
        self.built = True

    def call(self, features: Any) -> Any:
        """Returns (B, F) features as (B, D): the numbers, what is missing of them, and the categories."""
        numbers = [place for place, width in enumerate(self.columns) if width <= 0]
        maybe = [place for place, width in enumerate(self.columns) if width < 0]
        z = (features - self.means) / self.deviations
        z = ops.where(ops.isnan(z), 0.0, z)
        parts = [ops.take(z, numbers, axis=1)] if numbers else []
        parts += [ops.cast(ops.isnan(ops.take(features, maybe, axis=1)), "float32")] if maybe else []
        for place, width in enumerate(self.columns):
            if width > 0:
                parts.append(ops.cast(features[:, place : place + 1] == ops.arange(width, dtype="float32"), "float32"))
        return ops.concatenate(parts, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """Returns (B, D)."""
        return input_shape[0], sum(max(1, width) + (width < 0) for width in self.columns)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "columns": self.columns}


@keras.saving.register_keras_serializable("recipes")
class Gaussian(layers.Layer):
    """A network's two outputs as a mean and a deviation in the unit of the target.

    Lakshminarayanan et al. (2017), section 2.2.1: the variance is softplus(x) + 1e-6, of targets of deviation 1.
    """

    def __init__(self, target_mean: float, target_std: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_mean, self.target_std = target_mean, target_std

    def call(self, x: Any) -> Any:
        """Returns (B, 2), mean and deviation, of (B, 2)."""
        mean = self.target_mean + self.target_std * x[:, :1]
        deviation = self.target_std * ops.sqrt(ops.softplus(x[:, 1:]) + 1e-6)
        return ops.concatenate([mean, deviation], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "target_mean": self.target_mean, "target_std": self.target_std}


def gaussian_nll(y: Any, mean: Any, deviation: Any) -> Any:
    """Returns -log N(y; mean, deviation^2) in nats, of tensors of one shape.

    >>> round(float(gaussian_nll(1.0, 0.0, 1.0)), 4)
    1.4189
    """
    return 0.5 * float(np.log(2 * np.pi)) + ops.log(deviation) + 0.5 * ops.square((y - mean) / deviation)


@keras.saving.register_keras_serializable("recipes")
class GaussianNLL(keras.losses.Loss):
    """The mean of `gaussian_nll`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the nats of each row, (B,), of targets (B,) or (B, 1) and (B, 2) means and deviations."""
        return gaussian_nll(ops.reshape(y_true, (-1,)), y_pred[:, 0], y_pred[:, 1])


@keras.saving.register_keras_serializable("recipes")
class MeanError(keras.metrics.RootMeanSquaredError):
    """The root of the mean squared error of the means, in the unit of the target."""

    def __init__(self, name: str = "rmse", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch: targets (B,) or (B, 1), and (B, 2) means and deviations."""
        super().update_state(ops.reshape(y_true, (-1,)), y_pred[:, 0], sample_weight)


@keras.saving.register_keras_serializable("recipes")
class Mixture(layers.Layer):
    """Several Gaussians of a row as one, of the mean and the variance of their mixture, all alike in weight.

    Lakshminarayanan et al. (2017), section 2.4.
    """

    def call(self, gaussians: Sequence[Any]) -> Any:
        """Returns (B, 2) of a list of (B, 2)."""
        return mixture(ops.stack(gaussians, axis=1))


def mixture(gaussians: Any) -> Any:
    """Returns (B, 2): of M Gaussians of each row, (B, M, 2), the mean and deviation of their mixture."""
    means, deviations = gaussians[:, :, 0], gaussians[:, :, 1]
    mean = ops.mean(means, axis=1, keepdims=True)
    variance = ops.mean(ops.square(deviations) + ops.square(means - mean), axis=1, keepdims=True)
    return ops.concatenate([mean, ops.sqrt(variance)], axis=1)


def mixture_of(models: Sequence[keras.Model]) -> keras.Model:
    """Returns the model whose Gaussian has the mean and the variance of several models' mixture."""
    from recipes.kinds.confidence import compiled_alike

    features = keras.Input(models[0].input_shape[1:], name="features")
    members = [
        keras.Model(model.inputs[0], model.outputs[0], name=f"member_{number}") for number, model in enumerate(models)
    ]
    gaussian = Mixture(dtype="float32", name="mixture")([member(features) for member in members])
    return compiled_alike(keras.Model(features, gaussian, name=models[0].name), models[0])


@contextmanager
def sampled(model: keras.Model, samples: int) -> Iterator[keras.Model]:
    """Yields the mixture of so many networks, each of which drops other units, as in training; of 0, the model itself.

    Within, the model drops units, too.

    Raises:
        ConfigError: If the model drops no units.
    """
    from recipes.kinds.confidence import compiled_alike
    from recipes.kinds.dropped_units import check_samples, dropping

    check_samples(model, samples)
    if not samples:
        yield model
        return
    with dropping(model):  # each row of a batch drops units of its own, so a row repeated is one of each network
        features = keras.Input(model.input_shape[1:], name="features")
        gaussians = ops.reshape(model(ops.repeat(features, samples, axis=0)), (-1, samples, 2))
        yield compiled_alike(keras.Model(features, mixture(gaussians), name=model.name), model)


def standardize(model: keras.Model, splits: Splits, config: Config) -> None:
    """Sets the means and deviations of a new model's first layer to those of the training rows."""
    follows = splits.info.follows
    is_number = np.array(follows["columns"]) <= 0
    layer = model.get_layer("standardize")
    layer.means.assign(np.where(is_number, follows["means"], 0.0).astype(np.float32))
    layer.deviations.assign(np.where(is_number, follows["deviations"], 1.0).astype(np.float32))


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for."""
    return replace(
        config,
        units=(hp.Choice("units", [50, 100, 200]),) * hp.Int("layers", 1, 3),
        dropout=hp.Float("dropout", 0.0, 0.2, step=0.05),
        learning_rate=hp.Float("learning_rate", 1e-3, 3e-2, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-3, 1.0, sampling="log"),
    )


# ---------------------------------------------------------------- verbs

recipe = Recipe(
    Config,
    load_data,
    build,
    search_space,
    kind=GaussianRegression(Config, sampled),
    objective=("val_loss", "min"),
    prepare=standardize,
)
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs


def ensemble(models: Sequence[keras.Model | str | Path], data: Any = None, *, runs: str | Path = "runs") -> keras.Model:
    """Returns one model of several: its Gaussians have the mean and the variance of their mixture; see `Mixture`.

    It has a run folder of its own, `<runs>/uci_regression/ensemble-<id>`, and is evaluated, loaded, asked, exported and
    served as any model.

    Args:
        models: What `fit` returned, or folders or ids of runs; two or more, trained on the same rows, with any settings
            but those of the data, and with other seeds.
        data: What they were trained on, where that was in memory.
        runs: Where run folders are, and the new one goes.

    Raises:
        ConfigError: Fewer than two models.
        DataError: They take different things, or were trained on different data.
        RunError: There is no such run.
    """
    from recipes.kinds.ensembles import ensemble_recipe

    return ensemble_recipe(recipe, [load(model, runs=runs) for model in models], data, runs, combine=mixture_of)


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
