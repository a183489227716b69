# ruff: noqa: N803, N806 - P, Q and C are the paper's
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import set_permutation
from recipes.cli import main
from recipes.data import number_sets
from recipes.data import tiles as tiles_of
from recipes.data.splits import Splits
from recipes.errors import ConfigError, DataError
from recipes.kinds import permutation

MOSAIC = replace(
    set_permutation.MOSAIC, dataset="digits", filters=4, units=8, batch_size=32, epochs=1, precision="float32"
)


def skew(*upper):
    """Returns the skew-symmetric costs (1, 1, 3, 3) of three numbers above the diagonal."""
    a, b, c = upper
    return np.array([[[[0, a, b], [-a, 0, c], [-b, -c, 0]]]], "f")


def test_the_cost_and_its_gradient_of_two_by_hand():
    """Of P = [[p, 1 - p], [1 - p, p]] and C_12 = c.

    After minus before is 1 - p of element 1 at position 1 (that is what stands after it), -p at position 2; of element
    2 p and p - 1. c(P) = c (p p + (1 - p)(p - 1)) - c ((1 - p)(1 - p) + p (-p)) = 2 c (2 p - 1), and the gradient of
    P_11 is 2 C_12 (what of element 2 stands after position 1) = 2 c p.
    """
    c, p = 3.0, 0.75
    P = np.array([[[p, 1 - p], [1 - p, p]]], "f")
    C = np.array([[[[0, c], [-c, 0]]]], "f")
    np.testing.assert_allclose(set_permutation.after_minus_before(P, 2), [[[1 - p, -p], [p, p - 1]]])
    np.testing.assert_allclose(set_permutation.total_cost(P, C), [2 * c * (2 * p - 1)])
    by_hand = [[2 * c * p, 2 * c * (p - 1)], [-2 * c * (1 - p), 2 * c * p]]
    np.testing.assert_allclose(set_permutation.cost_gradient(P, C), [by_hand])


def test_a_step_from_the_uniform_permutation_of_two_by_hand():
    """C / |C| has 1 / sqrt(2) above the diagonal: Q = -eta 2 C / 2 (1, -1) moves element 1 to position 2."""
    layer = set_permutation.OptimizedPermutation(1, sinkhorn_steps=20)
    C = np.array([[[[0, 5.0], [-5.0, 0]]]], "f")
    layer.build(C.shape)
    before, after = layer.descend(C)
    np.testing.assert_allclose(before, np.full((1, 2, 2), 0.5), rtol=1e-6)
    q = 1 / np.sqrt(2)
    share = 1 / (1 + np.exp(2 * q))  # the rows of exp(Q), exp(-q) and exp(q), over their sum
    np.testing.assert_allclose(after, [[[share, 1 - share], [1 - share, share]]], rtol=1e-5)
    layer.step_size.assign(-1.0)
    np.testing.assert_allclose(layer.descend(C)[1], after, rtol=1e-6)


def test_the_least_cost_is_that_of_the_order():
    """Of all orders of three, those that stand as the costs want cost the least."""
    C = skew(-1.0, -2.0, -1.0)  # 1 left of 2 left of 3
    costs = {
        order: float(set_permutation.total_cost(np.eye(3, dtype="f")[:, list(order)][np.newaxis], C)[0])
        for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    }
    assert min(costs, key=costs.get) == (0, 1, 2)
    assert costs[0, 1, 2] == -8.0 == -costs[2, 1, 0], "2 (C_12 + C_13 + C_23)"


@pytest.mark.parametrize("positions", [(6,), (2, 3)])
def test_the_gradient_that_is_written_down_is_that_of_the_cost(positions):
    random = np.random.default_rng(0)
    C = random.normal(size=(2, len(positions), 6, 6))
    C = C - np.swapaxes(C, 2, 3)
    P = tf.Variable(random.uniform(size=(2, 6, *positions)))

    def cost(P):
        """As the definition has it, pair by pair: along each axis of positions, in each line of them."""
        total = 0.0
        for axis, costs in zip(range(2, 2 + len(positions)), np.swapaxes(C, 0, 1), strict=True):
            lines = tf.experimental.numpy.moveaxis(P, axis, -1)
            lines = tf.reshape(lines, (2, 6, -1, positions[axis - 2]))
            for k in range(positions[axis - 2]):
                after, before = tf.reduce_sum(lines[..., k + 1 :], -1), tf.reduce_sum(lines[..., :k], -1)
                total += tf.einsum("bij,bil,bjl->b", costs, lines[..., k], after - before)
        return total

    with tf.GradientTape() as tape:
        by_definition = cost(P)
    np.testing.assert_allclose(set_permutation.total_cost(P, C), by_definition, rtol=1e-6)
    np.testing.assert_allclose(set_permutation.cost_gradient(P, C), tape.gradient(by_definition, P), rtol=1e-6)


