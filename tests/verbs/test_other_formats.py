import json
import sys
from dataclasses import replace

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter
from conftest import runs_of
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import recipes
from recipes import cifar_convnet, mnist_dense
from recipes.cli import main
from recipes.errors import ConfigError, ExportError
from recipes.verbs import export_network
from recipes.verbs.export_litert import foreign_operations
from recipes.verbs.export_onnx import scan_of_tensors

#: One per kind that no other test has, in a format each; the other pairs where there is time.
QUICK = [("imdb_transformer", "onnx"), ("shakespeare_lstm", "litert"), ("translate_seq2seq", "onnx")]
QUICK += [("show_attend_tell", "litert"), ("mnist_vae", "onnx"), ("dcgan", "litert"), ("word2vec", "onnx")]
RECURRENT = ["imdb_lstm", "shakespeare_lstm", "translate_seq2seq", "show_attend_tell"]


def litert(path):
    return Interpreter(model_content=path.read_bytes()).get_signature_runner()


def onnx(path):
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **inputs: dict(zip(names, session.run(names, inputs), strict=True))


RUNTIMES = {"litert": (litert, ".tflite"), "onnx": (onnx, ".onnx")}


@pytest.mark.parametrize(
    ("recipe", "file_format"),
    [
        pytest.param(name, file_format, marks=() if (name, file_format) in QUICK else pytest.mark.slow)
        for name in recipes.RECIPES
        for file_format in RUNTIMES
    ],
    indirect=["recipe"],
)
def test_every_recipe_is_converted(recipe, file_format, fitted, tmp_path, capsys):
    model, name = fitted(recipe), recipe.__name__.rpartition(".")[2]
    folder = recipe.export(model, path=tmp_path, format=file_format)
    assert folder == tmp_path / name / file_format / "1"
    assert not [path for path in (tmp_path / name).iterdir() if path.name.isdigit()]  # a server's versions
    about = json.loads((folder / "recipe.json").read_text())
    assert about["run"] == model.run.folder.name
    assert (folder / "tokenizer.json").exists() == (model.run.tokenizer is not None)
    load, suffix = RUNTIMES[file_format]
    output = capsys.readouterr().out
    for file, described in about["files"].items():
        assert file.endswith(suffix)
        assert described["greatest_difference"] <= described["tolerance"] == export_network.TOLERANCE
        assert ("one example" in described["takes"]) == (file_format == "litert" and name in RECURRENT)
        assert f"exported {folder}/{file}: " in output
    network = recipe.fit.__self__.kind.networks(model, model.run, 1)["model"]
    answers = load(folder / f"model{suffix}")(**(network.padded() if network.length else network).examples)
    assert sorted(answers) == about["files"][f"model{suffix}"]["outputs"]


@pytest.mark.parametrize("file_format", RUNTIMES)
def test_an_image_gets_the_answer_of_predict(file_format, fitted, tmp_path):
    model = fitted(cifar_convnet)
    load, suffix = RUNTIMES[file_format]
    run = load(cifar_convnet.export(model, path=tmp_path, format=file_format) / f"model{suffix}")
    images = model.run.examples(3)
    expected = [list(answer["probabilities"].values()) for answer in cifar_convnet.predict(images, model)]
    for count in (3, 1):
        answers = run(image=images[:count].astype(np.float32))
        np.testing.assert_allclose(answers["probabilities"], expected[:count], atol=1e-5)


@pytest.mark.parametrize("recipe", ["imdb_lstm"], indirect=True)
def test_a_padded_text_gets_the_answer_of_predict(recipe, fitted, tmp_path):
    model = fitted(recipe)
    folder = recipe.export(model, path=tmp_path, format="litert")
    [shape] = [
        spec["shape"]
        for spec in json.loads((folder / "recipe.json").read_text())["files"]["model.tflite"]["inputs"].values()
    ]
    assert shape == [None, None]
    text = "a film that is not dull at all"
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["vocabulary"]
    token_ids = [vocabulary.index(word) if word in vocabulary else 1 for word in text.split()]
    padded = np.zeros((1, model.run.config.sequence_length), np.int32)
    padded[0, : len(token_ids)] = token_ids
    [answer] = recipe.predict([text], model)
    [probabilities] = litert(folder / "model.tflite")(token_ids=padded)["probabilities"]
    np.testing.assert_allclose(probabilities, list(answer["probabilities"].values()), atol=1e-5)


