from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import cifar_convnet, mnist_dense
from recipes.data.augment import crop_and_flip
from recipes.data.image_batches import eval_batches, image_splits, train_batches
from recipes.data.splits import DataInfo, Splits, few_steps_note
from recipes.devices.strategies import choose_strategy
from recipes.errors import DataError


def numbered(count):
    """Images that are recognised by their one pixel, and labels that say the same."""
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1), np.arange(count)


def labels_of(dataset, steps):
    return [batch[1].numpy().tolist() for batch in dataset.take(steps)]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 60), seed=st.integers(0, 2**31 - 1))
def test_an_epoch_takes_no_example_twice_and_leaves_out_less_than_a_batch(count, batch_size, seed):
    batch_size = min(batch_size, count)
    steps = count // batch_size
    first, second = np.split(np.ravel(labels_of(train_batches(numbered(count), batch_size, seed)(), 2 * steps)), 2)
    for epoch in (first, second):
        assert len(set(epoch)) == len(epoch) == steps * batch_size > count - batch_size
        assert set(epoch) <= set(range(count))


@settings(max_examples=15, deadline=None)
@given(start=st.integers(0, 40), seed=st.integers(0, 1000))
def test_the_stream_can_be_entered_at_any_step(start, seed):
    images, labels = numbered(23)
    images = np.broadcast_to(images, (23, 4, 4, 1))
    train_from = train_batches((images, labels), 5, seed, partial(crop_and_flip, padding=1))
    whole = train_from()
    entered = train_from(start)
    for (image, label), (later_image, later_label) in zip(whole.skip(start).take(3), entered.take(3)):
        np.testing.assert_array_equal(image, later_image)
        np.testing.assert_array_equal(label, later_label)


def test_no_iterator_waits_for_an_autotuner_when_it_is_dropped():
    for dataset in train_batches(numbered(8), 2, 0)(), eval_batches(numbered(8), 2):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_each_batch_and_change_its_images_as_one_would(workers):
    images, labels = numbered(29)
    images = np.broadcast_to(images, (29, 4, 4, 1)) + np.arange(4)[None, :, None, None] / 8
    train_from = train_batches((images, labels), 12, 7, partial(crop_and_flip, padding=1))
    [(whole, all_labels)] = train_from(5).take(1)
    parts = [next(iter(train_from(5, worker, workers))) for worker in range(workers)]
    np.testing.assert_array_equal(np.concatenate([image for image, _ in parts]), whole)
    np.testing.assert_array_equal(np.concatenate([label for _, label in parts]), all_labels)


def test_epochs_and_seeds_differ_in_order_and_images_stay_with_their_labels():
    images, labels = numbered(50)
    first, second = np.split(np.ravel(labels_of(train_batches((images, labels), 10, 0)(), 10)), 2)
    assert sorted(first) == sorted(second) == list(range(50))
    assert (first != second).any()
    assert (first != np.ravel(labels_of(train_batches((images, labels), 10, 1)(), 5))).any()
    for image, label in train_batches((images, labels), 10, 0)().take(3):
        np.testing.assert_array_equal(image[:, 0, 0, 0], label)


def test_each_place_in_the_epoch_is_taken_by_all_examples_alike():
    at_first = [labels_of(train_batches(numbered(5), 1, seed)(), 1)[0][0] for seed in range(100)]
    assert min(np.bincount(at_first, minlength=5)) >= 8


def test_crop_and_flip_by_hand():
    row = tf.constant([[[[1], [2], [3]]]], tf.uint8)  # one image, 1x3
    seen = set()
    for step in range(200):
        moved = crop_and_flip(tf.tile(row, [1, 3, 1, 1]), tf.constant([0, step], tf.int64), padding=1)
        assert moved.shape == (1, 3, 3, 1)
        assert moved.dtype == tf.uint8
        seen.add(tuple(moved[0, 0, :, 0].numpy()))
    reflected = {(2, 1, 2), (1, 2, 3), (2, 3, 2)}  # the windows of 2 1 2 3 2
    assert seen == reflected | {window[::-1] for window in reflected}
    unmoved = crop_and_flip(row, tf.constant([0, 1], tf.int64), padding=0, flip=False)
    np.testing.assert_array_equal(unmoved, row)


