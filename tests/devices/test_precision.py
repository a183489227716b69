import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from recipes import mnist_dense
from recipes.devices import precision
from recipes.devices.environment import cache_dir
from recipes.devices.precision import OwnStep, choose_precision, precision_file
from recipes.verbs import step_time


@pytest.fixture
def measured(monkeypatch):
    """Returns a function that sets what a measurement gives, and the list of the measurements that were made."""
    made = []

    def rates(float32, bfloat16, flags=("avx512_bf16",)):
        monkeypatch.setattr(precision, "processor_flags", lambda: set(flags))
        monkeypatch.setattr(
            precision, "matmul_rates", lambda: made.append(1) or {"float32": float32, "bfloat16": bfloat16}
        )
        return made

    return rates


@pytest.mark.parametrize(
    ("flags", "float32", "bfloat16", "policy"),
    [
        ((), 1, 9, "float32"),  # emulated: not even measured
        (("avx512_bf16",), 300, 170, "float32"),
        (("avx512_bf16",), 440, 750, "mixed_bfloat16"),
        (("amx_bf16",), 100, 110, "float32"),  # not worth the rounding
    ],
)
def test_bfloat16_only_where_it_is_native_and_faster(measured, flags, float32, bfloat16, policy):
    made = measured(float32, bfloat16, flags)
    chosen = choose_precision("auto")
    assert chosen.policy == policy
    assert chosen.reason
    assert len(made) == bool(flags)


def test_a_machine_is_measured_once_and_keeps_its_precision_when_it_is_busy(measured):
    made = measured(440, 750)
    first = choose_precision()
    measured(440, 300)  # another program has taken the processor
    assert choose_precision() == first
    assert precision_file().exists()
    assert len(made) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"float32": "x"}', '{"float32": 0, "bfloat16": 1, "date": ""}', "\xff"])
def test_a_damaged_file_is_measured_again(measured, content):
    cache_dir().mkdir()
    precision_file().write_text(content)
    measured(440, 750)
    assert choose_precision().policy == "mixed_bfloat16"


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(measured, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECIPES_CACHE_DIR", str(tmp_path / "file" / "cache"))
    measured(440, 750)
    assert choose_precision().policy == "mixed_bfloat16"


def test_the_first_of_two_processes_decides(measured):
    measured(440, 750)
    cache_dir().mkdir()

    def slower():  # while this process measures, another one keeps its rates
        precision_file().write_text(json.dumps({"float32": 100, "bfloat16": 50, "date": "2026-01-01"}))
        return {"float32": 440, "bfloat16": 750}

    precision.matmul_rates = slower  # put back by the fixture's monkeypatch
    assert choose_precision().policy == "float32"
    assert [path.name for path in cache_dir().iterdir()] == [precision_file().name]


# ---------------------------------------------------------------- the recipe's own step


def step_of(float32, bfloat16, key="a", asked=None):
    milliseconds = {"float32": float32, "mixed_bfloat16": bfloat16}
    asked = [] if asked is None else asked
    return OwnStep(lambda: key, lambda policy: asked.append(policy) or milliseconds[policy])


@pytest.mark.parametrize(
    ("rates", "milliseconds", "policy", "reason"),
    [
        ((440, 750), (100, 60), "mixed_bfloat16", "60 against 100 ms of a core"),
        ((440, 750), (100, 110), "float32", "110 against 100 ms of a core"),
        ((440, 750), (100, 90), "float32", "90 against 100 ms"),  # not worth the rounding
        ((440, 300), (100, 60), "float32", "300 against 440 GFLOP/s"),
    ],
)
def test_the_recipe_s_own_step_decides_where_products_are_faster(measured, rates, milliseconds, policy, reason):
    measured(*rates)
    chosen = choose_precision("auto", step_of(*milliseconds))
    assert chosen.policy == policy
    assert reason in chosen.reason


def test_a_step_is_measured_once_for_each_model(measured):
    measured(440, 750)
    asked = []
    assert choose_precision("auto", step_of(100, 60, "a", asked)).policy == "mixed_bfloat16"
    assert choose_precision("auto", step_of(100, 200, "a", asked)).policy == "mixed_bfloat16"
    assert asked == ["float32", "mixed_bfloat16"]
    assert choose_precision("auto", step_of(100, 200, "b", asked)).policy == "float32"
    assert choose_precision("mixed_bfloat16", step_of(100, 200, "c", asked)).policy == "mixed_bfloat16"
    assert len(asked) == 4
    assert choose_precision().policy == "mixed_bfloat16", "no step, and products are faster"


def test_a_run_is_of_the_precision_that_its_step_says(measured, tmp_path, monkeypatch):
    measured(440, 750)
    before = keras.config.dtype_policy()
    monkeypatch.setattr(step_time, "SECONDS", 0.0)
    model = mnist_dense.fit(mnist_dense.TINY, precision="auto", runs=tmp_path)
    where = json.loads((model.run.folder / "environment.json").read_text())
    assert "ms of a core for a step" in where["why"]
    assert where["precision"] == model.dtype_policy.name or model.layers[1].dtype_policy.name == where["precision"]
    again = mnist_dense.fit(mnist_dense.TINY, precision=where["precision"], runs=tmp_path, resume=False)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # the measurement leaves no trace in the training
    keras.config.set_dtype_policy(before)


def test_the_key_of_a_step_is_of_the_model_and_its_batch():
    def key(**changes):
        config = replace(mnist_dense.TINY, **changes)
        return step_time.own_step(mnist_dense.fit.__self__, config, mnist_dense.load_data(config)).key()

    assert key() == key(seed=3, epochs=7, learning_rate=0.5)
    assert len({key(), key(units=(9,)), key(batch_size=16)}) == 3


def test_the_measured_rates_are_positive_and_measured_once():
    assert precision.matmul_rates() is precision.matmul_rates()
    assert min(precision.matmul_rates().values()) > 0
