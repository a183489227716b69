"""Runs that version 0.1 of this package has written are loaded: their models, with every class that has moved since."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from recipes.data import in_memory
from recipes.data.in_memory import hold_out
from recipes.errors import RunError
from recipes.verbs.evaluate import compiled_metrics, data_of_run

ARCHIVE = Path(__file__).parent / "runs_of_version_0_1.zip"  # of each recipe TINY, trained on its stand-in
NAMES = sorted({name.split("/")[0] for name in zipfile.ZipFile(ARCHIVE).namelist()})


@pytest.fixture
def old_run(request, tmp_path):
    """The folder of a run, by its recipe's name."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(
            tmp_path / "old", [name for name in archive.namelist() if name.startswith(f"{request.param}/")]
        )
    return tmp_path / "old" / request.param


@pytest.mark.parametrize("old_run", NAMES, indirect=True)
def test_an_old_run_is_loaded_and_scores_what_it_scored(old_run, monkeypatch):
    """On the examples that were held out then, not by class."""
    monkeypatch.setattr(in_memory, "hold_out", lambda columns, fraction, classes: hold_out(columns, fraction))
    recipe = importlib.import_module(f"recipes.{old_run.name}")
    model, page = recipe.load(old_run), recipe.fit.__self__
    config, data = data_of_run(page, model)
    splits = page.load_data(config, data, model.run.tokenizer)
    recorded = model.run.metrics["test"]
    for name, value in compiled_metrics(model, splits).items():
        drawn = 0.05 if old_run.name == "mnist_vae" else 1e-3  # its test images are drawn otherwise: light or dark
        assert value == pytest.approx(recorded[name], rel=drawn), name


@pytest.mark.parametrize("old_run", ["shakespeare_gpt"], indirect=True)
def test_an_old_run_is_loaded_by_a_process_that_has_read_no_other(old_run):
    """Whose blocks were those of other recipes, too, which this one does not import any more."""
    program = f"from recipes import shakespeare_gpt; shakespeare_gpt.load({str(old_run)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("old_run", ["cifar_lecture"], indirect=True)
def test_the_lectures_network_is_no_run_of_cifar_convnet_any_more(old_run):
    from recipes import cifar_convnet

    with pytest.raises(RunError, match="is not a run of cifar_convnet: unknown setting 'network'"):
        cifar_convnet.load(old_run)
