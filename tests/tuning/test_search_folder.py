"""Which search a line continues, and the files for people."""

import csv
import json
from pathlib import Path

import pytest
from searches import trial

from recipes import mnist_dense
from recipes.errors import RunError
from recipes.runs import atomic_files
from recipes.tuning.search_folder import RECORD, note_in_record, open_search, write_best, write_trials
from recipes.tuning.trial_results import START, TrialResult

PARENT = Path("runs/mnist_dense")
IDENTITY = {
    "learning_rate": 0.1,
    "data": ["mnist", "3.0.1", "abc"],
    "tuner": "random",
    "objective": ["val_accuracy", "max"],
    "space": [{"class_name": "Float", "config": {"name": "rate", "max_value": 1.0}}],
}


def search(trials=4, resume=True, ended=0, **changes):
    """Opens a search, and notes that it has tried all its settings; returns (its folder's name, whether continued)."""
    folder, continued = open_search(PARENT, IDENTITY | changes, trials, resume)
    if ended:
        note_in_record(folder, ended=ended)
    return folder.name, continued


def test_an_unfinished_search_is_continued_with_any_number_of_trials():
    first, continued = search()
    assert not continued
    assert json.loads((PARENT / first / RECORD).read_text()) == {
        "number": 1,
        "identity": IDENTITY,
        "trials": 4,
        "ended": 0,
    }
    assert search() == search(trials=2) == search(trials=9) == (first, True)


def test_a_finished_search_is_continued_for_more_trials_only(capsys):
    first, _ = search(ended=4)
    assert search(trials=5) == (first, True)
    second, continued = search(trials=4)
    assert (second == first, continued) == (False, False)
    assert json.loads((PARENT / second / RECORD).read_text())["number"] == 2
    assert "note" not in capsys.readouterr().out


def test_the_last_of_several_is_continued():
    names = [search(resume=False)[0] for _ in range(11)]
    assert search() == (names[-1], True)
    note_in_record(PARENT / names[-1], ended=4)
    assert search() == (names[-2], True)


def test_a_search_of_other_settings_is_left_with_a_note(capsys):
    first, _ = search()
    second, continued = search(learning_rate=0.2)
    assert not continued
    note = f"the unfinished search in {PARENT / first} is not continued: it differs (learning_rate 0.1 there, 0.2 here)"
    assert note in capsys.readouterr().out
    assert search() == (first, True)
    assert search(learning_rate=0.2) == (second, True)


def test_starting_over_is_said_of_an_unfinished_search(capsys):
    first, _ = search()
    second, continued = search(resume=False)
    assert (second == first, continued) == (False, False)
    assert "is not continued: resume=False. This is a new one" in capsys.readouterr().out
    note_in_record(PARENT / second, ended=4)
    search(resume=False)
    assert "note" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": ["val_loss", "min"]}, r"objective \['val_accuracy', 'max'\] there, \['val_loss', 'min'\] here"),
        ({"data": ["mnist", "3.0.1", "xyz"]}, r"data \['mnist', '3.0.1', 'abc'\] there, \['mnist', '3.0.1', 'xyz'\]"),
        (
            {"space": [{"class_name": "Float", "config": {"name": "rate", "max_value": 2.0}}]},
            r"space of rate \{.*'max_value': 1.0\} there, \{.*'max_value': 2.0\} here",
        ),
        ({"space": []}, r"space of rate \{.*\} there, None here"),
    ],
)
def test_a_named_search_that_is_another_is_refused_and_says_how(changes, words):
    first, _ = search()
    with pytest.raises(RunError, match=rf"the search in .*{first} is another: {words}"):
        search(resume=PARENT / first, **changes)


def test_a_named_search_is_continued_until_it_has_tried_as_many():
    first, _ = search()
    search()
    assert search(resume=PARENT / first) == (first, True)
    note_in_record(PARENT / first, ended=4)
    assert search(resume=PARENT / first, trials=5) == (first, True)
    with pytest.raises(RunError, match=f"the search in .*{first} has tried 4 settings; ask for more"):
        search(resume=PARENT / first)
    with pytest.raises(RunError, match=f"{PARENT} holds no search that can be continued: it has no {RECORD}"):
        search(resume=PARENT)


