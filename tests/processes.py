"""Real processes for tests, forked from a server that has imported TensorFlow and not used it yet: they start fast."""

import importlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["processes_preload"])


def start(function, *arguments):
    """Starts a function of this module in a process of its own."""
    here = str(Path(__file__).parent)
    if here not in os.environ.get("PYTHONPATH", ""):  # for the server, which starts with the first process
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    process = SERVER.Process(target=_quietly, args=(function, *arguments), daemon=True)
    process.start()
    return process


def wait(process, seconds=300):
    """Returns a process's exit status; negative is the signal that ended it."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"still running after {seconds} s")
    return process.exitcode


def run(function, *arguments):
    return wait(start(function, *arguments))


def _quietly(function, *arguments):
    log = os.open(f"log-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT)  # kept by pytest in the test's folder
    os.dup2(log, 1)
    os.dup2(log, 2)
    function(*arguments)


# ---------------------------------------------------------------- what they do


class Tell(keras.callbacks.Callback):
    """Sends its own process a signal at the beginning of a step; None: never."""

    def __init__(self, at, number):
        super().__init__()
        self.at, self.number = at, number

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.at:
            os.kill(os.getpid(), self.number)


def fit(recipe, folder, changes, devices=1, cluster=None, killed_at=None):
    """Trains a recipe's TINY and writes its weights and curves to <folder>/<worker>.npz.

    Args:
        recipe: The name of its module.
        folder: The runs folder.
        changes: Settings.
        devices: In how many the processor is split.
        cluster: What TF_CONFIG shall say.
        killed_at: The step at which it kills itself.
    """
    if cluster:
        os.environ["TF_CONFIG"] = json.dumps(cluster)
    import tensorflow as tf

    if devices > 1:
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    module = importlib.import_module(recipe)
    folder = Path(folder)
    model = module.fit(module.TINY, runs=folder, callbacks=[Tell(killed_at, signal.SIGKILL)], **changes)
    worker = cluster["task"]["index"] if cluster else 0
    weights = {f"weight{number}": weight for number, weight in enumerate(model.get_weights())}
    np.savez(folder / f"{worker}.npz", **weights, **model.history.history)
    facts = {"metrics": model.run.metrics, "folder": str(model.run.folder)}
    if hasattr(module, "export"):
        facts["exported"] = str(module.export(model, path=folder / "saved_models"))
    (folder / f"{worker}.json").write_text(json.dumps(facts))


def open_with_plain_keras(path, asked):
    """Opens a saved model in a process where this package is not, and compares its answers with those in a file."""
    program = (
        "import sys; sys.modules['recipes'] = None\n"
        "import keras, numpy as np\n"
        f"model, asked = keras.models.load_model({str(path)!r}), np.load({str(asked)!r})\n"
        "answers = model.predict(asked['inputs'], verbose=0)\n"
        "np.testing.assert_allclose(answers, asked['answers'], rtol=1e-5, atol=1e-6)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(asked).parent)


def fit_as_keras_is(member):
    """Trains under MultiWorkerMirroredStrategy with nothing but TensorFlow and Keras."""
    os.environ["TF_CONFIG"] = json.dumps(member)
    import keras
    import tensorflow as tf

    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    model.fit(tf.data.Dataset.from_tensors((tf.ones((8, 4)), tf.ones((8, 1)))).repeat(), steps_per_epoch=2, verbose=0)


def fit_until_killed(recipe, folder, changes, where, number):
    """Trains until the given point, and is killed there; `where` None: to the end.

    Args:
        recipe: The name of its module.
        folder: The runs folder.
        changes: Settings.
        where: "begin", "step", "write", "validation", "epoch" or "report".
        number: Decides on the moment, at random.
    """
    from recipes.runs import checkpoints, report
    from recipes.runs import finish as outcome
    from recipes.runs import run_folder as runs

    module = importlib.import_module(recipe)
    rng = random.Random(number)

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    class Killer(keras.callbacks.Callback):
        """Counts the steps, so that its state is the run's too; kills in the middle of a step, or at an epoch's end."""

        def __init__(self):
            super().__init__()
            self.left = rng.randrange(6)
            self.seen = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.seen += 1
            if where == "step" and batch == self.left:
                threading.Timer(rng.uniform(0, 0.03), die).start()

        def on_test_batch_begin(self, batch, logs=None):
            if where == "validation":
                die()

        def on_epoch_end(self, epoch, logs=None):
            if where == "epoch" and epoch >= number % 2:
                if rng.random() < 0.5:  # after the history is written, before the state is
                    report.write_history = lambda *args: [write_history(*args), die()]
                else:
                    die()

    write_history = report.write_history
    if where == "begin":
        write_json, files = runs.write_json, [rng.randrange(3)]

        def write_some(path, values):
            if not files[0]:
                die()
            files[0] -= 1
            write_json(path, values)

        runs.write_json = write_some
    if where == "write":
        write, left = checkpoints._write, [rng.randrange(1, 4)]

        def torn(part, checkpoint):
            left[0] -= 1
            write(part, checkpoint)
            if not left[0]:
                if rng.random() < 0.7:
                    with part.open("r+b") as file:
                        file.truncate(rng.randrange(part.stat().st_size))
                die()

        checkpoints._write = torn
    if where == "report":
        setattr(outcome, rng.choice(["refuse_nan", "write_report", "write_json", "write_exhibits"]), die)
    killer = Killer()
    model = module.fit(module.TINY, runs=folder, callbacks=[killer], **changes)
    assert killer.seen == len(model.history.epoch) * 8, f"{killer.seen} steps were counted"
