"""What a run leaves to go on from, when it does, and when it says why not. That it then ends the same: test_kill.py."""

import errno
import json
import random
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import Tell

from recipes import dcgan, mnist_dense
from recipes.data.splits import DataInfo, Splits
from recipes.devices.keras_fixes import op_determinism_is_on
from recipes.errors import RunError, TrainingError
from recipes.runs import checkpoints
from recipes.runs import run_folder as runs
from recipes.runs.checkpoints import Checkpoint, newest_checkpoint, pack, parse_checkpoint, unpack, write_checkpoint
from recipes.runs.signals import ENDED_BY_SIGTERM
from recipes.settings import with_changes

TINY = with_changes(mnist_dense.TINY, checkpoint_steps=1)  # 8 steps an epoch


class Crash(keras.callbacks.Callback):
    """Raises at one of the steps that a process does; counts those of the run."""

    def __init__(self, at=5, error=RuntimeError):
        super().__init__()
        self.at, self.error, self.steps = at, error, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if batch == self.at:
            raise self.error("crash")


def crashed(**changes):
    """Leaves an unfinished run and returns its folder."""
    before = set(folders())
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Crash()], **changes)
    [folder] = set(folders()) - before
    return folder


def folders():
    from pathlib import Path

    return [path.parent for path in Path("runs/mnist_dense").glob("*/config.json")]


def steps_in(folder):
    return [int(path.stem[5:]) for path in sorted((folder / "checkpoints").iterdir())]


def test_the_same_line_goes_on_and_says_so(capsys):
    folder = crashed()
    assert steps_in(folder) == [3, 4, 5], "the last few"
    capsys.readouterr()
    crash = Crash(at=-1)
    model = mnist_dense.fit(TINY, callbacks=[crash])
    said = capsys.readouterr().out
    assert "resuming the unfinished run there, after 0 whole epochs and 5 steps" in said
    assert model.run.folder == folder
    assert crash.steps == 8, "a callback's own attributes go on too"
    assert not (folder / "checkpoints").exists(), "of no use once it is finished"
    assert mnist_dense.fit(TINY).run.folder != folder, "a finished run is left as it is"


def test_resume_false_starts_over(capsys):
    folder = crashed()
    model = mnist_dense.fit(TINY, resume=False)
    assert model.run.folder != folder
    assert f"the unfinished run in {folder} is not resumed: resume=False" in capsys.readouterr().out
    assert mnist_dense.fit(TINY).run.folder != folder, "the newer run of the same line is finished"


def test_other_settings_are_a_new_run_and_the_difference_is_said(capsys):
    folder = crashed()
    model = mnist_dense.fit(TINY, learning_rate=0.002)
    assert model.run.folder != folder
    said = capsys.readouterr().out
    assert f"the unfinished run in {folder} is not resumed: it differs" in said
    assert "(learning_rate 0.001 there, 0.002 here)" in said


def test_other_data_is_a_new_run():
    images, labels = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), np.uint8), np.arange(100) % 10
    data = ((images, labels), (images, labels))
    folder = crashed(data=data, batch_size=10)
    changed = images.copy()
    changed[3, 4, 5] ^= 1
    other = ((changed, labels), (images, labels))
    assert mnist_dense.fit(TINY, data=other, batch_size=10).run.folder != folder
    assert mnist_dense.fit(TINY, data=data, batch_size=10, callbacks=[Crash(-1)]).run.folder == folder


def test_a_run_all_of_whose_checkpoints_are_torn_begins_again_and_keeps_new_ones(capsys):
    folder = crashed()
    for path in (folder / "checkpoints").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Crash(2)])
    assert steps_in(folder) == [1, 2]
    mnist_dense.fit(TINY, callbacks=[Crash(-1)])
    assert "after 0 whole epochs and 2 steps" in capsys.readouterr().out


def test_how_often_it_saves_may_change():
    folder = crashed()
    assert mnist_dense.fit(TINY, checkpoint_steps=None, callbacks=[Crash(-1)]).run.folder == folder


