import csv
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import uci_regression
from recipes.cli import main
from recipes.data.splits import Sizes, Splits
from recipes.data.standins.tables import friedman
from recipes.data.tfds.uci import TABLES, read_table
from recipes.errors import ConfigError, DataError
from recipes.kinds import gaussian_regression

HOUSES = {
    "area": [50.0, 80.0, None, 120.0] * 20,
    "garden": [True, False, True, True] * 20,
    "town": ["Ulm", "Köln", "Ulm", "Bonn"] * 20,
    "price": [100.0, 180.0, 140.0, 300.0] * 20,
}


def written(path, table):
    """A table as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(table), *zip(*table.values(), strict=True)])
    return path


def test_the_loss_by_hand():
    # 1/2 log(2 pi) = 0.9189; y = 1 is one deviation of N(0, 1) from its mean; log 2 is what a deviation of 2 costs
    assert float(uci_regression.gaussian_nll(1.0, 0.0, 1.0)) == pytest.approx(1.4189, abs=1e-4)
    loss = uci_regression.GaussianNLL()
    assert float(loss(np.array([1.0, 7.0], "f"), np.array([[0, 1], [3, 2]], "f"))) == pytest.approx(
        (0.9189 + 0.5 + 0.9189 + np.log(2) + 2.0) / 2, abs=1e-4
    )
    assert float(loss(np.array([[1.0], [7.0]], "f"), np.array([[0, 1], [3, 2]], "f"))) == pytest.approx(
        float(loss(np.array([1.0, 7.0], "f"), np.array([[0, 1], [3, 2]], "f")))
    ), "of a column of targets, too"


def test_a_mixture_by_hand():
    """N(1, 1) and N(3, 2^2): mean 2; variance (1 + 4) / 2 of their own, ((1 - 2)^2 + (3 - 2)^2) / 2 between them."""
    [[mean, deviation]] = uci_regression.Mixture()([np.array([[1.0, 1.0]], "f"), np.array([[3.0, 2.0]], "f")]).numpy()
    assert (mean, deviation) == (pytest.approx(2.0), pytest.approx(np.sqrt(3.5)))


def test_the_error_is_of_means_alone():
    metric = uci_regression.MeanError()
    metric.update_state(np.array([1.0, 2.0], "f"), np.array([[4, 9], [6, 9]], "f"))
    assert float(metric.result()) == pytest.approx(np.sqrt((9 + 16) / 2))


def test_outputs_are_scaled_to_the_targets():
    layer = uci_regression.Gaussian(target_mean=100.0, target_std=20.0)
    [[mean, deviation]] = layer(np.array([[0.5, 0.0]], "f")).numpy()
    assert mean == pytest.approx(110)
    assert deviation == pytest.approx(20 * np.sqrt(np.log(2)), rel=1e-5), "softplus(0) = log 2"


def test_columns_are_standardized_by_hand():
    """A number; a category, of three; and a number that may be missing."""
    layer = uci_regression.Standardize((0, 3, -1))
    layer.build((None, 3))
    layer.means.assign([10, 0, 2])
    layer.deviations.assign([5, 1, 4])
    rows = layer(np.array([[20, 2, 6], [10, 0, np.nan]], "f")).numpy()
    np.testing.assert_array_equal(rows, [[2, 1, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0]])
    assert layer.compute_output_shape((None, 3)) == (None, 6)
    assert uci_regression.Standardize.from_config(layer.get_config()).columns == (0, 3, -1)


def test_statistics_are_of_what_is_there_and_of_the_training_rows_alone():
    found = uci_regression.statistics(np.array([[1, 5, 7], [3, 5, np.nan]], "f"))
    assert found == {"means": [2, 5, 7], "deviations": [1, 1, 1]}, "a constant is divided by 1"
    config = replace(uci_regression.TINY, max_examples=None)
    splits = uci_regression.load_data(config)
    rows = np.concatenate([x for x, _ in uci_regression.load_data(replace(config, batch_size=1)).train.take(810)])
    np.testing.assert_allclose(splits.info.follows["means"], rows.mean(0), rtol=1e-4)
    model = uci_regression.recipe.new_model(config, splits)
    np.testing.assert_allclose(model.get_layer("standardize").means, rows.mean(0), rtol=1e-4)
    test = np.concatenate([x for x, _ in splits.test])
    assert not np.allclose(test.mean(0), rows.mean(0), rtol=1e-3)


def test_a_published_split_is_that_of_the_files():
    texts = {"data.txt": "1 2 30\n4 5 60\n7 8 90\n\n", "index_features.txt": "1.0\n0\n", "index_target.txt": "2\n"}
    texts |= {f"index_test_{split}.txt": f"{split % 3}\n" for split in range(20)}
    features, target, is_test = read_table(texts)
    np.testing.assert_array_equal(features, [[2, 1], [5, 4], [8, 7]])
    np.testing.assert_array_equal(target, [30, 60, 90])
    train, test = uci_regression.split_rows(is_test, 4)
    assert (train.tolist(), test.tolist()) == ([0, 2], [1])
    assert {len(table.features) for table in TABLES.values()} == {6, 8, 11, 13}


def test_a_copy_of_the_authors_files_is_read_without_a_network(tmp_path):
    config = uci_regression.Config(dataset="uci_yacht", split=4, batch_size=8, offline="error")
    with pytest.raises(DataError, match=r"no network .*UCI_Datasets of https://github.com/yaringal.* downloads/manual"):
        uci_regression.load_data(config)
    folder = tmp_path / "tfds" / "downloads" / "manual" / "UCI_Datasets" / "yacht" / "data"
    folder.mkdir(parents=True)
    (folder / "data.txt").write_text("".join(f"{row} 0 0 0 0 1 {2 * row}\n" for row in range(40)))
    (folder / "index_features.txt").write_text("0 1 2 3 4 5")
    (folder / "index_target.txt").write_text("6")
    for split in range(20):
        (folder / f"index_test_{split}.txt").write_text(f"{split} {split + 20}")
    splits = uci_regression.load_data(config)
    [(features, targets)] = splits.test
    np.testing.assert_array_equal(features, [[4, 0, 0, 0, 0, 1], [24, 0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(targets, [8, 48])
    assert splits.info.examples == {"train": 34, "validation": 4, "test": 2}
    assert splits.info.follows["label"] == "residuary resistance"


def test_the_stand_in_is_what_its_formula_says():
    features, y, is_test = friedman(examples=4000).train
    x = features.astype(float)
    known = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    assert np.std(y - known) == pytest.approx(1.0, rel=0.05), "the noise, which no model predicts"
    assert (is_test.sum(0) == 400).all()
    other = uci_regression.load_data(replace(uci_regression.TINY, split=1)).info.fingerprint
    assert uci_regression.load_data(uci_regression.TINY).info.fingerprint != other


def test_it_finds_the_noise_and_says_how_sure_it_is():
    """Of y = 2x + noise, whose deviation is 0.1 where x is 0 and 1 where it is 1, both are found."""
    random = np.random.default_rng(0)
    x = random.integers(0, 2, 2000).astype("f")
    data = {"x": x, "y": 2 * x + np.where(x, 1.0, 0.1) * random.standard_normal(2000)}
    model = uci_regression.fit(uci_regression.TINY, data, max_examples=None, epochs=20, weight_decay=0.0)
    low, high = uci_regression.predict([{"x": 0}, {"x": 1}], model)
    assert (low["mean"], high["mean"]) == (pytest.approx(0, abs=0.1), pytest.approx(2, abs=0.2))
    assert (low["deviation"], high["deviation"]) == (pytest.approx(0.1, rel=0.4), pytest.approx(1, rel=0.2))
    assert high["high"] - high["low"] == pytest.approx(2 * 1.96 * high["deviation"], rel=1e-4)
    assert uci_regression.evaluate(model, data)["coverage"] == pytest.approx(0.95, abs=0.04)


def test_intervals_hold_what_they_say_by_hand():
    """Of N(0, 1), the targets 0.5 and 1.5 are inside of 68 % and 95 % in the middle; 3 is in neither."""
    shares = gaussian_regression.shares_inside(
        np.array([0.5, -1.5, 3.0]), np.zeros(3), np.ones(3), np.array([0.68, 0.95])
    )
    assert shares.tolist() == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


@pytest.fixture(scope="module")
def of_houses(tmp_path_factory):
    """A model of a table with categories and missing numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("houses"))
        return uci_regression.fit(uci_regression.TINY, HOUSES, batch_size=8, runs=tmp_path_factory.mktemp("runs"))


