"""Several workers, in real processes: the same as one device, and a clear end when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import processes
import psutil
import pytest

import recipes
from recipes import mnist_dense
from recipes.cli.launch import free_ports
from recipes.devices import keras_fixes
from recipes.devices.workers import find_cluster
from recipes.errors import ConfigError, TrainingError

#: One always, the others where there is time: they share what workers need.
ALWAYS = ("cifar_convnet",)
MODULES = [
    pytest.param(f"recipes.{name}", marks=() if name in ALWAYS else pytest.mark.slow) for name in recipes.RECIPES
]
# Dropout draws its masks for each replica: without it, two replicas and two workers do the same.
CHANGES = {"epochs": 2, "max_examples": 128, "batch_size": 32}


def cluster(count):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(count)]


def fit_on_workers(module, folder, changes, count=2):
    folder.mkdir()
    members = [processes.start(processes.fit, module, folder, changes, 1, member) for member in cluster(count)]
    assert [processes.wait(member) for member in members] == [0] * count


def read(folder, worker=0):
    with np.load(folder / f"{worker}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("module", MODULES)
def test_two_workers_do_as_two_replicas(module, tmp_path):
    tiny = vars(__import__(module, fromlist=["TINY"]))["TINY"]
    changes = {**CHANGES, "epochs": 1, **{field.name: 0.0 for field in fields(tiny) if "dropout" in field.name}}
    (tmp_path / "replicas").mkdir()
    assert processes.run(processes.fit, module, tmp_path / "replicas", changes | {"strategy": "mirrored"}, 2) == 0
    fit_on_workers(module, tmp_path / "workers", changes)
    replicas, workers = (read(tmp_path / name) for name in ("replicas", "workers"))
    assert replicas.keys() == workers.keys()
    for name, value in replicas.items():
        np.testing.assert_allclose(workers[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    other = read(tmp_path / "workers", 1)
    for name, value in workers.items():
        np.testing.assert_array_equal(other[name], value, err_msg=f"{name} on the other worker")
    [chief, second] = (json.loads((tmp_path / "workers" / f"{worker}.json").read_text()) for worker in (0, 1))
    assert chief["metrics"].pop("seconds") > 0 < second["metrics"].pop("seconds")
    assert (chief["metrics"], chief["folder"]) == (second["metrics"], second["folder"])
    runs = [path for path in (tmp_path / "workers").glob("*/*/") if path.parent.name != "saved_models"]
    assert len([path for path in runs if path.parent.name == module.split(".")[-1]]) == 1, "the chief alone writes"
    if "exported" in chief:
        assert chief["exported"] == f"{second['exported']}/1"
        assert [path.name for path in Path(second["exported"]).iterdir()] == ["1"], "the chief alone exports"


def test_keras_itself_still_cannot():
    """The day this fails, Keras has mended issue 20585: delete recipes/devices/keras_fixes.py's patch."""
    assert keras_fixes.is_broken()
    members = [processes.start(processes.fit_as_keras_is, member) for member in cluster(2)]
    assert 0 not in [processes.wait(member) for member in members]
    assert "Error" in "".join(path.read_text() for path in Path().glob("log-*.txt"))


def test_workers_of_different_settings_are_refused_on_every_one(tmp_path):
    (tmp_path / "runs").mkdir()
    members = [
        processes.start(processes.fit, "recipes.mnist_dense", tmp_path / "runs", {**CHANGES, "seed": seed}, 1, member)
        for seed, member in enumerate(cluster(2))
    ]
    assert [processes.wait(member) for member in members] == [1, 1]
    said = "".join(path.read_text() for path in Path().glob("log-*.txt"))
    assert "worker 1 differs from the chief: seed 0 there, 1 here. Start all with the same command" in said
    assert "another worker has other settings or data than the chief" in said
    assert not list((tmp_path / "runs").iterdir())


