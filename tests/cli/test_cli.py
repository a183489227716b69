import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import runs_of
from PIL import Image

import recipes
from recipes import (
    imdb_transformer,
    mnist_dense,
    shakespeare_gpt,
    translate_seq2seq,
    word2vec,
)
from recipes.cli import VERBS, main


def test_list_and_help_name_everything(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == list(recipes.RECIPES)
    assert main(["--help"]) == main([]) == 0
    assert all(f"recipes {verb}" in capsys.readouterr().out for verb in list(VERBS)[:1])
    assert main(["--version"]) == 0
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(recipes.RECIPES)


def test_help_is_on_standard_output_wherever_it_is_asked_for(capsys):
    for arguments in (["list", "--help"], ["doctor", "-h"], ["fit", "--help"], ["copy", "mnist_dense", "--help"]):
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.out.startswith(f"usage: recipes {arguments[0]}")
        assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fitt"], "unknown command 'fitt' (did you mean 'fit'?)"),
        (["fit"], "fit needs the name of a recipe: mnist_dense"),
        (["fit", "mnist-dense"], "unknown recipe 'mnist-dense' (did you mean 'mnist_dense'?)"),
        (["list", "--jsn"], "list takes --json and no other arguments; got --jsn (did you mean '--json'?)"),
        (["doctor", "now"], "doctor takes --json and no other arguments; got now"),
        (["completion", "bsh"], "completion got bsh (did you mean 'bash'?); expected bash, zsh, fish"),
        (["runs", "delte"], "unknown recipe 'delte' (did you mean 'delete'?)"),
        (["runs", "compare", "x"], "compare got 1 runs; expected two or more"),
        (["runs", "delete"], "delete got no runs; expected their ids"),
        (["launch", "--workers", "0", "fit", "x"], "--workers '0'; expected a whole number from 1 to 64"),
        (["fit", "mnist_dense", "--epochs", "0"], "epochs=0 is out of range; expected at least 1"),
        (["fit", "mnist_dense", "--config", "no.json"], "cannot read the config file no.json"),
        (["fit", "shakespeare_gpt", "--setting", "TINY", "--num-heads", "3"], "embed_dim=8 cannot be shared by num_"),
        (["predict", "mnist_dense"], "predict got no inputs; expected names of image files, or texts"),
        (["generate", "mnist_dense"], "mnist_dense has no 'generate'; recipes list tells what each does"),
        (["translate", "word2vec", "a"], "word2vec has no 'translate'; recipes list tells what each does"),
        (["neighbours", "imdb_lstm", "a"], "imdb_lstm has no 'neighbours'; recipes list tells what each does"),
        (["copy", "mnist_dense"], "usage: recipes copy mnist_dense FILE.py"),
        (["fit", "mnist_dense", "--setting", "LINAER"], "unknown --setting 'LINAER' (did you mean 'LINEAR'?)"),
    ],
)
def test_bad_usage_is_status_2_with_the_nearest_name(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "mnist_dense", "--data", "nowhere", "--setting", "TINY"], "nowhere is not a folder"),
        (["fit", "missing.py"], "there is no recipe file missing.py"),
        (["evaluate", "mnist_dense"], "no finished run of mnist_dense in runs/mnist_dense; run fit first"),
        (["predict", "mnist_dense", "--runs", "elsewhere", "a.png"], "no finished run of mnist_dense in elsewhere"),
        (["generate", "shakespeare_gpt"], "no finished run of shakespeare_gpt in runs/shakespeare_gpt; run fit first"),
        (["fit", "translate_seq2seq", "--data", "no.tsv", "--setting", "TINY"], "cannot read no.tsv: No such file"),
        (["fit", "word2vec", "--data", "no.txt", "--setting", "TINY"], "cannot read no.txt: No such file"),
        (["copy", "mnist_dense", "recipes.py"], "recipes is a name of this package"),
        (["copy", "missing.py", "mine.py"], "cannot copy missing.py to mine.py: No such file"),
        (["copy", "mnist_dense", "my-recipe.py"], "expected a Python file name, such as my_mnist_dense.py"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments, message, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("recipes: ")
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments", [["fit", "mnist_dense", "--epoch", "3"], ["fit", "mnist_dense", "--epochs", "many"]]
)
def test_unknown_and_ill_typed_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_from_fit_to_predict(capsys, tmp_path):
    assert main(["fit", "mnist_dense", "--setting", "TINY", "--epochs", "2", "--units", "16", "8"]) == 0
    output = capsys.readouterr().out
    assert "epoch 2/2" in output
    assert "next: recipes export mnist_dense" in output
    [folder] = Path("runs/mnist_dense").iterdir()
    assert json.loads((folder / "config.json").read_text())["units"] == [16, 8]

    assert main(["evaluate", "mnist_dense"]) == 0
    recorded = json.loads((folder / "metrics.json").read_text())["test"]
    assert f"accuracy {recorded['accuracy']:.4f}" in capsys.readouterr().out
    assert main(["evaluate", "mnist_dense", "--json"]) == 0
    expected = {"run": str(folder), "data": "digits", "stand_in_for": "", "test": recorded}
    assert json.loads(capsys.readouterr().out) == expected

    assert main(["export", "mnist_dense"]) == 0
    assert "exported to saved_models/mnist_dense/1" in capsys.readouterr().out

    Image.fromarray(np.zeros((40, 30), np.uint8)).save("black.png")
    Path("torn.jpg").write_bytes(b"torn")
    assert main(["predict", "mnist_dense", "torn.jpg", "black.png"]) == 1
    captured = capsys.readouterr()
    file, label, probability = captured.out.split()
    assert (file, label in "0123456789", 0.1 <= float(probability) <= 1) == ("black.png", True, True)
    assert "torn.jpg is not a readable image" in captured.err


