"""Sets put in order, by a network that learns which of two elements should stand left of the other.

Zhang, Hare and Prügel-Bennett, "Learning Representations of Sets through Optimized Permutations" (2019),
https://arxiv.org/abs/1812.03928: an algorithm as a part of a network. Of the elements x_1 to x_n of a set, a small
network f compares each with each; what it costs that i stands left of j is

    C_ij = f(x_i, x_j) - f(x_j, x_i),   so that C_ji = -C_ij, whatever f is

How much of the element i stands at the position k is P_ik, whose rows and columns add up to 1. The cost of all pairs,

    c(P) = sum_ij C_ij sum_k P_ik (sum_k'>k P_jk' - sum_k'<k P_jk')

has a gradient that can be written down,

    dc/dP_pq = 2 sum_j C_pj (sum_k'>q P_jk' - sum_k'<q P_jk')

and P is found by a few steps down it, whose size eta is learned as f is; S is Sinkhorn's normalisation of exp(Q):

    P = S(Q),   Q <- Q - eta dc/dP,   from Q = 0

The loss compares what stands at each position, y_k = sum_i P_ik x_i, with the set in order, by its mean squared error,
and its gradients go back through all the steps. An order of the elements is read from P by the Hungarian algorithm.

Learned on sets of n numbers in [0, 1), it puts others in order, too: of other intervals, and of more numbers. `MOSAIC`
puts the shuffled tiles of a picture together again: positions are the cells of a grid, with a C of standing above
within each of its columns, and another of standing left within each of its rows. `LINEAR` is the baseline, P = S(Q)
with a score Q_ik of each tile alone for each position (Mena et al., 2018, https://arxiv.org/abs/1802.08665); with
`assignment="both"`, the descent begins at these scores.

What differs from the authors' code, https://github.com/Cyanogenoid/perm-optim: each set of numbers is brought to mean 0
and deviation 1 first, without which (`standardize=False`) it can fail on what it never saw, as numbers far below 0 are;
S is computed in logarithms; Adam's rate falls along half a cosine; training sets are drawn once, and a part of them is
held out; a set counts as in order by its numbers, of which two may be equal. Of tiles: batches of 128 for 32, 5 epochs
for 20, pixels in [0, 1], and a tile is at its place where its pixels belong, black ones at any black place.

Result: all of 10,000 test sets of ten numbers in order, in [0, 1) and in six intervals that it never saw, up to
[1000, 1001) (3 seeds, float32, 65 parameters). Of 15 numbers 99.98 % by the Hungarian algorithm, in the six intervals
99.99 % and more, and of those in [0, 1) all by expected positions, as exports order them. 20 to 34 s on two cores.
Command: `python benchmarks/accuracy.py set_permutation --seeds 0 1 2`, and with
`--change set_size=15`. On MNIST's test images, 1 seed each: `MOSAIC` 91.8 % of the tiles at their places, 68.9 % of the
images without a mistake, MSE 0.0035 (bfloat16, 4 min 48 s); `LINEAR` 87.3 %, 58.9 %, 0.0057 (float32, 2 min 11 s).
Command: `python benchmarks/accuracy.py set_permutation --setting MOSAIC`, and `LINEAR`.
"""
# ruff: noqa: N803, N806 - P, Q and C are the paper's

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import keras
from keras import layers, ops
from pydantic import Field

from recipes.data.number_sets import number_splits
from recipes.data.splits import Sizes, Splits
from recipes.data.tiles import tile_shape, tile_splits
from recipes.errors import ConfigError
from recipes.kinds.permutation import Permuting
from recipes.optimization.optimizers import warmup_cosine
from recipes.settings import Count, Images, ImageShape, Positive, Share, ValidationShare
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings

SetSize = Annotated[int, Field(ge=2)]
Tiles = Annotated[int, Field(ge=0, le=8)]