def test_rows_and_columns_add_up_to_one():
    Q = np.random.default_rng(0).normal(0, 3, (4, 7, 7)).astype("f")
    P = np.asarray(set_permutation.sinkhorn(Q, 200))
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(P.sum(2), 1, atol=1e-3)
    np.testing.assert_allclose(np.asarray(set_permutation.sinkhorn(Q, 1)).sum(1), 1, rtol=1e-5), "columns are last"
    assert np.isfinite(set_permutation.sinkhorn(1e4 * Q, 4)).all()


def test_sinkhorn_by_hand():
    """Rows of [[1, 3], [1, 1]] over their sums, [[1/4, 3/4], [1/2, 1/2]]; and the columns of that, 3/4 and 5/4."""
    P = set_permutation.sinkhorn(np.log(np.array([[[1, 3], [1, 1]]], "f")), 1)
    np.testing.assert_allclose(P, [[[1 / 3, 3 / 5], [2 / 3, 2 / 5]]], rtol=1e-6)


def test_costs_are_skew_symmetric_and_those_of_the_network_of_pairs():
    layer = set_permutation.PairwiseCosts(5, axes=2)
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("f")
    C = np.asarray(layer(x))
    assert C.shape == (3, 2, 4, 4)
    np.testing.assert_array_equal(C, -np.swapaxes(C, 2, 3))

    def f(a, b):
        return np.maximum(np.concatenate([a, b]) @ layer.kernel.numpy() + layer.bias.numpy(), 0) @ layer.output_kernel

    np.testing.assert_allclose(C[1, :, 0, 3], f(x[1, 0], x[1, 3]) - f(x[1, 3], x[1, 0]), rtol=1e-4, atol=1e-6)
    assert layer.count_params() == 2 * 6 * 5 + 5 + 5 * 2


def test_the_order_of_the_input_does_not_matter():
    model = set_permutation.build(set_permutation.TINY)
    random = np.random.default_rng(0)
    sets = random.uniform(size=(4, 7))
    shuffled = random.permuted(sets, axis=1)
    np.testing.assert_allclose(model(sets), model(shuffled), atol=1e-5)
    config = replace(MOSAIC, assignment="both")
    of_tiles = set_permutation.build(config)
    tiles = random.uniform(0, 255, (2, 9, 10, 10, 1)).astype("f")
    np.testing.assert_allclose(of_tiles(tiles), of_tiles(tiles[:, random.permutation(9)]), atol=1e-5)


def test_an_interval_does_not_matter():
    layer = set_permutation.StandardizeSet()
    np.testing.assert_allclose(layer(np.array([[3.0, 1.0, 2.0]])), [[np.sqrt(1.5), -np.sqrt(1.5), 0]], rtol=1e-6)
    near = np.array([[1e9 + 0.25, 1e9, 1e9 + 0.5]])  # one number in float32
    np.testing.assert_allclose(layer(near), layer(np.array([[0.25, 0, 0.5]])), rtol=1e-6)
    np.testing.assert_array_equal(layer(np.full((1, 3), 7.0)), np.zeros((1, 3)))
    np.testing.assert_array_equal(set_permutation.StandardizeSet(False)(near), near.astype("f"))
    model = set_permutation.build(set_permutation.TINY)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.full((1, 3), 7.0)) ** 2)
    assert all(np.isfinite(one).all() for one in tape.gradient(loss, model.trainable_variables) if one is not None)


def test_what_stands_at_a_position_is_a_mean():
    """y_k = sum_i P_ik x_i, of standardized numbers, and an untrained model's loss can be told from P alone."""
    model = set_permutation.build(set_permutation.TINY)
    sets = np.random.default_rng(0).uniform(5, 9, (3, 4))
    P = permutation.permutations_of(permutation.asked_of(model), sets)
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-5)
    x = (sets - sets.mean(1, keepdims=True)) / sets.std(1, keepdims=True)
    np.testing.assert_allclose(model(sets), np.einsum("bik,bi->bk", P, x), atol=1e-5)
    np.testing.assert_allclose(number_sets.in_order(sets), np.sort(x, 1), rtol=1e-5)


