"""Runs are listed by what their files say, whatever state these are in; deleting one deletes nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.errors import RunError
from recipes.runs.compare import compare_runs, draw_comparison
from recipes.runs.history import read_history
from recipes.runs.run_list import delete_run, find_run, list_runs, summary

DATA = {"name": "digits", "version": "", "stand_in_for": "mnist", "examples": {"train": 64}, "fingerprint": "ab"}
METRICS = {"status": "finished", "epochs": 2, "seconds": 61.2, "parameters": 7, "test": {"loss": 0.5, "accuracy": 0.9}}


def make_run(name, recipe="mnist_dense", metrics=METRICS, history="epoch,loss\n1,2.0\n2,1.5\n", **changes):
    folder = Path("runs", recipe, name)
    folder.mkdir(parents=True)
    files = {
        "config.json": {"dataset": "mnist", "epochs": 2, "seed": 0, **changes},
        "data.json": DATA,
        "environment.json": {"precision": "float32", "why": "asked for", "packages": {"keras": "3.15.1"}},
        "run.json": {"recipe": recipe, "number": 1, "identity": {}},
        **({"metrics.json": metrics} if metrics else {}),
    }
    for file, values in files.items():
        (folder / file).write_text(json.dumps(values))
    (folder / "history.csv").write_text(history)
    (folder / ".lock").touch()
    return folder


def make_search(name="tune-20260101-000002"):
    folder = Path("runs", "mnist_dense", name)
    folder.mkdir(parents=True)
    (folder / "trials.csv").write_text("trial,val_accuracy,error\n00,0.5,\n01,nan,boom\n")
    best = {"objective": "val_accuracy", "figure": 0.5, "trial": "00", "data": DATA, "config": {}}
    (folder / "best.json").write_text(json.dumps(best))
    return folder


def test_a_run_is_summed_up_by_its_files():
    run = summary(make_run("20260101-000001"))
    assert (run.id, run.recipe, run.state, run.data, run.stand_in_for) == (
        "20260101-000001",
        "mnist_dense",
        "finished",
        "digits",
        "mnist",
    )
    assert run.figure == ("accuracy", 0.9), "the first that is no loss"
    assert (run.epochs, run.epochs_asked, run.seconds) == (2, 2, 61.2)
    assert run.size == sum(path.stat().st_size for path in run.folder.iterdir())


def test_runs_and_searches_are_listed_the_oldest_first_and_other_folders_are_not():
    make_run("20260101-000003", "dcgan")
    make_run("20260101-000001")
    make_search()
    for other in ("runs/mnist_dense/notes", "runs/mnist_dense/.deleted-1-x", "runs/empty"):
        Path(other).mkdir()
    Path("runs/mnist_dense/notes/config.json").write_text("{}")
    Path("runs/file").touch()
    assert [run.id for run in list_runs()] == ["20260101-000001", "tune-20260101-000002", "20260101-000003"]
    [search] = [run for run in list_runs(recipe="mnist_dense") if run.search]
    assert (search.state, search.epochs, search.figure) == ("ended", 2, ("val_accuracy", 0.5))
    assert list_runs("nowhere") == []


def test_the_states_of_a_run_that_is_not_finished():
    folder = make_run("20260101-000001", metrics=None)
    assert summary(folder).state == "unfinished"
    with FileLock(folder / ".lock"):
        assert summary(folder).state == "training now"
    (folder / "model.keras").touch()
    (folder / "report.md").touch()
    assert summary(folder).state == "interrupted"
    (folder / "failed.txt").write_text("the loss became nan")
    assert summary(folder).state == "failed"
    folder = make_run("20260101-000002")
    (folder / "checkpoints").mkdir()
    assert summary(folder).state == "without its report"


@settings(max_examples=60, deadline=None)
@given(
    file=st.sampled_from(["run.json", "config.json", "data.json", "environment.json", "metrics.json", "history.csv"]),
    content=st.sampled_from([b"", b"{", b"[]", b"null", b"\xff", b'{"number": 1e400}', b"[" * 10**5, b'{"test": []}'])
    | st.binary(max_size=40),
)
def test_a_damaged_file_is_named_and_never_an_error(tmp_path_factory, file, content):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("damaged"))
        folder = make_run("20260101-000001")
        (folder / file).write_bytes(content)
        [run] = list_runs()
        if content in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 10**5) and file != "history.csv":
            assert run.state == f"damaged: {file}"
        delete_run(folder)
        assert list_runs() == []


def test_a_missing_record_is_damage():
    folder = make_run("20260101-000001")
    (folder / "data.json").unlink()
    assert summary(folder).state == "damaged: data.json"


def test_a_run_is_found_by_path_id_or_recipe_and_id():
    folder, other = make_run("20260101-000001"), make_run("20260101-000001", "dcgan")
    assert find_run(folder) == folder
    assert find_run("dcgan/20260101-000001") == other
    assert find_run("20260101-000001", recipe="dcgan") == other
    with pytest.raises(RunError, match="2 runs have the id 20260101-000001: "):
        find_run("20260101-000001")
    with pytest.raises(RunError, match="no run 20260101-00000 in runs .did you mean '20260101-000001'"):
        find_run("20260101-00000")
    with pytest.raises(RunError, match="runs/dcgan is no run's folder"):
        find_run("runs/dcgan")
    with pytest.raises(RunError, match="is empty"):
        find_run("")


def test_only_a_runs_own_folder_is_deleted():
    run, other = make_run("20260101-000001"), Path("other")
    other.mkdir()
    (other / "config.json").write_text("{}")  # as pretrained models of others have
    (other / "precious").touch()
    (run / "link").symlink_to(other.resolve())
    Path("runs/mnist_dense/linked").symlink_to(run.resolve())
    for folder, why in (
        (other, "no run's folder"),
        (Path("runs/mnist_dense/linked"), "is a link to"),
        (Path("runs"), "no"),
    ):
        with pytest.raises(RunError, match=why):
            delete_run(folder)
    with FileLock(run / ".lock"), pytest.raises(RunError, match="is being trained in; end that process first"):
        delete_run(run)
    leftover = run.with_name(".deleted-1-x")
    leftover.mkdir()
    delete_run(run)
    assert not run.exists()
    assert not leftover.exists(), "of a process that was killed as it deleted"
    assert (other / "precious").exists(), "what a link in it leads to"


def test_old_histories_count_from_0_and_what_is_no_number_is_nan(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss,f1,remark\n0,2.0,,good\n1,1.0,0.5,\n")
    history = read_history(tmp_path / "history.csv")
    assert history["epoch"] == [1, 2]
    assert str(history["f1"]) == "[nan, 0.5]"
    assert "remark" not in history
    assert read_history(tmp_path) == {}


@pytest.mark.drawn
def test_runs_are_compared():
    one = make_run("20260101-000001", history="epoch,loss,val_loss\n1,2.0,2.5\n2,1.5,2.0\n")
    other = make_run("20260101-000002", seed=3, name_of_its_own="$a_$b", metrics=None)
    comparison = compare_runs([one, other])
    assert comparison.settings == {"seed": [0, 3], "name_of_its_own": [None, "$a_$b"]}
    assert comparison.figures["test accuracy"] == [0.9, None]
    assert comparison.figures["state"] == ["finished", "unfinished"]
    [axes] = draw_comparison(comparison).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[2.0, 1.5], [2.5, 2.0], [2.0, 1.5]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
    moved = one.rename("runs/mnist_dense/$0_$10")
    assert draw_comparison(compare_runs([moved, other])).savefig("any.png") is None, "a name is no mathematics"
    with pytest.raises(RunError, match="is a search"):
        compare_runs([other, make_search()])


def test_listing_and_comparing_load_no_tensorflow():
    program = "import sys, recipes.cli; recipes.cli.main(['runs']); import recipes.runs.compare\n"
    program += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=Path(__file__).parents[2])