@dataclass(frozen=True)
class Config(Images):
    """Settings of set_permutation. Change them by name: `fit(set_size=15)`."""

    # data
    dataset: str = "numbers"  # generated sets of numbers; with `tiles`, a data set of images of tensorflow-datasets
    set_size: SetSize = 10  # numbers in a set, n
    tiles: Tiles = 0  # images are cut into so many rows and columns of tiles; 0: sets are of numbers
    validation_fraction: ValidationShare = 0.04  # share of the training split held out for choosing; 0: none
    image_shape: ImageShape | None = None  # height, width, channels to resize images to; None: as they are
    # model
    assignment: Literal["pairwise", "linear", "both"] = "pairwise"  # what P is made of; linear: a score per position
    standardize: bool = True  # whether sets of numbers are brought to mean 0 and deviation 1 first
    inner_steps: Count = 6  # down the gradient of the cost
    sinkhorn_steps: Count = 4  # normalisations of the rows and the columns
    units: Count = 16  # width of the hidden layer of f
    filters: Count = 64  # of the convolution that looks at tiles
    # training
    batch_size: Count = 512
    epochs: Count = 1
    learning_rate: Positive = 0.1  # Adam's highest; climbs from 0 and falls as a cosine
    warmup_fraction: Share = 0.0  # share of all steps in which the rate climbs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tiles == 1:
            raise ConfigError("tiles=1 leaves an image whole; expected 0, for sets of numbers, or 2 and more")
        if self.tiles and self.dataset == "numbers":
            raise ConfigError(
                f"tiles={self.tiles} cuts images into tiles, and dataset='numbers' has none; expected a data set of "
                "images beside it, such as dataset='mnist', or tiles=0"
            )
        if not self.tiles and self.dataset != "numbers":
            raise ConfigError(
                f"dataset={self.dataset!r} is of images, and tiles=0 leaves them whole; expected tiles=2 or more "
                "beside it, or dataset='numbers'"
            )
        if not self.tiles and self.assignment != "pairwise":
            raise ConfigError(
                f"assignment={self.assignment!r} scores each of a fixed number of positions, and sets of numbers may "
                "have any; expected 'pairwise', or tiles=2 or more"
            )
        if self.tiles:
            self.refuse_without_effect("set_size standardize", f"sets are the tiles of images, tiles={self.tiles}")
        else:
            why = "sets are of numbers, tiles=0"
            self.refuse_without_effect("filters image_shape image_column on_bad_file", why)
            self.refuse_without_effect("in_memory", "numbers are always kept in memory", without="yes")
        if self.assignment == "linear":
            self.refuse_without_effect("units inner_steps", "assignment='linear' compares no pairs and takes no steps")


#: The tiles of digits, 3 by 3.
MOSAIC = Config(
    dataset="mnist",
    tiles=3,
    validation_fraction=0.1,
    inner_steps=4,
    units=64,
    batch_size=128,
    epochs=5,
    learning_rate=1e-3,
)
#: The same by the baseline, which looks at each tile alone.
LINEAR = replace(MOSAIC, assignment="linear", units=16, inner_steps=6)
TINY = Config(set_size=5, inner_steps=3, max_examples=2048, batch_size=32, precision="float32")

# ---------------------------------------------------------------- data

DEFAULT = Sizes(train_examples=251_658, image_shape=(28, 28, 1))


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the batches (sets (B, n) float64, the sets in order (B, n) float32, as `StandardizeSet` has them).

    Sets are drawn evenly from [0, 1), the same ones whatever the seed, which decides on their order in training. `data`
    may be your own: an array of sets (N, n), two or three of these (training, (validation,) test), or Splits.

    With `tiles`, the batches (tiles in some order (B, n, h, w, C) in [0, 255], in their own in [0, 1]), float32, row by
    row; training tiles are shuffled anew in each epoch. `data` may then be images as `mnist_vae.load_data` takes them.
    """
    return tile_splits(config, data, DEFAULT.image_shape) if config.tiles else number_splits(config, data)


# ---------------------------------------------------------------- the algorithm


def sinkhorn(Q: Any, steps: int) -> Any:
    """Returns exp(Q) (B, n, n) with its rows, and then its columns, divided by their sums, so many times over.

    Columns add up to 1, and rows the more nearly so the more steps there are. It is computed in logarithms, where
    nothing is too large.

    Sinkhorn (1964); https://arxiv.org/abs/1802.08665, section 2.1.
    """
    for _ in range(steps):
        Q = ops.log_softmax(ops.log_softmax(Q, axis=2), axis=1)
    return ops.exp(Q)


def after_minus_before(P: Any, axis: int) -> Any:
    """Returns sum_k'>k P_jk' - sum_k'<k P_jk' at each position k along an axis, of the shape of P."""
    return ops.sum(P, axis=axis, keepdims=True) - 2 * ops.cumsum(P, axis=axis) + P


def total_cost(P: Any, C: Any) -> Any:
    """Returns c(P) (B,), equation 3, of P (B, n, ...) and the costs along each of its axes, C (B, axes, n, n).

    Two elements that stand as they are, of cost -1, and the other way round:

    >>> C = ops.array([[[[0.0, -1.0], [1.0, 0.0]]]])
    >>> [float(total_cost(ops.array([P]), C)[0]) for P in ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])]
    [-2.0, 2.0]
    """
    axes = tuple(range(1, len(P.shape)))
    return 0.5 * ops.sum(P * cost_gradient(P, C), axis=axes)  # C is skew-symmetric, and c is quadratic in P


def cost_gradient(P: Any, C: Any) -> Any:
    """Returns dc/dP (B, n, ...) of P (B, n, positions) or (B, n, rows, columns), and C (B, 1 or 2, n, n).

    Equation 5 for each axis of positions: on a grid, elements are compared within a column by how much one should
    stand above the other, C_1, and within a row by how much it should stand left of it, C_2 (section 3).
    """
    gradient = 0.0
    for axis in range(2, len(P.shape)):
        weights = after_minus_before(P, axis)
        flat = ops.reshape(weights, (*ops.shape(weights)[:2], -1))
        gradient = gradient + 2 * ops.reshape(ops.matmul(C[:, axis - 2], flat), ops.shape(weights))
    return gradient


@keras.saving.register_keras_serializable("recipes")
class PairwiseCosts(layers.Layer):
    """Elements (B, n, D) to the costs C (B, axes, n, n) of one standing before the other; C_ji = -C_ij.

    f is a hidden layer of the pair (x_i, x_j) and a linear one after it. The halves of the hidden layer's kernel are
    applied to each element once, not to each pair.
    """

    def __init__(self, units: int, axes: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.axes = units, axes

    def build(self, input_shape: Any) -> None:
        """Makes the weights of f."""
        self.kernel = self.add_weight((2 * input_shape[-1], self.units), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.output_kernel = self.add_weight((self.units, self.axes), "glorot_uniform", name="output_kernel")
        self.built = True

    def call(self, x: Any) -> Any:
        """Returns the costs of (B, n, D) elements."""
        first, second = ops.split(self.kernel, 2)
        hidden = ops.expand_dims(x @ first, 2) + ops.expand_dims(x @ second, 1)  # (B, n, n, U): the pair (i, j)
        f = ops.relu(hidden + self.bias) @ self.output_kernel  # (B, n, n, axes)
        return ops.transpose(f - ops.swapaxes(f, 1, 2), (0, 3, 1, 2))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Returns (B, axes, n, n)."""
        return input_shape[0], self.axes, input_shape[1], input_shape[1]

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "units": self.units, "axes": self.axes}