def test_a_torn_checkpoint_is_named_and_the_one_before_is_used(capsys):
    folder = crashed()
    expected = mnist_dense.fit(TINY, resume=False, runs="elsewhere").get_weights()
    newest, second, _ = sorted((folder / "checkpoints").iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    model = mnist_dense.fit(TINY, callbacks=[Crash(-1)])
    said = capsys.readouterr().out
    assert f"checkpoint {newest} is damaged" in said
    assert f"checkpoint {second} is damaged" in said
    assert "after 0 whole epochs and 3 steps" in said
    assert model.run.folder == folder
    for weight, same in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_a_disk_that_fills_while_a_checkpoint_is_written_keeps_the_one_before(monkeypatch):
    write, left = checkpoints._write, [3]

    def full(part, checkpoint):
        write(part, checkpoint)
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_write", full)
        with pytest.raises(TrainingError, match="the disk of .* is full.*Make space"):
            mnist_dense.fit(TINY)
    [folder] = folders()
    assert steps_in(folder) == [1, 2]
    assert mnist_dense.fit(TINY).run.folder == folder


def test_a_second_run_in_the_same_folder_refuses_and_the_first_goes_on():
    refusals = []

    class Second(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 4:
                with pytest.raises(RunError, match="another process is training in .*--no-resume"):
                    mnist_dense.fit(TINY)
                refusals.append(batch)

    model = mnist_dense.fit(TINY, callbacks=[Second()])
    assert refusals == [4]
    assert model.run.metrics["status"] == "finished"
    assert len(folders()) == 1


def test_another_process_holds_the_lock():
    folder = crashed()
    program = f"import filelock, time; lock = filelock.FileLock({str(folder / '.lock')!r}); lock.acquire();"
    program += "print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process is training in"):
            mnist_dense.fit(TINY)
    finally:
        holder.kill()
        holder.communicate()
    assert mnist_dense.fit(TINY, callbacks=[Crash(-1)]).run.folder == folder, "a lock does not outlive its process"


def test_a_folder_that_is_read_only_is_named(monkeypatch):
    folder = crashed()

    def refused(self, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refused)  # file modes do not stop root
    with pytest.raises(RunError, match=f"cannot write to {folder} to train there: Permission denied"):
        mnist_dense.fit(TINY)


def test_a_clock_that_goes_backwards_changes_nothing(monkeypatch):
    first = mnist_dense.fit(TINY).run.folder
    monkeypatch.setattr(time, "strftime", lambda *args: "19990101-000000")
    monkeypatch.setattr(time, "time", lambda: 915148800.0)
    folder = crashed()
    model = mnist_dense.fit(TINY, callbacks=[Crash(-1)])
    assert model.run.folder == folder
    assert folder.name == "19990101-000000" < first.name
    assert runs.earlier_runs(folder.parent)[0][0] == folder
    assert mnist_dense.evaluate() == model.run.metrics["test"], "the newest run"
    assert model.run.metrics["seconds"] >= 0


def test_a_run_without_a_checkpoint_begins_again_in_its_folder(capsys):
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Crash(0)])
    [folder] = folders()
    assert mnist_dense.fit(TINY, callbacks=[Crash(-1)]).run.folder == folder
    assert "after 0 whole epochs and 0 steps" in capsys.readouterr().out


def test_a_run_that_ended_in_nan_is_not_gone_on_with():
    with pytest.raises(TrainingError, match="the loss became"):
        mnist_dense.fit(TINY, learning_rate=1e30)
    [folder] = folders()
    assert "the loss became" in (folder / "failed.txt").read_text()
    with pytest.raises(TrainingError, match="the loss became"):
        mnist_dense.fit(TINY, learning_rate=1e30)
    assert len(folders()) == 2


def test_other_callbacks_are_refused_by_name():
    crashed()
    with pytest.raises(RunError, match="has the callbacks Crash; got none. Pass the same, or resume=False"):
        mnist_dense.fit(TINY)


