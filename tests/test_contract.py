"""What every recipe promises. A recipe is covered the day it is listed."""

import csv
import importlib
import inspect
import json
import signal
from dataclasses import FrozenInstanceError, asdict, fields

import keras
import keras_tuner
import numpy as np
import processes
import pytest
import tensorflow as tf
from conftest import runs_of

import recipes
from recipes.data.splits import Sizes
from recipes.devices.keras_fixes import classes_of_ours
from recipes.errors import ConfigError, DataError
from recipes.runs.atomic_files import write_json
from recipes.serving.client import RemoteModel
from recipes.serving.engine import Engine
from recipes.serving.limits import Limits
from recipes.serving.model_config import ModelConfig
from recipes.serving.options import Options
from recipes.serving.server import Server
from recipes.serving.warmup import warm_up
from recipes.settings import comments, meanings, read_config, with_changes
from recipes.verbs.recipe import Recipe

MODULES = {name: importlib.import_module(f"recipes.{name}") for name in recipes.RECIPES}
VERBS = ("fit", "load", "evaluate", "predict", "tune", "export", "find_learning_rate")


def page_of(recipe):
    """The `Recipe` that a page's verbs are bound to."""
    return recipe.fit.__self__


CLASSIFIERS = [name for name, module in MODULES.items() if page_of(module).objective[0] == "val_accuracy"]
OF_IMAGES = [name for name, module in MODULES.items() if hasattr(module.Config(), "image_shape")]
#: The first recipe of each kind. What takes long is asked of these; of the others where there is time (-m slow).
ONE_PER_KIND = list({type(page_of(module).kind): name for name, module in reversed(MODULES.items())}.values())
#: Recipes whose model.keras is of Keras' own layers, losses and optimizers alone.
STOCK = [
    "mnist_dense",
    "mnist_convnet",
    "mnist_autoencoder",
    "cifar_lecture",
    "cifar_classics",
    "cifar_convnet",
    "cifar_resnet",
    "cifar_googlenet",
]
STOCK += ["cifar_simclr", "photos_transfer", "imdb_lstm", "shakespeare_lstm"]

#: Recipes whose own data are generated, and stand in for nothing.
GENERATED = ["set_permutation"]

of_real_data = pytest.mark.parametrize(
    "recipe", [name for name in recipes.RECIPES if name not in GENERATED], indirect=True
)

slow_but_one_per_kind = pytest.mark.parametrize(
    "recipe",
    [pytest.param(name, marks=() if name in ONE_PER_KIND else pytest.mark.slow) for name in recipes.RECIPES],
    indirect=True,
)


@pytest.fixture(params=CLASSIFIERS)
def classifier(request):
    """Each recipe that names a class, in turn."""
    return MODULES[request.param]


@pytest.fixture(params=[name for name in CLASSIFIERS if name in OF_IMAGES])
def image_classifier(request):
    """Each of them that looks at images."""
    return MODULES[request.param]


@pytest.fixture(params=[name for name in CLASSIFIERS if name not in OF_IMAGES])
def text_classifier(request):
    """Each of them that reads texts."""
    return MODULES[request.param]


@pytest.fixture(params=[name for name in OF_IMAGES if MODULES[name].TINY.dataset in ("digits", "shapes")])
def image_recipe(request):
    """Each recipe of images."""
    return MODULES[request.param]


def test_the_page_says_what_it_is(recipe):
    name = recipe.__name__.split(".")[1]
    assert "https://" in recipe.__doc__, "the docstring has the https:// link of the recipe's source"
    assert "Result:" in recipe.__doc__
    assert "What differs" in " ".join(recipe.__doc__.split())
    assert recipe.build(recipe.TINY).name == name, "the model is named after the recipe"
    for function in (recipe.load_data, recipe.build, recipe.search_space):
        assert function.__module__ == recipe.__name__
        assert function.__doc__.startswith("Returns"), "the first line tells the result"


def test_the_page_is_read_from_the_top(recipe):
    parts = (recipe.Config, recipe.load_data, recipe.build, recipe.search_space)
    lines = [inspect.getsourcelines(part)[1] for part in parts]
    assert lines == sorted(lines), "settings, data, model, search space"


