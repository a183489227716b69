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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from recipes.data.augment import draw_per_pixel
from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError, DataError
from recipes.optimization.optimizers import warmup_cosine
from recipes.runs.exhibits import Exhibit
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

TRAINING_SETS, TEST_SETS = 2**18, 10_000  # that are generated
#: The intervals that sets are drawn from: of training, and others that are only tested on
TRAINED_ON = (0, 1)
UNSEEN = ((0, 10), (0, 1000), (1, 2), (10, 11), (100, 101), (1000, 1001))
LARGEST = 1e100  # of a number: those beyond have squares that are none


def load_data(config: Config = Config(), data: Any = None) -> Splits:
    """Returns the batches (sets (B, n) float64, the sets in order (B, n) float32, as `StandardizeSet` has them).

    Sets are drawn evenly from [0, 1), the same ones whatever the seed, which decides on their order in training. `data`
    may be your own: an array of sets (N, n), two or three of these (training, (validation,) test), or Splits.

    With `tiles`, the batches (tiles in some order (B, n, h, w, C) in [0, 255], in their own in [0, 1]), float32, row by
    row; training tiles are shuffled anew in each epoch. `data` may then be images as `mnist_vae.load_data` takes them.
    """
    return tile_splits(config, data) if config.tiles else number_splits(config, data)


def number_splits(config: Config, data: Any) -> Splits:
    """Returns the batches of sets of numbers; see `load_data`."""
    from recipes.data.image_batches import eval_batches, train_batches
    from recipes.data.in_memory import Arrays, fingerprint, three_way
    from recipes.data.splits import DataInfo, refuse_less_than_a_batch, train_examples

    if isinstance(data, Splits):
        check_batches(data)
        follows = {**train_examples(data, config.batch_size), **data.info.follows}
        return replace(data, info=replace(data.info, follows=follows))
    if data is None:
        own = [
            draw_sets(count, config.set_size, TRAINED_ON, part) for part, count in ((0, TRAINING_SETS), (1, TEST_SETS))
        ]
        info = DataInfo("numbers", source="generated")
    else:
        own, info = own_sets(data), DataInfo("your own arrays")
        config.refuse_without_effect("set_size", "data= has sets of its own size", without=own[0].shape[1])
    columns = [(sets, in_order(sets, config.standardize)) for sets in own]
    arrays = Arrays(columns[0], columns[1] if len(columns) == 3 else None, columns[-1] if len(columns) > 1 else None)
    train, validation, test = three_way(arrays, config.validation_fraction, config.max_examples, stratified=False)
    refuse_less_than_a_batch(len(train[0]), config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    info = replace(
        info,
        examples={split: len(columns[0]) for split, columns in named.items() if columns},
        follows={"train_examples": len(train[0])},
        fingerprint=fingerprint(*(column for split in (train, validation) if split for column in split)),
    )
    train_from = train_batches(train, config.batch_size, config.seed)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_batches(validation, config.batch_size) if validation else None,
        test=eval_batches(test, config.batch_size),
        info=info,
        steps_per_epoch=len(train[0]) // config.batch_size,
        train_from=train_from,
    )


def draw_sets(count: int, size: int, interval: tuple[float, float], part: int) -> np.ndarray:
    """Returns (count, size) float64 numbers drawn evenly from an interval; those of each `part` are others."""
    low, high = interval
    return np.random.default_rng([1812, 3928, part, size]).uniform(low, high, (count, size))


def in_order(sets: np.ndarray, standardize: bool = True) -> np.ndarray:
    """Returns sets (N, n) in order, float32, as the loss has them: of mean 0 and deviation 1.

    >>> in_order(np.array([[3.0, 1.0]])).tolist()
    [[-1.0, 1.0]]
    """
    ordered = np.sort(sets, axis=1)
    if standardize:
        deviations = ordered.std(1, keepdims=True)
        ordered = (ordered - ordered.mean(1, keepdims=True)) / np.where(deviations > 0, deviations, 1.0)
    return ordered.astype(np.float32)