def test_orders_by_hand():
    """Element 1 is torn between all positions; the Hungarian algorithm gives it the one that is left."""
    P = np.array([[[0.1, 0.2, 0.7], [0.4, 0.3, 0.3], [0.6, 0.4, 0.0]]], "f")
    assert permutation.hungarian(P).tolist() == [[2, 1, 0]]
    assert P[0].argmax(0).tolist() == [2, 2, 0], "the largest of each position is none"
    assert permutation.by_position(P).numpy().tolist() == [[2, 1, 0]], "0.4, 0.9, 1.6"
    assert permutation.by_position(np.full((1, 3, 3), 1 / 3, "f")).numpy().tolist() == [[0, 1, 2]]
    assert permutation.largest_first(P).numpy().tolist() == [[2, 1, 0]]
    assert permutation.largest_first(np.full((2, 3, 3), 1 / 3, "f")).numpy().tolist() == [[0, 1, 2]] * 2
    assert permutation.by_position(2 * P * [[[1], [5], [1]]]).numpy().tolist() == [[2, 1, 0]], "over the row's sum"
    assert permutation.hungarian(np.zeros((0, 3, 3))).shape[0] == 0


def test_equal_numbers_may_change_places():
    sets = np.array([[2, 1, 1], [3, 2, 1]])
    assert permutation.share_in_order(sets, np.array([[2, 1, 0], [2, 0, 1]])) == 0.5


def test_a_small_model_sorts_and_so_it_does_what_it_never_saw(fitted):
    model = fitted(set_permutation)
    figures = model.run.metrics["test"]
    names = {"loss", "exact", "exact_by_position"}
    assert names | {f"exact_{low}_{high}" for low, high in number_sets.UNSEEN} == set(figures)
    assert min(value for name, value in figures.items() if name != "loss") > 0.98
    answers = set_permutation.predict([[3, 1, 2], [1e9 + 0.5, 1e9, 1e9 - 4.0, 1e9 + 0.25]], model)
    assert [answer["ordered"].tolist() for answer in answers] == [[1, 2, 3], [1e9 - 4, 1e9, 1e9 + 0.25, 1e9 + 0.5]]
    assert answers[0]["indices"].tolist() == [1, 2, 0]
    one = answers[:1]
    for same in ([3, 1, 2], np.array([3, 1, 2]), "3 1 2", "3, 1, 2", [(3, 1, 2)], tf.constant([[3, 1, 2]])):
        [answer] = set_permutation.predict(same, model)
        assert answer["ordered"].tolist() == one[0]["ordered"].tolist()
    assert set_permutation.predict([], model) == []
    assert set_permutation.predict([5], model)[0]["ordered"].tolist() == [5]


def test_sets_that_cannot_be_read_are_named(fitted):
    model = fitted(set_permutation)
    with pytest.raises(
        DataError, match=r"2 of 4 inputs cannot be read: set 1 is 'a b'; expected numbers.*set 2 has .*nan"
    ):
        set_permutation.predict([[1, 2], "a b", [1, float("nan")], [2]], model)
    with pytest.raises(DataError, match=r"set 0 is \[\]; expected numbers"):
        set_permutation.predict([[]], model)
    with pytest.raises(DataError, match="set 0 has 2,001 numbers; expected at most 2,000"):
        set_permutation.predict([range(2001)], model)
    with pytest.raises(DataError, match="inputs is a int"):
        set_permutation.predict(3, model)


def test_on_the_command_line(fitted, capsys):
    model = fitted(set_permutation)
    capsys.readouterr()
    assert main(["predict", "set_permutation", "3 1 2", "--run", str(model.run.folder), "--json"]) == 0
    [answer] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answer["ordered"] == [1, 2, 3]
    assert main(["predict", "set_permutation", "3 1 2.5", "--run", str(model.run.folder)]) == 0
    assert capsys.readouterr().out == "set 0\t1 2.5 3\t1 2 0\n"


