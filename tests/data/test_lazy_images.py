"""What does not fit in memory: the same bits as in memory, of folders, arrays on a disk and tensorflow-datasets."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from recipes import cifar_convnet, mnist_autoencoder
from recipes.data.images import find_images
from recipes.data.lazy_images import LazyImages, identity_of_files, joined, of_files
from recipes.data.sources import read_columns
from recipes.data.tfds_records import Records, make_index
from recipes.errors import DataError

TINY = {"filters": (4, 4), "epochs": 2, "batch_size": 8, "precision": "float32", "image_shape": (16, 16, 3)}


@pytest.fixture
def photographs(tmp_path):
    """A folder of 60 photographs of several sizes and formats in two classes."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            image = Image.fromarray(rng.integers(0, 256, (12 + number, 20, 3), np.uint8))
            image.save(tmp_path / "photos" / name / f"{number}.{('jpg', 'png', 'tif')[number % 3]}")
    return tmp_path / "photos"


def batches(splits):
    """The first two epochs' training batches, and all of the others."""
    train = splits.train.take(2 * splits.steps_per_epoch)
    return [[array.numpy() for array in batch] for split in (train, splits.validation, splits.test) for batch in split]


def assert_same(one, other):
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_folder_is_the_same_in_memory_and_on_the_disk(photographs):
    kept, read = (
        cifar_convnet.load_data(cifar_convnet.Config(**TINY, in_memory=how), photographs) for how in ("yes", "no")
    )
    assert_same(batches(kept), batches(read))
    assert kept.info == read.info, "their fingerprints too"
    whole = read.train_from(5, 0, 1)
    [image, label] = next(iter(whole))
    parts = [next(iter(read.train_from(5, worker, 2))) for worker in (0, 1)]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), image)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), label)


def test_each_worker_reads_its_own_images_alone(photographs, monkeypatch):
    asked = []
    read = LazyImages.at

    def at(self, place):
        inner = self.read
        self.read = lambda row: asked.append(row) or inner(row)
        return read(self, place)

    monkeypatch.setattr(LazyImages, "at", at)
    splits = cifar_convnet.load_data(cifar_convnet.Config(**TINY, in_memory="no", crop_padding=0), photographs)
    asked.clear()
    rows = []
    for worker in (0, 1):
        next(iter(splits.train_from(0, worker, 2).take(1)))
        rows.append(asked[:4])  # what is read ahead is its own, too
        asked.clear()
    assert not set(rows[0]) & set(rows[1])


def test_noise_is_the_same_in_memory_and_on_the_disk(photographs):
    kept, read = (
        mnist_autoencoder.load_data(
            mnist_autoencoder.Config(in_memory=how, image_shape=(16, 16, 1), batch_size=8), photographs
        )
        for how in ("yes", "no")
    )
    assert_same(batches(kept), batches(read))


def test_bad_files_are_left_out_alike_and_named_when_they_are_met(photographs):
    (photographs / "cat" / "1.png").write_bytes(b"no image")
    kept, read = (
        cifar_convnet.load_data(cifar_convnet.Config(**TINY, in_memory=how, on_bad_file="skip"), photographs)
        for how in ("yes", "no")
    )
    assert_same(batches(kept), batches(read))
    assert [*read.info.skipped] == [str(photographs / "cat" / "1.png")]
    with pytest.raises(DataError, match=r"cat/1.png is not a readable image; expected .*"):
        cifar_convnet.fit(cifar_convnet.Config(**TINY, in_memory="no", validation_fraction=0.0), photographs)


