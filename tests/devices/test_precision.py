import pytest

from recipes.devices import precision
from recipes.devices.precision import choose_precision


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
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    monkeypatch.setattr(precision, "matmul_rate", rates.get)
    chosen = choose_precision("auto")
    assert chosen.policy == policy
    assert chosen.reason


def test_the_measured_rate_is_positive_and_measured_once():
    assert precision.matmul_rate("float32") == precision.matmul_rate("float32") > 0