def own_sets(data: Any) -> list[np.ndarray]:
    """Returns a user's training, (validation,) test sets, or all of them, (N, n) float64 each.

    Raises:
        DataError: They are no arrays of numbers, or of sets of several sizes.
    """
    expected = "expected an array of sets (N, n), or a tuple of two or three: training, (validation,) test"
    if not isinstance(data, (np.ndarray, list, tuple)) and not hasattr(data, "__array__"):
        raise DataError(f"data is a {type(data).__name__}; {expected}")
    parts = list(data) if isinstance(data, tuple) else [data]
    if not 1 <= len(parts) <= 3:
        raise DataError(f"data is a tuple of {len(parts)}; {expected}")
    sets = []
    for part in parts:
        try:
            array = np.asarray(part, np.float64)
        except (TypeError, ValueError):
            raise DataError(f"data holds what is no array of numbers, or sets of several sizes; {expected}") from None
        if array.ndim != 2 or array.shape[1] < 2:
            raise DataError(f"data is an array {array.shape}; {expected}, of at least 2 numbers each")
        wrong = np.flatnonzero(~(np.abs(array) <= LARGEST).all(1))
        if len(wrong):
            raise DataError(f"set {wrong[0]} of data has {array[wrong[0]].tolist()}; expected finite numbers")
        sets.append(array)
    sizes = [array.shape[1] for array in sets]
    if len(set(sizes)) > 1:
        raise DataError(f"the parts of data have sets of {', '.join(map(str, sizes))} numbers; expected one size")
    return sets


def check_batches(splits: Splits) -> None:
    """Refuses a user's own Splits that are not of sets and the sets in order."""
    spec = splits.train.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    ranks = [getattr(part, "shape", tf.TensorShape(None)).rank for part in parts]
    if ranks != [2, 2] or not all(part.dtype.is_floating for part in parts):
        raise DataError(f"train holds {spec}; expected batches (sets (B, n), the sets in order (B, n)) of floats")


def tile_splits(config: Config, data: Any) -> Splits:
    """Returns the batches of tiles; see `load_data`."""
    from recipes.data.image_batches import image_splits

    if isinstance(data, Splits):
        raise DataError("data is Splits; expected images, which are then cut into tiles")
    pairing = partial(shuffled_tiles, tiles=config.tiles)
    return image_splits(config, data, standin="digits", image_shape=DEFAULT.image_shape, pairing=pairing)


