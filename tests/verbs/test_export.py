import io
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import recipes
from recipes import cifar_convnet, mnist_dense
from recipes.data import image_files as images_module
from recipes.data.splits import Sizes
from recipes.errors import DataError, ExportError
from recipes.kinds.tf_examples import serialized_example
from recipes.serving.saved_model_files import check_files


@pytest.fixture
def model(fitted):
    return fitted(cifar_convnet)


def jpeg(width, height, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def folder(exported):
    return exported(cifar_convnet)


def test_images_of_any_size_and_mode_are_labelled_in_one_batch(model, folder):
    loaded = tf.saved_model.load(str(folder))
    images = [jpeg(32, 32), jpeg(640, 48), jpeg(7, 300, "L"), jpeg(1, 1)]
    answer = loaded.signatures["serving_default"](image_bytes=tf.constant(images))
    assert answer["probabilities"].shape == (4, 10)
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(-1), 1, atol=1e-5)
    assert {label.decode() for label in answer["label"].numpy()} <= set(model.run.info.label_names)
    images = model.run.examples(5)
    as_float = loaded.signatures["image"](image=tf.constant(images, tf.float32))
    as_uint8 = loaded.signatures["image_uint8"](image=tf.constant(images))
    np.testing.assert_allclose(as_float["probabilities"], as_uint8["probabilities"], atol=1e-6)