@pytest.mark.slow
def test_a_stopped_and_a_slowed_run_go_on_as_they_were(monkeypatch):
    """Keras's callbacks that slow a run need a rate that is a number, not a schedule."""
    monkeypatch.setattr(keras.optimizers.schedules, "CosineDecay", lambda rate, steps: rate)

    def callbacks(at):
        stop = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=10, restore_best_weights=True)
        slow = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=10, factor=0.5)
        rate = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
        return [stop, slow, rate, Crash(at)]

    tiny = with_changes(dcgan.TINY, epochs=9, checkpoint_steps=3)
    whole = dcgan.fit(tiny, callbacks=callbacks(-1), runs="whole")
    assert len(whole.history.epoch) == 2, "stopped early"
    assert len(set(whole.history.history["learning_rate"])) == 2, "slowed"
    for at in (4, 1, 2, 2):
        with pytest.raises(RuntimeError, match="crash"):
            dcgan.fit(tiny, callbacks=callbacks(at))
    parts = dcgan.fit(tiny, callbacks=callbacks(-1))
    assert parts.history.history == whole.history.history
    for weight, same in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_every_random_generator_goes_on():
    drawn = {"whole": [], "parts": []}

    class Draw(Crash):
        def __init__(self, name, at):
            super().__init__(at)
            self.name = name

        def on_train_batch_begin(self, batch, logs=None):
            value = random.random(), np.random.random(), float(keras.random.uniform(()))
            drawn[self.name].append(value)

    mnist_dense.fit(TINY, callbacks=[Draw("whole", -1)], runs="whole")
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[Draw("parts", 3)])
    mnist_dense.fit(TINY, callbacks=[Draw("parts", -1)])
    assert drawn["parts"][:4] == drawn["whole"][:4]
    assert drawn["parts"][-5:] == drawn["whole"][-5:]


def test_a_users_own_splits_are_not_continued_and_may_be_made_so(capsys):
    images, labels = np.zeros((64, 28, 28, 1), np.uint8), np.arange(64) % 10
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, data=Splits(batches), callbacks=[Crash(2)])
    [folder] = folders()
    assert not (folder / "checkpoints").exists()
    assert mnist_dense.fit(TINY, data=Splits(batches)).run.folder != folder
    assert "is not resumed: its data or recipe cannot be recognised" in capsys.readouterr().out

    def train_from(step, worker, workers):
        return batches.repeat().skip(step)

    own = Splits(
        train_from(0, 0, 1),
        info=DataInfo("zeros", fingerprint="zeros, version 1"),
        steps_per_epoch=4,
        train_from=train_from,
    )
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, data=own, callbacks=[Crash(2)], runs="own")
    mnist_dense.fit(TINY, data=own, callbacks=[Crash(-1)], runs="own")
    assert "after 0 whole epochs and 2 steps" in capsys.readouterr().out


def test_ctrl_c_stops_after_the_step_and_the_same_line_goes_on(capfd):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, callbacks=[Tell(3, signal.SIGINT)], checkpoint_steps=None)
    assert signal.getsignal(signal.SIGINT) is before
    [folder] = folders()
    assert steps_in(folder) == [4], "saved where it stopped"
    said = capfd.readouterr().err
    assert "stopping after this step; Ctrl-C again stops at once" in said
    assert "the same command resumes it" in said
    model = mnist_dense.fit(TINY, callbacks=[Tell(None, signal.SIGINT)], checkpoint_steps=None)
    assert model.run.folder == folder
    expected = mnist_dense.fit(TINY, resume=False)
    for weight, same in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_ctrl_c_in_the_last_step_waits_for_the_validation_and_keeps_the_epoch():
    changes = {"checkpoint_steps": None, "epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, callbacks=[Tell(7, signal.SIGINT)], **changes)
    [folder] = folders()
    assert steps_in(folder) == [8]
    assert (folder / "history.csv").read_text().count("\n") == 2
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, callbacks=[Tell(7, signal.SIGINT)], **changes)
    assert mnist_dense.fit(TINY, callbacks=[Tell(7, signal.SIGINT)], **changes).run.folder == folder, (
        "evaluated, and done"
    )