def test_a_run_on_the_disk_ends_as_one_in_memory_and_either_resumes_the_other(photographs):
    whole = cifar_convnet.fit(cifar_convnet.Config(**TINY), photographs, runs="whole")

    def stop(epoch, logs):
        raise KeyboardInterrupt

    config = cifar_convnet.Config(**TINY, checkpoint_steps=2)
    with pytest.raises(KeyboardInterrupt):
        cifar_convnet.fit(
            config, photographs, in_memory="no", callbacks=keras.callbacks.LambdaCallback(on_epoch_end=stop)
        )
    idle = keras.callbacks.LambdaCallback()
    resumed = cifar_convnet.fit(config, photographs, in_memory="yes", callbacks=idle)
    assert resumed.run.resumes
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_array_on_the_disk_is_read_from_there(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    labels = np.arange(40) % 2
    np.save(tmp_path / "images.npy", images)
    config = cifar_convnet.Config(**TINY)
    mapped = cifar_convnet.load_data(config, (np.load(tmp_path / "images.npy", mmap_mode="r"), labels))
    assert_same(batches(cifar_convnet.load_data(config, (images, labels))), batches(mapped))
    assert isinstance(
        find_images(
            "",
            standin="shapes",
            offline="error",
            image_shape=(16, 16, 3),
            data=(np.load(tmp_path / "images.npy", mmap_mode="r"), labels),
        )[0].train[0],
        LazyImages,
    )


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_a_data_set_is_the_same_in_memory_and_on_the_disk(tmp_path, monkeypatch, file_format):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    builder = tfds.testing.DummyMnist(data_dir=tmp_path, file_format=file_format)
    builder.download_and_prepare()
    ask = {"standin": "digits", "offline": "error", "image_shape": (28, 28, 1)}
    (kept, _), (read, _) = (find_images("dummy_mnist", **ask, in_memory=how) for how in ("yes", "no"))
    assert isinstance(read.train[0], LazyImages)
    np.testing.assert_array_equal(read.train[0].stacked(), kept.train[0])
    np.testing.assert_array_equal(read.train[0][[3, 19, 0]].stacked(), kept.train[0][[3, 19, 0]])
    np.testing.assert_array_equal(read.train[1], kept.train[1])
    assert read.identity == kept.identity


def test_the_index_of_a_tfrecord_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    builder = tfds.testing.DummyMnist(data_dir=tmp_path)
    builder.download_and_prepare()
    [path] = map(Path, builder.info.splits["train"].filepaths)
    files, starts, sizes = make_index([str(path)], [20])
    assert files.tolist() == [0] * 20
    assert starts[0] == 12
    assert starts[1] == 12 + sizes[0] + 16
    whole = read_columns(builder, "train", lambda features: (features["image"], features["label"]))
    records = Records(builder, "train")
    assert [records[row]["label"] for row in range(20)] == whole[1].tolist()
    with pytest.raises(ValueError, match="has 20 examples, 21 were expected"):
        make_index([str(path)], [21])
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(ValueError, match="breaks off in record 19"):
        make_index([str(path)], [20])
    path.write_bytes(content)
    assert len(Records(builder, "train")) == 20, "made anew, for the file was written anew"


def test_files_are_known_again_wherever_they_are_and_by_their_content(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            (tmp_path / folder / f"{number}.png").write_bytes(bytes([number] * 10))

    def identity(folder):
        return identity_of_files([tmp_path / folder / f"{number}.png" for number in range(3)], tmp_path / folder)

    assert identity("one") == identity("other")
    (tmp_path / "other" / "1.png").write_bytes(bytes([7] * 10))
    assert identity("one") != identity("other")


def test_images_of_several_sources_follow_each_other_and_all_bad_ones_are_named(tmp_path):
    for number in range(4):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(tmp_path / f"{number}.png")
    both = joined([of_files([tmp_path / f"{number}.png" for number in pair], (2, 2, 3)) for pair in ((0, 1), (2, 3))])
    assert both[[3, 0]].stacked()[:, 0, 0, 0].tolist() == [3, 0]
    for number in (1, 2):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 4 images cannot be read: .*1.png is not .*2.png is not"):
        both.stacked()
    assert [*both.unreadable()] == [1, 2]


def test_a_list_of_images_in_any_form_is_read_as_files_are(tmp_path):
    pictures = [Image.new("RGB", (4 + number, 5), (number * 20, 0, 0)) for number in range(10)]
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    labels = np.arange(10) % 2
    forms = [paths, list(map(str, paths)), [path.read_bytes() for path in paths], pictures]
    forms.append([np.asarray(picture) for picture in pictures])
    forms.append([{"bytes": path.read_bytes(), "path": None} for path in paths])
    ask = {"standin": "shapes", "offline": "error", "image_shape": (4, 4, 3)}
    for form in forms:
        for how in ("yes", "no"):
            arrays, _ = find_images("", **ask, data=(form, labels), in_memory=how)
            images = arrays.train[0]
            images = images.stacked() if how == "no" else images
            assert images.shape == (10, 4, 4, 3)
            np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(10) * 20)
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3.png is not a readable image"):
        find_images("", **ask, data=(paths, labels))


def test_a_process_ends_while_a_stream_reads_ahead(tmp_path):
    """Its threads wait for Python, which waits for them: calls are refused before it ends."""
    program = """
import numpy as np, tensorflow as tf, time
from recipes.data.image_batches import train_batches
from recipes.data.lazy_images import LazyImages

def read(row):
    time.sleep(0.002)
    return np.zeros((2, 2, 1), np.uint8)

images = LazyImages(read, (2, 2, 1), np.arange(40))
stream = iter(train_batches((images, np.arange(40)), 4, 0)())
next(stream)
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=120, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_run_is_evaluated_at_the_size_that_was_asked_for(photographs):
    model = cifar_convnet.fit(cifar_convnet.Config(**TINY | {"epochs": 1}), photographs)
    assert cifar_convnet.evaluate() == model.run.metrics["test"], "read back, with its image_shape"
