"""Shared by all tests: two logical processors, so that replicas are seen on any machine, and one tiny run a recipe."""

import importlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

import recipes

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

from recipes.data import sources  # noqa: E402 - after the processors are split


def pytest_collection_modifyitems(items):
    """Keeps the tests of a recipe in one process, where its tiny run is made once."""
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        name = asked.get("recipe") or asked.get("classifier") or item.path.stem.removeprefix("test_")
        if name in recipes.RECIPES:
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Each test works in an empty folder, with no cluster of the machine's."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name == "TF_CONFIG" or name.startswith("SLURM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """An empty data folder, and no network."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(sources, "network_problem", lambda: "no network (unplugged by a test)")


@pytest.fixture(params=recipes.RECIPES)
def recipe(request):
    """Each recipe in turn."""
    return importlib.import_module(f"recipes.{request.param}")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """Returns a function: recipe -> its TINY model, trained once in a session."""
    models = {}

    def fit(recipe):
        if recipe.__name__ not in models:
            models[recipe.__name__] = recipe.fit(recipe.TINY, runs=tmp_path_factory.mktemp("runs"))
        return models[recipe.__name__]

    return fit


def runs_of(model) -> Path:
    """Returns the `runs=` that a model was fitted with."""
    return model.run.folder.parent.parent
