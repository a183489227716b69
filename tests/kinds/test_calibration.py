"""Calibration of real runs: what it changes, and what it must not."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import mnist_dense
from recipes.cli import main
from recipes.errors import ConfigError, DataError, RunError, UsageError

TINY = replace(mnist_dense.TINY, epochs=4)


def overconfident():
    """Returns a run's model, saved, whose logits are five times too large."""
    model = mnist_dense.fit(TINY)
    last = model.layers[-1]
    last.set_weights([5 * weight for weight in last.get_weights()])
    model.save(model.run.folder / "model.keras")
    return model


def test_probabilities_become_what_they_say_and_classes_stay(capsys):
    model = overconfident()
    x = model.run.examples(8)
    before, answers = mnist_dense.evaluate(model), mnist_dense.predict(x, model)
    calibrated = mnist_dense.calibrate(model)
    after = mnist_dense.evaluate(calibrated)
    assert after["accuracy"] == before["accuracy"]
    assert after["nll"] < before["nll"]
    assert "temperature" in capsys.readouterr().out
    temperature = calibrated.run.metrics["calibration"]["temperature"]
    assert [one["label"] for one in mnist_dense.predict(x, calibrated)] == [one["label"] for one in answers]

    read = mnist_dense.load(calibrated.run.folder)  # the run keeps it
    for figures in (mnist_dense.evaluate(read), read.run.metrics["test"]):
        assert figures == pytest.approx(after)
    np.testing.assert_allclose(read(x), model(x) / temperature, rtol=1e-5, atol=1e-6)
    plain = keras.models.load_model(read.run.folder / "model.keras")  # which plain Keras opens
    np.testing.assert_allclose(plain(x), model(x) / temperature, rtol=1e-5, atol=1e-6)
    report = (read.run.folder / "report.md").read_text()
    assert f"temperature of {temperature:.4f}" in report
    assert (read.run.folder / "confidence.png").exists()

    exported = tf.saved_model.load(str(mnist_dense.export(read)))  # and what is served
    served = exported.signatures["image"](image=tf.constant(x, tf.float32))["probabilities"].numpy()
    expected = [list(one["probabilities"].values()) for one in mnist_dense.predict(x, read)]
    np.testing.assert_allclose(served, expected, rtol=1e-5)

    again = mnist_dense.calibrate(read)
    assert again.run.metrics["calibration"]["temperature"] == pytest.approx(temperature, rel=1e-3)


def test_what_cannot_be_calibrated_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no validation data.*validation_fraction"):
        mnist_dense.calibrate(mnist_dense.fit(TINY, validation_fraction=0.0))
    images, numbers = np.full((64, 8, 8, 1), 200.0), np.linspace(0, 1, 64)
    with pytest.raises(ConfigError, match="calibrate is of probabilities of classes, and .* is regression"):
        mnist_dense.calibrate(mnist_dense.fit(TINY, (images, numbers), max_examples=None), (images, numbers))
    model = mnist_dense.fit(TINY)
    unfinished = replace(model.run, metrics={"status": "interrupted"})
    model.run = unfinished
    with pytest.raises(RunError, match="not finished"):
        mnist_dense.calibrate(model)


def test_data_in_memory_is_passed_again():
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (200, 8, 8, 1), np.uint8), rng.integers(0, 3, 200)
    model = mnist_dense.fit(TINY, data, max_examples=None)
    with pytest.raises(RunError, match="pass the same again as data="):
        mnist_dense.calibrate(model)
    assert mnist_dense.calibrate(model, data).run.metrics["calibration"]["examples"] == 18
    with pytest.raises(DataError, match="changed"):
        mnist_dense.calibrate(model, (data[0], data[1][::-1]))


def test_the_command(capsys):
    run = mnist_dense.fit(TINY).run
    capsys.readouterr()
    assert main(["calibrate", "mnist_dense", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run"] == str(run.folder)
    assert printed["temperature"] > 0


def test_a_recipe_of_other_things_has_no_such_command():
    from recipes.cli.commands import calibrate
    from recipes.cli.options import Calibrate

    with pytest.raises(UsageError, match="has no 'calibrate'"):
        calibrate(keras, Calibrate(), {})
