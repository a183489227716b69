import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import imdb_transformer, mnist_dense
from recipes.data.splits import DataInfo, Splits
from recipes.errors import ConfigError, DataError
from recipes.kinds.classes import name_function, named_answers, refuse_unknown_classes
from recipes.kinds.label_figures import exhibits, figures, label_table, of_each_label
from recipes.kinds.tf_examples import serialized_example
from recipes.optimization.losses import objective

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (200, 4, 4, 1)).astype(np.uint8)
BRIGHTNESS = IMAGES.mean((1, 2, 3))
TINY = mnist_dense.TINY
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32)
LOGITS = np.array([[2, -2, -9], [-1, 1, -9], [-2, 2, -9], [3, -2, -9]], np.float32)
SEVERAL = DataInfo("mine", label_names=("ant", "bee", "cat"), follows={"task": "multi_label", "num_classes": 3})
NUMBER = DataInfo("mine", follows={"task": "regression", "target_mean": 2.0, "target_std": 1.0})


def identity(info, width):
    inputs = keras.Input((width,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(**objective(info.sizes(mnist_dense.MNIST)))
    return model


def splits_of(inputs, labels, info):
    return Splits(None, test=tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(3), info=info)


def test_figures_of_several_labels_by_hand():
    # ant: predicted of 0 and 3, true of 0 and 1; bee: right; cat: never there, and left out of the means.
    got = figures(identity(SEVERAL, 3), splits_of(LOGITS, LABELS, SEVERAL))
    assert got["accuracy"] == 0.5
    assert got["label_accuracy"] == pytest.approx(10 / 12)
    assert got["f1"] == pytest.approx((0.5 + 1) / 2)
    assert got["average_precision"] == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    precision, recall, _, _ = of_each_label(LABELS, 1 / (1 + np.exp(-LOGITS)))
    assert (precision.tolist(), recall.tolist()) == ([0.5, 1, 0], [0.5, 1, 0])
    table = label_table(LABELS, 1 / (1 + np.exp(-LOGITS)), SEVERAL.label_names).splitlines()
    assert [line.split()[:2] for line in table[1:]] == [["ant", "2"], ["bee", "2"], ["cat", "0"]]
    assert table[3].endswith("-")


def test_a_constant_answer_that_would_do_better_is_said(capsys):
    same = np.tile(LABELS[:1], (4, 1))
    [(title, name, make)] = exhibits(identity(SEVERAL, 3), splits_of(LOGITS, same, SEVERAL))
    assert name == "labels.txt"
    assert "below the 100.0% of always answering the commonest" in title
    assert "50.0%" in capsys.readouterr().out
    assert make().startswith("label")


def test_numbers_are_compared_with_their_mean(capsys):
    values, labels = np.array([[1.0], [2.0], [9.0]], np.float32), np.array([1.0, 2.0, 3.0], np.float32)
    model = identity(NUMBER, 1)
    assert figures(model, splits_of(values, labels, NUMBER)) == pytest.approx({"loss": 12, "mae": 2, "r2": -17})
    (title, name, _), *_ = exhibits(model, splits_of(values, labels, NUMBER))
    assert name == "predictions.png"
    assert title.endswith("a mean absolute error of 2, 0.6667 of always guessing 2, the mean")
    assert "worse than a constant" in capsys.readouterr().out


def test_answers_by_task():
    model = identity(SEVERAL, 3)
    answer = name_function(model, SEVERAL)(tf.constant(LOGITS[:2]))
    assert answer["labels"].numpy().tolist() == [[b"ant", b"", b""], [b"", b"bee", b""]]
    first, second = named_answers(answer, SEVERAL)
    assert (first["labels"], second["labels"]) == (["ant"], ["bee"])
    assert first["probabilities"]["ant"] == pytest.approx(1 / (1 + np.exp(-2)))
    answer = name_function(identity(NUMBER, 1), NUMBER)(tf.constant([[2.5]]))
    assert named_answers(answer, NUMBER) == [{"value": 2.5}]


def test_labels_of_another_kind_are_not_evaluated(tmp_path):
    model = mnist_dense.fit(TINY, (IMAGES, BRIGHTNESS), runs=tmp_path, epochs=1, batch_size=16, crop_padding=0)
    with pytest.raises(DataError, match="are those of task='classification', and this model's were of 'regression'"):
        refuse_unknown_classes(model, DataInfo("mine", follows={"num_classes": 2}))
    with pytest.raises(DataError, match="labels are texts, such as 'a'"):
        mnist_dense.evaluate(model, (IMAGES[:2], ["a", "b"]))


def fit(page, data, tmp_path, **changes):
    model = page.fit(page.TINY, data, runs=tmp_path, batch_size=16, max_examples=None, **changes)
    return page.load(model.run.folder)


def test_images_with_a_number_from_fit_to_export(tmp_path, capsys):
    model = fit(mnist_dense, (IMAGES, BRIGHTNESS), tmp_path, units=(), dropout=0.0, crop_padding=0)
    assert "numbers to predict" in capsys.readouterr().out
    got = mnist_dense.evaluate(model, (IMAGES, BRIGHTNESS))
    values = np.array([row["value"] for row in mnist_dense.predict(IMAGES, model)])
    assert got["mae"] == pytest.approx(np.abs(values - BRIGHTNESS).mean(), rel=1e-4)
    assert got["r2"] == pytest.approx(1 - np.square(values - BRIGHTNESS).mean() / BRIGHTNESS.var(), abs=1e-3)
    assert {"predictions.png", "mistakes.png"} <= {path.name for path in model.run.folder.iterdir()}
    follows = json.loads((model.run.folder / "data.json").read_text())["follows"]
    assert follows["target_std"] == pytest.approx(BRIGHTNESS.std(), rel=0.2)
    served = tf.saved_model.load(str(mnist_dense.export(model, path=tmp_path / "exports")))
    answer = served.signatures["image_uint8"](image=tf.constant(IMAGES[:3]))["value"]
    examples = [serialized_example("image_bytes", tf.io.encode_png(image).numpy()) for image in IMAGES[:3]]
    np.testing.assert_allclose(served.signatures["regress"](inputs=tf.constant(examples))["outputs"], answer, rtol=1e-4)
    np.testing.assert_allclose(answer, values[:3], rtol=1e-4)


def test_texts_with_several_labels_and_weights_from_fit_to_export(tmp_path):
    words = np.array(["good", "bad", "dull", "fine", "film", "actor"])
    texts = [" ".join(RNG.choice(words, 6)) for _ in range(120)]
    tags = [[word for word in ("good", "bad") if word in text] for text in texts]
    model = fit(imdb_transformer, (texts, tags, np.arange(120)), tmp_path, epochs=1)
    assert model.run.label_names == ("bad", "good")
    assert {"accuracy", "f1", "average_precision"} <= model.run.metrics["test"].keys()
    assert "average precision" in (model.run.folder / "labels.txt").read_text()
    [row] = imdb_transformer.predict(texts[0], model)
    assert row["labels"] == [name for name, value in row["probabilities"].items() if value >= 0.5]
    assert imdb_transformer.evaluate(model, (texts[:4], [["good"]] * 4))["accuracy"] <= 1
    served = tf.saved_model.load(str(imdb_transformer.export(model, path=tmp_path / "exports")))
    answer = served.signatures["serving_default"](text=tf.constant(texts[:2]))
    examples = [serialized_example("text", text) for text in texts[:2]]
    by_class = served.signatures["classify"](inputs=tf.constant(examples))
    np.testing.assert_allclose(by_class["scores"], -np.sort(-answer["probabilities"].numpy()), atol=1e-6)
    assert sorted(by_class["classes"].numpy()[0].tolist()) == sorted(
        name.encode() for name in model.run.info.label_names
    )
    assert answer["probabilities"][0].numpy() == pytest.approx(list(row["probabilities"].values()), abs=1e-5)


def test_one_hot_labels_and_names_make_the_batches_of_class_indices(tmp_path):
    labels = RNG.integers(0, 3, 200)
    config = mnist_dense.Config(crop_padding=0, batch_size=16)
    kinds = (labels, np.eye(3)[labels], np.array(["a", "b", "c"])[labels])
    loaded = [mnist_dense.load_data(config, (IMAGES, given)) for given in kinds]
    for splits in loaded[1:]:
        assert splits.info.follows == loaded[0].info.follows
        assert splits.info.fingerprint == loaded[0].info.fingerprint
        assert splits.train.element_spec == loaded[0].train.element_spec
    model = fit(mnist_dense, (IMAGES, kinds[2]), tmp_path)
    assert model.run.label_names == ("a", "b", "c")
    as_index, as_name = (mnist_dense.evaluate(model, (IMAGES[:9], given)) for given in ([1] * 9, ["b"] * 9))
    assert as_index == as_name, "of a split that has not all the classes"


def test_weights_are_of_training_batches_alone():
    labels, weights = (BRIGHTNESS > 128).astype(int), np.arange(200)
    config = mnist_dense.Config(crop_padding=0, batch_size=16)
    splits = mnist_dense.load_data(config, (IMAGES, labels, weights))
    images, _, of_batch = next(iter(splits.train))
    by_image = {image.tobytes(): weight for image, weight in zip(IMAGES, weights, strict=True)}
    assert of_batch.numpy().tolist() == [by_image[image.tobytes()] for image in images.numpy()]
    assert len(splits.test.element_spec) == len(splits.validation.element_spec) == 2
    balanced = mnist_dense.load_data(replace(config, class_weight="balanced"), (IMAGES, labels))
    of_class = {float(label): weight for _, *pair in [next(iter(balanced.train))] for label, weight in zip(*pair)}
    train = 200 - splits.info.examples["test"] - splits.info.examples["validation"]
    count = sum(of_class[label] ** -1 for label in of_class)
    assert float(count) == pytest.approx(2), f"N / (2 n_c), of {train}: the shares add up to 1"


def test_settings_that_a_task_has_no_use_for_are_refused():
    with pytest.raises(ConfigError, match="class_weight='balanced' would change nothing: a number has no classes"):
        mnist_dense.load_data(mnist_dense.Config(class_weight="balanced", crop_padding=0), (IMAGES, BRIGHTNESS))
    with pytest.raises(ConfigError, match="label_smoothing=0.2 would change nothing"):
        mnist_dense.Config(task="regression", label_smoothing=0.2)
    with pytest.raises(ConfigError, match="an example of several labels is of no one class"):
        mnist_dense.Config(task="multi_label", class_weight="balanced")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0, 2.0, 3.0], {"task": "regression", "target_mean": 1.5, "target_std": pytest.approx(1.25**0.5)}),
        (np.eye(3)[[0, 1, 2, 2]], {"num_classes": 3}),
        ([[0.5, 0.5], [1, 0], [0, 1], [0.2, 0.8]], {"num_classes": 2}),
        ([[1, 1], [0, 0], [0, 1], [1, 1]], {"num_classes": 2, "task": "multi_label"}),
    ],
)
def test_own_splits_of_any_labels_are_followed(labels, expected):
    own = Splits(tf.data.Dataset.from_tensor_slices((IMAGES[:4], np.array(labels))).batch(2))
    follows = mnist_dense.load_data(data=own).info.follows
    assert {name: value for name, value in follows.items() if name not in ("image_shape", "train_examples")} == expected


def test_own_splits_of_rows_that_are_neither_are_refused():
    own = Splits(tf.data.Dataset.from_tensor_slices((IMAGES[:4], np.full((4, 3), 0.7))).batch(2))
    with pytest.raises(DataError, match="rows of labels with other numbers than 0 and 1"):
        mnist_dense.load_data(data=own)
