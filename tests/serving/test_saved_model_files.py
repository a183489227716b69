"""What a server looks at before it loads: sums of files, links, images in requests; and warm-up requests."""

import hashlib
import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from recipes.serving.engine import Engine
from recipes.serving.image_sizes import check_images
from recipes.serving.limits import Limits
from recipes.serving.saved_model_files import check_files, check_links, read_manifest
from recipes.serving.status import Code, ServingError
from recipes.serving.tokens import read_tokens
from recipes.serving.warmup import warm_up


@pytest.fixture
def version(tmp_path):
    path = tmp_path / "m" / "1"
    (path / "assets.extra").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    sums = {"saved_model.pb": hashlib.sha256(b"graph").hexdigest()}
    (path / "assets.extra" / "recipe.json").write_text(json.dumps({"sha256": sums}))
    return path


def test_files_are_compared_with_their_sums(version):
    check_files(version)
    (version / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(ServingError, match=r"is not what was exported: saved_model.pb differ"):
        check_files(version)
    (version / "saved_model.pb").write_bytes(b"graph")
    (version / "new").write_bytes(b"")
    with pytest.raises(ServingError, match="new differ"):
        check_files(version)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": {}}', "[" * 100_000, '{"sha256": "x"}'])
def test_a_manifest_without_sums_proves_nothing(version, text):
    (version / "assets.extra" / "recipe.json").write_text(text)
    with pytest.raises(ServingError, match="holds no SHA-256 sums"):
        check_files(version)


def test_a_damaged_manifest_is_none(version):
    assert read_manifest(version)["sha256"]
    (version / "assets.extra" / "recipe.json").write_bytes(b"\xff")
    assert read_manifest(version) is None


def test_links_out_of_the_folder_are_refused(version, tmp_path):
    (version / "inside").symlink_to(version / "saved_model.pb")
    check_links(version, version.parent)
    (tmp_path / "secret").write_text("secret")
    (version / "outside").symlink_to(tmp_path / "secret")
    with pytest.raises(ServingError, match="outside is a link to a place outside of"):
        check_links(version, version.parent)


def encoded(width, height, frames=1, **options):
    image, file = Image.new("L", (width, height)), io.BytesIO()
    if frames > 1:
        others = [Image.new("L", (width, height), shade + 1) for shade in range(frames - 1)]
        image.save(file, "GIF", save_all=True, append_images=others)
    else:
        image.save(file, **options)
    return file.getvalue()


def png_of_any_size(width, height):
    """A header that says what it likes."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    sums = zlib.crc32(header).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + header + sums + b"\x00\x00\x00\x00IDAT" + b"\x00" * 8


@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        (encoded(30, 40, format="PNG"), "1,200"),
        (encoded(30, 40, format="JPEG"), "1,200"),
        (encoded(30, 40, format="WEBP"), "1,200"),
        (encoded(30, 40, format="BMP"), "1,200"),
        (encoded(10, 10, frames=20), "1,100"),
        (png_of_any_size(100_000, 100_000), "10,000,000,000"),
    ],
)
def test_images_are_measured_before_they_are_decoded(image, pixels):
    small = encoded(10, 10, format="PNG")
    with pytest.raises(ServingError, match=f"image 1 of 'image_bytes' has {pixels} pixels; expected at most 1,000"):
        check_images("image_bytes", np.array([small, image], object), 1000)
    check_images("image_bytes", np.array([[small, b"BM is how a text may begin", b"\xff\xd8\xff", b""]], object), 1000)


def test_pillows_own_limit_is_as_before_however_many_requests_are_read_at_once():
    images, before = np.array([encoded(30, 40, format="PNG")], object), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda _: check_images("image_bytes", images, 10_000), range(400)):
            pass
    assert before == Image.MAX_IMAGE_PIXELS


def write_warmup(path, *records):
    (path / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record if isinstance(record, bytes) else record.SerializeToString())


def predict_log(signature="", **inputs):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


def examples_log(kind, signature, count=1):
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    specs = [request.model_spec] if hasattr(request, "model_spec") else [request.tasks.add().model_spec]
    specs[0].signature_name = signature
    for _ in range(count):
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=[2.0]))
        request.input.example_list.examples.add().features.feature["x"].CopyFrom(feature)
    return log


@pytest.fixture
def engine(half_plus_two, tmp_path):
    import shutil

    shutil.copytree(half_plus_two / "124", tmp_path / "1")
    loaded = Engine(tmp_path / "1")
    yield loaded
    loaded.close()


def test_every_kind_of_warmup_request_is_answered(engine):
    assert warm_up(engine, Limits()) == 0
    write_warmup(
        engine.path,
        predict_log(x=[1.0]),
        examples_log("classify_log", "classify_x_to_y"),
        examples_log("regress_log", "regress_x_to_y"),
        examples_log("multi_inference_log", "regress_x_to_y"),
    )
    assert warm_up(engine, Limits()) == 4
    write_warmup(engine.path)
    assert warm_up(engine, Limits()) == 0


def test_the_first_request_finds_the_graph_that_warmup_made(engine):
    """TensorFlow prepares a graph for each set of inputs and outputs, whatever the time limit."""
    write_warmup(engine.path, predict_log(x=[1.0]))
    warm_up(engine, Limits())
    prepared = dict(engine._plans)
    for timeout in (None, 1, 5.5, 30):
        engine.run(engine.signatures["serving_default"], {"x": np.float32([2.0])}, timeout=timeout)
    assert engine._plans == prepared


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xff", "Failed to parse warmup record"),
        (prediction_log_pb2.PredictionLog(session_run_log={}), "Unsupported log_type for warmup"),
        (predict_log("nowhere", x=[1.0]), "there is no signature 'nowhere'"),
        (predict_log(z=[1.0]), r"takes \['x'\]; got \['z'\]"),
        (predict_log(x=["text"]), "to be float but string is provided"),
    ],
)
def test_a_version_whose_warmup_fails_is_not_served(engine, record, message):
    write_warmup(engine.path, predict_log(x=[1.0]), record)
    with pytest.raises(ServingError, match=message):
        warm_up(engine, Limits())


def test_a_warmup_file_of_another_kind_or_of_too_many(engine, monkeypatch):
    write_warmup(engine.path)
    (engine.path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"this is no TFRecord at all, is it")
    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord format"):
        warm_up(engine, Limits())
    write_warmup(engine.path, *[predict_log(x=[1.0])] * 1001)
    with pytest.raises(ServingError, match="exceeds the maximum"):
        warm_up(engine, Limits())


def test_tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("# of the shop\n\na-token-of-enough-letters\n  another-long-token  \n")
    assert read_tokens(path) == {"a-token-of-enough-letters", "another-long-token"}
    for text in ("", "# none", "short"):
        path.write_text(text)
        with pytest.raises(ServingError, match="expected a token of 16 characters or more"):
            read_tokens(path)
    with pytest.raises(ServingError, match="cannot be read") as error:
        read_tokens(tmp_path / "nowhere")
    assert error.value.code == Code.INVALID_ARGUMENT