def test_a_table_of_your_own(of_houses, tmp_path):
    follows = of_houses.run.info.follows
    assert follows["columns"] in ((-1, 0, 3), [-1, 0, 3])
    assert follows["label"] == "price", "the last column"
    assert follows["features"][2]["categories"] in (["Bonn", "Köln", "Ulm"], ("Bonn", "Köln", "Ulm"))
    row = {"area": 80, "garden": False, "town": "Ulm"}
    [one] = uci_regression.predict(row, of_houses)
    array = np.array([80, False, "Ulm"], dtype=object)
    own = written(tmp_path / "rows.csv", {"town": ["Ulm"], "area": ["80"], "garden": ["0"], "other": ["x"]})
    for same in (
        [row],
        own,
        str(own),
        [own],
        {"area": [80], "garden": [False], "town": ["Ulm"]},
        array,
        [80, 0, "Ulm"],
    ):
        assert uci_regression.predict(same, of_houses) == [one]
    assert uci_regression.predict(row | {"area": None}, of_houses)[0]["mean"] != one["mean"]
    whole = uci_regression.evaluate(of_houses, HOUSES)
    turned = {name: column[::-1] for name, column in reversed(HOUSES.items())}
    numbers = turned | {"garden": [int(value) for value in turned["garden"]]}
    for same in (turned, written(tmp_path / "houses.csv", numbers), {"train": HOUSES, "test": turned}):
        assert uci_regression.evaluate(of_houses, same) == pytest.approx(whole, rel=1e-5), "in any order"


