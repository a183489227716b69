import errno
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_dense
from recipes.data.splits import Sizes, Splits
from recipes.devices.strategies import choose_strategy
from recipes.errors import DataError, RunError, TrainingError
from recipes.runs.progress import duration
from recipes.verbs import fit as loop

TINY = mnist_dense.TINY


def raising(error, at_batch=2):
    def on_batch_end(batch, logs):
        if batch == at_batch:
            raise error

    return keras.callbacks.LambdaCallback(on_train_batch_end=on_batch_end)


def only_run(tmp_path):
    [folder] = (tmp_path / "runs" / "mnist_dense").iterdir()
    return folder


def test_nan_stops_the_run_with_the_step_and_the_rate():
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) at step \d+ of epoch 1, with a learning rate of"
    ):
        mnist_dense.fit(TINY, learning_rate=1e30)
    with pytest.raises(RunError, match="no finished run of mnist_dense"):
        mnist_dense.evaluate()


def test_ctrl_c_keeps_what_was_learned_and_is_not_called_finished(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, callbacks=[raising(KeyboardInterrupt())])
    folder = only_run(tmp_path)
    assert "interrupted after 0 whole epochs. The model so far is in" in capsys.readouterr().err
    assert "**Interrupted after 0 whole epochs.**" in (folder / "report.md").read_text()
    assert not (folder / "metrics.json").exists()
    assert not list(folder.glob(".part*"))
    assert 0 <= mnist_dense.evaluate(folder)["accuracy"] <= 1
    with pytest.raises(RunError, match="no finished run"):
        mnist_dense.evaluate()


def test_ctrl_c_before_the_first_epoch_and_during_the_evaluation_loses_nothing(tmp_path, monkeypatch):
    class AtOnce(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, callbacks=[AtOnce()])
    assert (only_run(tmp_path) / "model.keras").exists()

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "finish_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, runs="later")
    [folder] = (tmp_path / "later" / "mnist_dense").iterdir()
    assert "**Interrupted after 1 whole epochs.**" in (folder / "report.md").read_text()
    assert mnist_dense.export(folder).name == "1"


def test_evaluate_takes_all_of_a_folder_and_only_one_of_the_same_classes(tmp_path):
    for name, level in (("dark", 0), ("light", 250)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            keras.utils.save_img(f"pictures/{name}/{number}.png", np.full((9, 9, 1), level), scale=False)
    model = mnist_dense.fit(mnist_dense.LINEAR, data="pictures", batch_size=4, epochs=20, learning_rate=0.01)
    assert model.run.info.examples == {"train": 20, "validation": 2, "test": 2}
    mnist_dense.evaluate(model)
    for number in range(3):
        keras.utils.save_img(f"pictures/dark/more-{number}.png", np.full((9, 9, 1), 9), scale=False)
    with pytest.raises(DataError, match=r"it had 20 train, .*has 22 train.*may have been trained on.*data=, or train"):
        mnist_dense.evaluate(model)
    few = tmp_path / "few"
    for name in ("dark", "light"):
        (few / name).mkdir(parents=True)
        (few / name / "0.png").write_bytes((tmp_path / "pictures" / name / "0.png").read_bytes())
    assert mnist_dense.evaluate(model, data=few)["accuracy"] == 1
    (few / "dark").rename(few / "night")
    with pytest.raises(
        DataError, match="the classes of .*few are light, night; expected those of the model.*dark, light"
    ):
        mnist_dense.evaluate(model, data=few)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory with batch_size=32; try batch_size=16"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "try batch_size=16"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk of .* is full"),
        (tf.errors.ResourceExhaustedError(None, None, "events.v2; No space left on device"), "the disk of .* is full"),
    ],
)
def test_memory_and_disk_are_told_apart_and_explained(error, message):
    with pytest.raises(TrainingError, match=message):
        mnist_dense.fit(TINY, callbacks=[raising(error)])