@settings(max_examples=20, deadline=None)
@given(fraction=st.floats(0, 0.9))
def test_validation_and_training_share_no_example_and_do_not_depend_on_the_seed(fraction):
    images, labels = numbered(100)
    held = []
    for seed in (0, 1):
        config = cifar_convnet.Config(validation_fraction=fraction, batch_size=1, seed=seed, crop_padding=0)
        splits = image_splits(
            config, ((images, labels), (images[:3], labels[:3])), standin="shapes", image_shape=(32, 32, 3)
        )
        validation = [] if splits.validation is None else [int(y) for _, y in splits.validation.unbatch()]
        train = np.ravel(labels_of(splits.train, splits.steps_per_epoch)).tolist()
        assert sorted(train + validation) == list(range(100))
        held.append(validation)
    assert held[0] == held[1]
    assert len(held[0]) == round(100 * fraction)


def test_a_batch_larger_than_the_data_is_refused():
    images, labels = numbered(10)
    with pytest.raises(DataError, match="batch_size=512 is more than the 9 training examples of your own arrays"):
        cifar_convnet.load_data(cifar_convnet.Config(crop_padding=0), (images, labels))


def test_settings_and_data_that_do_not_fit_each_other_are_explained():
    images, labels = numbered(100)
    with pytest.raises(DataError, match="crop_padding=2 is no less than the 1x1 images of your own arrays"):
        cifar_convnet.load_data(cifar_convnet.Config(batch_size=8), (images, labels))
    with pytest.raises(DataError, match="4 examples are too few to hold out a test split"):
        cifar_convnet.load_data(data=(images[:4], labels[:4]))


def test_a_small_test_split_can_be_shared_by_replicas():
    images, labels = numbered(31)
    assert [len(label) for _, label in eval_batches((images, labels), 32)] == [31]
    assert [len(label) for _, label in eval_batches((images, labels), 8)] == [8, 8, 8, 7]
    with choose_strategy("mirrored").scope():
        assert [len(label) for _, label in eval_batches((images, labels), 32)] == [30, 1]
        with pytest.raises(DataError, match="1 examples are too few to validate on 2 replicas"):
            eval_batches((images[:1], labels[:1]), 32)


def test_a_users_own_splits_pass_through_and_their_sizes_are_read():
    dataset = tf.data.Dataset.from_tensor_slices(numbered(5)).batch(2)
    splits = cifar_convnet.load_data(cifar_convnet.Config(batch_size=2), Splits(dataset))
    assert splits.train is dataset
    assert splits.info.follows == {"image_shape": (1, 1, 1), "num_classes": 5, "train_examples": 6}
    assert splits.info.sizes(cifar_convnet.CIFAR10).num_classes == 5
    assert splits.examples(3).shape == (3, 1, 1, 1)


def test_how_many_classes_an_endless_split_has_is_read_from_one_epoch_or_told():
    endless = tf.data.Dataset.from_tensor_slices((np.zeros((6, 9, 9, 1)), [0, 0, 0, 3, 0, 9])).batch(2).repeat()
    read = cifar_convnet.load_data(data=Splits(endless, steps_per_epoch=2))
    assert (read.info.follows["num_classes"], read.info.follows["train_examples"]) == (4, 2 * 512)
    twenty = DataInfo("mine", follows={"num_classes": 20})
    told = cifar_convnet.load_data(data=Splits(endless, steps_per_epoch=2, info=twenty))
    assert told.info.follows["num_classes"] == 20
    one_class = tf.data.Dataset.from_tensors((np.zeros((2, 9, 9, 1)), [0, 0]))
    assert cifar_convnet.load_data(data=Splits(one_class)).info.follows["num_classes"] == 2, "the fewest there are"


def test_labels_beyond_the_classes_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((4, 9, 9, 1)), [0, 1, 2, 12])).batch(4)
    ten = DataInfo("mine", label_names=tuple("0123456789"))
    with pytest.raises(DataError, match="the labels of train reach 12, and its info names 10 classes"):
        cifar_convnet.load_data(data=Splits(dataset, info=ten))


