"""Shared by all tests: two logical processors, so that replicas are seen on any machine, and one tiny run a recipe."""

import gc
import importlib
import os
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many of them as processors
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as recipes does, which is too late below

import keras
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image

import recipes

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

from recipes.data import sources  # noqa: E402 - after the processors are split
from recipes.verbs.evaluate import compiled_metrics  # noqa: E402


def pytest_collection_modifyitems(items):
    """Keeps the tests of a recipe in one process, where its tiny run is made once."""
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        named = [value for value in asked.values() if isinstance(value, str) and value in recipes.RECIPES]
        name = named[0] if named else item.path.stem.removeprefix("test_")
        if name in recipes.RECIPES:
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(scope="module", autouse=True)
def _keep_what_stays():
    """Keeps what a module's tests leave, models and graphs, from being looked through at each collection to come."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_folder(request, tmp_path, monkeypatch):
    """Each test works in an empty folder, with no cluster of the machine's, none of its data, and no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECIPES_CACHE_DIR", str(tmp_path / "cache"))
    if not request.node.get_closest_marker("real_data"):
        unplug(monkeypatch, tmp_path)
    for name in [name for name in os.environ if name == "TF_CONFIG" or name.startswith("SLURM_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _empty_pictures(request, monkeypatch):
    """Pictures are composed and not drawn, which takes as long as a tiny training; marked `drawn`, they are."""
    if not request.node.get_closest_marker("drawn"):
        monkeypatch.setattr(Figure, "savefig", save_empty)


draw = Figure.savefig


def save_empty(figure, path, **settings):
    """Stands in for `Figure.savefig`: a picture of nothing."""
    Image.new("L", (128, 128)).save(path, "png")


def unplug(monkeypatch, folder):
    """Takes away the network, and what data sets there are."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "tfds"))
    monkeypatch.setattr(sources, "network_problem", lambda: "no network (unplugged by a test)")


@pytest.fixture(params=recipes.RECIPES)
def recipe(request):
    """Each recipe in turn."""
    return importlib.import_module(f"recipes.{request.param}")


@pytest.fixture
def bare(recipe, fitted, monkeypatch):
    """The recipe without its report's pictures, and without scores that need translations."""
    fitted(recipe)  # with them: not for the first time after this
    strip_report(recipe, monkeypatch)
    return recipe


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """Returns a function: recipe -> its TINY model, trained once in a session, on the stand-in for its real data.

    What it printed then is in `fitted.output[recipe]`.
    """

    @cache
    def fit(recipe):
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
            unplug(patch, tmp_path_factory.mktemp("data"))
            patch.setattr(Figure, "savefig", draw)
            model = recipe.fit(recipe.TINY, dataset=recipe.Config().dataset, runs=tmp_path_factory.mktemp("runs"))
        fit.output[recipe] = output.getvalue()
        return model

    fit.output = {}
    return fit


@pytest.fixture(scope="session")
def exported(fitted, tmp_path_factory):
    """Returns a function: recipe -> the folder of its TINY model's SavedModel, exported once in a session."""
    return cache(lambda recipe: recipe.export(fitted(recipe), path=tmp_path_factory.mktemp("saved_models")))


def strip_report(recipe, monkeypatch):
    """Takes the pictures from a recipe's report, and the scores that need translations: they take their time."""
    page = recipe.fit.__self__
    monkeypatch.setattr(page, "reports", ())
    monkeypatch.setattr(page, "figures", compiled_metrics)


def runs_of(model) -> Path:
    """Returns the `runs=` that a model was fitted with."""
    return model.run.folder.parent.parent


class Crash(keras.callbacks.Callback):
    """Raises at a step that the process does, which it counts where no checkpoint looks."""

    steps = 0

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_begin(self, logs=None):
        Crash.steps = 0

    def on_train_batch_end(self, batch, logs=None):
        Crash.steps += 1
        if Crash.steps == self.at:
            raise RuntimeError("crash")
