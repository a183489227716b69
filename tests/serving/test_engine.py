"""A SavedModel in a session: TensorFlow's own errors, parts of a graph, old models, and what is not loaded at all."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from recipes.serving import engine as engine_module
from recipes.serving.engine import Engine
from recipes.serving.status import Code, ServingError


@pytest.fixture(scope="module")
def engine(half_plus_two):
    loaded = Engine(half_plus_two / "124")
    yield loaded
    loaded.close()


def saved(path, function, *specs):
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(path), {"serving_default": module.function})
    return path


def test_answers_and_signatures(engine):
    signature = engine.signatures["repeat"]
    assert signature.inputs["text"].dtype == tf.string
    assert signature.inputs["text"].shape == (None,)
    inputs = {"text": np.array([b"ab", b"c"], object), "times": np.array([2, 3])}
    answer = engine.run(signature, inputs)
    assert answer["joined"].tolist() == [b"abab", b"ccc"]
    assert answer["lengths"].tolist() == [4, 3]
    assert list(engine.run(signature, inputs, ["lengths"])) == ["lengths"]
    assert engine.run(engine.signatures["serving_default"], {"x": np.float32(2)[...]})["y"] == 3


def test_the_two_ways_to_call_a_session_agree(engine):
    signature, inputs = engine.signatures["serving_default"], {"x": np.array([2, 4], np.float32)}
    assert engine._call.__qualname__.startswith("_quick_call"), "TensorFlow's quick way has moved"
    quick = engine.run(signature, inputs)
    plain = engine_module._plain_call(engine._session)
    [y] = plain({signature.inputs["x"].name: inputs["x"]}, [signature.outputs["y"].name], 1000)
    np.testing.assert_array_equal(y, quick["y"])


def test_errors_are_tensorflows_own_without_the_graph(engine):
    signature = engine.signatures["repeat"]
    with pytest.raises(ServingError) as error:
        engine.run(signature, {"text": np.array([b"a"], object), "times": np.array([-1])})
    assert error.value.code == Code.INVALID_ARGUMENT
    assert "node" not in error.value.message
    with pytest.raises(ServingError, match="to be float but int64 is provided"):
        engine.run(engine.signatures["serving_default"], {"x": np.array([1])})


def test_a_run_ends_at_its_time(tmp_path):
    def endless(x):
        return tf.while_loop(lambda i: i < 1e30, lambda i: [i + 1e-3], [x])[0]

    loaded = Engine(saved(tmp_path / "1", endless, tf.TensorSpec((), tf.float32)))
    start = time.monotonic()
    with pytest.raises(ServingError) as error:
        loaded.run(loaded.signatures["serving_default"], {"x": np.float32(0)[...]}, timeout=0.2)
    assert error.value.code == Code.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 5
    loaded.close()


def test_sets_of_outputs_that_clients_choose_do_not_pile_up(engine, monkeypatch):
    monkeypatch.setattr(engine_module, "MOST_SETS", 1)
    signature = engine.signatures["repeat"]
    inputs = {"text": np.array([b"ab"], object), "times": np.array([2])}
    for outputs in (["joined"], ["lengths"], ["joined", "lengths"], []):
        answer = engine.run(signature, inputs, outputs, timeout=9)
        assert list(answer) == (outputs or ["joined", "lengths"])
        assert answer.get("lengths", [4]) == [4]
    assert len([one for one, _ in engine._plans if one == "repeat"]) <= 3


def test_many_threads_ask_at_once(engine):
    signature, wrong = engine.signatures["serving_default"], []

    def ask(number):
        for _ in range(50):
            if engine.run(signature, {"x": np.full(2, number, np.float32)})["y"][0] != number / 2 + 2:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_of_tensorflow_1_is_served_and_takes_what_its_placeholder_would_not(tmp_path):
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 1), "x")
        weight = v1.get_variable("w", initializer=0.5, use_resource=False)
        y = tf.add(x * weight, 2, "y")
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
        builder = v1.saved_model.Builder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    loaded = Engine(tmp_path / "1")
    answer = loaded.run(loaded.signatures["serving_default"], {"x": np.array([2, 4, 6], np.float32)})
    assert answer["y"].tolist() == [3, 4, 5]
    loaded.close()


def reads_a_file(x):
    return tf.io.read_file(x)


def writes_a_file(x):
    with tf.control_dependencies([tf.io.write_file("never_written", x)]):
        return tf.identity(x)


def runs_python(x):
    return tf.numpy_function(lambda one: one, [x], tf.string)


def prints(x):
    tf.print(x)
    return tf.identity(x)


def reads_lines(x):
    return tf.data.TextLineDataset(x).reduce(tf.constant(b""), lambda before, line: before + line)


def reads_a_checkpoint(x):
    return tf.raw_ops.RestoreV2(prefix=x, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def inside_a_loop(x):
    return tf.map_fn(tf.io.read_file, tf.reshape(x, (1,)))


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (reads_a_file, "ReadFile"),
        (writes_a_file, "WriteFile"),
        (runs_python, "PyFunc"),
        (prints, "PrintV2"),
        (reads_lines, "TextLineDataset"),
        (reads_a_checkpoint, "RestoreV2"),
        (inside_a_loop, "ReadFile"),
    ],
)
def test_models_that_reach_files_or_processes_are_not_loaded(tmp_path, function, operation):
    path = saved(tmp_path / "1", function, tf.TensorSpec((), tf.string))
    with pytest.raises(ServingError, match=operation) as error:
        Engine(path)
    assert error.value.code == Code.PERMISSION_DENIED
    Engine(path, allow_any_operation=True).close()


def table_of(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    return tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        -1,
    )


def test_a_vocabulary_among_the_models_own_assets_is_loaded(tmp_path):
    module = tf.Module()
    module.table = table_of(tmp_path)
    module.function = tf.function(module.table.lookup, input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.function})
    loaded = Engine(tmp_path / "1")
    [answer] = loaded.run(loaded.signatures["serving_default"], {"keys": np.array([b"dog", b"cow"], object)}).values()
    assert answer.tolist() == [1, -1]
    loaded.close()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "saved_model.pb").unlink(), "has no saved_model.pb"),
        (lambda path: (path / "saved_model.pb").write_bytes(b"\xff" * 50), "cannot be read"),
        (lambda path: (path / "saved_model.pb").write_bytes(b""), "no graph with the tag 'serve'"),
        (lambda path: (path / "variables" / "variables.index").unlink(), "cannot be loaded"),
        (
            lambda path: (path / "variables" / "variables.data-00000-of-00001").write_bytes(b"x"),
            "cannot be loaded",
        ),
    ],
)
def test_damaged_models(tmp_path, damage, message):
    module = tf.Module()
    module.variable = tf.Variable(tf.ones(100))
    module.function = tf.function(lambda x: x * module.variable, input_signature=[tf.TensorSpec((), tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": module.function})
    damage(tmp_path / "1")
    with pytest.raises(ServingError, match=message):
        Engine(tmp_path / "1")