def test_a_disk_that_fills_while_the_model_is_saved_leaves_no_half_model(tmp_path, monkeypatch):
    def half(self, path, **kwargs):
        path.write_bytes(b"half a model")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(TrainingError, match="is not finished. Make space"):
        mnist_dense.fit(TINY)
    names = {path.name for path in only_run(tmp_path).iterdir()}
    assert not names & {"model.keras", "metrics.json"}
    assert not [name for name in names if name.startswith(".part")]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(RunError, match=r"cannot make runs.mnist_dense.*Name another folder with runs="):
        mnist_dense.fit(TINY)


def test_two_runs_of_one_second_get_two_folders():
    first, second = mnist_dense.fit(TINY), mnist_dense.fit(TINY)
    assert first.run.folder != second.run.folder


class Unknown(keras.layers.Dense):
    """A layer of somebody's own, whose module is not to be found."""

    __module__ = "gone"

    def __init__(self):
        super().__init__(2)

    def get_config(self):
        return {}


def test_damaged_and_foreign_runs_are_refused(tmp_path):
    folder = mnist_dense.fit(TINY).run.folder
    (folder / "model.keras").write_bytes(b"torn")
    with pytest.raises(RunError, match=r"cannot read .*model\.keras: it is damaged: 4 bytes that are no whole zip"):
        mnist_dense.evaluate()
    keras.Sequential([keras.Input((2,)), Unknown()]).save(folder / "model.keras")
    with pytest.raises(RunError, match=r"it has a Unknown that this recipe does not know"):
        mnist_dense.evaluate()
    (folder / "model.keras").unlink()
    with pytest.raises(RunError, match=r"model\.keras: there is none"):
        mnist_dense.evaluate()
    (folder / "data.json").rename(folder / "kept.json")
    (folder / "data.json").write_text("{}")
    with pytest.raises(RunError, match=r"data\.json is damaged: it describes no data"):
        mnist_dense.evaluate(folder)
    (folder / "kept.json").rename(folder / "data.json")
    with pytest.raises(RunError, match="elsewhere holds no run: it has no config.json"):
        mnist_dense.evaluate(tmp_path / "elsewhere")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "beta": 1}))
    with pytest.raises(RunError, match="is not a run of mnist_dense: unknown setting 'beta'"):
        mnist_dense.evaluate(folder)


def test_a_users_own_finite_splits_train_without_validation_or_test():
    images, labels = np.zeros((64, 20, 20, 1), np.uint8), np.arange(64) % 10
    model = mnist_dense.fit(TINY, data=Splits(tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)))
    assert model.input_shape == (None, 20, 20, 1)
    assert model.run.metrics["test"] == {}
    with pytest.raises(DataError, match="has no test split"):
        mnist_dense.evaluate(model, data=Splits(tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)))


def test_a_model_of_another_shape_is_refused_in_words():
    model = mnist_dense.build(sizes=Sizes(image_shape=(8, 8, 1), num_classes=10))
    with pytest.raises(DataError, match=r"the inputs of digits are \(28, 28, 1\); this model expects \(8, 8, 1\)"):
        mnist_dense.evaluate(model, dataset="digits")


def test_names_of_layers_begin_anew_in_each_run():
    """The order in which TensorFlow adds the gradients of several branches, and so their bits, follows from names."""
    first, second = mnist_dense.fit(TINY), mnist_dense.fit(TINY)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_two_replicas_are_named_and_evaluate_as_one():
    model = mnist_dense.fit(TINY, strategy="mirrored")
    environment = json.loads((model.run.folder / "environment.json").read_text())
    assert environment["strategy"] == "mirrored over 2 CPUs"
    assert model.distribute_strategy.num_replicas_in_sync == 2
    assert mnist_dense.evaluate(model.run.folder) == pytest.approx(model.run.metrics["test"], rel=1e-5)


def test_a_users_own_strategy_scope_is_kept():
    strategy = choose_strategy("mirrored")
    with strategy.scope():
        model = mnist_dense.fit(TINY)
    assert model.distribute_strategy is strategy


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert duration(seconds) == text
