import keras
import pytest
import tensorflow as tf

from recipes import mnist_dense
from recipes.errors import ConfigError, TrainingError
from recipes.training import devices
from recipes.training.devices import choose_precision
from recipes.training.strategies import choose_strategy, describe_strategy, training_scope


@pytest.mark.parametrize(
    ("flags", "rates", "policy"),
    [
        (set(), {"float32": 1, "bfloat16": 9}, "float32"),  # emulated: not even measured
        ({"avx512_bf16"}, {"float32": 300, "bfloat16": 170}, "float32"),
        ({"avx512_bf16"}, {"float32": 440, "bfloat16": 750}, "mixed_bfloat16"),
        ({"amx_bf16"}, {"float32": 100, "bfloat16": 110}, "float32"),  # not worth the rounding
    ],
)
def test_bfloat16_only_where_it_is_native_and_faster(monkeypatch, flags, rates, policy):
    monkeypatch.setattr(devices, "processor_flags", lambda: flags)
    monkeypatch.setattr(devices, "matmul_rate", rates.get)
    chosen = choose_precision("auto")
    assert chosen.policy == policy
    assert chosen.reason


def test_the_scope_sets_the_precision_and_puts_it_back():
    before = keras.config.dtype_policy().name
    with training_scope(mnist_dense.Config(precision="mixed_bfloat16")):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        model = mnist_dense.build()
    assert keras.config.dtype_policy().name == before
    assert model.layers[-1].compute_dtype == "float32", "logits"
    assert model.layers[3].compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.weights} == {"float32"}


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
        with pytest.raises(ConfigError, match="strategy='single' inside the scope of a strategy with 2 replicas"):
            choose_strategy("single")
    with tf.distribute.OneDeviceStrategy("/CPU:0").scope():
        with pytest.raises(ConfigError, match="strategy='mirrored' inside the scope of a strategy with 1 replicas"):
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


def test_several_machines_are_refused_in_words(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(ConfigError, match="Unset TF_CONFIG, or choose strategy='single'"):
        choose_strategy("auto")
    assert choose_strategy("single").num_replicas_in_sync == 1


def test_mirrored_needs_two_devices(monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [tf.config.LogicalDevice("/CPU:0", "CPU")][kind == "GPU" :]
    )
    with pytest.raises(ConfigError, match="found one device"):
        choose_strategy("mirrored")


def test_the_measured_rate_is_positive_and_measured_once():
    assert devices.matmul_rate("float32") == devices.matmul_rate("float32") > 0
