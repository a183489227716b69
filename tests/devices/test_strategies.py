import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_dense
from recipes.devices import strategies
from recipes.devices.replicas import replica_rows, several_replicas
from recipes.devices.strategies import choose_strategy, describe_strategy, training_scope
from recipes.errors import ConfigError, TrainingError


def test_auto_is_one_device_here_and_the_active_strategy_inside_a_scope():
    assert describe_strategy(choose_strategy("auto")) == "one device (CPU)"
    mirrored = choose_strategy("mirrored")
    with mirrored.scope():
        assert choose_strategy("auto") is mirrored
        with training_scope(mnist_dense.TINY) as strategy:
            assert strategy is mirrored


def test_a_strategy_that_contradicts_the_scope_is_refused():
    with choose_strategy("mirrored").scope():
        assert choose_strategy("mirrored").num_replicas_in_sync == 2
        with pytest.raises(
            ConfigError, match="strategy='single' inside the scope of a MirroredStrategy with 2 replica"
        ):
            choose_strategy("single")
    with tf.distribute.OneDeviceStrategy("/CPU:0").scope():
        with pytest.raises(
            ConfigError, match="strategy='mirrored' inside the scope of a OneDeviceStrategy with 1 replica"
        ):
            choose_strategy("mirrored")


def test_memory_that_runs_out_while_the_model_is_built_is_explained():
    with pytest.raises(TrainingError, match="out of memory with batch_size=32; try batch_size=16"):
        with training_scope(mnist_dense.TINY):
            raise MemoryError


def test_a_batch_that_cannot_be_shared_is_refused():
    config = mnist_dense.Config(strategy="mirrored", batch_size=33)
    with pytest.raises(
        ConfigError, match="batch_size=33 cannot be shared evenly by 2 replicas; use a multiple, such as 32"
    ):
        with training_scope(config):
            pass


def test_mirrored_needs_two_devices(monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [tf.config.LogicalDevice("/CPU:0", "CPU")][kind == "GPU" :]
    )
    with pytest.raises(ConfigError, match="found one device"):
        choose_strategy("mirrored")


def test_the_dtype_policy_is_put_back_after_the_scope():
    before = keras.config.dtype_policy().name
    with training_scope(mnist_dense.Config()):
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = mnist_dense.build()
    assert keras.config.dtype_policy().name == before
    assert model.layers[-1].compute_dtype == "float32", "logits"
    assert model.layers[3].compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.weights} == {"float32"}


def test_several_workers_are_asked_for_by_name():
    with pytest.raises(ConfigError, match="found no other workers; expected TF_CONFIG or SLURM .* recipes launch"):
        choose_strategy("multi_worker")


def test_parameter_servers_are_refused_and_the_alternative_named(monkeypatch):
    with pytest.raises(ConfigError, match="parameter_server.*'multi_worker' trains on several machines"):
        mnist_dense.Config(strategy="parameter_server")
    monkeypatch.setattr(tf.distribute, "has_strategy", lambda: True)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: object.__new__(tf.distribute.ParameterServerStrategy))
    with pytest.raises(
        ConfigError, match="ParameterServerStrategy, which Keras 3 cannot .*MultiWorkerMirroredStrategy"
    ):
        choose_strategy("auto")


@pytest.mark.parametrize("count", [1, 2])
def test_replicas_take_their_own_rows(count):
    strategy = choose_strategy("mirrored" if count == 2 else "single")
    assert strategy.num_replicas_in_sync == count
    with strategy.scope():
        assert several_replicas() == (count == 2)
    rows = strategy.run(lambda: replica_rows(tf.range(6)))
    np.testing.assert_array_equal(tf.concat(strategy.experimental_local_results(rows), 0), range(6))


# ---------------------------------------------------------------- TPU, against fakes


@pytest.fixture
def fake_tpu(monkeypatch):
    """A TPU that remembers what was done to it, in order."""
    done = []

    class Resolver:
        def __init__(self, tpu):
            done.append(f"find {tpu}")

    class Strategy:
        num_replicas_in_sync = 8

        def __init__(self, resolver):
            done.append("strategy")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda resolver: done.append("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda resolver: done.append("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", Strategy)
    return done


def test_a_tpu_is_found_connected_and_initialized_before_the_strategy(fake_tpu, monkeypatch):
    monkeypatch.setenv("TPU_NAME", "grpc://10.0.0.2:8470")
    strategy = choose_strategy("tpu")
    assert fake_tpu == ["find grpc://10.0.0.2:8470", "connect", "initialize", "strategy"]
    assert describe_strategy(strategy) == "8 TPU cores"


def test_a_tpu_of_this_machine_is_not_connected_to(fake_tpu, monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    choose_strategy("tpu")
    assert fake_tpu == ["find local", "initialize", "strategy"]


def test_auto_takes_a_tpu_only_where_tensorflow_can_use_it(fake_tpu, monkeypatch):
    monkeypatch.setenv("TPU_NAME", "local")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not strategies.has_tpu()
    choose_strategy("auto")
    assert fake_tpu == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "libtpu" or None)
    choose_strategy("auto")
    assert fake_tpu == ["find local", "initialize", "strategy"]


def test_no_tpu_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(ConfigError, match="strategy='tpu' found no TPU it can use .* tensorflow-tpu.*strategy='auto'"):
        choose_strategy("tpu")
