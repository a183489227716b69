import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.unknown_fields import UnknownFieldSet

from recipes.verbs.warmup_requests import prediction_log, small_request, write_requests


def test_it_is_the_message_of_tensorflow_serving(tmp_path):
    """As its own package reads it."""
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    inputs = {"text": tf.make_tensor_proto(["Gut!", "\u65e5" * 100]), "seed": tf.make_tensor_proto([3, 4])}
    log = apis.PredictionLog.FromString(prediction_log("a_model", "a_signature", inputs))
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("a_model", "a_signature")
    assert dict(request.inputs) == inputs
    assert len(UnknownFieldSet(log)) == len(UnknownFieldSet(request)) == 0
    write_requests(tmp_path, "a_model", {"a_signature": inputs, "another": {}})
    records = tf.data.TFRecordDataset(str(tmp_path / "tf_serving_warmup_requests")).as_numpy_iterator()
    names = [apis.PredictionLog.FromString(record).predict_log.request.model_spec.signature_name for record in records]
    assert names == ["a_signature", "another"]


def test_a_request_is_of_few_rows_and_small():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    request = small_request({"x": rows, "text": np.array([b"a", b"b", b"c", b"d"], object)})
    np.testing.assert_array_equal(tf.make_ndarray(request["x"]), rows[:2])
    assert tf.make_ndarray(request["text"]).tolist() == [b"a", b"b"]
    large = small_request({"image": np.full((3, 224, 224, 3), 99, np.float32)})["image"]
    assert large.ByteSize() < 100
    np.testing.assert_array_equal(tf.make_ndarray(large), np.full((1, 224, 224, 3), 99, np.float32))
    assert tf.make_ndarray(small_request({"file": np.array([b"x" * 50_000] * 2, object)})["file"]).shape == (1,)
