"""`fit(resume="ID")` continues a run with its own settings and data, and says why where it cannot."""

from pathlib import Path

import keras
import numpy as np
import pytest

from recipes import imdb_transformer, mnist_dense
from recipes.cli import main
from recipes.errors import ConfigError, RunError
from recipes.settings import with_changes

TINY = with_changes(mnist_dense.TINY, checkpoint_steps=1, dataset="mnist")


class Crash(keras.callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.at:
            raise RuntimeError("crash")


def crashed(**options):
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Crash(5)], **options)
    return max(Path("runs/mnist_dense").iterdir())


@pytest.mark.xdist_group("mnist_dense")
def test_a_run_ends_as_it_would_have_with_its_own_settings_and_stand_in(fitted, capsys):
    whole = fitted(mnist_dense)
    folder = crashed()
    model = mnist_dense.fit(resume=folder.name, callbacks=[Crash(-1)])
    assert "resuming the unfinished run there, after 0 whole epochs and 5 steps" in capsys.readouterr().out
    assert model.run.folder == folder
    assert model.run.config == TINY
    assert model.run.info.stand_in_for == "mnist"
    for weight, same in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)
    with pytest.raises(RunError, match="is finished; there is nothing to continue. For a new run .*config.json"):
        mnist_dense.fit(resume=folder)


def test_a_file_is_found_again_and_must_be_the_same(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("say,is\n" + "".join(f"a film of {n} {n % 7},{n % 2}\n" for n in range(100)))
    settings = {"text_column": "say", "label_column": "is", "batch_size": 8, "checkpoint_steps": 1}
    with pytest.raises(RuntimeError, match="crash"):
        imdb_transformer.fit(imdb_transformer.TINY, path, callbacks=[Crash(5)], **settings)
    [folder] = Path("runs/imdb_transformer").iterdir()
    rows = path.read_text()
    path.write_text(rows.replace("film of 3", "film of 4"))
    with pytest.raises(RunError, match=r"was begun on .*a.csv .*, and this is .*a.csv .*, with other examples"):
        imdb_transformer.fit(resume=folder)
    path.write_text(rows.replace(",", ";"))
    assert imdb_transformer.fit(resume=folder, callbacks=[Crash(-1)]).run.folder == folder, "the same examples"


def test_data_in_memory_is_passed_again_and_must_be_the_same():
    images, labels = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8), np.arange(64) % 10
    folder = crashed(data=((images, labels), (images, labels)), batch_size=8)
    with pytest.raises(RunError, match="was begun on your own arrays, which is not kept in it; pass the same again"):
        mnist_dense.fit(resume=folder)
    with pytest.raises(RunError, match="with other examples; pass the same as data="):
        mnist_dense.fit(data=((images[::-1], labels), (images, labels)), resume=folder)
    assert (
        mnist_dense.fit(data=((images, labels), (images, labels)), resume=folder, callbacks=[Crash(-1)]).run.folder
        == folder
    )


def test_what_cannot_be_continued_is_said():
    folder = crashed()
    with pytest.raises(ConfigError, match="resume='x' continues a run with its own settings; pass no others"):
        mnist_dense.fit(resume="x", epochs=3)
    with pytest.raises(RunError, match="there is no run x in runs"):
        mnist_dense.fit(resume="x")
    for name in ("environment.json", "run.json"):  # either tells its precision
        (folder / name).write_text("{")
    with pytest.raises(RunError, match="environment.json cannot be read"):
        mnist_dense.fit(resume=folder)
    (folder / "failed.txt").write_text("the loss became nan\n")
    with pytest.raises(RunError, match="has failed for good: the loss became nan. For a new run"):
        mnist_dense.fit(resume=folder)


def test_from_the_command_line(capsys):
    folder = crashed()
    assert main(["fit", "mnist_dense", "--run", folder.name, "--epochs", "3"]) == 2
    assert "continues a run with its own settings; leave out all others" in capsys.readouterr().err
    assert main(["fit", "mnist_dense", "--run", folder.name]) == 1
    assert "has the callbacks Crash; got none" in capsys.readouterr().err, "it was found and begun"