def test_a_bad_image_is_named_by_its_row(folder):
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    good, torn = jpeg(40, 30), jpeg(40, 30)[:500]
    large = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + (12000).to_bytes(4) + (13000).to_bytes(4) + b"\x08\2\0\0\0"
    for images, message in (
        (
            [good, b"not an image", b""],
            "image 1 of the batch cannot be decoded; expected a JPEG, PNG, GIF, WebP or BMP",
        ),
        ([good, good, torn, torn], "image 2 of the batch cannot be decoded: its JPEG data is damaged"),
        ([good, large], "image 1 of the batch is too large: 12000x13000 pixels; expected at most 64,000,000 in all"),
        ([torn], "Invalid JPEG data"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            served(image_bytes=tf.constant(images))


def test_examples_are_classified_the_most_probable_first(model, folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    images = [jpeg(32, 32), jpeg(60, 40), jpeg(5, 5)]
    examples = [serialized_example("image_bytes", image) for image in images]
    answer = signatures["classify"](inputs=tf.constant(examples))
    probabilities = signatures["serving_default"](image_bytes=tf.constant(images))["probabilities"].numpy()
    order = np.argsort(-probabilities, kind="stable")
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(probabilities, order, -1), atol=1e-6)
    names = np.array(model.run.info.label_names)
    assert [[name.decode() for name in row] for row in answer["classes"].numpy()] == names[order].tolist()
    for wrong, message in (
        (serialized_example("image", images[0]), "example 1 of the batch has 0 values of the feature image_bytes; exp"),
        (tf.train.Example().SerializeToString(), "example 1 of the batch has 0 values of the feature image_bytes; exp"),
        (b"no example", "Could not parse example"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["classify"](inputs=tf.constant([examples[0], wrong]))
    methods = {name: signature.method_name for name, signature in signature_defs(folder).items()}
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == methods["image"] == "tensorflow/serving/predict"


def signature_defs(folder):
    return SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].signature_def


def test_plain_tensorflow_serves_it_without_this_package(model, folder, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(jpeg(60, 40))
    program = (
        "import sys, tensorflow as tf\n"
        f"served = tf.saved_model.load({str(folder)!r}).signatures['serving_default']\n"
        f"answer = served(image_bytes=tf.constant([open({str(tmp_path / 'photo.jpg')!r}, 'rb').read()]))\n"
        "assert 'recipes' not in sys.modules\n"
        "print(answer['label'].numpy()[0].decode(), float(answer['probability'][0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    label, probability = done.stdout.split()
    [ours] = cifar_convnet.predict(tmp_path / "photo.jpg", model)
    assert label == ours["label"]
    assert float(probability) == pytest.approx(ours["probability"], abs=1e-5)


def test_an_export_that_answers_otherwise_is_not_published(model, tmp_path, monkeypatch):
    decode = images_module.decode_images
    monkeypatch.setattr(
        images_module, "decode_images", lambda encoded, shape: decode(encoded, shape) / 255
    )  # scaled twice
    with pytest.raises(
        ExportError, match=r"'serving_default' differs from the trained model by .* Nothing was published"
    ):
        cifar_convnet.export(model, path=tmp_path / "models")
    assert list((tmp_path / "models" / "cifar_convnet").iterdir()) == []


def test_versions_go_up_from_the_highest_and_leave_other_files_alone(model, tmp_path):
    base = tmp_path / "cifar_convnet"
    for name in ("9", "10", "old", ".part-1"):
        (base / name).mkdir(parents=True)
    assert cifar_convnet.export(model, path=tmp_path).name == "11"
    assert {path.name for path in base.iterdir()} == {"9", "10", "11", "old", ".part-1"}


def test_a_model_trained_in_bfloat16_is_served_in_float32(tmp_path):
    model = cifar_convnet.fit(cifar_convnet.TINY, precision="mixed_bfloat16")
    served = tf.saved_model.load(str(cifar_convnet.export(model, path=tmp_path))).signatures["image"]
    images = model.run.examples(8)
    probabilities = served(image=tf.constant(images, tf.float32))["probabilities"]
    assert probabilities.dtype == tf.float32
    trained = keras.ops.softmax(model.predict(images, verbose=0))
    np.testing.assert_allclose(probabilities, trained, atol=0.05)  # bfloat16 keeps 8 bits
    graph = SavedModel.FromString((tmp_path / "cifar_convnet" / "1" / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    assert not [node.name for function in functions for node in function.node_def if "DT_BFLOAT16" in str(node.attr)]


def test_channels_that_no_image_file_has_are_refused(tmp_path):
    model = mnist_dense.build(sizes=Sizes(image_shape=(8, 8, 4), num_classes=10))
    with pytest.raises(DataError, match="image files are read in 1 or 3 channels"):
        mnist_dense.export(model, path=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_manifest_says_what_it_is(model, folder):
    manifest = json.loads((folder / "assets.extra" / "recipe.json").read_text())
    assert (manifest["recipe"], manifest["kind"], manifest["task"]) == (
        "cifar_convnet",
        "image_classification",
        "classification",
    )
    assert manifest["run"] == model.run.folder.name
    assert manifest["test"] == model.run.metrics["test"]
    assert manifest["label_names"] == list(model.run.info.label_names)
    assert manifest["image_shape"] == [32, 32, 3]
    assert manifest["versions"] == {
        "recipes": recipes.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }
    assert abs((datetime.now(UTC) - datetime.fromisoformat(manifest["created"])).total_seconds()) < 3600
    assert manifest["signatures"]["classify"] == {
        "meaning": "All classes of each image_bytes and their probabilities, the most probable first",
        "method": "classify",
        "inputs": {"inputs": {"dtype": "string", "shape": [None]}},
        "outputs": {
            "classes": {"dtype": "string", "shape": [None, 10]},
            "scores": {"dtype": "float32", "shape": [None, 10]},
        },
    }
    check_files(folder)  # every file has its SHA-256, and there is no other
    assert {"saved_model.pb", "assets.extra/tf_serving_warmup_requests"} <= set(manifest["sha256"])


def test_a_model_of_ones_own_takes_labels_and_examples_from_data(tmp_path):
    folder = mnist_dense.export(mnist_dense.build(), path=tmp_path)
    served = tf.saved_model.load(str(folder)).signatures["image"]
    assert served(image=tf.zeros((1, 28, 28, 1)))["label"].numpy()[0].decode() in "0123456789"


def test_labels_that_do_not_fit_and_folders_that_cannot_be_written_are_refused(model, tmp_path):
    with pytest.raises(ExportError, match="the model has 5 classes and the data 10 label names"):
        mnist_dense.export(mnist_dense.build(sizes=Sizes(image_shape=(28, 28, 1), num_classes=5)), path=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write .*nothing was published"):
        cifar_convnet.export(model, path=tmp_path / "file")