def test_verbs_are_those_that_are_written_once(recipe):
    for verb in VERBS:
        assert getattr(recipe, verb).__func__ is getattr(Recipe, verb), "bound, with the one documentation"
    undocumented = {
        verb: [name for name in list(inspect.signature(getattr(Recipe, verb)).parameters)[1:] if f"{name}:" not in doc]
        for verb in VERBS
        if (doc := getattr(Recipe, verb).__doc__)
    }
    assert not any(undocumented.values()), undocumented


def test_config_is_frozen_and_every_field_is_explained(recipe):
    with pytest.raises(FrozenInstanceError):
        recipe.Config().seed = 1
    assert set(comments(recipe.Config)) == {field.name for field in fields(recipe.Config)}


def test_what_follows_the_data_is_no_setting(recipe):
    names = {field.name for field in fields(recipe.Config)} & {field.name for field in fields(Sizes)}
    assert names <= {"image_shape", "vocab_size", "task"}, (
        "a wish each: of a size, of the most words, of what labels are"
    )
    assert isinstance(page_of(recipe).sizes, Sizes)


def test_every_number_shows_its_range(recipe):
    shown = meanings(recipe.Config)
    for name, value in asdict(recipe.Config()).items():
        if isinstance(value, (int, float, tuple)) and not isinstance(value, bool) and name != "version":
            assert "=" in shown[name] or ">" in shown[name] or "in [" in shown[name] or "in (" in shown[name], name


def test_bad_settings_are_refused_by_name(recipe):
    with pytest.raises(ConfigError, match="unknown setting 'batchsize' .did you mean 'batch_size'"):
        recipe.fit(batchsize=3)
    with pytest.raises(ConfigError, match="epochs='3' is a str; expected int"):
        recipe.fit(epochs="3")
    with pytest.raises(ConfigError, match="batch_size=0 is out of range; expected at least 1"):
        recipe.fit(batch_size=0)
    with pytest.raises(ConfigError, match="precision='half'"):
        recipe.Config(precision="half")


def test_settings_survive_json(recipe, tmp_path):
    for config in [value for value in vars(recipe).values() if isinstance(value, recipe.Config)]:
        write_json(tmp_path / "config.json", asdict(config))
        assert read_config(recipe.Config, tmp_path / "config.json") == config


def test_every_setting_builds_and_saves(recipe, tmp_path):
    for name, config in vars(recipe).items():
        if isinstance(config, recipe.Config):
            model = recipe.build(config)
            if recipe.__name__.split(".")[1] in CLASSIFIERS:
                assert model.output_shape == (None, page_of(recipe).sizes.num_classes), name
            model.save(tmp_path / "model.keras")
            assert keras.models.load_model(tmp_path / "model.keras").optimizer is not None, name


def test_a_saved_model_needs_this_package_only_where_it_has_layers_of_ours(recipe, fitted):
    folder = fitted(recipe).run.folder
    needed = classes_of_ours(folder / "model.keras")
    report = (folder / "report.md").read_text()
    if recipe.__name__.split(".")[1] in STOCK:
        assert needed == set()
        assert "`keras.models.load_model` opens it where this package is not installed" in report
    else:
        assert needed
        assert f"from recipes import {recipe.__name__.split('.')[1]}\n\nmodel = keras.models.load_model(" in report


@pytest.mark.parametrize("name", ["cifar_convnet", "imdb_lstm"])  # a layer, a loss and an optimizer of ours
def test_plain_keras_opens_it_and_gives_the_same_answers(name, fitted, tmp_path):
    model = fitted(MODULES[name])
    inputs = model.run.examples(4)
    np.savez(tmp_path / "asked.npz", inputs=inputs, answers=model.predict(inputs, verbose=0))
    assert processes.run(processes.open_with_plain_keras, model.run.folder / "model.keras", tmp_path / "asked.npz") == 0


