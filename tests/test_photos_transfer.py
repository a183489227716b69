"""Transfer: the solved last layer, what is trained, the rate of the network, and what is asked of features."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight

from recipes import photos_transfer as recipe
from recipes.cli import main
from recipes.data.splits import Sizes
from recipes.data.standins.images import shapes
from recipes.errors import ConfigError, DataError

SIZES = Sizes(train_examples=64, image_shape=(32, 32, 3), num_classes=3)
PRETRAINED = recipe.Config(image_shape=(32, 32, 3), batch_size=16, epochs=1, precision="float32")


@pytest.fixture
def shaped():
    """Three generated shapes, 64 to train on and 32 to test."""
    arrays = shapes()
    images, labels = arrays.train[:2]
    few = np.flatnonzero(labels < 3)[:96]
    images, labels = images[few], labels[few]
    return (images[:64], labels[:64]), (images[64:], labels[64:])


def test_the_last_layer_is_logistic_regression(shaped):
    plain = {"crop_area": 0.0, "flip": False, "head_epochs": 1, "validation_fraction": 0.0, "learning_rate": 1e-12}
    model = recipe.fit(PRETRAINED, shaped, **plain, weight_decay=0.0, head_decay=2.0)
    (images, labels), (test_images, _) = shaped
    expected = LogisticRegression(C=1 / 2.0, max_iter=1_000).fit(recipe.embed(images, model=model), labels)
    answers = [list(one["probabilities"].values()) for one in recipe.predict(test_images, model)]
    # Features are kept in float16.
    np.testing.assert_allclose(answers, expected.predict_proba(recipe.embed(test_images, model=model)), atol=0.02)


@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_the_last_layer_may_be_a_support_vector_machine_and_classes_weigh_the_same(classes, shaped):
    plain = {"crop_area": 0.0, "flip": False, "head_epochs": 1, "validation_fraction": 0.0, "learning_rate": 1e-12}
    data = [(images[labels < classes], labels[labels < classes]) for images, labels in shaped]
    images, labels = data[0]
    few = np.sort(np.concatenate([np.flatnonzero(labels != 1), np.flatnonzero(labels == 1)[:5]]))  # of the second
    data[0] = images[few], labels[few]
    how = {"batch_size": len(few), "weight_decay": 0.0, "head_decay": 200.0, "linear": "svm"}
    model = recipe.fit(PRETRAINED, tuple(data), **plain, **how, class_weight="balanced")
    weights = compute_sample_weight("balanced", labels[few])  # its own leaves the others at 1
    expected = LinearSVC(C=1 / 200.0).fit(recipe.embed(images[few], model=model), labels[few], weights)
    margins = expected.decision_function(recipe.embed(data[1][0], model=model))
    margins = np.stack([-margins, margins], 1) if classes == 2 else margins
    # Features are kept in float16, and the solver draws.
    np.testing.assert_allclose(model.predict(data[1][0].astype(np.float32), verbose=0), margins, atol=0.1)


def test_one_class_is_refused_before_training(shaped):
    (images, _), _ = shaped
    with pytest.raises(DataError, match=r"all \d+ labels are of class 0; expected two classes or more"):
        recipe.fit(PRETRAINED, (images, np.zeros(len(images), int)), batch_size=8)


def test_the_squared_hinge_by_hand():
    scores = np.float32([[2.0, -0.5, 0.0], [-1.0, 0.0, 3.0]])
    expected = [
        0 + 0.5**2 + 1,
        0 + 1 + 0,
    ]  # the right class 0: 1 - 2 < 0; others 1 - 0.5, 1 + 0. Of the second likewise
    np.testing.assert_allclose(recipe.SquaredHinge(reduction=None)(np.array([0, 2]), scores), expected)
    with pytest.raises(ConfigError, match="no probabilities to smooth"):
        recipe.Config(linear="svm", label_smoothing=0.1)


def test_a_run_is_an_encoder(shaped, fitted):
    from recipes import cifar_lecture

    other = fitted(cifar_lecture)
    folder = str(other.run.folder)
    model = recipe.fit(PRETRAINED, shaped, encoder=folder, image_shape=(256, 256, 3), epochs=1, batch_size=16)
    network, maps = recipe.network_of_run(folder)
    assert maps.shape == (None, 6, 6, 4)  # the last before it is flattened
    images = shaped[1][0]
    expected = keras.Model(network.inputs[0], maps)(images.astype(np.float32)).numpy().mean((1, 2))
    np.testing.assert_allclose(recipe.embed(images, model=model), expected, rtol=1e-4, atol=1e-4)
    assert not any(layer.trainable_weights for layer in model.layers if layer.name != "logits")
    with pytest.raises(ConfigError, match="holds no model.keras"):
        recipe.fit(PRETRAINED, shaped, encoder="runs/nothing", image_shape=(256, 256, 3))
    with pytest.raises(ConfigError, match="encoder='vgg' is unknown .did you mean 'vgg19'"):
        recipe.Config(encoder="vgg")
    with pytest.raises(ConfigError, match="takes images of its own size"):
        recipe.Config(encoder=folder, image_shape=(64, 64, 3))


def test_of_two_classes_too(shaped):
    (images, labels), test = shaped
    two, two_of_test = labels < 2, test[1] < 2
    data = (images[two], labels[two]), (test[0][two_of_test], test[1][two_of_test])
    model = recipe.fit(PRETRAINED, data, learning_rate=1e-12, weight_decay=0.0, crop_area=0.9)
    assert recipe.evaluate(model, data)["accuracy"] > 0.8


def test_features_are_computed_once(shaped, monkeypatch):
    from recipes.pretrained import feature_cache

    computed, compute = [], feature_cache._compute
    monkeypatch.setattr(feature_cache, "_compute", lambda *a: computed.append(a) or compute(*a))
    for changes in ({}, {"head_decay": 5.0, "learning_rate": 1e-4}, {"crop_area": 0.7}):
        recipe.fit(PRETRAINED, shaped, **changes)
    assert len(computed) == 2  # of the last, photographs are cropped otherwise


def test_what_is_trained():
    names = {}
    for fine_tune in ("head", "top", "all"):
        model = recipe.build(recipe.replace(PRETRAINED, fine_tune=fine_tune), SIZES)
        trained = [layer for layer in model.layers if layer.trainable_weights]
        assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in trained)
        names[fine_tune] = {layer.name for layer in trained}
    assert names["head"] == {"logits"}
    assert {"block15_expand", "head", "logits"} <= names["top"]
    assert not any(name.startswith(("stem", "block0", "block13")) for name in names["top"])
    assert {"stem", "block0_depthwise"} | names["top"] <= names["all"]


def test_the_network_learns_at_a_tenth_of_the_rate():
    model = recipe.build(PRETRAINED, SIZES)
    both = keras.Model(model.inputs[0], [model.get_layer("maps").output, model.outputs[0]])
    with tf.GradientTape() as tape:
        maps, logits = both(np.full((1, 64, 64, 3), 90.0)[:, :32, :32])
    kernel = model.get_layer("logits").kernel.numpy()
    gradient = tape.gradient(logits, maps).numpy()  # of the sum; the mean over places is over one
    np.testing.assert_allclose(gradient[0, 0, 0], 0.1 * kernel.sum(-1), rtol=1e-5)
    features = model.get_layer("features")
    before = keras.Model(model.inputs[0], features.output)(np.full((1, 32, 32, 3), 90.0))
    np.testing.assert_array_equal(logits, before @ kernel + model.get_layer("logits").bias)


def test_where_it_looks_is_the_class_activation_map():
    """With a mean over places and one linear layer, Grad-CAM is the map of Zhou et al. (2016)."""
    model = recipe.fit(recipe.TINY)
    images = model.run.examples(3).astype(np.float32)
    maps = keras.Model(model.inputs[0], model.get_layer("maps").output)(images).numpy()
    kernel = model.get_layer("logits").kernel.numpy()
    explained = recipe.explain(images, model=model)
    for one, of_image, answer in zip(explained, maps, recipe.predict(images, model), strict=True):
        assert (one["label"], one["probability"]) == (answer["label"], pytest.approx(answer["probability"], rel=1e-4))
        heat = np.maximum(of_image @ kernel[:, model.run.label_names.index(one["label"])], 0)
        expected = tf.image.resize(heat[..., None] / max(heat.max(), 1e-12), (32, 32))[..., 0]
        np.testing.assert_allclose(one["heatmap"], expected, atol=1e-4)
        assert 0 <= one["heatmap"].min() <= one["heatmap"].max() <= 1 + 1e-6


@pytest.mark.drawn
def test_alike_photographs(tmp_path, capsys):
    model = recipe.fit(recipe.TINY)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(model.run.examples(6)):
        Image.fromarray(image).save(folder / f"{number}.png")
    embedded = recipe.embed(folder, model=model)
    assert embedded.shape == (6, 8)
    (name, cosine), *others = recipe.similar(folder / "3.png", folder, k=4, model=model)
    assert (name, cosine) == (str(folder / "3.png"), pytest.approx(1))
    assert len(others) == 3
    unit = embedded / np.linalg.norm(embedded, axis=-1, keepdims=True)
    assert [cosine for _, cosine in others] == pytest.approx(sorted(unit @ unit[3])[::-1][1:4], abs=1e-5)
    with pytest.raises(ConfigError, match="k=0 is out of range; expected how many to return"):
        recipe.similar(folder / "3.png", folder, k=0, model=model)
    for ask in (recipe.embed, lambda photos, model: recipe.similar(folder / "3.png", photos, model=model)):
        with pytest.raises(DataError, match="photos has none"):
            ask([], model=model)
    command = [
        "similar",
        "photos_transfer",
        str(folder / "3.png"),
        str(folder),
        "--count",
        "2",
        "--picture",
        "like.png",
    ]
    assert main(command) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[-2:]] == [name, others[0][0]]
    assert Image.open("like.png").size[0] > 100
    (folder / "4.png").write_bytes(b"no image")
    for ask in (recipe.embed, recipe.explain):
        with pytest.raises(DataError, match=r"4\.png"):
            ask(folder, model=model)
    exported = tf.saved_model.load(str(recipe.export(model)))
    png = tf.constant([(folder / "0.png").read_bytes()])
    served = exported.signatures["embed"](image_bytes=png)["embedding"]
    np.testing.assert_allclose(served, embedded[:1], rtol=1e-4, atol=1e-5)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="head_decay=5.0 would change nothing: encoder='convnet'"):
        recipe.replace(recipe.TINY, head_decay=5.0)
    with pytest.raises(ConfigError, match="filters=.* would change nothing: encoder='efficientnet_lite0'"):
        recipe.replace(PRETRAINED, filters=(3,))
    with pytest.raises(ConfigError, match="takes squares of three colours"):
        recipe.build(PRETRAINED, Sizes(train_examples=64, image_shape=(32, 64, 3), num_classes=3))
    with pytest.raises(DataError, match="needs a multiple of 32"):
        recipe.build(PRETRAINED, Sizes(train_examples=64, image_shape=(40, 40, 3), num_classes=3))


def test_an_ensemble_has_no_features_of_its_own():
    models = [recipe.fit(recipe.TINY, seed=seed) for seed in (0, 1)]
    model = recipe.ensemble(models)
    images = model.run.examples(2)
    for ask in (recipe.embed, recipe.explain):
        with pytest.raises(ConfigError, match="as an ensemble has none"):
            ask(images, model=model)
    assert "embed" not in tf.saved_model.load(str(recipe.export(model))).signatures


def test_the_stand_in_is_not_enlarged():
    splits = recipe.load_data(recipe.Config(batch_size=8))
    assert (splits.info.name, splits.info.follows["image_shape"]) == ("shapes", (32, 32, 3))
    assert splits.info.follows["encoder"] == "convnet"
    images, labels = np.zeros((40, 20, 20, 3), np.uint8) + 90, np.arange(40) % 2
    own = recipe.load_data(recipe.Config(batch_size=8, image_shape=(32, 32, 3)), (images, labels))
    assert own.info.follows["image_shape"] == (32, 32, 3)