def launched(tmp_path, *options):
    command = [sys.executable, "-m", "recipes", "launch", "--workers", "2", "fit", "mnist_dense", "--setting", "TINY"]
    return subprocess.Popen(
        [*command, "--checkpoint-steps", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


def children(process):
    return psutil.Process(process.pid).children()


@pytest.mark.slow
def test_launch_ends_all_when_one_is_killed_or_all_are_told_and_the_same_line_goes_on(tmp_path):
    endless = ("--epochs", "2000")
    process = launched(tmp_path, *endless)
    read_until(process, "epoch 1/2000")
    workers = children(process)
    started = time.monotonic()
    workers[1].kill()
    said = process.communicate(timeout=60)[0]
    assert time.monotonic() - started < 60
    assert process.returncode == 128 + signal.SIGKILL
    assert "recipes: worker 1 was killed (SIGKILL); ending the others" in said
    assert not any(worker.is_running() for worker in workers)

    process = launched(tmp_path, *endless)
    assert any("resuming the unfinished run there, after" in line for line in read_until(process, "  accuracy "))
    process.terminate()
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 75, said
    assert "[worker 0] ended by SIGTERM: the run is saved; run the same command again to resume it" in said

    done = launched(tmp_path, "--epochs", "1")
    said = done.communicate(timeout=120)[0]
    assert done.returncode == 0, said
    assert "is not resumed: it differs (epochs 2000 there, 1 here). This is a new run" in said
    assert "[worker 1] worker 1 of 2 trains along; the chief reports" in said


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_workers_that_lose_one_end_in_words_and_go_on_in_bits(tmp_path, killed):
    """Without `launch`, as on several machines; the chief or another."""
    (tmp_path / "runs").mkdir()
    changes = {**CHANGES, "max_examples": 256, "checkpoint_steps": 3}
    members = [
        processes.start(
            processes.fit, "recipes.mnist_dense", tmp_path / "runs", changes, 1, member, 5 if index == killed else None
        )
        for index, member in enumerate(cluster(2))
    ]
    statuses = [processes.wait(member, 60) for member in members]
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] != 0
    if killed == 1:  # with the chief goes TensorFlow's coordination service, which may end the others itself
        said = "".join(path.read_text() for path in Path().glob("log-*.txt"))
        assert "worker 0 lost another of the 2 workers" in said
        assert "run the same command again on all of them: it resumes from the last checkpoint" in said
    members = [
        processes.start(processes.fit, "recipes.mnist_dense", tmp_path / "runs", changes, 1, member)
        for member in cluster(2)
    ]
    assert [processes.wait(member) for member in members] == [0, 0]
    assert "after 0 whole epochs and 3 steps" in "".join(path.read_text() for path in Path().glob("log-*.txt"))
    fit_on_workers("recipes.mnist_dense", tmp_path / "whole", changes)
    parts, whole = read(tmp_path / "runs"), read(tmp_path / "whole")
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)


@pytest.mark.slow
def test_uneven_shares_of_the_validation_split_count_each_example_once(tmp_path):
    fit_on_workers("recipes.mnist_dense", tmp_path / "workers", {**CHANGES, "max_examples": 135, "dropout": 0.0})
    (tmp_path / "one").mkdir()
    changes = {**CHANGES, "max_examples": 135, "dropout": 0.0}
    assert processes.run(processes.fit, "recipes.mnist_dense", tmp_path / "one", changes) == 0
    one, workers = read(tmp_path / "one"), read(tmp_path / "workers")
    for name in ("val_accuracy", "val_loss"):
        np.testing.assert_allclose(workers[name], one[name], rtol=1e-5)


def test_what_the_chief_cannot_do_is_said_on_every_worker(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mnist_dense").write_text("a file in the way")
    members = [
        processes.start(processes.fit, "recipes.mnist_dense", tmp_path / "runs", CHANGES, 1, member)
        for member in cluster(2)
    ]
    assert [processes.wait(member, 60) for member in members] == [1, 1]
    assert "RunError: the chief says: cannot make " in "".join(path.read_text() for path in Path().glob("log-*.txt"))


@pytest.mark.slow
def test_ctrl_c_ends_a_launch_with_the_model_kept(tmp_path):
    process = launched(tmp_path, "--epochs", "2000")
    read_until(process, "epoch 1/2000")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "the same command resumes it" in said
    assert list(tmp_path.glob("runs/mnist_dense/*/model.keras"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", 'TF_CONFIG is \'{\' .* expected .*"cluster": {"worker"'),
        ('{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}}', "names parameter servers .* Make them workers"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "evaluator", "index": 0}}', "expected 'chief' or"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}', "one of its 2 addresses"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}', "KeyError: 'index'"),
    ],
)
def test_a_bad_tf_config_is_refused_in_words(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=message):
        find_cluster()


def test_tf_config_with_a_chief_and_with_one_worker(monkeypatch):
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert find_cluster() == (("a:1", "b:1", "c:1"), 2)
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(1)[0]))
    assert find_cluster() is None


def test_a_slurm_step_is_understood(monkeypatch):
    step = {"STEP_NUM_TASKS": "3", "PROCID": "2", "STEP_NODELIST": "node[08-09]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in {**step, "JOB_ID": "4711"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert find_cluster() == (("node08:24711", "node08:24712", "node09:24711"), 2)
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(ConfigError, match="cannot read the SLURM step from its variables: SLURM_STEP_NODELIST"):
        find_cluster()


def test_tune_asks_for_one_machine(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster(2)[0]))
    with pytest.raises(TrainingError, match="tune runs on one machine"):
        mnist_dense.tune(mnist_dense.TINY)