@pytest.mark.parametrize("damage", ["", "[1]", "{}", '{"number": 1, "identity": [], "ended": 0}', "\udcff"])
def test_a_damaged_record_is_named_and_left(damage, capsys):
    first, _ = search()
    record = PARENT / first / RECORD
    record.write_bytes(damage.encode("utf-8", "surrogateescape"))
    before = record.read_bytes()
    second, continued = search()
    assert (second == first, continued) == (False, False)
    assert f"{record} is damaged" in (output := capsys.readouterr().out)
    assert "that search cannot be continued" in output
    assert record.read_bytes() == before
    with pytest.raises(RunError, match="is damaged"):
        search(resume=PARENT / first)


def read_trials(path=Path("trials.csv")):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_trials_as_a_table():
    write_trials(
        Path("trials.csv"),
        "val_accuracy",
        [
            TrialResult(START, figures=(0.5, 0.8), figure=0.8, seconds=1.5),
            TrialResult("0", {"units": 32}, figures=(0.9,), figure=0.9, seconds=2.0, cut="pruned"),
            TrialResult("1", {"units": 64, "dropout": True}, error="the loss became nan", seconds=0.1),
        ],
    )
    assert Path("trials.csv").read_text().splitlines() == [
        "trial,val_accuracy,epochs,seconds,units,dropout,cut,error",
        "start,0.8,2,1.5,,,,",
        "0,0.9,1,2.0,32,,pruned,",
        "1,,0,0.1,64,True,,the loss became nan",
    ]


@pytest.mark.parametrize("text", ['a "quoted", comma', "two\nlines\r\nof it", "tab\tand ; = ü 漢", "", "=1+1"])
def test_hostile_text_comes_back_from_the_table(text):
    trials = [trial(0, 0.5, values={text or "x": text}, error=text), trial(1, 0.6)]
    write_trials(Path("trials.csv"), "val_loss", trials)
    rows = read_trials()
    assert [row["trial"] for row in rows] == ["00", "01"]
    assert (rows[0][text or "x"], rows[0]["error"]) == (text, text)


def test_what_is_no_unicode_is_escaped_in_the_table():
    write_trials(Path("trials.csv"), "val_loss", [trial(0, 0.5, error="cannot read bad\udcff.png")])
    assert read_trials()[0]["error"] == "cannot read bad\\udcff.png"


@pytest.mark.parametrize("name", ["trial", "epochs", "val_loss", "seconds", "cut", "error"])
def test_a_hyperparameter_may_be_called_as_a_column(name):
    write_trials(Path("trials.csv"), "val_loss", [trial(7, 0.5, values={name: 99}, error="nan")])
    [row] = read_trials()
    own = {"trial": "07", "val_loss": "0.5", "epochs": "4", "seconds": "60", "cut": "", "error": "nan"}
    assert row == own | {f"{name} (setting)": "99"}


def test_a_table_that_cannot_be_written_leaves_the_old_one(monkeypatch):
    write_trials(Path("trials.csv"), "val_loss", [trial(0, 0.5)])
    before = Path("trials.csv").read_bytes()

    def full(path):
        raise OSError("No space left on device")

    monkeypatch.setattr(atomic_files, "sync", full)
    with pytest.raises(OSError, match="No space"):
        write_trials(Path("trials.csv"), "val_loss", [trial(1, 0.5)])
    assert Path("trials.csv").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["trials.csv"]


def test_the_best_is_written_with_its_settings():
    data = {"name": "mnist"}
    write_best(Path("best.json"), trial(3, 0.5), ("val_loss", "min"), data, mnist_dense.TINY)
    best = json.loads(Path("best.json").read_text())
    settings = best.pop("config")
    assert best == {"objective": "val_loss", "direction": "min", "figure": 0.5, "trial": "03", "data": data}
    assert mnist_dense.Config(**settings) == mnist_dense.TINY