def labelled(*labels, batch=2):
    return tf.data.Dataset.from_tensor_slices((np.zeros((len(labels), 9, 9, 1)), np.array(labels))).batch(batch)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": labelled(0, 1, 0, 1, 2)}, "the labels of test reach 2, and train has 2 classes; expected .* 0 to 1"),
        ({"validation": labelled(0, 1, 1, -1)}, "the labels of validation go down to -1, and train has 2 classes"),
        ({"train": labelled(0, -1)}, "the labels of train go down to -1"),
        ({"train": labelled(0).skip(1)}, "train holds no examples; expected at least one batch"),
        ({"test": labelled(0).skip(1)}, "test holds no examples"),
        ({"test": labelled(0, 1).repeat()}, "test is endless; expected each of its examples once"),
        (
            {"test": labelled([0.0, 1.0], [1.0, 0.0])},
            r"labels of test are float64 \(None, 2\); expected what those of train are, int64 \(None,\)",
        ),
        ({"train": labelled("cat", "dog")}, r"the labels of train are string \(None,\); .*of names: their places"),
        ({"train": labelled(0, 1).map(lambda image, label: image)}, "expected batches of .image .B, H, W, C., label"),
    ],
)
def test_labels_of_own_splits_are_looked_at_in_all_batches(splits, message):
    named = {"train": labelled(0, 1, 1, 0), "validation": labelled(0, 1), "test": labelled(0, 1)} | splits
    with pytest.raises(DataError, match=message):
        cifar_convnet.load_data(data=Splits(**named))


def test_an_epoch_of_few_steps_is_noted():
    def note(examples, batch_size):
        info = DataInfo("mine", follows={"train_examples": examples})
        return few_steps_note(Splits(None, info=info, steps_per_epoch=examples // batch_size), batch_size)

    assert note(298, 256) == (
        "note: an epoch has 1 step of batch_size=256: few updates, and little is learned; try batch_size=16"
    )
    assert "has 9 steps of batch_size=32" in note(300, 32)
    assert note(320, 32) == ""
    assert note(5, 1) == "", "no smaller batch"
    assert few_steps_note(Splits(None), 256) == "", "nobody knows"


def test_images_are_resized_where_the_config_says_so():
    grey = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None, None], (100, 2, 2, 1))
    config = mnist_dense.Config(image_shape=(5, 4, 3), crop_padding=0, batch_size=4)
    splits = mnist_dense.load_data(config, (grey, np.arange(100) % 2))
    for split in (splits.train.take(1), splits.validation, splits.test):
        for image, label in split:
            assert image.shape[1:] == (5, 4, 3)
            np.testing.assert_array_equal(image, np.broadcast_to(image[:, :1, :1, :1], image.shape))
            np.testing.assert_array_equal(image[:, 0, 0, 0] % 2, label)
    sizes = splits.info.sizes(mnist_dense.MNIST)
    assert (sizes.image_shape, sizes.num_classes, sizes.train_examples) == ((5, 4, 3), 2, 81)
    assert mnist_dense.build(config, sizes).input_shape == (None, 5, 4, 3)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (tf.data.Dataset.range(3), r"expected batches of .image .B, H, W, C., label .B,.."),
        (tf.data.Dataset.from_tensors((np.zeros((2, 3)), [1, 2])), "expected batches of"),
        (tf.data.Dataset.from_tensors((np.zeros((2, 3, 3, 1)), [1, 2])).repeat(), "give Splits a steps_per_epoch"),
    ],
)
def test_splits_that_do_not_fit_are_explained(dataset, message):
    with pytest.raises(DataError, match=message):
        cifar_convnet.load_data(data=Splits(dataset))


def test_a_few_examples_are_of_all_classes():
    images, _ = numbered(200)
    config = cifar_convnet.Config(max_examples=50, batch_size=1, validation_fraction=0.0, crop_padding=0)
    by_class = (images, np.repeat([0, 1, 2, 3], 50))
    test = image_splits(config, (by_class, by_class), standin="shapes", image_shape=(32, 32, 3)).test
    found = np.bincount([int(label) for _, label in test.unbatch()])
    assert found.sum() == 50
    assert min(found) >= 5
