"""Damaged small files of a run are written again as it is resumed, or named; they block no other run."""

import json
import shutil
from pathlib import Path

import keras
import pytest
from conftest import strip_report

from recipes import mnist_dense
from recipes.errors import RunError
from recipes.runs.run_folder import earlier_runs
from recipes.settings import with_changes

TINY = with_changes(mnist_dense.TINY, checkpoint_steps=1)
DAMAGE = {
    "empty": b"",
    "list": b"[]",
    "object": b"{}",
    "null": b"null",
    "infinite": b'{"number": 1e400, "identity": {}, "seconds": 1e400}',
    "binary": b"\xff\xfe\x00",
    "deep": b"[" * 5000,
    "half": b'{"recipe": "mnist_d',
}


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 4 and not Path("crashed").exists():
            Path("crashed").touch()
            raise RuntimeError("crash")


@pytest.fixture
def unfinished(monkeypatch):
    strip_report(mnist_dense, monkeypatch)
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=Crash())
    [path] = Path("runs/mnist_dense").glob("*/config.json")
    return path.parent


@pytest.mark.parametrize("shift", [0, 4])
def test_an_unfinished_run_with_damaged_files_is_resumed_and_whole_again(unfinished, shift):
    names = ("config.json", "data.json", "environment.json", "history.csv")
    whole = {name: (unfinished / name).read_bytes() for name in names[:2]}
    for name, damage in zip(names, [*DAMAGE.values()][shift:], strict=False):
        (unfinished / name).write_bytes(damage)
    model = mnist_dense.fit(TINY, callbacks=Crash())
    assert model.run.folder == unfinished
    assert {name: (unfinished / name).read_bytes() for name in whole} == whole
    assert json.loads((unfinished / "environment.json").read_text())["precision"] == "float32"
    assert mnist_dense.evaluate(unfinished) == model.run.metrics["test"]


def test_a_run_that_cannot_be_recognised_is_named_and_blocks_no_other(unfinished, capsys):
    for damage in DAMAGE.values():
        (unfinished / "run.json").write_bytes(damage)
        assert earlier_runs(unfinished.parent) == []
        said = capsys.readouterr().out
        assert f"{unfinished / 'run.json'} is damaged" in said
        assert "that run cannot be resumed" in said
    assert mnist_dense.fit(TINY, callbacks=Crash()).run.folder != unfinished


@pytest.mark.parametrize("name", ["config.json", "data.json", "metrics.json", "tokenizer.json", "model.keras"])
def test_a_damaged_file_of_a_finished_run_is_named(name, fitted, tmp_path):
    folder = shutil.copytree(fitted(mnist_dense).run.folder, tmp_path / "copy")  # which other tests share
    for kind, damage in DAMAGE.items():
        if kind in ("object", "infinite") and name in ("config.json", "metrics.json"):
            continue  # readable: the default settings, figures of another kind
        (folder / name).write_bytes(damage)
        with pytest.raises(RunError, match=name.replace(".", r"\.")):
            mnist_dense.load(folder)