def shuffled_tiles(
    images: tf.Tensor, seed: tf.Tensor, worker: int = 0, workers: int = 1, *, tiles: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (tiles in an order drawn for each image, in [0, 255], tiles in their own, in [0, 1]), (B, n, h, w, C).

    Args:
        images: (B, H, W, C) in [0, 255].
        seed: (2,) integer.
        worker: Which part of a batch these images are.
        workers: In how many parts it was cut; the draws are those of the whole batch.
        tiles: In a row and in a column.
    """
    in_place = cut(images, tiles)
    draws = draw_per_pixel(tf.random.stateless_uniform, in_place[:, :, 0, 0, 0], seed, worker, workers)  # (B, n)
    shuffled = tf.gather(in_place, tf.argsort(draws), batch_dims=1)
    return tf.ensure_shape(shuffled, in_place.shape), in_place / 255


def tile_shape(image_shape: Sequence[int], tiles: int) -> tuple[int, int, int]:
    """Returns h, w, C of the tiles of images; sides that cannot be shared out evenly are stretched before.

    >>> tile_shape((28, 28, 1), 3)
    (10, 10, 1)
    """
    height, width, channels = image_shape
    return -(-height // tiles), -(-width // tiles), channels


def cut(images: tf.Tensor, tiles: int) -> tf.Tensor:
    """Returns the tiles of images (B, H, W, C), row by row: (B, n, h, w, C) float32."""
    h, w, channels = tile_shape(images.shape[1:], tiles)
    images = tf.cast(images, tf.float32)
    if images.shape[1:3] != (tiles * h, tiles * w):
        images = tf.image.resize(images, (tiles * h, tiles * w))
    grid = tf.reshape(images, (-1, tiles, h, tiles, w, channels))
    return tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, tiles**2, h, w, channels))


def put_together(tiles: Any) -> tf.Tensor:
    """Returns the images (B, H, W, C) whose tiles, row by row, are (B, n, h, w, C): what `cut` cut."""
    n, h, w, channels = tiles.shape[1:]
    side = isqrt(n)
    grid = tf.reshape(tiles, (-1, side, side, h, w, channels))
    return tf.reshape(tf.transpose(grid, (0, 1, 3, 2, 4, 5)), (-1, side * h, side * w, channels))


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

    >>> C = np.array([[[[0.0, -1.0], [1.0, 0.0]]]])
    >>> [float(total_cost(np.array([P]), C)[0]) for P in ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])]
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


# ---------------------------------------------------------------- an order out of a permutation that is none yet


def hungarian(P: np.ndarray) -> np.ndarray:
    """Returns which element stands at each position (N, n), of P (N, n, n): as much of all elements as can be had.

    Kuhn (1955), https://doi.org/10.1002/nav.3800020109.

    >>> hungarian(np.array([[[0.4, 0.6], [0.3, 0.7]]])).tolist()
    [[0, 1]]
    """
    from scipy.optimize import linear_sum_assignment

    orders = [linear_sum_assignment(-one.T)[1] for one in P]  # the rows are positions
    return np.array(orders, np.int32).reshape(len(P), P.shape[-1])


def by_position(P: Any) -> Any:
    """Returns which element stands at each position (B, n) int32, in TensorFlow operations alone.

    Elements go by the position that is expected of them, sum_k k P_ik / sum_k P_ik, the first of equal ones first.
    """
    k = tf.range(tf.shape(P)[2], dtype=P.dtype)
    expected = tf.reduce_sum(k * P, 2) / tf.reduce_sum(P, 2)  # (B, n)
    return tf.argsort(expected, stable=True)


def largest_first(P: Any) -> Any:
    """Returns which element stands at each position (B, n) int32, in TensorFlow operations alone.

    The largest number of P decides where its element stands, then the largest of what is left, and so on.

    >>> largest_first(np.array([[[0.4, 0.6], [0.3, 0.7]]], np.float32)).numpy().tolist()
    [[0, 1]]
    """
    n = P.shape[-1]
    left, elements = P, tf.zeros_like(P[:, 0], tf.int32)  # (B, n, n), (B, n)
    for _ in range(n):
        place = tf.argmax(tf.reshape(left, (-1, n * n)), 1, output_type=tf.int32)  # (B,), the first of equal ones
        element, position = place // n, place % n
        elements += tf.one_hot(position, n, dtype=tf.int32) * element[:, tf.newaxis]
        is_free = (1 - tf.one_hot(element, n))[:, :, tf.newaxis] * (1 - tf.one_hot(position, n))[:, tf.newaxis]
        left = tf.where(is_free > 0, left, -1.0)
    return elements


# ---------------------------------------------------------------- what is answered, and how good it is

LONGEST = 2_000  # numbers in a set that is put in order: each is compared with each
MOST_PAIRS = 2**22  # that are compared at a time


def asked_of(model: keras.Model) -> Any:
    """Returns a compiled function of sets: P (B, n, n)."""
    network = keras.Model(model.input, model.get_layer("permutation").output)
    return tf.function(lambda sets: network(sets, training=False), reduce_retracing=True)


def permutations_of(ask: Any, sets: np.ndarray) -> np.ndarray:
    """Returns P (N, n, n) float32 of sets of numbers (N, n), by what `asked_of` returns."""
    size = sets.shape[1]
    rows = max(1, min(1000, MOST_PAIRS // size**2))
    parts = [ask(tf.constant(sets[start : start + rows])).numpy() for start in range(0, len(sets), rows)]
    return np.concatenate([np.zeros((0, size, size), np.float32), *parts])


def share_in_order(sets: np.ndarray, indices: np.ndarray) -> float:
    """Returns the share of sets (N, n) whose numbers, taken in the order of some indices (N, n), all increase.

    >>> share_in_order(np.array([[7, 5], [1, 2]]), np.array([[1, 0], [1, 0]]))
    0.5
    """
    return float((np.diff(np.take_along_axis(sets, indices, 1), axis=1) >= 0).all(1).mean())


class Permuting:
    """The kind of a model that puts sets in order: `predict` answers with "indices", which element stands where.

    By the Hungarian algorithm. Of numbers, sets of any size, also with "ordered", the numbers in that order; with
    `tiles`, what is asked is a picture whose tiles are in any order, and the answer "image", (H, W, C) float32 in
    [0, 255], is the picture put together again.

    Signatures of an export, in which an order is by expected positions, see `by_position`, of tiles by
    `largest_first`: `serving_default` takes `numbers` (B, n) float64, of any n up to 2,000, and answers with `ordered`
    (B, n) float32 and `indices` (B, n) int32; `permutation` takes the same and answers with `permutation` (B, n, n),
    how much of each number (row) stands at each position, and with `costs` (B, n, n), float32 both. With `tiles`,
    `serving_default` (`image_bytes`, encoded images), `image` and `image_uint8` answer with `image` and `indices`, the
    first also with `image_bytes` (B,) string, PNG files.
    """

    name = "permutation"

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns figures on the test split; see `NumbersInOrder.evaluate` and `TilesInOrder.evaluate`."""
        return kind_of(model).evaluate(model, splits)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields a picture of how a test set comes in order."""
        return kind_of(model).report(model, splits)

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test part of a user's sets or images, or all of them."""
        return kind_of(model).evaluation_data(data, model)

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, answer) of sets of numbers, see `read_sets`, or of images, see `inputs.read_images`."""
        return kind_of(model).predict(model, inputs)

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, and the signatures that the class docstring describes."""
        return kind_of(model).signatures(model, source)

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": sets to `permutation` and `indices`}."""
        return kind_of(model).networks(model, source, count)


