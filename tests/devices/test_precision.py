import json

import pytest

from recipes.devices import precision
from recipes.devices.environment import cache_dir
from recipes.devices.precision import choose_precision, precision_file


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


def test_the_measured_rates_are_positive_and_measured_once():
    assert precision.matmul_rates() is precision.matmul_rates()
    assert min(precision.matmul_rates().values()) > 0