def test_config_prints_every_setting_with_its_meaning_and_json_for_config(capsys, tmp_path):
    assert main(["config", "mnist_dense", "--setting", "LINEAR", "--epochs", "7"]) == 0
    printed = capsys.readouterr().out
    assert "# settings to start from (--setting): default, LINEAR, TINY" in printed
    assert "units = ()" in printed
    assert "epochs = 7" in printed
    assert all(meaning in printed for meaning in ("share of hidden units dropped in training, in [0, 1)", "(>= 1)"))
    assert main(["config", "mnist_dense", "--setting", "TINY", "--json"]) == 0
    Path("tiny.json").write_text(capsys.readouterr().out)
    assert main(["fit", "mnist_dense", "--config", "tiny.json", "--json"]) == 0
    captured = capsys.readouterr()
    run = json.loads(captured.out)
    assert run["test"] == json.loads(Path(run["run"], "metrics.json").read_text())["test"]
    assert "epoch 1/1" in captured.err


def test_tune_writes_a_config_that_fit_reads(capsys):
    assert main(["tune", "mnist_dense", "--setting", "TINY", "--trials", "1"]) == 0
    [best] = Path("runs/mnist_dense").glob("tune-*/best.json")
    assert f"next: recipes fit mnist_dense --config {best}" in capsys.readouterr().out
    assert main(["fit", "mnist_dense", "--config", str(best)]) == 0