@keras.saving.register_keras_serializable("recipes")
class OptimizedPermutation(layers.Layer):
    """Costs (B, axes, n, n) to the permutation P (B, n, n) that a few steps down their gradient lead to.

    P is as `sinkhorn` has it. The gradient is that with respect to P, taken as one with respect to Q (section 2.3), and
    costs are divided by their norm first: their scale means nothing. Of two axes, positions are the cells of a grid,
    row by row.
    """

    def __init__(self, steps: int, sinkhorn_steps: int = 4, grid: Sequence[int] = (), **kwargs: Any) -> None:
        """Makes the layer.

        Args:
            steps: T, down the gradient.
            sinkhorn_steps: Of each normalisation.
            grid: (rows, columns) of positions, which make n; (): they are in a line.
            **kwargs: Of Keras.
        """
        super().__init__(**kwargs)
        self.steps, self.sinkhorn_steps, self.grid = steps, sinkhorn_steps, tuple(grid)

    def build(self, costs_shape: Any, scores_shape: Any = None) -> None:
        """Makes the size of the steps, eta, which is learned."""
        self.step_size = self.add_weight((), "ones", name="step_size")
        self.built = True

    def call(self, costs: Any, scores: Any = None) -> Any:
        """Returns P of costs; from the scores of elements at positions (B, n, n) on, where there are some."""
        return self.descend(costs, scores)[-1]

    def descend(self, costs: Any, scores: Any = None) -> list[Any]:
        """Returns P (B, n, n) before the first step and after each."""
        norm = ops.sqrt(ops.sum(ops.square(costs), axis=(2, 3), keepdims=True) + 1e-20)  # of equal elements 0
        C = costs / norm
        Q = ops.zeros_like(costs[:, 0]) if scores is None else scores
        permutations = [sinkhorn(Q, self.sinkhorn_steps)]
        shape = ops.shape(Q)
        for _ in range(self.steps):
            P = ops.reshape(permutations[-1], (*shape[:2], *self.grid)) if self.grid else permutations[-1]
            Q = Q - ops.abs(self.step_size) * ops.reshape(cost_gradient(P, C), shape)
            permutations.append(sinkhorn(Q, self.sinkhorn_steps))
        return permutations

    def compute_output_shape(self, costs_shape: Any, scores_shape: Any = None) -> tuple[int | None, ...]:
        """Returns (B, n, n)."""
        return costs_shape[0], costs_shape[2], costs_shape[3]

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"steps": self.steps, "sinkhorn_steps": self.sinkhorn_steps, "grid": self.grid}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("recipes")
class LinearAssignment(layers.Layer):
    """Scores of elements at positions (B, n, n) to a permutation P (B, n, n), as `sinkhorn` makes it of them."""

    def __init__(self, sinkhorn_steps: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sinkhorn_steps = sinkhorn_steps

    def call(self, scores: Any) -> Any:
        """Returns P of scores."""
        return sinkhorn(scores, self.sinkhorn_steps)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "sinkhorn_steps": self.sinkhorn_steps}


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = DEFAULT) -> keras.Model:
    """Returns the compiled model: sets (B, n) float64, of any n, to what stands at each position (B, n) float32.

    With `tiles`, of tiles (B, n, h, w, C) in [0, 255] to those at each position, (B, n, h, w, C) in [0, 1].

    Raises:
        ConfigError: If images are too small for so many tiles.
    """
    model = tile_model(config, tile_shape(sizes.image_shape, config.tiles)) if config.tiles else number_model(config)
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(keras.optimizers.Adam(rate), loss="mean_squared_error")
    return model


