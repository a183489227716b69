"""What an export is refused for: each trap, in a SavedModel made by hand."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from recipes.errors import ExportError
from recipes.verbs.export import Signature, export_signatures, in_float32, without_cudnn
from recipes.verbs.saved_model_checks import check_answers, check_graph

ROWS = tf.TensorSpec((None,), tf.float32)


def saved(path, function, *specs):
    """A SavedModel with one signature."""
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs, autograph=False)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})
    return path


def edited(path, edit):
    """A SavedModel whose saved_model.pb is changed."""
    model = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    edit(model.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(model.SerializeToString())
    return path


def test_a_usual_model_is_let_through(tmp_path):
    path = saved(tmp_path, lambda x: {"y": x / 2}, ROWS)
    check_graph(path)
    question, answer = {"x": np.array([2.0, 4.0], np.float32)}, {"y": np.array([1.0, 2.0], np.float32)}
    signatures = {"serving_default": Signature(None, {"x": ROWS}, question, answer)}
    check_answers(path, signatures)
    answer["y"] = answer["y"] + 0.1
    with pytest.raises(ExportError, match="'serving_default' differs from the trained model by 0.1 in 'y'"):
        check_answers(path, signatures)


def read_file(x):
    return {"y": tf.strings.length(tf.map_fn(tf.io.read_file, x))}


def calls_python(x):
    return {"y": tf.ensure_shape(tf.py_function(lambda x: x, [x], tf.float32), (None,))}


def reads_lines(x):
    lines = tf.data.TextLineDataset("/etc/hostname").reduce(0.0, lambda count, _: count + 1.0)
    return {"y": x + lines}


def prints(x):
    tf.print(x)
    return {"y": x}


@pytest.mark.parametrize(
    ("function", "spec", "message"),
    [
        (
            read_file,
            tf.TensorSpec((None,), tf.string),
            "the operation ReadFile, which reaches Python, files or the net",
        ),
        (calls_python, ROWS, "the operation EagerPyFunc, which reaches Python, .*; write it in other operations"),
        (reads_lines, ROWS, "the operation TextLineDataset, which reaches"),
        (prints, ROWS, "the operation PrintV2, which reaches"),
        (lambda x: {"y": tf.cast(x, tf.bfloat16)}, ROWS, "the output 'y' of 'serving_default' in bfloat16, .*float32"),
        (lambda x: {"y": tf.cast(x, tf.float16)}, ROWS, "the output 'y' of 'serving_default' in float16, which REST"),
        (lambda x: {"y": x[tf.newaxis]}, tf.TensorSpec((), tf.float32), "the input 'x' of 'serving_default' as a sc"),
        (lambda x: {"y": tf.reduce_sum(x)}, ROWS, "the output 'y' of 'serving_default' as a scalar, which cannot be b"),
        (lambda x: {"y": x}, tf.TensorSpec((3,), tf.float32), "the input 'x' of 'serving_default' for 3 rows alone"),
        (
            lambda x: {"y": tf.function(tf.square, jit_compile=True)(x)},
            ROWS,
            "compiled by XLA, which servers refuse; leave jit_compile=True out",
        ),
    ],
)
def test_what_servers_refuse_is_refused(function, spec, message, tmp_path):
    with pytest.raises(ExportError, match=f"the exported model has .*{message}.*Nothing was published"):
        check_graph(saved(tmp_path, function, spec))


def test_a_default_of_an_input_is_refused(tmp_path):
    def give_default(graph):
        graph.signature_def["serving_default"].defaults["x"].CopyFrom(tf.make_tensor_proto([1.0]))

    with pytest.raises(ExportError, match="a default for the input 'x' of 'serving_default', which REST does not know"):
        check_graph(edited(saved(tmp_path, lambda x: {"y": x}, ROWS), give_default))


def test_a_recurrent_layer_is_exported_without_what_gpus_alone_have(tmp_path, monkeypatch):
    """As a machine with a GPU would make its graph."""
    rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(rnn, "_is_gpu_available", lambda: True)
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Bidirectional(keras.layers.LSTM(3))])
    spec = tf.TensorSpec((None, 4, 2), tf.float32)

    def save(path):
        module = tf.Module()
        module.variables_of_model = [variable.value for variable in model.variables]
        module.function = tf.function(lambda x: {"y": model(x)}, input_signature=[spec], autograph=False)
        tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})
        return path

    with pytest.raises(ExportError, match="the operation CudnnRNN.*, which runs on NVIDIA GPUs alone; set use_cudnn="):
        check_graph(save(tmp_path / "with"))
    with without_cudnn(model):
        check_graph(save(tmp_path / "without"))
        layer = keras.layers.Bidirectional(keras.layers.LSTM(3, dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
        half = keras.Sequential([keras.Input((4, 2)), layer])
        with without_cudnn(half):
            assert in_float32(half).layers[0].forward_layer.use_cudnn is False
    assert model.layers[0].forward_layer.use_cudnn == "auto", "training is as it was"


def test_a_table_that_nothing_fills_is_refused(tmp_path):
    def save(path, with_initializer):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            word = tf.compat.v1.placeholder(tf.string, (None,))
            pairs = tf.lookup.KeyValueTensorInitializer(["a"], [1.0])
            y = tf.lookup.StaticHashTable(pairs, 0.0).lookup(word)
            initialize = tf.compat.v1.tables_initializer()
            session.run(initialize)
            tf.compat.v1.saved_model.simple_save(
                session, str(path), {"word": word}, {"y": y}, legacy_init_op=initialize if with_initializer else None
            )
        return path

    def forget(graph):  # how to fill it
        left = [node for node in graph.graph_def.node if not node.op.startswith("LookupTableImport")]
        left = [node for node in left if node.name != "init_all_tables"]
        del graph.graph_def.node[:]
        graph.graph_def.node.extend(left)
        graph.collection_def.clear()

    words = {"word": np.array([b"a"], object)}
    signature = Signature(None, {"word": tf.TensorSpec((None,), tf.string)}, words, {"y": np.array([1.0], np.float32)})
    filled = save(tmp_path / "filled", True)
    check_graph(filled)
    check_answers(filled, {"serving_default": signature})
    with pytest.raises(ExportError, match="'serving_default' does not answer an example: .*not initialized"):
        check_answers(save(tmp_path / "not_filled", False), {"serving_default": signature})
    with pytest.raises(ExportError, match="a lookup table that nothing fills; return the table beside the models"):
        check_graph(edited(save(tmp_path / "without", False), forget))


def test_a_table_that_is_not_returned_is_refused(tmp_path, monkeypatch):
    from recipes.data.splits import DataInfo

    pairs = tf.lookup.KeyValueTensorInitializer(["a"], [1.0])
    table = tf.lookup.StaticHashTable(pairs, 0.0)
    words = {"word": tf.TensorSpec((None,), tf.string)}
    signatures = {"serving_default": Signature(lambda word: {"y": table.lookup(word)}, words, {"word": ["a"]}, {})}
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ExportError, match="uses a lookup table or a variable that is not saved with it; return it be"):
        export_signatures([model], DataInfo("words"), tmp_path, signatures)
    assert list(tmp_path.iterdir()) == []
    assert export_signatures([model, table], DataInfo("words"), tmp_path, signatures) == tmp_path / "1"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: {"y": tf.reshape(tf.reduce_max(x), (1,)) + x[:0]}, None),
        (lambda x: {"y": tf.gather(x, tf.argmax(x)[tf.newaxis])}, "does not answer an empty batch: Reduction axis 0"),
        (
            lambda x: {"y": tf.concat([x, [1.0]], 0)},
            r"answers an empty batch with float32 \(1,\) in 'y'; expected float",
        ),
    ],
)
def test_an_empty_batch_must_have_an_empty_answer(function, message, tmp_path):
    path = saved(tmp_path, function, ROWS)
    signatures = {"serving_default": Signature(None, {"x": ROWS}, {"x": np.ones(2, np.float32)}, {})}
    if message is None:
        check_answers(path, signatures)
    else:
        with pytest.raises(ExportError, match=message):
            check_answers(path, signatures)