def test_sets_of_your_own(fitted):
    random = np.random.default_rng(0)
    sets, test = random.normal(size=(80, 4)), random.normal(size=(9, 4))
    config = replace(set_permutation.TINY, set_size=10, max_examples=None, batch_size=16, validation_fraction=0.1)
    splits = set_permutation.load_data(config, (sets, test))
    assert splits.info.examples == {"train": 72, "validation": 8, "test": 9}
    numbers, ordered = next(iter(splits.train))
    assert (numbers.dtype, ordered.dtype) == (tf.float64, tf.float32)
    np.testing.assert_allclose(ordered, number_sets.in_order(numbers.numpy()))
    assert set_permutation.load_data(config, sets.tolist()).info.examples["test"] == 8
    model = fitted(set_permutation)
    figures = set_permutation.evaluate(model, test)
    assert set(figures) == {"loss", "exact", "exact_by_position"}
    assert set_permutation.evaluate(model, (sets, test)) == pytest.approx(figures)
    own = Splits(splits.train.take(2), test=splits.test)
    assert set_permutation.load_data(config, own).info.follows["train_examples"] == 32


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("sets.csv", r"data is a str; expected an array of sets \(N, n\)"),
        ([[1, 2], [3]], "sets of several sizes"),
        ([1, 2, 3], r"data is an array \(3,\)"),
        (np.zeros((4, 1)), "of at least 2 numbers"),
        ([[1, 2], [3, np.inf]], "set 1 of data has .*inf"),
        ((np.zeros((9, 3)), np.zeros((9, 4))), "sets of 3, 4 numbers; expected one size"),
        ((np.zeros((9, 3)),) * 4, "a tuple of 4"),
        (np.zeros((9, 3)), "batch_size=32 is more than"),
    ],
)
def test_data_that_is_no_sets_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        set_permutation.load_data(replace(set_permutation.TINY, set_size=10), data)