def test_a_quiet_training_prints_its_figures_alone(capsys):
    assert main(["fit", "mnist_dense", "--setting", "TINY", "--dataset", "mnist", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"test on digits, the stand-in for mnist: .*accuracy 0\.\d{4}.*\n", captured.out)
    assert captured.err == ""


def test_a_copy_is_a_recipe_of_its_own(capsys):
    assert main(["copy", "mnist_dense", "my_recipe.py"]) == 0
    assert main(["copy", "mnist_dense", "my_recipe.py"]) == 1
    assert "my_recipe.py exists; name another file" in capsys.readouterr().err
    assert main(["fit", "my_recipe.py", "--setting", "TINY"]) == 0
    assert "next: recipes export my_recipe.py" in capsys.readouterr().out
    assert main(["evaluate", "my_recipe.py"]) == 0
    [folder] = Path("runs/my_recipe").iterdir()
    assert "import my_recipe\n" in (folder / "report.md").read_text()
    sys.modules.pop("my_recipe")


def test_a_folder_of_images_with_a_class_each_from_the_command_line(capsys):
    for value, name in ((0, "dark"), (255, "light")):
        for number in range(40):
            Path("pictures", name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (20, 20), abs(value - number)).save(f"pictures/{name}/{number}.png")
    settings = ["--setting", "LINEAR", "--epochs", "30", "--batch-size", "8", "--learning-rate", "0.01"]
    assert main(["fit", "mnist_dense", "--data", "pictures", *settings]) == 0
    assert main(["evaluate", "mnist_dense"]) == 0
    assert "accuracy 1.0000" in capsys.readouterr().out
    assert main(["predict", "mnist_dense", "pictures/light/3.png"]) == 0
    assert capsys.readouterr().out.split()[1] == "light"


def test_a_table_from_the_command_line(capsys):
    rows = [f"{word} film {number};{label}" for number in range(40) for label, word in enumerate(("a bad", "a good"))]
    Path("reviews.csv").write_text("\n".join(["say;stars", *rows]))
    Path("others.csv").write_text("\n".join(["words;points", *rows]))
    assert main(["fit", "imdb_transformer", "--setting", "TINY", "--batch-size", "8", "--data", "reviews.csv"]) == 0
    notes = capsys.readouterr().out.splitlines()[:2]
    assert notes == [
        "note: the columns of reviews.csv are separated by semicolons",
        "note: texts are taken from column 'say' and labels from 'stars' of reviews.csv",
    ]
    named = ["--text-column", "words", "--label-column", "points", "--quiet"]
    assert main(["evaluate", "imdb_transformer", "--data", "others.csv", *named]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert main(["predict", "imdb_transformer", "reviews.csv", "a film"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[2:]] == [
        *(row.partition(";")[0] for row in rows),
        "a film",
    ]
    assert main(["evaluate", "imdb_transformer", "--data", "others.csv", "--text-column", "word"]) == 1
    assert "others.csv has no column 'word' (did you mean 'words'?), as text_column names it" in capsys.readouterr().err


def test_doctor_says_what_would_be_used(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for word in ("tensorflow 2", "strategy     one device (CPU)", "precision    ", "stand-ins    digits, shapes"):
        assert word in printed
    assert main(["doctor", "--json"]) == 0
    assert {"python", "packages", "strategy", "precision", "data_sets"} <= json.loads(capsys.readouterr().out).keys()


def test_another_backend_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert main(["doctor"]) == 1
    assert (
        capsys.readouterr().err
        == "recipes: KERAS_BACKEND is 'jax'; expected 'tensorflow'. Unset it, or set it to that\n"
    )


def test_predict_notes_a_stand_in(fitted, capsys, tmp_path):
    mnist_dense.fit(mnist_dense.TINY, dataset="mnist")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("black.png")
    capsys.readouterr()
    assert main(["predict", "mnist_dense", "black.png"]) == 0
    assert main(["evaluate", "mnist_dense"]) == 0
    assert capsys.readouterr().err.count("note: trained on the stand-in 'digits', not on mnist") == 2
    assert runs_of(fitted(mnist_dense)) != tmp_path / "runs"


def test_predictions_as_json_and_as_csv(capsys):
    mnist_dense.fit(mnist_dense.TINY)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("black.png")
    capsys.readouterr()
    assert main(["predict", "mnist_dense", "black.png", "black.png", "--json", "--csv", "answers.csv"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [expected] = mnist_dense.predict("black.png")
    assert rows == 2 * [{"input": "black.png", **expected}]
    with Path("answers.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == second
    assert first["label"] == expected["label"]
    assert float(first["p(3)"]) == expected["probabilities"]["3"]
    assert main(["predict", "mnist_dense", "black.png", "--csv", "nowhere/answers.csv"]) == 1
    assert "cannot write nowhere/answers.csv: No such file or directory" in capsys.readouterr().err
    assert main(["predict", "mnist_dense", "black.png", "--beam-width", "3"]) == 2
    assert "predict has no option 'beam_width'; expected min_probability, samples" in capsys.readouterr().err


@pytest.mark.xdist_group("imdb_transformer")
def test_texts_are_labelled(fitted, capsys):
    Path("review.txt").write_text("A wonderful film.")
    texts = ["review.txt", "missing.txt", "A wonderful film."]
    assert main(["predict", "imdb_transformer", *texts, *the_run_of(fitted(imdb_transformer))]) == 1
    captured = capsys.readouterr()
    rows = [line.split("\t") for line in captured.out.splitlines()]
    assert [row[0] for row in rows] == ["review.txt", "A wonderful film."]
    assert rows[0][1:] == rows[1][1:]
    assert "cannot read missing.txt: No such file" in captured.err


@pytest.mark.xdist_group("shakespeare_gpt")
def test_text_is_written(fitted, capsys):
    model = fitted(shakespeare_gpt)
    assert main(["generate", "shakespeare_gpt", "The ", "--length", "9", *the_run_of(model)]) == 0
    assert capsys.readouterr().out == "".join(shakespeare_gpt.generate("The ", 9, model=model)) + "\n"


@pytest.mark.xdist_group("translate_seq2seq")
def test_lines_are_translated(fitted, capsys, monkeypatch):
    model = fitted(translate_seq2seq)
    monkeypatch.setattr("sys.stdin", io.StringIO("She sold ten books.\n\n"))
    assert main(["translate", "translate_seq2seq", *the_run_of(model)]) == 0
    [expected] = translate_seq2seq.translate(["She sold ten books."], model=model)
    assert capsys.readouterr().out == f"{expected}\n\n", "of the empty line an empty one"


@pytest.mark.xdist_group("word2vec")
def test_words_are_compared(fitted, capsys):
    near = word2vec.neighbours("the", 3, model=fitted(word2vec))
    assert main(["neighbours", "word2vec", "the", "--count", "3", *the_run_of(fitted(word2vec))]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}\t{cosine:.4f}" for name, cosine in near]


LATIN_1 = "na\udcefve"  # as Python reads an argument or a line in Latin-1


@pytest.mark.xdist_group("translate_seq2seq")
def test_text_that_is_no_utf_8_is_named_and_the_rest_is_answered(fitted, capsys):
    the_run = the_run_of(fitted(translate_seq2seq))
    assert main(["translate", "translate_seq2seq", LATIN_1, "Ten books.", "--beam-width", "1", *the_run]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert (
        captured.err.splitlines(keepends=True)[-1]
        == "recipes: text 1 is na\\xefve, no text in UTF-8; convert it first, as iconv does\n"
    )
    assert main(["generate", "mnist_dense", LATIN_1]) == 1
    assert main(["fit", LATIN_1]) == 2
    assert "unknown recipe 'na\\udcefve'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", "mnist_dense", LATIN_1])


def the_run_of(model):
    return ["--run", str(model.run.folder)]


def test_the_real_command_has_the_real_exit_status_and_a_calm_standard_error(tmp_path):
    command = [sys.executable, "-m", "recipes", "fit", "mnist_dense", "--setting", "TINY"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    failed = subprocess.run([*command, "--learning-rate", "1e30"], capture_output=True, text=True, cwd=tmp_path)
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert line.startswith("recipes: the loss became")


def test_several_labels_are_printed_as_one_text():
    from recipes.cli.commands import _flat, _in_short

    row = {"input": "a.png", "labels": ["ant", "bee"], "probabilities": {"ant": 0.9, "bee": 0.75}}
    assert _in_short(row) == "a.png\tant, bee"
    assert _flat(row) == {"input": "a.png", "labels": "ant, bee", "p(ant)": 0.9, "p(bee)": 0.75}
    assert _in_short({"input": "a.png", "labels": [], "probabilities": {}}) == "a.png\t"
    assert _in_short({"input": "a.png", "value": 2.5}) == "a.png\t2.5000"
