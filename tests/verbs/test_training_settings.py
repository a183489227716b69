"""Clipping, accumulation, a constant rate, averaged weights, early stopping: what each does, and that it is resumed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from bandit_recipe import TINY as BANDIT
from bandit_recipe import fit as fit_bandit
from conftest import Crash, strip_report

from recipes import dcgan, imdb_lstm, mnist_dense
from recipes.data.splits import Sizes, Splits
from recipes.devices.strategies import choose_strategy
from recipes.errors import ConfigError, DataError
from recipes.runs.averaged_weights import AveragedWeights
from recipes.runs.early_stopping import StopEarly
from recipes.settings import with_changes
from recipes.verbs.training_settings import apply_training_settings, optimizers_of

TINY = with_changes(mnist_dense.TINY, epochs=3, checkpoint_steps=1)  # 8 steps an epoch
PLAIN = {"dropout": 0.0, "crop_padding": 0, "constant_rate": True}  # the same whatever the batch size


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    strip_report(mnist_dense, monkeypatch)


def assert_resumed_exactly(callbacks=list, at=13, **changes):
    """Crashes a run in the middle of an epoch, resumes it, and compares it with one that was left alone."""
    alone = mnist_dense.fit(TINY, callbacks=[*callbacks(), Crash(-1)], runs="alone", **changes)
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(TINY, callbacks=[*callbacks(), Crash(at)], **changes)
    resumed = mnist_dense.fit(TINY, callbacks=[*callbacks(), Crash(-1)], **changes)
    assert (resumed.run.folder / "history.csv").read_text() == (alone.run.folder / "history.csv").read_text()
    for one, two in zip(resumed.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert resumed.run.metrics["test"] == alone.run.metrics["test"]
    return alone


# ---------------------------------------------------------------- clipping


def test_gradients_are_clipped_to_a_norm_all_weights_together():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, y_pred: y_pred[:, 0])
    settings = with_changes(mnist_dense.Config(), clip_norm=0.5)
    apply_training_settings(model, settings, Splits(None), ("val_loss", "min"))
    model.train_on_batch(np.array([[2.0, 2.0]]), np.zeros((1, 1)))  # the gradient is (2, 2) and 1: a norm of 3
    np.testing.assert_allclose(model.get_weights()[0][:, 0], [-1 / 3, -1 / 3], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], [-1 / 6], rtol=1e-6)


def test_replicas_are_clipped_as_one_device_is_by_keras_own_optimizers_too():
    x, y = np.array([[1.0], [3.0]], np.float32), np.zeros((2, 1), np.float32)
    for strategy in (tf.distribute.get_strategy(), choose_strategy("mirrored")):
        with strategy.scope():
            model = keras.Sequential(
                [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
            )
            model.compile(keras.optimizers.SGD(1.0), loss="mse")
            settings = with_changes(mnist_dense.Config(), clip_norm=0.5)
            apply_training_settings(model, settings, Splits(None), ("val_loss", "min"))
        model.fit(x, y, batch_size=2, verbose=0, shuffle=False)  # a gradient of 10, clipped to 0.5
        assert model.get_weights()[0].item() == pytest.approx(0.5)


def test_a_recipes_own_norm_is_the_same_setting():
    model = imdb_lstm.build(with_changes(imdb_lstm.TINY, clip_norm=None), Sizes(64, vocab_size=50, num_classes=2))
    assert model.optimizer.global_clipnorm is None
    assert imdb_lstm.build(imdb_lstm.TINY, Sizes(64, vocab_size=50, num_classes=2)).optimizer.global_clipnorm == 1.0


def test_an_optimizer_that_clips_otherwise_refuses_a_norm():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(clipvalue=1.0), loss="mse")
    with pytest.raises(ConfigError, match=r"clip_norm=0\.5 would change nothing: the recipe's own optimizer clips"):
        apply_training_settings(model, with_changes(TINY, clip_norm=0.5), Splits(None), ("val_loss", "min"))


# ---------------------------------------------------------------- accumulation


def test_batches_accumulated_are_one_batch():
    """In each epoch the same permutation is cut into batches, so two of 32 are one of 64."""
    small = mnist_dense.fit(TINY, batch_size=32, accumulate_steps=2, clip_norm=0.1, **PLAIN)
    large = mnist_dense.fit(TINY, batch_size=64, clip_norm=0.1, **PLAIN)
    for one, two in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_rows_of_an_embedding_are_accumulated_too():
    sizes = Sizes(64, vocab_size=50, num_classes=2)
    token_ids, labels = np.arange(32).reshape(8, 4) % 7 + 1, np.arange(8) % 2
    weights = []
    for count in (1, 2):
        keras.utils.set_random_seed(0)
        config = with_changes(imdb_lstm.TINY, accumulate_steps=count, constant_rate=True)
        model = imdb_lstm.build(with_changes(config, dropout=0.0), sizes)
        apply_training_settings(model, config, Splits(None), ("val_loss", "min"))
        for part in range(count):
            model.train_on_batch(token_ids[part::count], labels[part::count])
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)


def test_a_run_killed_between_two_updates_has_the_gradients_of_the_first_batches():
    assert_resumed_exactly(at=13, accumulate_steps=3, clip_norm=1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate_steps": 25}, "accumulate_steps=25 is more than the 24 steps of this run: no update is made"),
        ({"accumulate_steps": 2, "strategy": "mirrored"}, "works on one device, and this is 2 replicas"),
        ({"constant_rate": True, "early_stopping": 1, "validation_fraction": 0.0}, "early_stopping=1 needs validation"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(changes, message, tmp_path):
    with pytest.raises((ConfigError, DataError), match=message):
        mnist_dense.fit(TINY, **changes)
    assert not (tmp_path / "runs").exists()


def test_both_optimizers_of_a_gan_have_the_settings():
    model = dcgan.build(
        with_changes(dcgan.TINY, accumulate_steps=4, constant_rate=True, clip_norm=2.0), Sizes(64, (28, 28, 1))
    )
    config = with_changes(dcgan.TINY, accumulate_steps=4, constant_rate=True, clip_norm=2.0)
    apply_training_settings(model, config, Splits(None, tf.data.Dataset.range(1)), ("val_distance", "min"))
    both = optimizers_of(model)
    assert len(both) == 2
    assert [optimizer.gradient_accumulation_steps for optimizer in both] == [4, 4]
    assert [optimizer.global_clipnorm for optimizer in both] == [2.0, 2.0]
    assert [float(optimizer.learning_rate) for optimizer in both] == pytest.approx([dcgan.TINY.learning_rate] * 2)


# ---------------------------------------------------------------- a rate that callbacks may change


def test_a_rate_that_a_callback_has_changed_is_resumed():
    def plateau():
        return [keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)]

    alone = assert_resumed_exactly(plateau, at=21, constant_rate=True)
    rates = [line.split(",") for line in (alone.run.folder / "history.csv").read_text().splitlines()]
    column = rates[0].index("learning_rate")
    assert [float(row[column]) for row in rates[1:]] == pytest.approx([1e-3, 1e-3, 5e-4])
    assert float(alone.optimizer.learning_rate) == pytest.approx(2.5e-4)
    assert float(mnist_dense.load(alone.run.folder).optimizer.learning_rate) == pytest.approx(2.5e-4)


def test_with_a_schedule_the_refusal_names_the_setting():
    with pytest.raises(ConfigError, match=r"has a schedule that does.*constant_rate=True \(--constant-rate\).*=0.001 "):
        mnist_dense.fit(TINY, callbacks=keras.callbacks.LearningRateScheduler(lambda epoch: 0.1))


def test_a_warm_up_of_a_constant_rate_is_refused():
    with pytest.raises(ConfigError, match=r"warmup_fraction=0\.5 would change nothing: constant_rate=True has no sch"):
        with_changes(imdb_lstm.Config(), constant_rate=True, warmup_fraction=0.5)


# ---------------------------------------------------------------- averaged weights


def test_the_average_follows_its_formula_and_is_judged_but_not_trained_on():
    """One weight that each step takes 1 off: w = -1, -2, -3, -4."""
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0].item())

        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_weights()[0].item())

    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs))
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, y_pred: y_pred[:, 0])
    averaged = AveragedWeights(0.15)
    one = np.ones((2, 1))
    history = model.fit(
        one,
        one,
        batch_size=1,
        epochs=2,
        validation_data=(one, one),
        verbose=0,
        callbacks=[averaged, Look(), averaged.back],
    )
    after_1 = 0.9 * -1  # m = 1 / 10
    after_2 = after_1 + 0.85 * (-2 - after_1)  # 2 / 11 is more than the momentum
    after_3 = after_2 + 0.85 * (-3 - after_2)
    after_4 = after_3 + 0.85 * (-4 - after_3)
    assert seen == pytest.approx([-1, -2, after_2, -3, -4, after_4])
    assert history.history["val_loss"] == pytest.approx([after_2, after_4])
    assert model.get_weights()[0].item() == pytest.approx(after_4), "at the end the average stays"


def test_batch_norms_averages_are_averaged_and_frozen_weights_keep_their_bits():
    inputs = keras.Input((3,))
    frozen = keras.layers.Dense(3, trainable=False)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(frozen(inputs)))
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    before = frozen.get_weights()
    averaged = AveragedWeights(0.5)
    x = np.random.default_rng(0).normal(3, 2, (64, 3))
    model.fit(x, x, batch_size=16, verbose=0, callbacks=[averaged])
    trained = dict(zip([weight.path for weight in model.weights], averaged.trained, strict=True))
    for weight in model.weights:
        assert np.array_equal(weight.numpy(), trained[weight.path]) == (not weight.path.startswith("batch_norm")), (
            weight.path
        )
    for one, two in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_with_averaged_weights_is_resumed_exactly():
    alone = assert_resumed_exactly(average_weights=0.9, accumulate_steps=3)
    stored = mnist_dense.load(alone.run.folder)
    assert mnist_dense.evaluate(stored) == pytest.approx(alone.run.metrics["test"])


def test_an_interrupted_run_keeps_the_average_and_goes_on_with_the_trained_weights():
    def at(step):
        return keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: (_ for _ in ()).throw(KeyboardInterrupt) if batch == step else None
        )

    alone = mnist_dense.fit(TINY, average_weights=0.9, runs="alone", callbacks=at(-1))
    with pytest.raises(KeyboardInterrupt):
        mnist_dense.fit(TINY, average_weights=0.9, callbacks=at(5))
    resumed = mnist_dense.fit(TINY, average_weights=0.9, callbacks=at(-1))
    for one, two in zip(resumed.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_replicas_average_as_one_device_does():
    weights = [
        mnist_dense.fit(TINY, average_weights=0.9, strategy=strategy, **{**PLAIN, "epochs": 1}).get_weights()
        for strategy in ("single", "mirrored")
    ]
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------- early stopping


@pytest.mark.parametrize(("direction", "sign"), [("min", 1), ("max", -1)])
def test_training_ends_after_epochs_that_are_no_better_and_the_best_weights_come_back(direction, sign):
    figures = [3.0, 2.0, 2.0, 2.5, 0.0]  # the second is the best, and no better is the same again
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda y, y_pred: y_pred[:, 0])

    class Figures(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["figure"] = sign * figures[epoch]

    stopping = StopEarly("figure", direction, 2)
    history = model.fit(np.ones((1, 1)), np.ones((1, 1)), epochs=5, verbose=0, callbacks=[Figures(), stopping])
    assert len(history.epoch) == 4
    assert (stopping.best, stopping.epoch) == (sign * 2.0, 2)
    assert model.get_weights()[0].item() == -2.0
    assert stopping.note(4).startswith("stopped early after 2 epochs that were no better; the weights are those after")


@pytest.mark.parametrize("average", [None, 0.5])
def test_a_run_that_stops_early_is_resumed_exactly_and_says_which_weights_it_has(average, capsys):
    def judge():  # the second epoch is the best, whose end comes before the crash
        def worsen(epoch, logs):
            logs["val_accuracy"] = [0.1, 0.9, 0.8, 0.7, 0.6, 1.0][epoch]

        return [keras.callbacks.LambdaCallback(on_epoch_end=worsen)]

    model = assert_resumed_exactly(judge, at=29, epochs=6, early_stopping=2, average_weights=average)
    assert model.run.metrics["epochs"] == 4
    assert model.run.metrics["validation"]["accuracy"] == 0.9
    best = {"objective": "val_accuracy", "best": 0.9, "best_epoch": 2, "stopped": True}
    assert model.run.metrics["early_stopping"] == best
    note = "the weights are those after epoch 2 of 4, whose val_accuracy of 0.9 was the best"
    assert f"note: stopped early after 2 epochs that were no better; {note}" in capsys.readouterr().out
    report = (model.run.folder / "report.md").read_text()
    assert "Training figures are averages over epoch 2" in report


def test_a_run_killed_after_it_has_stopped_does_not_train_on(monkeypatch):
    """The checkpoint of its last epoch holds the best weights; what was missing is its report."""
    from recipes.verbs import fit as loop

    judge = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_accuracy=-epoch))
    finish = loop.finish_run
    monkeypatch.setattr(loop, "finish_run", lambda *args: (_ for _ in ()).throw(RuntimeError("killed")))
    with pytest.raises(RuntimeError, match="killed"):
        mnist_dense.fit(TINY, early_stopping=1, callbacks=judge)
    monkeypatch.setattr(loop, "finish_run", finish)
    resumed = mnist_dense.fit(TINY, early_stopping=1, callbacks=judge)
    assert resumed.run.metrics["epochs"] == 2
    once = mnist_dense.fit(TINY, early_stopping=1, callbacks=judge, resume=False)
    for one, two in zip(resumed.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_search_takes_the_best_epoch_of_a_trial(monkeypatch):
    best, figure = mnist_dense.tune(
        TINY, trials=1, early_stopping=3, average_weights=0.5, accumulate_steps=2, clip_norm=1.0
    )
    model = mnist_dense.fit(best)
    assert model.run.metrics["early_stopping"]["best"] == pytest.approx(figure)


def test_a_recipe_with_its_own_loop_has_them_all():
    model = fit_bandit(BANDIT, average_weights=0.9, accumulate_steps=2, clip_norm=1.0, early_stopping=5)
    assert model.run.metrics["early_stopping"]["best_epoch"] >= 1


@pytest.mark.slow
def test_every_recipe_has_them_all_and_is_resumed_exactly(recipe, monkeypatch):
    strip_report(recipe, monkeypatch)
    settings = {"average_weights": 0.9, "accumulate_steps": 2, "clip_norm": 1.0, "early_stopping": 2}
    settings |= {"constant_rate": True, "epochs": 2, "checkpoint_steps": 1}
    alone = recipe.fit(recipe.TINY, callbacks=Crash(-1), runs="alone", **settings)
    with pytest.raises(RuntimeError, match="crash"):
        recipe.fit(recipe.TINY, callbacks=Crash(3), **settings)
    resumed = recipe.fit(recipe.TINY, callbacks=Crash(-1), **settings)
    stored = recipe.load(resumed.run.folder)
    for one, two, three in zip(alone.get_weights(), resumed.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)