def test_batches_of_something_else_are_refused():
    batches = tf.data.Dataset.from_tensor_slices((np.zeros((8, 3)), np.zeros(8, int))).batch(4)
    with pytest.raises(DataError, match=r"expected batches \(sets \(B, n\), the sets in order \(B, n\)\) of floats"):
        set_permutation.load_data(set_permutation.TINY, Splits(batches))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": 1}, "tiles=1 leaves an image whole"),
        ({"tiles": 3}, "dataset='numbers' has none; expected a data set of images beside it"),
        ({"dataset": "mnist"}, "dataset='mnist' is of images, and tiles=0 leaves them whole"),
        ({"assignment": "linear"}, "assignment='linear' scores each of a fixed number of positions"),
        ({"filters": 8}, "filters=8 would change nothing: sets are of numbers"),
        ({"tiles": 3, "dataset": "mnist", "set_size": 5}, "set_size=5 would change nothing: sets are the tiles"),
        ({"tiles": 3, "dataset": "mnist", "assignment": "linear", "units": 5}, "units=5 would change nothing"),
        ({"set_size": 1}, "set_size=1 is out of range; expected at least 2"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        set_permutation.Config(**changes)


def test_an_export_orders_sets_of_any_size_and_refuses_what_is_no_number(fitted, exported):
    model = fitted(set_permutation)
    served = tf.saved_model.load(str(exported(set_permutation))).signatures
    answer = served["serving_default"](numbers=tf.constant([[3, 1, 2, 9]], tf.float64))
    assert answer["ordered"].numpy().tolist() == [[1, 2, 3, 9]]
    assert answer["indices"].numpy().tolist() == [[1, 2, 0, 3]]
    answer = served["permutation"](numbers=tf.constant([[3, 1, 2, 9]], tf.float64))
    asked = permutation.asked_of(model)
    np.testing.assert_allclose(answer["permutation"], asked(tf.constant([[3.0, 1, 2, 9]], tf.float64)), atol=1e-5)
    assert answer["costs"].shape == (1, 4, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 has a number that is not finite"):
        served["serving_default"](numbers=tf.constant([[1, 2], [3, np.nan]], tf.float64))


# ---------------------------------------------------------------- tiles


def test_pictures_are_cut_row_by_row_and_put_together():
    image = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    tiles = tiles_of.cut(image, 2)
    assert tiles[0, 1, :, :, 0].numpy().tolist() == [[2, 3], [6, 7]], "the upper right"
    np.testing.assert_array_equal(tiles_of.put_together(tiles), image)
    assert tiles_of.cut(tf.zeros((2, 28, 28, 3)), 3).shape == (2, 9, 10, 10, 3)


def test_tiles_are_shuffled_for_each_image_anew_and_shared_out_among_workers():
    images = tf.reshape(tf.range(8 * 36.0), (8, 6, 6, 1)) / 2
    seed = tf.constant([0, 1], tf.int64)
    shuffled, in_place = tiles_of.shuffled_tiles(images, seed, tiles=3)
    np.testing.assert_allclose(tiles_of.put_together(in_place), images / 255)
    np.testing.assert_allclose(np.sort(shuffled.numpy()[:, :, 0, 0, 0], 1), 255 * in_place.numpy()[:, :, 0, 0, 0])
    assert len({tuple(np.argsort(one)) for one in shuffled.numpy()[:, :, 0, 0, 0]}) > 4
    other, _ = tiles_of.shuffled_tiles(images, seed + 1, tiles=3)
    assert (shuffled.numpy() != other.numpy()).any()
    halves = [tiles_of.shuffled_tiles(images[4 * i : 4 * i + 4], seed, i, 2, tiles=3)[0] for i in (0, 1)]
    np.testing.assert_array_equal(tf.concat(halves, 0), shuffled)


@pytest.fixture(
    scope="module", params=[set_permutation.MOSAIC, pytest.param(set_permutation.LINEAR, marks=pytest.mark.slow)]
)
def of_tiles(request, tmp_path_factory):
    """A model of shuffled digits."""
    changes = {"dataset": "digits", "filters": 4, "batch_size": 32, "precision": "float32", "tiles": 2}
    runs = tmp_path_factory.mktemp("runs")
    return set_permutation.fit(request.param, **changes, learning_rate=5e-3, epochs=4, runs=runs)


def test_tiles_are_put_together(of_tiles):
    figures = of_tiles.run.metrics["test"]
    assert set(figures) == {"loss", "mse", "exact", "tiles"}
    by_chance = 1 / 4
    assert figures["tiles"] > 1.5 * by_chance
    assert figures["exact"] <= figures["tiles"]
    assert (of_tiles.run.folder / "mosaics.png").exists()
    tiles, in_place = next(iter(set_permutation.load_data(of_tiles.run.config).test))
    pictures = tiles_of.put_together(tiles[:3]).numpy()
    answers = set_permutation.predict(pictures, of_tiles)
    for answer, picture in zip(answers, pictures, strict=True):
        again = tiles_of.cut(picture[np.newaxis], 2).numpy()[0][answer["indices"]]
        np.testing.assert_array_equal(tiles_of.put_together(again[np.newaxis])[0], answer["image"])
        assert sorted(answer["indices"]) == [0, 1, 2, 3]
    own = 255 * tiles_of.put_together(in_place[:40]).numpy()
    assert set(set_permutation.evaluate(of_tiles, own)) == set(figures)


def test_an_export_of_tiles_answers_with_the_picture(of_tiles, tmp_path):
    served = tf.saved_model.load(str(set_permutation.export(of_tiles, path=tmp_path))).signatures
    pictures = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1)).astype(np.uint8))
    answer = served["image_uint8"](image=pictures)
    for picture, image, indices in zip(pictures, answer["image"], answer["indices"].numpy(), strict=True):
        again = tiles_of.cut(picture[np.newaxis], 2).numpy()[:, indices]
        np.testing.assert_array_equal(tiles_of.put_together(again)[0], image)
    files = served["serving_default"](image_bytes=tf.constant([tf.io.encode_png(one).numpy() for one in pictures]))
    np.testing.assert_array_equal(tf.io.decode_png(files["image_bytes"][1]), files["image"][1])
    assert served["image"](image=tf.zeros((0, 28, 28, 1)))["indices"].shape == (0, 4)


def test_the_linear_baseline_looks_at_each_tile_alone():
    model = set_permutation.build(replace(set_permutation.LINEAR, filters=4))
    tiles = np.random.default_rng(0).uniform(0, 255, (1, 9, 10, 10, 1)).astype("f")
    scores = keras.Model(model.input, model.get_layer("scores").output)
    changed = tiles.copy()
    changed[0, 3] = 0
    before, after = scores(tiles).numpy(), scores(changed).numpy()
    np.testing.assert_allclose(np.delete(before, 3, 1), np.delete(after, 3, 1), atol=1e-5)
    assert (before[0, 3] != after[0, 3]).any()
    with pytest.raises(ConfigError, match="tiles of 1x1 pixels; expected at least 2x2"):
        set_permutation.build(replace(MOSAIC, tiles=8), replace(set_permutation.DEFAULT, image_shape=(8, 8, 1)))