@pytest.mark.parametrize(
    ("first", "then"), [("mirrored", "single"), pytest.param("single", "mirrored", marks=pytest.mark.slow)]
)
def test_metrics_go_on_over_another_number_of_replicas(first, then):
    tiny = with_changes(TINY, dropout=0.0, strategy=first)
    whole = mnist_dense.fit(tiny, runs="whole").history.history
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(tiny, callbacks=[Crash()])
    [folder] = folders()
    known = json.loads((folder / "run.json").read_text())
    known["identity"]["strategy"] = then  # as "auto" finds more or fewer devices
    (folder / "run.json").write_text(json.dumps(known))
    model = mnist_dense.fit(tiny, strategy=then, callbacks=[Crash(-1)])
    assert model.run.folder == folder
    for name, value in whole.items():
        np.testing.assert_allclose(model.history.history[name], value, rtol=1e-4)


def test_sigterm_saves_and_has_a_status_of_its_own(capsys):
    with pytest.raises(SystemExit) as ended:
        mnist_dense.fit(TINY, callbacks=[Tell(3, signal.SIGTERM)], checkpoint_steps=None)
    assert ended.value.code == ENDED_BY_SIGTERM == 75
    assert steps_in(folders()[0]) == [4]
    assert "ended by SIGTERM: the run is saved" in capsys.readouterr().err


def test_fit_in_a_thread_leaves_signals_alone():
    models = []
    thread = threading.Thread(target=lambda: models.append(mnist_dense.fit(TINY)))
    thread.start()
    thread.join()
    assert models[0].run.metrics["status"] == "finished"


def test_the_deterministic_switch_is_on_for_the_run_alone():
    seen = []
    look = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: seen.append(op_determinism_is_on()))
    mnist_dense.fit(TINY, deterministic=True, callbacks=[look])
    assert seen == [True]
    assert not op_determinism_is_on()


# ---------------------------------------------------------------- files


def test_the_newest_is_by_step_and_the_last_few_are_kept(tmp_path):
    for step in (4, 7, 12, 30, 100):
        write_checkpoint(tmp_path, step, Checkpoint([np.arange(step)], {"step": step}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000012.npz",
        "step-000000030.npz",
        "step-000000100.npz",
    ]
    path, data = newest_checkpoint(tmp_path)
    assert path.name == "step-000000100.npz"
    assert data == path.read_bytes()
    arrays, state = parse_checkpoint(path.read_bytes())
    assert (len(arrays[0]), state) == (100, {"step": 100})


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1), flip=st.integers(1, 255), cut=st.booleans())
def test_any_damage_is_noticed(tmp_path_factory, place, flip, cut):
    folder = tmp_path_factory.mktemp("damage")
    path = write_checkpoint(folder, 1, Checkpoint([np.arange(50.0), np.float32(3)], {"epoch": 1}))
    content = bytearray(path.read_bytes())
    at = int(place * (len(content) - 1))
    if cut:
        content = content[:at]
    else:
        content[at] ^= flip
    path.write_bytes(content)
    found = newest_checkpoint(folder)
    if found is not None:  # a byte that says nothing, such as a file's date in the zip
        arrays, state = parse_checkpoint(path.read_bytes())
        np.testing.assert_array_equal(arrays[0], np.arange(50.0))
        assert (float(arrays[1]), state) == (3.0, {"epoch": 1})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(value=plain)
def test_plain_values_survive(value):
    arrays = []
    assert unpack(json.loads(json.dumps(pack(value, arrays))), arrays) == value


def test_arrays_and_numpy_numbers_survive():
    arrays = []
    packed = json.loads(json.dumps(pack({"best": np.float32(0.1), "weights": [np.eye(2)]}, arrays)))
    best, weights = unpack(packed, arrays).values()
    assert best == np.float32(0.1)
    assert type(best) is np.float32
    np.testing.assert_array_equal(weights[0], np.eye(2))
