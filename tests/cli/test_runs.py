"""`recipes runs`: what is listed, compared and deleted, in words and as JSON."""

import io
import json
from pathlib import Path

import pytest
from filelock import FileLock

from recipes.cli import main


@pytest.fixture
def two_runs():
    """Two runs that differ in a setting; the second is unfinished."""
    folders = []
    for number, rate in enumerate([0.1, 0.2], start=1):
        folder = Path(f"runs/mnist_dense/20260101-00000{number}")
        folder.mkdir(parents=True)
        files = {
            "config.json": {"epochs": 3, "learning_rate": rate},
            "data.json": {"name": "digits\x1b[2J", "stand_in_for": "mnist"},
            "environment.json": {},
            "run.json": {"recipe": "mnist_dense", "number": number, "identity": {}},
        }
        if number == 1:
            files["metrics.json"] = {"status": "finished", "epochs": 3, "seconds": 75, "test": {"accuracy": 0.9}}
        for name, values in files.items():
            (folder / name).write_text(json.dumps(values))
        (folder / "history.csv").write_text("epoch,loss\n1,2.0\n2,nan\n")
        folders.append(folder)
    return folders


def test_runs_are_listed(two_runs, capsys):
    (two_runs[0] / "config.json").write_text("{")
    assert main(["runs"]) == main(["runs", "mnist_dense"]) == 0
    head, first, second = map(str.split, capsys.readouterr().out.splitlines()[:3])
    assert head == ["id", "recipe", "data", "figure", "epochs", "time", "state", "size"]
    data = ["digits\\x1b[2J", "(stand-in", "for", "mnist)"]
    assert first[:-2] == ["20260101-000001", "mnist_dense", *data, "accuracy", "0.9000", "3", "1", "min", "15", "s",
                          "damaged:", "config.json"]  # fmt: skip
    assert second[:-2] == ["20260101-000002", "mnist_dense", *data, "2/3", "unfinished"]
    assert main(["runs", "list", "--json"]) == 0
    assert [run["state"] for run in json.loads(capsys.readouterr().out)] == ["damaged: config.json", "unfinished"]
    assert main(["runs", "dcgan"]) == main(["runs", "--runs", "nowhere"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err.splitlines()[0]) == ("", "no runs of dcgan in runs; recipes fit NAME makes one")


@pytest.mark.drawn
def test_runs_are_compared(two_runs, capsys):
    assert main(["runs", "compare", "20260101-000001", "mnist_dense/20260101-000002"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["learning_rate", "0.1", "0.2"] in lines
    assert ["test", "accuracy", "0.9", "-"] in lines
    assert ["curves:", "compare.png"] in lines
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")
    assert main(["runs", "compare", *map(str, two_runs), "--json", "--picture", "no/where.png"]) == 1
    assert "cannot write no/where.png: No such file or directory" in capsys.readouterr().err
    assert main(["runs", "compare", *map(str, two_runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"learning_rate": [0.1, 0.2]}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_deleting_asks_first(two_runs, capsys, monkeypatch):
    first, second = two_runs
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["runs", "delete", first.name]) == 2
    assert "there is no terminal to ask on; pass --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert main(["runs", "delete", first.name]) == 0
    assert capsys.readouterr().out.endswith("delete this for good? [y/N] nothing is deleted\n")
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(["runs", "delete", first.name, str(first)]) == 0
    assert (first.exists(), second.exists()) == (False, True)
    with FileLock(second / ".lock"):
        assert main(["runs", "delete", second.name, "--yes"]) == 1
    assert "is being trained in" in capsys.readouterr().err
    assert main(["runs", "delete", second.name, "--yes"]) == 0
    assert list(Path("runs/mnist_dense").iterdir()) == []
