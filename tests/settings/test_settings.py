from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import ConfigError
from recipes.runs.atomic_files import write_json
from recipes.settings import (
    Count,
    Counts,
    ImageShape,
    Positive,
    Settings,
    Share,
    comments,
    meanings,
    read_config,
    read_config_of_run,
    with_changes,
)


@dataclass(frozen=True)
class Config(Settings):
    epochs: Count = 1
    dropout: Share = 0.5  # share, # below 1
    units: Counts = (3,)  # widths
    image_shape: ImageShape | None = None  # H, W, C
    rate: Positive = 0.1  # highest
    kind: Literal["a", "b"] = "a"  # which
    flip: bool = True  # whether

    former = {"network": "fast", "beta": None}

    def __post_init__(self):
        super().__post_init__()
        if self.kind == "b":
            self.refuse_without_effect("dropout rate", "kind='b' has nothing to drop", without=0.0)


@given(
    st.builds(
        Config,
        epochs=st.integers(1, 10**9),
        dropout=st.floats(0, 0.999),
        units=st.lists(st.integers(1, 99), min_size=1).map(tuple),
        max_examples=st.none() | st.integers(1, 9),
        image_shape=st.none() | st.tuples(*3 * [st.integers(1, 9)]),
        flip=st.booleans(),
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.json"
    write_json(path, asdict(config))
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
        {"units": ()},
        {"rate": 0.0},
        {"rate": float("inf")},
        {"seed": 2**31},
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
    config = Config(dropout=0, units=[1, 2], epochs=np.int64(7), image_shape=[4, 5, 6])
    assert (config.dropout, config.units, config.epochs, config.image_shape) == (0.0, (1, 2), 7, (4, 5, 6))
    assert [type(config.dropout), type(config.epochs)] == [float, int]


def test_change_names_the_nearest_field():
    assert with_changes(Config(), epochs=3) == Config(epochs=3)
    with pytest.raises(ConfigError, match=r"unknown setting 'droput' .did you mean 'dropout'.*Settings: dataset, max"):
        with_changes(Config(), droput=0.1)


def test_comments_come_from_the_source():
    assert comments(Config)["dropout"] == "share, # below 1"
    assert comments(Config)["epochs"] == "passes over the training split", "of Settings, where the field says nothing"
    assert set(comments(Config)) == {field.name for field in fields(Config)}


def test_ranges_stand_at_the_field_and_are_shown_with_its_meaning():
    shown = meanings(Config)
    assert shown["dropout"] == "share, # below 1, in [0, 1)"
    assert shown["rate"] == "highest (> 0)"
    assert shown["units"] == "widths (>= 1)"
    assert shown["kind"] == "which"


def test_a_setting_that_would_change_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"dropout=0.2 would change nothing: kind='b' has nothing to drop. Leave"):
        Config(kind="b", dropout=0.2)
    with pytest.raises(ConfigError, match="rate=0.3 would change nothing"):
        with_changes(Config(rate=0.3), kind="b")
    assert Config(kind="b").dropout == 0.5
    assert Config(kind="b", dropout=0.0).dropout == 0.0, "the same in other words"


def test_the_config_of_an_older_run_is_read(tmp_path):
    old = {
        "epochs": 4,
        "image_shape": [28, 28, 1],
        "num_classes": 10,
        "train_examples": 99,
        "network": "fast",
        "beta": 1,
    }
    write_json(tmp_path / "config.json", {**old, "kind": "b", "dropout": 0.1})
    config = read_config_of_run(Config, tmp_path / "config.json")
    assert config == Config(epochs=4, kind="b"), "what had no effect, and what follows the data, are left out"
    write_json(tmp_path / "config.json", {**old, "network": "classic"})
    with pytest.raises(ConfigError, match="unknown setting 'network'"):
        read_config_of_run(Config, tmp_path / "config.json")


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
