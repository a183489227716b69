"""Models that put sets in order: how they are scored, reported, asked and exported."""
# ruff: noqa: N803, N806 - P and C are the paper's

from collections.abc import Iterator, Sequence
from math import isqrt
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.data.number_sets import LARGEST, LONGEST, UNSEEN, draw_sets, in_order, own_sets, read_sets
from recipes.data.splits import Splits
from recipes.data.tiles import cut, of_orders, put_together
from recipes.errors import DataError
from recipes.runs.exhibits import Exhibit

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
