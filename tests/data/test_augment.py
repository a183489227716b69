"""Mirrors, light, mixup, CutMix and RandAugment: what they make of a batch, and that it follows from the seed alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import cifar_convnet, cifar_googlenet, mnist_dense
from recipes.data.augment import (
    crop_and_mirror,
    inside_interval,
    jitter_colours,
    jitter_light,
    mirror_in_turns,
    mix,
)
from recipes.data.rand_augment import OPERATIONS, rand_augment
from recipes.data.splits import Splits
from recipes.errors import ConfigError, DataError
from recipes.settings import with_changes

IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3), np.uint8))
LABELS = tf.constant(np.arange(8) % 4, tf.int32)


LUMINANCE = np.array([0.299, 0.587, 0.114])


def seed(step):
    return tf.constant([0, step], tf.int64)


# ---------------------------------------------------------------- mirrors and light


def test_images_are_mirrored_in_every_other_epoch():
    images, begins = tf.reshape(tf.range(12), (2, 1, 3, 2)), tf.constant([0, 1])
    as_they_are, mirrored = images.numpy(), images.numpy()[:, :, ::-1]
    for epoch in range(4):
        expected = [(mirrored if (epoch + i) % 2 else as_they_are)[i] for i in (0, 1)]
        np.testing.assert_array_equal(mirror_in_turns(images, begins, tf.constant(epoch, tf.int64)), expected)


def test_half_of_the_training_images_begin_mirrored_and_all_are_so_in_turns():
    config = cifar_convnet.Config(
        dataset="shapes", max_examples=200, batch_size=50, validation_fraction=0.0, crop_padding=0, jitter=0.0
    )
    images = cifar_convnet.load_data(with_changes(config, flip=False)).train.take(4)
    known = {image.tobytes(): i for batch, _ in images for i, image in enumerate(batch.numpy())}
    batches = [batch.numpy() for batch, _ in cifar_convnet.load_data(config).train.take(12)]
    epochs = [np.concatenate(batches[4 * i : 4 * i + 4]) for i in range(3)]
    plain = [{image.tobytes() for image in epoch} & known.keys() for epoch in epochs]
    assert plain[0] == plain[2]
    assert not plain[0] & plain[1]
    assert len(plain[0] | plain[1]) == 200
    assert 60 < len(plain[0]) < 140


def test_parts_are_cut_out_and_mirrored():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (64, 8, 8, 3)), tf.uint8)
    whole = crop_and_mirror(images, seed(1), area=1.0, mirror=True).numpy()
    mirrored = [(one == image[:, ::-1]).all() for one, image in zip(whole, images.numpy(), strict=True)]
    same = [(one == image).all() for one, image in zip(whole, images.numpy(), strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48
    across = tf.cast(tf.tile(tf.range(0, 240, 30, tf.int32)[None, None, :, None], (64, 8, 1, 1)), tf.uint8)
    down = tf.transpose(across, (0, 2, 1, 3))
    for proportions in (1.0, 4 / 3):
        how = {"area": 0.3, "mirror": True, "proportions": proportions}
        parts = [crop_and_mirror(images[32 * w :][:32], seed(1), w, 2, **how) for w in (0, 1)]
        np.testing.assert_array_equal(tf.concat(parts, 0), crop_and_mirror(images, seed(1), **how))
        widths, heights = (np.ptp(crop_and_mirror(x, seed(3), **how).numpy(), (1, 2, 3)) / 210 for x in (across, down))
        if proportions == 1:  # sides from the root of 0.3 on
            assert 0.3**0.5 * 210 - 1 <= 210 * widths.min() < 210 * widths.max() <= 210
        areas, wider = widths * heights, widths / heights
        assert 0.28 <= areas.min() < areas.max() <= 1, "sides from the root of 0.3 on, of whole numbers"
        assert wider.max() == pytest.approx(proportions, abs=0.06)
        assert wider.min() == pytest.approx(1 / wider.max(), abs=0.06)


def test_colours_are_brighter_stronger_paler_and_of_another_hue():
    grey = tf.fill((500, 2, 2, 3), 80.0)
    lighter = jitter_colours(grey, seed(1), strength=0.5, grey=0.0).numpy()
    assert np.ptp(lighter, (1, 2, 3)).max() < 1e-2, "a plain grey image has neither contrast nor colour"
    factors = lighter[:, 0, 0, 0] / 80
    assert 0.6 <= factors.min() < 0.65 < 1.35 < factors.max() <= 1.4, "brightness by up to 0.8 s"
    assert (factors == 1).mean() == pytest.approx(0.2, abs=0.06), "one in five stays"
    colours = tf.constant(np.random.default_rng(1).uniform(100, 140, (500, 4, 4, 3)), tf.float32)
    changed = jitter_colours(colours, seed(2), strength=0.5, grey=0.3).numpy()
    assert (np.ptp(changed, -1).max((1, 2)) < 1e-2).mean() == pytest.approx(0.3, abs=0.06), "three in ten are grey"
    luminance, before = changed @ LUMINANCE, colours.numpy() @ LUMINANCE
    for one, other in zip(luminance, before, strict=True):
        slope, _ = np.polyfit(other.ravel(), one.ravel(), 1)  # by brightness and contrast alone: hues keep it
        assert 0.6 * 0.6 - 0.01 <= slope <= 1.4 * 1.4 + 0.01
        assert np.corrcoef(other.ravel(), one.ravel())[0, 1] > 0.999
    parts = [jitter_colours(colours[250 * w :][:250], seed(2), w, 2, strength=0.5, grey=0.3) for w in (0, 1)]
    np.testing.assert_allclose(tf.concat(parts, 0), changed, atol=1e-3)
    one_channel = jitter_colours(colours[..., :1], seed(2), strength=1.0, grey=0.3)
    assert one_channel.shape == (500, 4, 4, 1)
    assert jitter_colours(IMAGES, seed(2), strength=1.0, grey=0.2).dtype == tf.uint8


def test_light_is_a_shift_and_a_stretch_around_grey():
    images = tf.constant(np.linspace(60, 190, 4 * 9, dtype=np.float32).reshape(4, 3, 3, 1))
    out = jitter_light(images, seed(1), brightness=10.0, contrast=0.2).numpy()
    for before, after in zip(images.numpy(), out, strict=True):
        slope, intercept = np.polyfit(before.ravel() - 127.5, after.ravel() - 127.5, 1)
        assert 0.8 <= slope <= 1.2
        assert abs(intercept / slope) <= 10.01
        np.testing.assert_allclose(after, slope * (before - 127.5) + intercept + 127.5, atol=1e-2)
    np.testing.assert_array_equal(jitter_light(IMAGES, seed(1), brightness=0.0, contrast=0.0), IMAGES)
    bright = jitter_light(IMAGES, seed(1), brightness=200.0, contrast=0.5)
    assert bright.dtype == tf.uint8


def test_the_light_of_a_worker_s_images_is_that_of_the_whole_batch():
    whole = jitter_light(IMAGES, seed(3), brightness=20.0, contrast=0.3)
    parts = [jitter_light(IMAGES[4 * i : 4 * i + 4], seed(3), i, 2, brightness=20.0, contrast=0.3) for i in (0, 1)]
    np.testing.assert_array_equal(tf.concat(parts, 0), whole)


# ---------------------------------------------------------------- mixup and CutMix


def test_mixup_mixes_neighbours_and_their_labels_by_one_share():
    images, labels = mix((IMAGES, LABELS), seed(0), num_classes=4, mixup=1.0)
    share = labels[0, 0].numpy()
    assert 0 < share < 1
    np.testing.assert_allclose(labels[:2], [[share, 1 - share, 0, 0], [1 - share, share, 0, 0]], atol=1e-6)
    before = IMAGES.numpy().astype(float)
    np.testing.assert_allclose(images[0], share * before[0] + (1 - share) * before[1], atol=0.51)
    np.testing.assert_allclose(images[5], share * before[5] + (1 - share) * before[4], atol=0.51)
    assert images.dtype == tf.uint8


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_cutmix_puts_a_box_of_the_neighbour_and_the_label_is_the_share_of_pixels(step):
    images, labels = mix((IMAGES, LABELS), seed(step), num_classes=4, cutmix=1.0)
    own = (images.numpy() == IMAGES.numpy()).all(-1)[0]
    neighbours = (images[0].numpy() == IMAGES[1].numpy()).all(-1)
    assert (own ^ neighbours).all()
    assert labels[0, 0].numpy() == pytest.approx(own.mean(), abs=1e-6)
    rows, columns = neighbours.any(1), neighbours.any(0)
    assert neighbours.sum() == rows.sum() * columns.sum(), "it is a box"
    np.testing.assert_allclose(labels.numpy().sum(1), 1, atol=1e-6)


def test_a_box_is_cut_at_the_edges():
    assert inside_interval(tf.constant(0.5), tf.constant(0.5), 8).numpy().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert inside_interval(tf.constant(0.0), tf.constant(0.5), 8).numpy().tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert not inside_interval(tf.constant(0.5), tf.constant(0.1), 8).numpy().any()


def test_shares_are_drawn_from_beta_and_both_kinds_are_drawn():
    shares = [mix((IMAGES, LABELS), seed(step), num_classes=4, mixup=0.2)[1][0, 0].numpy() for step in range(300)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)
    assert np.var(shares) == pytest.approx(0.25 / 1.4, abs=0.03)  # of Beta(a, a): 1 / (4 (2 a + 1))
    are_boxes = []
    for step in range(60):
        images, _ = mix((IMAGES, LABELS), seed(step), num_classes=4, mixup=1.0, cutmix=1.0)
        is_either = (images[:2].numpy() == IMAGES[:2].numpy()) | (images[:2].numpy() == IMAGES[1::-1].numpy())
        are_boxes.append(is_either.all())
    assert 15 < sum(are_boxes) < 45


def test_alphas_as_small_as_they_can_be_give_a_share():
    labels = [mix((IMAGES, LABELS), seed(step), num_classes=4, mixup=1e-6)[1] for step in range(5)]
    assert np.isfinite(labels).all()


def test_labels_that_are_numbers_or_several_are_mixed_as_they_are():
    _, numbers = mix((IMAGES, tf.range(8, dtype=tf.float32)), seed(0), num_classes=0, mixup=1.0)
    share = mix((IMAGES, LABELS), seed(0), num_classes=4, mixup=1.0)[1][0, 0].numpy()
    np.testing.assert_allclose(numbers[:2], [1 - share, share], atol=1e-6)


def test_the_loss_of_a_mixture_is_that_of_its_labels_each_with_its_weight():
    weights = tf.constant([2.0, 0.5, 1, 1, 0, 0, 0, 3])
    _, labels, mixed = mix((IMAGES, LABELS, weights), seed(0), num_classes=4, mixup=1.0)
    share = mix((IMAGES, LABELS), seed(0), num_classes=4, mixup=1.0)[1][0, 0].numpy()
    cross_entropy = -np.log([0.1, 0.2, 0.3, 0.4])  # of a model's answer to every image
    loss = mixed * tf.reduce_sum(labels * cross_entropy, -1)
    expected = share * 2.0 * cross_entropy[0] + (1 - share) * 0.5 * cross_entropy[1]
    assert loss[0].numpy() == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(labels).all()
    assert mixed[4].numpy() == 0


def test_the_last_of_an_odd_batch_stays():
    images, labels = mix((IMAGES[:3], LABELS[:3]), seed(0), num_classes=4, mixup=1.0)
    np.testing.assert_array_equal(images[2], IMAGES[2])
    np.testing.assert_array_equal(labels[2], [0, 0, 1, 0])
    with pytest.raises(DataError, match=r"each of 2 workers has 3 of a batch; expected an even number, .*batch_size=8"):
        mix((IMAGES[:3], LABELS[:3]), seed(0), 0, 2, num_classes=4, mixup=1.0)


# ---------------------------------------------------------------- RandAugment


def on(name, image, strength):
    return OPERATIONS[name](tf.constant(image, tf.float32)[None], tf.constant([strength]))[0].numpy()


GREY = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 130]], np.float32)[..., None]


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("identity", 1.0, GREY),
        ("auto_contrast", 1.0, (GREY - 10) * 255 / 120),
        ("equalize", 1.0, np.arange(9).reshape(3, 3, 1) * 255 / 8),  # nine levels, one pixel each
        ("solarize", 0.75, np.where(GREY < 64, GREY, 255 - GREY)),
        ("posterize", -1.0, GREY // 16 * 16),
        ("color", 1.0, GREY),
        ("contrast", -1.0, GREY.mean() + 0.1 * (GREY - GREY.mean())),
        ("brightness", 1.0, 1.9 * GREY),
        ("translate_x", 2 / 2.7, GREY[:, [1, 2, 2]]),  # by 0.45 * 3 * 2 / 2.7 = 1 pixel; outside is its reflection
        ("translate_y", -2 / 2.7, GREY[[0, 0, 1]]),
        ("shear_x", 0.0, GREY),
        ("rotate", 3.0, np.rot90(GREY)),  # 90 degrees
    ],
)
def test_operations_do_what_they_say(name, strength, expected):
    np.testing.assert_allclose(on(name, GREY, strength), expected, atol=1e-3)


def test_sharpness_leaves_the_edge_and_a_plain_image():
    sharp = on("sharpness", GREY, 1.0)
    mean = (GREY.sum() + 4 * 50) / 13
    assert sharp[1, 1, 0] == pytest.approx(mean + 1.9 * (50 - mean), rel=1e-5)
    np.testing.assert_allclose(np.delete(sharp, 4), np.delete(GREY, 4), rtol=1e-5)
    np.testing.assert_allclose(on("sharpness", np.full((5, 5, 3), 7.0), -1.0), 7.0, rtol=1e-5)


def test_saturation_is_of_the_luminance():
    red = np.full((2, 2, 3), (100.0, 0.0, 0.0))
    np.testing.assert_allclose(on("color", red, -1.0)[0, 0], [0.1 * 100 + 0.9 * 29.9, 26.91, 26.91], rtol=1e-4)


def test_a_shear_of_rows_keeps_the_middle_one():
    sheared = on("shear_x", np.tile(GREY, (1, 3, 1)), 1.0)
    np.testing.assert_allclose(sheared[1], np.tile(GREY, (1, 3, 1))[1], atol=1e-4)
    assert np.abs(sheared[0] - np.tile(GREY, (1, 3, 1))[0]).max() > 1


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_seed_gives_the_same_batch_and_every_operation_is_drawn(channels):
    images = IMAGES[..., :channels]
    one, two, other = (rand_augment(images, seed(step), strength=0.5) for step in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one.numpy() != other.numpy()).any()
    assert (one.dtype, one.shape) == (tf.uint8, images.shape)


def test_integers_are_rounded_and_floats_stay_floats():
    assert rand_augment(tf.cast(IMAGES, tf.float32), seed(0), strength=1.0).dtype == tf.float32


# ---------------------------------------------------------------- in training


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_have_together_what_one_has(workers):
    def batch(worker, workers):
        rows = slice(worker * 8 // workers, (worker + 1) * 8 // workers)
        images = rand_augment(IMAGES[rows], seed(3), worker, workers, strength=0.7)
        return mix((images, LABELS[rows]), seed(3), worker, workers, num_classes=4, mixup=0.4, cutmix=1.0)

    whole, parts = batch(0, 1), [batch(worker, workers) for worker in range(workers)]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(several))


def test_a_run_with_all_of_them_learns_and_is_resumed_exactly(monkeypatch):
    strip_report(mnist_dense, monkeypatch)
    config = with_changes(mnist_dense.TINY, epochs=2, checkpoint_steps=3, mixup=0.2, cutmix=1.0, rand_augment=0.3)
    config = with_changes(config, label_smoothing=0.1)

    class Crash(keras.callbacks.Callback):
        def __init__(self, at):
            super().__init__()
            self.at = at

        def on_train_batch_end(self, batch, logs=None):
            if batch == self.at:
                raise RuntimeError("crash")

    alone = mnist_dense.fit(config, callbacks=Crash(-1), runs="alone")
    with pytest.raises(RuntimeError, match="crash"):
        mnist_dense.fit(config, callbacks=Crash(5))
    resumed = mnist_dense.fit(config, callbacks=Crash(-1))
    for one, two in zip(resumed.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert 0 < resumed.run.metrics["train"]["accuracy"] < 1


def test_heads_beside_the_last_one_learn_from_mixed_labels_too(monkeypatch):
    strip_report(cifar_googlenet, monkeypatch)
    model = cifar_googlenet.fit(cifar_googlenet.TINY, mixup=0.2, max_examples=64)
    assert np.isfinite(model.run.metrics["train"]["loss"])


def test_your_own_splits_come_as_they_are():
    images, labels = np.zeros((64, 9, 9, 1), np.uint8), np.arange(64) % 4
    splits = Splits(tf.data.Dataset.from_tensor_slices((images, labels)).batch(16))
    with pytest.raises(ConfigError, match=r"mixup=0\.2 would change nothing: your own Splits are trained on as they"):
        mnist_dense.fit(mnist_dense.TINY, splits, mixup=0.2)


def test_in_memory_and_out_of_it_the_batches_are_the_same(tmp_path):
    for number in range(48):
        folder = tmp_path / "images" / f"class{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{number}.png", IMAGES[number % 8].numpy() // (1 + number // 8), scale=False)
    config = with_changes(mnist_dense.TINY, batch_size=8, max_examples=None, mixup=0.2, cutmix=1.0, rand_augment=0.5)
    batches = []
    for in_memory in ("yes", "no"):
        splits = mnist_dense.load_data(with_changes(config, in_memory=in_memory), tmp_path / "images")
        assert splits.train.element_spec[1].shape == (8, 3)
        batches.append(list(splits.train_from(3, 0, 1).take(2)))
    for kept, streamed in zip(*batches, strict=True):
        for one, other in zip(kept, streamed, strict=True):
            np.testing.assert_array_equal(one, other)