def kind_of(model: keras.Model) -> "NumbersInOrder | TilesInOrder":
    """Returns what is done with a model of numbers, or of tiles."""
    return TilesInOrder() if len(model.input_shape) == 5 else NumbersInOrder()


class NumbersInOrder:
    """What `Permuting` is for a model of numbers."""

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss", "exact", "exact_by_position"} on the test split, and "exact_LOW_HIGH" of generated sets.

        "exact" is the share of sets that are put in order without a mistake, by the Hungarian algorithm, and
        "exact_by_position" by what an export does. The intervals from LOW to HIGH are others than those of training.
        """
        from recipes.verbs.evaluate import compiled_metrics

        values = compiled_metrics(model, splits)
        assert splits.test is not None  # or it has said so
        sets = np.concatenate([batch[0].numpy() for batch in splits.test])
        ask = asked_of(model)
        P = permutations_of(ask, sets)
        values["exact"] = share_in_order(sets, hungarian(P))
        values["exact_by_position"] = share_in_order(sets, by_position(tf.constant(P)).numpy())
        for part, (low, high) in enumerate(UNSEEN if splits.info.source == "generated" else (), 2):
            others = draw_sets(len(sets), sets.shape[1], (low, high), part)
            values[f"exact_{low}_{high}"] = share_in_order(others, hungarian(permutations_of(ask, others)))
        return values

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields permutation.png: the costs of a test set's numbers, and P over the steps."""
        sets = splits.examples(1)
        if len(sets):
            title = "A test set's costs of standing left of one another, and how much of each number stands where"
            yield title, "permutation.png", lambda: draw_descent(model, np.sort(sets[0]))

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test part of a user's sets, or all of them."""
        from recipes.data.image_batches import eval_batches
        from recipes.data.in_memory import EvaluationData
        from recipes.data.splits import DataInfo

        sets = own_sets(data)[-1]
        batches = eval_batches((sets, in_order(sets, model.get_layer("standardize").standardize)), 1000)
        info = DataInfo("your own arrays", examples={"test": len(sets)})
        return EvaluationData(Splits(train=batches, test=batches, info=info), len(sets))

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (set, {"ordered" (n,) float64, "indices" (n,) int32}) of sets: see `read_sets`."""
        from recipes.kinds.inputs import predict_each

        ask = asked_of(model)

        def predict(sets: list[np.ndarray]) -> list[dict[str, Any]]:
            answers: dict[int, dict[str, Any]] = {}
            for size in {len(numbers) for numbers in sets}:
                places = [place for place, numbers in enumerate(sets) if len(numbers) == size]
                rows = max(1, MOST_PAIRS // size**2)
                for some in (places[start : start + rows] for start in range(0, len(places), rows)):
                    orders = hungarian(ask(tf.constant(np.stack([sets[place] for place in some]))).numpy())
                    for place, indices in zip(some, orders, strict=True):
                        answers[place] = {"ordered": sets[place][indices], "indices": indices}
            return [answers[place] for place in range(len(sets))]

        return predict_each(read_sets(inputs), predict, 1000)

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, and the signatures that the class docstring describes."""
        from recipes.data.batch_rows import check_rows
        from recipes.verbs.export import Signature

        network = keras.Model(model.input, [model.get_layer(name).output for name in ("permutation", "costs")])
        sets = source.examples(8).astype(np.float64)
        spec = {"numbers": tf.TensorSpec((None, None), tf.float64)}

        def checked(numbers: tf.Tensor) -> list[tf.Tensor]:
            is_right = tf.reduce_all(tf.abs(numbers) <= LARGEST, 1)
            one_size = tf.fill(tf.shape(numbers)[:1], tf.shape(numbers)[1] <= LONGEST)
            checks = [
                check_rows(is_right, "row {} has a number that is not finite"),
                check_rows(one_size, f"row {{}} has more than {LONGEST:,} numbers"),
            ]
            with tf.control_dependencies(checks):
                return network(tf.identity(numbers), training=False)

        def put_in_order(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            indices = by_position(checked(numbers)[0])
            return {"ordered": tf.cast(tf.gather(numbers, indices, batch_dims=1), tf.float32), "indices": indices}

        def permute(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            permutation, costs = checked(numbers)
            return {"permutation": permutation, "costs": costs[:, 0]}

        P = permutations_of(asked_of(model), sets)
        indices = by_position(tf.constant(P)).numpy()
        ordered = np.take_along_axis(sets, indices, 1).astype(np.float32)
        meaning = "The numbers of a set in order, and which of the set they are"
        return [network], {
            "serving_default": Signature(
                put_in_order, spec, {"numbers": sets}, {"ordered": ordered, "indices": indices}, meaning
            ),
            "permutation": Signature(
                permute,
                spec,
                {"numbers": sets},
                {"permutation": P},
                "How much of each number stands at each position, and what it costs that one stands left of another",
            ),
        }

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `numbers` (B, n) float32, of mean 0 and deviation 1, to `permutation` and `indices`}."""
        from recipes.verbs.export_network import Network

        sets = source.examples(count).astype(np.float64)
        standardize, costs, permutation = (model.get_layer(name) for name in ("standardize", "costs", "permutation"))
        numbers = keras.Input(sets.shape[1:], dtype="float32", name="numbers")
        network = keras.Model(numbers, permutation(costs(layers.Reshape((-1, 1), dtype="float32")(numbers))))

        def permute(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            P = network(numbers, training=False)
            return {"permutation": P, "indices": by_position(P)}

        outside = "subtract the mean of a set and divide by its deviation; take its numbers in the order of the indices"
        return {
            "model": Network(
                permute,
                {"numbers": tf.TensorSpec((None, sets.shape[1]), tf.float32)},
                {"numbers": standardize(sets).numpy()},
                models=[network],
                outside=outside if standardize.standardize else "take the numbers in the order of the indices",
            )
        }


class TilesInOrder:
    """What `Permuting` is for a model of tiles."""

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss", "mse", "exact", "tiles"} on the test split, by the Hungarian algorithm but for the loss.

        "mse" is that of the pixels, in [0, 1], "exact" the share of images without a mistake, "tiles" that of tiles at
        a place where these pixels belong: of two tiles alike, such as black ones, either may stand for the other.
        """
        from recipes.verbs.evaluate import compiled_metrics

        values = compiled_metrics(model, splits)
        assert splits.test is not None  # or it has said so
        ask = asked_of(model)
        errors, is_right = [], []
        for tiles, in_place in splits.test:
            ordered = of_orders(tiles, hungarian(ask(tiles).numpy()))
            difference = (ordered / 255 - in_place).numpy()
            errors.append(np.square(difference).mean((1, 2, 3, 4)))
            is_right.append((np.abs(difference) < 1e-4).all((2, 3, 4)))  # (B, n)
        right = np.concatenate(is_right)
        values["mse"] = float(np.concatenate(errors).mean(dtype=np.float64))
        return values | {"exact": float(right.all(1).mean()), "tiles": float(right.mean())}

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields mosaics.png: test images as they went in, put together, and as they were."""
        from recipes.kinds.plots import draw_images

        if splits.test is None:
            return
        tiles, in_place = next(splits.test.unbatch().batch(10).as_numpy_iterator(), (np.zeros(0), np.zeros(0)))
        if not len(tiles):
            return
        orders = hungarian(asked_of(model)(tf.constant(tiles)).numpy())
        rows = {"shuffled": tiles, "put together": of_orders(tiles, orders).numpy(), "as it was": 255 * in_place}
        drawn = np.concatenate([put_together(row) for row in rows.values()])
        title = "Test images whose tiles were shuffled (above), as they are put together, and as they were (below)"
        yield title, "mosaics.png", lambda: draw_images(drawn, columns=len(tiles), row_labels=list(rows))

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test split of a user's images, or all of them."""
        from recipes.data.images import evaluation_images

        run = getattr(model, "run", None)
        shape = run.info.follows["image_shape"] if run else picture_shape(model)
        return evaluation_images(data, SimpleNamespace(input_shape=(None, *shape), run=run))

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (name, {"image", "indices"}) of images; see `inputs.read_images`."""
        from recipes.kinds.inputs import predict_each, read_images

        shape, ask = picture_shape(model), asked_of(model)

        def predict(images: list[np.ndarray]) -> list[dict[str, Any]]:
            tiles = cut(tf.constant(np.stack(images)), isqrt(model.input_shape[1]))
            orders = hungarian(ask(tiles).numpy())
            pictures = put_together(of_orders(tiles, orders)).numpy()
            return [{"image": image, "indices": indices} for image, indices in zip(pictures, orders, strict=True)]

        return predict_each(read_images(inputs, shape), predict)

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model, and the signatures that the docstring of `Permuting` describes."""
        from recipes.data.batch_rows import with_one_if_empty
        from recipes.data.images import check_channels
        from recipes.kinds.image_classification import image_signatures, with_png_files
        from recipes.verbs.export import in_float32

        network, shape = self.network(in_float32(model)), picture_shape(model)
        check_channels(shape)

        def put_some_together(image: tf.Tensor) -> dict[str, tf.Tensor]:
            tiles = cut(tf.ensure_shape(image, (None, *shape)), isqrt(model.input_shape[1]))
            indices = largest_first(network(tiles, training=False))
            return {"image": put_together(of_orders(tiles, indices)), "indices": indices}

        def put_all_together(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return with_one_if_empty(put_some_together, image)

        images = np.rint(put_together(source.examples(8)).numpy()).astype(np.float32)  # as files have them
        answer = {name: value.numpy() for name, value in put_all_together(tf.constant(images)).items()}
        meaning = "The picture put together again, and which tile stands where,"
        signatures = with_png_files(image_signatures(put_all_together, shape, images, answer, meaning))
        return [network], signatures

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `tiles` (B, n, h, w, C) float32 in [0, 255] to `permutation` and `indices`}."""
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        network = self.network(in_float32(model))

        def permute(tiles: tf.Tensor) -> dict[str, tf.Tensor]:
            P = network(tiles, training=False)
            return {"permutation": P, "indices": largest_first(P)}

        return {
            "model": Network(
                permute,
                {"tiles": tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)},
                {"tiles": source.examples(count).astype(np.float32)},
                models=[network],
                outside="cut the picture into tiles, row by row, and put them together in the order of the indices",
            )
        }

    def network(self, model: keras.Model) -> keras.Model:
        """Returns the model up to P."""
        return keras.Model(model.input, model.get_layer("permutation").output)


def picture_shape(model: keras.Model) -> tuple[int, int, int]:
    """Returns H, W, C of the pictures that a model of tiles puts together."""
    n, h, w, channels = model.input_shape[1:]
    return isqrt(n) * h, isqrt(n) * w, channels


def of_orders(tiles: Any, indices: Any) -> tf.Tensor:
    """Returns the tiles (B, n, h, w, C) that stand at each position, by their indices (B, n)."""
    return tf.ensure_shape(tf.gather(tiles, indices, batch_dims=1), tiles.shape)


def read_sets(inputs: Any) -> Iterator[tuple[str, np.ndarray | DataError]]:
    """Yields (its name, (n,) float64) for each set of numbers, or why it cannot be read.

    Args:
        inputs: A set or many: a list or an array of numbers, or a str, "3 1 2" or "3, 1, 2"; of several sizes.
    """
    if hasattr(inputs, "numpy") and not hasattr(inputs, "iloc"):  # a tensor
        inputs = inputs.numpy()
    if not isinstance(inputs, str):
        try:
            inputs = list(inputs)
        except TypeError:
            raise DataError(
                f"inputs is a {type(inputs).__name__}; expected a set of numbers or a list of them"
            ) from None
    is_one = isinstance(inputs, str) or (
        inputs and all(np.ndim(item) == 0 and not isinstance(item, str) for item in inputs)
    )
    for number, item in enumerate([inputs] if is_one else inputs):
        try:
            yield f"set {number}", read_set(item, f"set {number}")
        except DataError as error:
            yield f"set {number}", error


def read_set(item: Any, name: str) -> np.ndarray:
    """Returns a set of numbers, (n,) float64, refusing what is none, by its name."""
    from recipes.data.text_reading import shortened

    cells = item.replace(",", " ").split() if isinstance(item, str) else item
    try:
        numbers = np.asarray(cells, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(())
    if numbers.ndim != 1 or not len(numbers):
        raise DataError(f"{name} is {shortened(repr(item))}; expected numbers, as [3, 1, 2] or '3 1 2'")
    if len(numbers) > LONGEST:
        raise DataError(f"{name} has {len(numbers):,} numbers; expected at most {LONGEST:,}")
    if not (np.abs(numbers) <= LARGEST).all():
        raise DataError(f"{name} has {shortened(repr(item))}; expected finite numbers of at most {LARGEST:g}")
    return numbers


def draw_descent(model: keras.Model, numbers: np.ndarray) -> Any:
    """Draws the costs of some numbers (n,), and P before the first step down their gradient and after each."""
    from matplotlib.figure import Figure  # not pyplot: no display, no state

    costs = keras.Model(model.input, model.get_layer("costs").output)(numbers[np.newaxis])
    over_steps = np.concatenate(model.get_layer("permutation").descend(costs))  # (T + 1, n, n)
    C = np.asarray(costs)[0, 0]
    figure = Figure(figsize=(2.2 * (len(over_steps) + 1), 3), layout="constrained")
    first, *panels = figure.subplots(1, len(over_steps) + 1)
    labels = [f"{number:.3g}" for number in numbers] if len(numbers) <= 15 else []
    limit = np.abs(C).max() or 1.0
    picture = first.imshow(C, cmap="RdBu", vmin=-limit, vmax=limit)
    figure.colorbar(picture, ax=first, shrink=0.6)
    first.set_title("C: row left of column", fontsize=9)
    first.set(xlabel="number", xticks=[], yticks=range(len(labels)), yticklabels=labels)
    first.tick_params(labelsize=7)
    for step, (axes, P) in enumerate(zip(panels, over_steps, strict=True)):
        axes.imshow(P, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"P after {step} step{'s' * (step > 1)}" if step else "P at first", fontsize=9)
        axes.set(xlabel="position", xticks=[], yticks=[])
    return figure


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=Permuting(), objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
