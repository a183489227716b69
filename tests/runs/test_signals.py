"""SIGTERM at any moment leaves no half folder and says the truth."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import strip_report

from recipes import mnist_dense
from recipes.runs import finish, run_folder
from recipes.runs.signals import ENDED_BY_SIGTERM
from recipes.verbs import saved_model_checks

TINY = mnist_dense.TINY


def terminate(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    strip_report(mnist_dense, monkeypatch)


def ended(capsys, function, *args, **kwargs):
    """Calls what SIGTERM ends; returns what was said."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        function(*args, **kwargs)
    assert end.value.code == ENDED_BY_SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    return capsys.readouterr().err


def test_in_reading_the_data(monkeypatch, capsys):
    monkeypatch.setattr(mnist_dense.fit.__self__, "_load_data", terminate)
    assert "nothing is trained or saved yet" in ended(capsys, mnist_dense.fit, TINY)
    assert not Path("runs").exists()


@pytest.mark.parametrize("at", range(4))
def test_as_its_folder_is_made(monkeypatch, capsys, at):
    write_json, calls = run_folder.write_json, []
    monkeypatch.setattr(
        run_folder, "write_json", lambda *args: [write_json(*args), calls.append(1), len(calls) > at and terminate()]
    )
    assert "nothing is trained or saved yet" in ended(capsys, mnist_dense.fit, TINY)
    assert not list(Path("runs").rglob("*.*"))


def test_in_the_report_it_is_saved_and_the_same_line_ends_it(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(finish, "write_report", terminate)
        assert "run the same command again to resume it" in ended(capsys, mnist_dense.fit, TINY)
    [folder] = Path("runs/mnist_dense").iterdir()
    assert mnist_dense.evaluate(folder), "its weights and figures are there"
    model = mnist_dense.fit(TINY)
    assert model.run.folder == folder
    assert (folder / "report.md").exists()


def test_after_the_end_it_is_finished(monkeypatch, capsys):
    monkeypatch.setattr(finish, "duration", lambda seconds: terminate() or "")
    assert "ended by SIGTERM: the run is finished" in ended(capsys, mnist_dense.fit, TINY)


def test_in_an_export_nothing_is_left(monkeypatch, capsys, fitted):
    from recipes.cli import main

    folder = fitted(mnist_dense).run.folder
    monkeypatch.setattr(saved_model_checks, "check_answers", terminate)
    said = ended(capsys, main, ["export", "mnist_dense", "--run", str(folder)])
    assert "nothing is left half written" in said
    assert not list(Path("saved_models").rglob("*.*"))


def test_what_a_killed_export_has_left_is_removed_by_the_next(fitted):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = Path(f"saved_models/mnist_dense/.part-{gone.pid}-1/variables")
    alive = Path(f"saved_models/mnist_dense/.part-{os.getppid()}-1")
    for path in (dead, alive):
        path.mkdir(parents=True)
    mnist_dense.export(fitted(mnist_dense))
    assert sorted(path.name for path in Path("saved_models/mnist_dense").iterdir()) == [alive.name, "1"]


def test_in_its_imports():
    process = subprocess.Popen(
        [sys.executable, "-m", "recipes", "fit", "mnist_dense"],
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.PIPE,
    )
    time.sleep(1.5)  # TensorFlow takes longer
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, Path("runs").exists()) == (ENDED_BY_SIGTERM, False), said
    assert "ended by SIGTERM" in said
    assert "Traceback" not in said