@pytest.mark.parametrize("recipe", ["cifar_convnet"], indirect=True)
def test_the_image_signature_needs_litert_operations_alone(recipe, exported):
    """Where the empty batch was padded, H, W and C were unknown, and LiteRT's Conv2D could not be used."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported(recipe)), signature_keys=["image"])
    content = converter.convert()
    assert foreign_operations(content, schema_py_generated) == []


def test_operations_that_are_not_litert_own_are_found():
    function = tf.function(lambda x: tf.linalg.inv(x), input_signature=[tf.TensorSpec((2, 2), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    assert foreign_operations(converter.convert(), schema_py_generated) == ["FlexMatrixInverse"]


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory):
    """A classifier of digits that is right more often than not."""
    return mnist_dense.fit(
        mnist_dense.TINY, dataset="digits", epochs=20, max_examples=None, runs=tmp_path_factory.mktemp("runs")
    )


def test_int8_says_what_it_costs_on_the_test_split(digits_model, tmp_path, capsys):
    folder = mnist_dense.export(digits_model, path=tmp_path, format="litert", int8=True)
    assert folder.parent.name == "litert-int8"
    figures = json.loads((folder / "recipe.json").read_text())["files"]["model.tflite"]
    assert figures["float_accuracy"] == pytest.approx(digits_model.run.metrics["test"]["accuracy"], abs=1e-6)
    assert figures["int8_accuracy"] == pytest.approx(figures["float_accuracy"], abs=0.05)
    assert (folder / "model.tflite").stat().st_size < 0.5 * figures["float_bytes"]
    line = (
        f"test accuracy float {figures['float_accuracy']:.4f}, int8 {figures['int8_accuracy']:.4f}; agrees with float32"
    )
    assert line in capsys.readouterr().out
    interpreter = Interpreter(model_path=str(folder / "model.tflite"))
    kinds = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    floats = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]
    assert np.int8 in kinds
    assert len(floats) == 2  # the input and the output


def test_the_ranges_of_int8_are_not_measured_on_the_test_split(digits_model):
    splits = mnist_dense.load_data(digits_model.run.config)
    without = export_network._Training(replace(splits, test=None, validation=None)).examples(64)
    np.testing.assert_array_equal(export_network._Training(splits).examples(64), without)
    tests = {image.tobytes() for batch, *_ in splits.test for image in batch.numpy()}
    assert not tests & {image.tobytes() for image in without}


def test_what_answers_otherwise_is_not_published(digits_model, tmp_path, monkeypatch):
    monkeypatch.setattr(export_network, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match=r"the onnx network differs .* in 'probabilities'.*Nothing was published"):
        mnist_dense.export(digits_model, path=tmp_path, format="onnx")
    monkeypatch.undo()
    monkeypatch.setattr(export_network, "AGREEMENT", 1.1)
    with pytest.raises(ExportError, match=r"int8 agrees .* in 'probabilities' on 360 test examples; expected at least"):
        mnist_dense.export(digits_model, path=tmp_path, format="litert", int8=True)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tflite"}, "format='tflite' is unknown; expected 'saved_model', 'litert', 'onnx'"),
        ({"format": "onnx", "int8": True}, "int8 would change nothing with format='onnx'"),
        ({"format": "litert", "freeze": True}, "freeze would change nothing with format='litert'"),
        ({"data": "photos"}, "data would change nothing with format='saved_model'"),
    ],
)
def test_options_of_another_format_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        mnist_dense.export(**options)


@pytest.mark.parametrize("recipe", ["imdb_lstm"], indirect=True)
def test_int8_of_a_recurrent_network_is_refused(recipe, fitted, tmp_path):
    with pytest.raises(ExportError, match="a recurrent network cannot be made int8"):
        recipe.export(fitted(recipe), path=tmp_path, format="litert", int8=True)


def test_a_missing_package_is_named(digits_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r'pip install "keras-recipes\[onnx\]"'):
        mnist_dense.export(digits_model, path=tmp_path, format="onnx")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ExportError, match=r'pip install "keras-recipes\[litert\]"'):
        mnist_dense.export(digits_model, path=tmp_path, format="litert")


def test_the_scan_of_onnx_is_keras_scan():
    def step(state, x):
        state = {"sum": state["sum"] + x, "product": state["product"] * x}
        return state, state

    start, xs = {"sum": tf.zeros((2,)), "product": tf.ones((2,))}, tf.reshape(tf.range(1.0, 7.0), (3, 2))
    ours, theirs = scan_of_tensors(step, start, xs), keras.ops.scan(step, start, xs)
    keras.tree.map_structure(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(name, marks=() if name == "imdb_transformer" else pytest.mark.slow) for name in recipes.RECIPES],
    indirect=True,
)
def test_a_frozen_model_has_the_same_signatures_and_answers(recipe, fitted, exported, tmp_path):
    folder = recipe.export(fitted(recipe), path=tmp_path, freeze=True)  # which asks it what it asks every export
    frozen, usual = tf.saved_model.load(str(folder)), tf.saved_model.load(str(exported(recipe)))
    assert set(frozen.signatures) == set(usual.signatures) - {"__saved_model_init_op"}
    for name, signature in usual.signatures.items():
        assert frozen.signatures[name].structured_input_signature == signature.structured_input_signature
        assert set(frozen.signatures[name].structured_outputs) == set(signature.structured_outputs)
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not {node.op for node in nodes} & {"VarHandleOp", "ReadVariableOp", "RestoreV2"}
    assert (folder / "assets.extra" / "recipe.json").exists()


@pytest.mark.parametrize("recipe", ["mnist_dense"], indirect=True)
def test_the_command_line_exports_them(recipe, fitted, tmp_path, capsys):
    arguments = ["export", "mnist_dense", "--runs", str(runs_of(fitted(recipe))), "--path", str(tmp_path)]
    assert main([*arguments, "--format", "litert", "--json"]) == 0
    folder = tmp_path / "mnist_dense" / "litert" / "1"
    assert json.loads(capsys.readouterr().out) == {"path": str(folder)}
    assert main([*arguments, "--format", "onnx", "--int8"]) == 2
    assert "int8 would change nothing with format='onnx'" in capsys.readouterr().err