def number_model(config: Config) -> keras.Model:
    """Returns the network of numbers; it has no weight that depends on how many there are.

    All of it is float32: in the 8 bits of bfloat16, neighbours are the same number.
    """
    numbers = keras.Input((None,), dtype="float64", name="numbers")
    x = StandardizeSet(config.standardize, name="standardize")(numbers)  # (B, n)
    costs = PairwiseCosts(config.units, dtype="float32", name="costs")(layers.Reshape((-1, 1), dtype="float32")(x))
    P = OptimizedPermutation(config.inner_steps, config.sinkhorn_steps, dtype="float32", name="permutation")(costs)
    y = layers.Dot((1, 1), dtype="float32", name="ordered")([P, x])  # y_k = sum_i P_ik x_i
    return keras.Model(numbers, y, name="set_permutation")


@keras.saving.register_keras_serializable("recipes")
class StandardizeSet(layers.Layer):
    """Sets of numbers (B, n), of any type, as float32 of mean 0 and deviation 1 each: their interval does not matter.

    The difference of large numbers is taken before they are rounded to float32.
    """

    def __init__(self, standardize: bool = True, **kwargs: Any) -> None:
        """Makes the layer.

        Args:
            standardize: False: numbers stay as they are.
            **kwargs: Of Keras.
        """
        kwargs["dtype"] = "float32"
        super().__init__(autocast=False, **kwargs)
        self.standardize = standardize

    def call(self, numbers: Any) -> Any:
        """Returns (B, n) float32; of numbers that are all the same, zeros."""
        if self.standardize:
            difference = numbers - ops.mean(numbers, axis=1, keepdims=True)
            deviation = ops.sqrt(ops.mean(ops.square(difference), axis=1, keepdims=True))
            numbers = difference / ops.where(deviation > 0, deviation, ops.ones_like(deviation))
        return ops.cast(numbers, "float32")

    def compute_output_spec(self, numbers: Any) -> keras.KerasTensor:
        """Returns (B, n) float32."""
        return keras.KerasTensor(numbers.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "standardize": self.standardize}


def tile_model(config: Config, shape: tuple[int, int, int]) -> keras.Model:
    """Returns the network of tiles of a shape h, w, C."""
    h, w, channels = shape
    if min(h, w) < 2:
        raise ConfigError(f"tiles={config.tiles} cuts images into tiles of {h}x{w} pixels; expected at least 2x2")
    n = config.tiles**2
    tiles = keras.Input((n, h, w, channels), name="tiles")
    pixels = layers.Rescaling(1 / 255, dtype="float32")(tiles)
    x = layers.Conv3D(config.filters, (1, 5, 5), padding="same", activation="relu")(pixels)  # each tile by itself
    x = layers.MaxPooling3D((1, 2, 2))(x)
    x = layers.Reshape((n, -1))(x)  # (B, n, D)
    scores, costs = None, None
    if config.assignment != "pairwise":
        scores = layers.Dense(n, use_bias=False, dtype="float32", name="scores")(x)  # (B, n, n)
    if config.assignment != "linear":
        costs = PairwiseCosts(config.units, 2, dtype="float32", name="costs")(x)  # (B, 2, n, n)
    if costs is None:
        P = LinearAssignment(config.sinkhorn_steps, dtype="float32", name="permutation")(scores)
    else:
        grid = (config.tiles, config.tiles)
        permute = OptimizedPermutation(
            config.inner_steps, config.sinkhorn_steps, grid, dtype="float32", name="permutation"
        )
        P = permute(costs) if scores is None else permute(costs, scores)
    y = layers.Dot((1, 1), dtype="float32")([P, layers.Reshape((n, -1), dtype="float32")(pixels)])
    return keras.Model(tiles, layers.Reshape((n, *shape), dtype="float32", name="ordered")(y), name="set_permutation")


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    `config` is what the space leaves alone: the sets, and what P is made of.
    """
    compares = {}
    if config.assignment != "linear":
        compares = {"units": hp.Choice("units", [8, 16, 32, 64]), "inner_steps": hp.Int("inner_steps", 2, 8, step=2)}
    highest = hp.Float("learning_rate", 3e-4, 3e-1, sampling="log")
    return replace(config, learning_rate=highest, **compares)


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=Permuting(), objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