def test_first_loss_is_what_chance_predicts(classifier, fitted):
    run = fitted(classifier).run
    keras.utils.set_random_seed(run.config.seed)
    untrained = classifier.build(run.config, run.info.sizes(page_of(classifier).sizes))
    splits = page_of(classifier).load_data(with_changes(run.config, dataset=run.info.name), None, run.tokenizer)
    images, labels = next(iter(splits.test))
    probabilities = keras.ops.softmax(untrained(images, training=False))
    loss = -np.log(np.take_along_axis(np.asarray(probabilities), labels.numpy()[:, None], 1)).mean()
    assert loss == pytest.approx(np.log(len(run.label_names)), rel=0.35)


@slow_but_one_per_kind
def test_a_killed_run_ends_in_the_bits_of_one_that_was_not(recipe, fitted, bare, capsys):
    """And with it that a run can be repeated: it is begun in another process, and resumed in this one."""
    saving = {"checkpoint_steps": 3}
    status = processes.run(processes.fit, recipe.__name__, "runs", saving, 2, None, 5)
    assert status == -signal.SIGKILL, "see log-*.txt in the test's folder"
    model = recipe.fit(recipe.TINY, callbacks=[processes.Tell(None, signal.SIGKILL)], **saving)
    assert "resuming the unfinished run" in capsys.readouterr().out
    for one, other in zip(model.get_weights(), fitted(recipe).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_seed_counts(recipe, fitted):
    started = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        run = fitted(recipe).run
        started.append(recipe.build(run.config, run.info.sizes(page_of(recipe).sizes)).get_weights())
    assert any((one != other).any() for one, other in zip(*started, strict=True))


@slow_but_one_per_kind
def test_two_replicas_do_as_one_device(recipe, bare):
    # Dropout draws its masks for each replica. A small rate: with a large one, a rounding error in the first step makes
    # another network in the last.
    changes = {field.name: 0.0 for field in fields(recipe.TINY) if "dropout" in field.name}
    changes |= {"max_examples": 128, "batch_size": 32, "learning_rate": min(0.003, recipe.TINY.learning_rate)}
    if hasattr(recipe.TINY, "clip_norm"):
        changes["clip_norm"] = 0.01  # so little that every step is clipped
    one, two = (recipe.fit(recipe.TINY, strategy=strategy, **changes) for strategy in ("single", "mirrored"))
    assert two.distribute_strategy.num_replicas_in_sync == 2
    for weight, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(other, weight, rtol=1e-3, atol=1e-4)
    for name, values in one.history.history.items():
        np.testing.assert_allclose(two.history.history[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_run_leaves_its_record(recipe, fitted):
    folder = fitted(recipe).run.folder
    expected = {"config.json", "environment.json", "history.csv", "curves.png", "report.md", "tensorboard"}
    assert expected | {"model.keras", "metrics.json", "data.json"} <= {path.name for path in folder.iterdir()}
    assert not list(folder.glob(".part*"))
    assert "could not be made" not in (folder / "report.md").read_text()
    with (folder / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    assert read_config(recipe.Config, folder / "config.json") == fitted(recipe).run.config
    assert json.loads((folder / "environment.json").read_text())["packages"]["keras"] == keras.__version__


def test_evaluate_reads_back_what_fit_saved(recipe, fitted):
    model = fitted(recipe)
    recorded = json.loads((model.run.folder / "metrics.json").read_text())["test"]
    assert recipe.evaluate(model) == recorded, "on what it was trained on"
    assert recipe.evaluate(runs=runs_of(model)) == recorded, "the newest finished run"


def test_load_gives_the_model_of_a_run(recipe, fitted):
    model = fitted(recipe)
    for loaded in (recipe.load(runs=runs_of(model)), recipe.load(model.run.folder.name, runs=runs_of(model))):
        for weight, same in zip(loaded.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, same)
        assert loaded.run.folder == model.run.folder
        assert loaded.run.label_names == model.run.label_names
        assert loaded.run.tokenizer == model.run.tokenizer
    assert recipe.load(model) is model


#: What people pass to `predict`, by the inputs of the exported model's default signature.
INPUTS = {
    "image_bytes": lambda run: [tf.io.encode_png(image.astype(np.uint8)).numpy() for image in run.examples(3)],
    "text": lambda run: ["A wonderful film!", "The old man sold three books.", "bad"],
    "prompt": lambda run: ["The ", "a"],
    "word": lambda run: list(run.tokenizer.vocabulary[5:8]),
    "seed": lambda run: [3, 0],
    "features": lambda run: run.examples(3).tolist(),
    "numbers": lambda run: run.examples(3).tolist(),
}


@slow_but_one_per_kind
def test_a_server_answers_what_predict_answers(recipe, fitted, exported):
    model, folder = fitted(recipe), exported(recipe).parent
    server = Server(lambda: [ModelConfig("m", folder)], Options(rest_port=0, grpc_port=0, poll_seconds=0, verify=True))
    try:
        server.start()
        remote = RemoteModel(f"http://127.0.0.1:{server.rest_port}", "m")
        signature = remote.signatures()["serving_default"]
        [name] = signature.inputs
        inputs = INPUTS[name](model.run)
        answers = remote.predict("serving_default", signature, [{name: one} for one in inputs])
    finally:
        server.stop()
    predictions = recipe.predict(inputs, model)
    assert len(predictions) == len(inputs)
    compared = 0
    for answer, prediction in zip(answers, predictions, strict=True):
        for output, value in prediction.items():
            if output in answer and not isinstance(value, (dict, list)):
                if isinstance(value, str):
                    assert value == answer[output], output
                else:
                    shape = tuple(slice(0, size) for size in np.shape(value))
                    served = np.asarray(answer[output])[shape]
                    np.testing.assert_allclose(value, served, rtol=1e-4, atol=1e-4, err_msg=output)
                compared += 1
    assert compared >= len(inputs)
    assert recipe.predict(inputs[0], model)[0].keys() == predictions[0].keys(), "one alone"


@pytest.mark.slow
def test_what_is_trained_in_bfloat16_is_asked_and_exported(recipe, bare, tmp_path):
    model = bare.fit(bare.TINY, precision="mixed_bfloat16")
    engine = Engine(bare.export(model, path=tmp_path))  # whose answers are compared with the model's
    [name] = engine.signatures["serving_default"].inputs
    engine.close()
    inputs = INPUTS[name](model.run)
    assert len(bare.predict(inputs, model)) == len(inputs)


def test_predict_names_every_input_that_cannot_be_read(image_classifier, fitted):
    with pytest.raises(DataError, match=r"2 of 3 inputs cannot be read: cannot read no.png: .*; image 2 is a NoneType"):
        image_classifier.predict(["no.png", np.zeros((9, 9)), None], fitted(image_classifier))
    with pytest.raises(ConfigError, match="predict has no option 'beams'"):
        image_classifier.predict([np.zeros((9, 9))], fitted(image_classifier), beams=3)


def test_exported_equals_trained_from_raw_bytes(image_classifier, fitted, exported):
    model, folder = fitted(image_classifier), exported(image_classifier)
    assert folder.parts[-2:] == (image_classifier.__name__.split(".")[1], "1")
    images = model.run.examples()
    logits = model.predict(images, verbose=0)
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answer = served(image_bytes=tf.constant([tf.io.encode_png(image).numpy() for image in images]))
    np.testing.assert_allclose(answer["probabilities"], keras.ops.softmax(logits), atol=1e-5)
    labels = [model.run.info.label_names[index] for index in logits.argmax(-1)]
    assert [label.decode() for label in answer["label"].numpy()] == labels
    np.testing.assert_allclose(answer["probability"], answer["probabilities"].numpy().max(-1))


def warmup_requests(folder):
    """The inputs of an export's warm-up requests by signature, as TensorFlow Serving's own package reads them."""
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    assert path.stat().st_size < 100_000
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    requests = [apis.PredictionLog.FromString(record).predict_log.request for record in records]
    assert {request.model_spec.name for request in requests} == {folder.parent.name}
    return {
        request.model_spec.signature_name: {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        for request in requests
    }


@slow_but_one_per_kind
def test_every_signature_answers_each_row_by_itself_and_none_with_none(recipe, exported):
    engine = Engine(exported(recipe))
    requests = warmup_requests(engine.path)
    manifest = json.loads((engine.path / "assets.extra" / "recipe.json").read_text())
    assert manifest["kind"] == page_of(recipe).kind.name
    assert set(requests) == set(engine.signatures) == set(manifest["signatures"])
    assert len(requests) > 1, "one of what people have, and one of tensors"
    assert warm_up(engine, Limits()) == len(requests)
    for name, inputs in requests.items():
        signature = engine.signatures[name]
        assert manifest["signatures"][name]["meaning"]
        floats = {output.dtype for output in signature.outputs.values() if output.dtype.is_floating}
        assert floats <= {tf.float32}, name
        if len(next(iter(inputs.values()))) == 1:  # a large image: another row beside it
            others = {key: value if value.dtype == object else value // 2 for key, value in inputs.items()}
            inputs = {key: np.concatenate([value, others[key]]) for key, value in inputs.items()}
        together = engine.run(signature, inputs)
        for row in range(2):
            alone = engine.run(signature, {key: value[row : row + 1] for key, value in inputs.items()})
            for output, [value] in alone.items():
                assert_same_but_for_padding(together[output][row], value, f"{name}: {output}")
        nothing = engine.run(signature, {key: value[:0] for key, value in inputs.items()})
        for output, value in nothing.items():
            assert len(value) == 0
            assert (value.dtype, value.ndim) == (together[output].dtype, together[output].ndim)
    engine.close()


def assert_same_but_for_padding(padded, value, what):
    """That of what several rows share, which is as long as the longest, this row's part is what it is alone."""
    own = tuple(slice(0, size) for size in np.shape(value))
    padded = np.array(padded)
    if padded.dtype == np.float32:
        np.testing.assert_allclose(padded[own], value, rtol=1e-4, atol=1e-4, err_msg=what)
    else:
        np.testing.assert_array_equal(padded[own], value, err_msg=what)
    padded[own] = b"" if padded.dtype == object else 0
    assert not padded.any() if padded.ndim else True, f"{what}: padding is empty"


ODD_TEXTS = [
    "A wonderful film!",
    "",
    " \t\n",
    "naïve \u0e20\u0e32\u0e29\u0e32 \U0001f600 e\u0301",
    "bad " * 5000,
    "<br />",
]


def test_exported_equals_trained_from_strings(text_classifier, fitted, exported):
    model = fitted(text_classifier)
    served = tf.saved_model.load(str(exported(text_classifier))).signatures["serving_default"]
    answer = served(text=tf.constant(ODD_TEXTS))
    ids = [model.run.info.tokenizer.encode([text])[0, -model.run.config.sequence_length :] for text in ODD_TEXTS]
    logits = np.concatenate([model(token_ids[None], training=False) for token_ids in ids])
    np.testing.assert_allclose(answer["probabilities"], keras.ops.softmax(logits), atol=1e-5, err_msg="one by one")
    labels = [model.run.info.label_names[index] for index in logits.argmax(-1)]
    assert [label.decode() for label in answer["label"].numpy()] == labels
    assert served(text=tf.constant([], tf.string))["label"].shape == (0,)


@of_real_data
def test_a_stand_in_is_named_in_every_artefact(recipe, fitted, exported):
    wanted = recipe.Config().dataset
    model = fitted(recipe)
    used = model.run.info.name
    assert used != wanted
    output = fitted.output[recipe]
    assert f"Using the stand-in '{used}' instead. Its figures say nothing about {wanted}." in output
    assert f"test on {used}, the stand-in for {wanted}:" in output
    assert f"stand-in `{used}`, not on {wanted}" in (model.run.folder / "report.md").read_text()
    assert json.loads((model.run.folder / "data.json").read_text())["stand_in_for"] == wanted
    assert json.loads((model.run.folder / "metrics.json").read_text())["data"]["stand_in_for"] == wanted
    metadata = json.loads((exported(recipe) / "assets.extra" / "recipe.json").read_text())
    assert metadata["data"]["name"] == used
    assert metadata["data"]["stand_in_for"] == wanted


@of_real_data
def test_offline_error_refuses_the_stand_in(recipe, tmp_path):
    with pytest.raises(DataError, match="cannot be downloaded: no network"):
        recipe.fit(offline="error")
    assert not (tmp_path / "runs").exists()


def test_shapes_and_classes_follow_the_data(image_recipe):
    """Those of the stand-in that it is not trained on in other tests."""
    dataset = "digits" if image_recipe.TINY.dataset == "shapes" else "shapes"
    config = with_changes(image_recipe.TINY, dataset=dataset)
    splits = image_recipe.load_data(config)
    model = image_recipe.build(config, splits.info.sizes(page_of(image_recipe).sizes))
    assert model.input_shape[1:] == ((28, 28, 1) if dataset == "digits" else (32, 32, 3))
    assert np.isfinite(model.evaluate(splits.train.take(1), return_dict=True, verbose=0)["loss"])


@pytest.mark.parametrize(
    "image_classifier",
    [
        pytest.param(name, marks=() if name in ONE_PER_KIND else pytest.mark.slow)
        for name in CLASSIFIERS
        if name in OF_IMAGES
    ],
    indirect=True,
)
def test_fits_a_users_own_arrays_with_a_users_own_callback(image_classifier):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 20, 24, 3), np.uint8), np.arange(80) % 4
    seen = []
    model = image_classifier.fit(
        image_classifier.TINY,
        data=((images, labels), (images[:20], labels[:20])),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))],
    )
    assert (model.input_shape, model.output_shape, seen) == ((None, 20, 24, 3), (None, 4), [0])
    with pytest.raises(Exception, match="trained on your own arrays; pass the same again as data="):
        image_classifier.evaluate(model)
    assert (
        image_classifier.evaluate(model, data=((images, labels), (images[:20], labels[:20])))
        == model.run.metrics["test"]
    )


def test_fits_a_users_own_texts_and_reads_others_as_it_does_those(text_classifier):
    texts, labels = ["good film", "bad film", "no verdict"] * 20, np.arange(60) % 3
    model = text_classifier.fit(text_classifier.TINY, data=((texts, labels), (texts[:6], labels[:6])))
    assert model.output_shape == (None, 3)
    with pytest.raises(Exception, match="trained on your own arrays; pass the same again as data="):
        text_classifier.evaluate(model)
    whole = text_classifier.evaluate(model, data=((texts, labels), (texts[:6], labels[:6])))
    assert whole == model.run.metrics["test"]
    assert text_classifier.evaluate(model, data=(texts[:6], labels[:6])) == whole, "words are those of its training"


def test_the_search_space_is_of_settings_that_build(recipe):
    hp = keras_tuner.HyperParameters()
    assert isinstance(recipe.search_space(hp, recipe.TINY), recipe.Config)
    assert hp.space, "something to search"
    for choice in hp.space:
        hp.values[choice.name] = choice.random_sample(seed=1)
    found = recipe.search_space(hp, recipe.TINY)
    assert found != recipe.TINY
    recipe.build(found)


@pytest.mark.slow  # by default mnist_dense alone, in tests/verbs/test_tune.py
def test_tune_returns_a_config_to_fit(recipe):
    objective, direction = page_of(recipe).objective
    best, figure = recipe.tune(recipe.TINY, trials=1)
    assert isinstance(best, recipe.Config)
    assert 0 <= figure <= (1 if direction == "max" else np.finfo(float).max)
    [path] = (tmp for tmp in recipe_folder(recipe).glob("tune-*/best.json"))
    assert read_config(recipe.Config, path) == best
    assert json.loads(path.read_text())["figure"] == figure
    again = recipe.fit(config=best).run.metrics["validation"][objective.removeprefix("val_")]
    assert again == pytest.approx(figure, abs=1e-6), "the trial, trained again"


def recipe_folder(recipe):
    from pathlib import Path

    return Path("runs") / recipe.__name__.split(".")[1]
