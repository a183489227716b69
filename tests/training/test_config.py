from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import ConfigError
from recipes.settings import change, check_config, comments, read_config, write_config


@dataclass(frozen=True)
class Config:
    epochs: int = 1  # passes, 1 or more
    dropout: float = 0.5  # share, # below 1
    units: tuple[int, ...] = (3,)  # widths
    image_shape: tuple[int, int, int] = (1, 2, 3)  # H, W, C
    max_examples: int | None = None  # None: all
    kind: Literal["a", "b"] = "a"  # which
    flip: bool = True  # whether

    def __post_init__(self):
        check_config(self)


@given(
    st.builds(
        Config,
        epochs=st.integers(1, 10**9),
        dropout=st.floats(0, 0.999),
        units=st.lists(st.integers(1, 99)).map(tuple),
        max_examples=st.none() | st.integers(1, 9),
        kind=st.sampled_from("ab"),
        flip=st.booleans(),
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.json"
    write_config(config, path)
    assert read_config(Config, path) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 1.0},
        {"epochs": True},
        {"epochs": None},
        {"dropout": "0.1"},
        {"dropout": 1},
        {"dropout": float("nan")},
        {"dropout": -0.1},
        {"units": (3, 0)},
        {"units": (3, "4")},
        {"units": 3},
        {"image_shape": (1, 2)},
        {"kind": "c"},
        {"flip": 1},
    ],
)
def test_wrong_types_and_ranges_are_refused_with_the_field_and_the_value(changes):
    [(name, value)] = changes.items()
    with pytest.raises(ConfigError) as caught:
        Config(**changes)
    assert f"{name}=" in str(caught.value)
    assert "expected" in str(caught.value)
    assert repr(value) in str(caught.value)


def test_numbers_become_what_is_declared():
    config = Config(dropout=0, units=[1, 2], epochs=np.int64(7))
    assert (config.dropout, config.units, config.epochs) == (0.0, (1, 2), 7)
    assert [type(config.dropout), type(config.epochs)] == [float, int]


def test_change_names_the_nearest_field():
    assert change(Config(), epochs=3) == Config(epochs=3)
    with pytest.raises(
        ConfigError, match=r"unknown setting 'droput' .did you mean 'dropout'.*Settings: epochs, dropout"
    ):
        change(Config(), droput=0.1)


def test_comments_come_from_the_source():
    assert comments(Config)["dropout"] == "share, # below 1"
    assert set(comments(Config)) == {field.name for field in fields(Config)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the config file .*: No such file"),
        ("{", "is not a JSON file of settings"),
        ("[1]", "holds a JSON list"),
        ('{"epoch": 3}', "did you mean 'epochs'"),
        ('{"config": {"epochs": 0}}', "epochs=0 is out of range"),
    ],
)
def test_a_config_file_that_does_not_fit_is_explained(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(Config, tmp_path / "config.json")