def test_a_table_on_the_command_line(of_houses, tmp_path, capsys):
    own = written(tmp_path / "rows.csv", {"area": ["80", ""], "garden": ["0", "1"], "town": ["Ulm", "Bonn"]})
    capsys.readouterr()
    assert main(["predict", "uci_regression", str(own), "--run", str(of_houses.run.folder), "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["mean"] for one in printed] == [one["mean"] for one in uci_regression.predict(own, of_houses)]


def test_a_data_frame_is_read_as_a_dict_of_columns_is(of_houses):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(HOUSES)
    assert uci_regression.evaluate(of_houses, frame) == uci_regression.evaluate(of_houses, HOUSES)
    assert uci_regression.predict(frame, of_houses) == uci_regression.predict(HOUSES, of_houses)


def test_what_training_never_had_is_refused(of_houses):
    row = {"area": 80, "garden": False, "town": "Ulm"}
    with pytest.raises(
        DataError, match=r"row 0 of data has 'Rom' in column 'town'; expected one that training had: Bonn"
    ):
        uci_regression.predict(row | {"town": "Rom"}, of_houses)
    with pytest.raises(
        DataError, match="has nothing in column 'garden'; expected a number, as no row lacked in training"
    ):
        uci_regression.predict(row | {"garden": None}, of_houses)
    with pytest.raises(DataError, match="has 'big' in column 'area'; expected a number or nothing"):
        uci_regression.predict(row | {"area": "big"}, of_houses)
    with pytest.raises(DataError, match="has no column 'town'.*; the model takes 'area', 'garden', 'town'"):
        uci_regression.predict({"area": 80, "garden": 1, "twon": "Ulm"}, of_houses)
    with pytest.raises(DataError, match=r"rows are an array \(1, 2\); expected \(N, 3\): 'area', 'garden', 'town'"):
        uci_regression.predict([1, 2], of_houses)
    with pytest.raises(DataError, match="no column 'price'"):
        uci_regression.evaluate(of_houses, {name: HOUSES[name] for name in ("area", "garden", "town")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": ["a", "b"] * 40}, "column 'price' of data holds texts, as 'a'; expected numbers to predict"),
        ({"price": [1.0, None] * 40}, "have nothing in column 'price', which is to be predicted"),
        ({"town": [f"town {n}" for n in range(80)]}, "'town' of data has 80 different texts in 80 rows"),
        ({"area": [None] * 80}, "column 'area' of data is empty"),
        ({"area": [1.0] * 79 + ["?"]}, r"row 79 of data has a text in column 'area' \('\?'\)"),
        ({"area": [float("inf")] + [1.0] * 79}, "row 0 of data has a number that is too large"),
        ({"area": [(1, 2)] * 80}, "neither a number nor a text in column 'area'"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_its_rows(change, message):
    with pytest.raises(DataError, match=message):
        uci_regression.fit(uci_regression.TINY, HOUSES | change)


def test_what_is_predicted_is_named_or_said(capsys):
    config = replace(uci_regression.TINY, batch_size=8)
    assert uci_regression.load_data(config, HOUSES).info.follows["label"] == "price"
    assert "note: what is predicted is column 'price' of data" in capsys.readouterr().out
    other = uci_regression.load_data(replace(config, label_column="garden"), HOUSES).info.follows
    assert (other["label"], len(other["features"])) == ("garden", 3)
    named = {"target": range(80), **HOUSES}
    assert uci_regression.load_data(config, named).info.follows["label"] == "target"
    with pytest.raises(DataError, match="has no column 'prise' .did you mean 'price'"):
        uci_regression.load_data(replace(config, label_column="prise"), HOUSES)
    with pytest.raises(ConfigError, match="split=3 would change nothing"):
        uci_regression.load_data(replace(config, split=3), HOUSES)
    with pytest.raises(DataError, match="data is a int; expected a table"):
        uci_regression.load_data(config, 7)
    with pytest.raises(DataError, match="cannot read no.csv"):
        uci_regression.load_data(config, "no.csv")


def test_arrays_and_several_parts():
    x, y = np.arange(160, dtype=float).reshape(80, 2), np.arange(80, dtype=float)
    config = replace(uci_regression.TINY, batch_size=8, validation_fraction=0.0)
    few = {name: column[:7] for name, column in HOUSES.items()}
    for data in (((x, y), (x[:7], y[:7])), (HOUSES, few), {"train": HOUSES, "test": few}):
        assert uci_regression.load_data(config, data).info.examples == {"train": 80, "test": 7}
    splits = uci_regression.load_data(config, (x, y))
    assert splits.info.examples == {"train": 72, "test": 8}
    assert [one["name"] for one in splits.info.follows["features"]] == ["x1", "x2"]
    batches = tf.data.Dataset.from_tensor_slices((x.astype("f"), y.astype("f"))).batch(8)
    described = uci_regression.load_data(config, Splits(batches, test=batches)).info.sizes(Sizes())
    assert (described.columns, described.target_mean) == ((0, 0), pytest.approx(39.5))
    with pytest.raises(DataError, match=r"expected batches \(features \(B, F\), targets \(B,\)\) of floats"):
        uci_regression.load_data(config, Splits(batches.map(lambda x, y: x)))


def test_an_export_reads_cells_and_refuses_what_training_never_had(of_houses, tmp_path):
    served = tf.saved_model.load(str(uci_regression.export(of_houses, path=tmp_path))).signatures
    [one] = uci_regression.predict({"area": None, "garden": True, "town": "Köln"}, of_houses)
    answer = served["serving_default"](cells=tf.constant([["", "1", " Köln "]]))
    assert float(answer["mean"][0]) == pytest.approx(one["mean"], rel=1e-5)
    answer = served["features"](features=tf.constant([[np.nan, 1.0, 1.0]]))
    assert float(answer["deviation"][0]) == pytest.approx(one["deviation"], rel=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 has .*Rom.* in column .*town"):
        served["serving_default"](cells=tf.constant([["8", "1", "Ulm"], ["8", "1", "Rom"]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 0 has .*yes.* in column .*garden"):
        served["serving_default"](cells=tf.constant([["8", "yes", "Ulm"]]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 0 has 3.0* in column .*town"):
        served["features"](features=tf.constant([[8.0, 1.0, 3.0]]))


def test_an_ensemble_is_the_mixture_of_its_members(tmp_path):
    members = [uci_regression.fit(uci_regression.TINY, seed=seed) for seed in (0, 1)]
    model = uci_regression.ensemble(members)
    rows = members[0].run.examples(4)
    one, other = (member.predict(rows, verbose=0) for member in members)
    mean = (one[:, 0] + other[:, 0]) / 2
    variance = (one[:, 1] ** 2 + other[:, 1] ** 2) / 2 + ((one[:, 0] - other[:, 0]) / 2) ** 2
    answers = uci_regression.predict(rows, model)
    np.testing.assert_allclose([answer["mean"] for answer in answers], mean, rtol=1e-5)
    np.testing.assert_allclose([answer["deviation"] for answer in answers], np.sqrt(variance), rtol=1e-5)
    loaded = uci_regression.load(model.run.folder)
    assert uci_regression.evaluate(loaded) == model.run.metrics["test"]
    with pytest.raises(DataError, match="differ in their held-out examples|differ in their"):
        uci_regression.ensemble([members[0], uci_regression.fit(uci_regression.TINY, split=1)])


def test_with_dropout_the_doubt_is_also_of_networks_that_drop_other_units(fitted):
    """Dropping half of one hidden layer changes the means by chance, and the mixture's variance is larger by that."""
    model = uci_regression.fit(uci_regression.TINY, dropout=0.5, epochs=3)
    rows = model.run.examples(50)
    plain, drawn, again = (uci_regression.predict(rows, model, **how) for how in ({}, *[{"samples": 300}] * 2))
    mean, many, others = (np.array([row["mean"] for row in answers]) for answers in (plain, drawn, again))
    assert 0 < np.abs(many - others).max() < 0.2 * np.ptp(mean), "other units each time; 300 are enough"
    assert np.corrcoef(many, mean)[0, 1] > 0.97
    with_doubt, without = (np.mean([row["deviation"] for row in answers]) for answers in (drawn, plain))
    assert with_doubt > 1.02 * without
    assert uci_regression.predict(rows, model) == plain, "nothing is left of it"
    figures, with_samples = uci_regression.evaluate(model), uci_regression.evaluate(model, samples=50)
    assert with_samples["coverage"] >= figures["coverage"]
    assert with_samples["rmse"] == pytest.approx(figures["rmse"], rel=0.1)
    assert with_samples["rmse"] != figures["rmse"]
    for wrong, message in ((1, "expected 0, for none, or 2 or more"), (5, "has no dropout layers")):
        with pytest.raises(ConfigError, match=message):
            uci_regression.predict(rows, fitted(uci_regression), samples=wrong)


def test_a_model_without_categories_is_served_rows_of_numbers(fitted, exported):
    model = fitted(uci_regression)
    served = tf.saved_model.load(str(exported(uci_regression))).signatures
    rows = model.run.examples(2)
    answer = served["serving_default"](features=tf.constant(rows))
    np.testing.assert_allclose(answer["mean"], model.predict(rows, verbose=0)[:, 0], rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="row 1 has nan in column .*x3"):
        served["serving_default"](features=tf.constant([rows[0], [0.5, 0.5, np.nan, *rows[1][3:]]]))
    assert keras.models.load_model(model.run.folder / "model.keras").predict(rows, verbose=0).shape == (2, 2)
