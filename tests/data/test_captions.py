"""Images with captions: a user's own, scenes, and those of the features that COCO has in tensorflow-datasets."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from recipes import show_attend_tell
from recipes.data.caption_sources import evaluation_captions, find_captions, own_part
from recipes.data.captions import caption_splits, in_words
from recipes.data.splits import Sizes
from recipes.data.tokenizers import END, START, Sentences, from_json
from recipes.errors import DataError

CONFIG = replace(show_attend_tell.TINY, dataset="flickr8k", image_size=16, batch_size=2)
CAPTIONS = [["A dog runs.", "The dog is fast!"], ["Two cats"], ["A cat sleeps", "a cat", "It sleeps on."]]
IMAGES = np.stack([np.full((16, 16, 3), 50 * number, np.uint8) for number in range(1, 4)])


def own(**changes):
    return caption_splits(replace(CONFIG, **changes), ((IMAGES, CAPTIONS), (IMAGES[:2], CAPTIONS[:2])))


def rows(data):
    """(brightness of the image, its words, the following) of each example."""
    for (image, words), following in data.unbatch().as_numpy_iterator():
        yield int(image.mean()), words.tolist(), following.tolist()


def test_each_caption_stands_beside_its_image_between_start_and_end():
    splits = own(validation_fraction=0.0)
    words = splits.info.tokenizer
    found = {}
    for brightness, before, after in rows(splits.train.take(3)):
        length = np.count_nonzero(after)
        assert before[0] == START
        assert after[length - 1] == END
        assert before[1:length] == after[: length - 1], "what follows is what comes next"
        assert not any(before[length:] + after[length:])
        found.setdefault(brightness // 50 - 1, set()).add(words.decode([after])[0].numpy().decode())
    assert found == {
        0: {"a dog runs", "the dog is fast"},
        1: {"two cats"},
        2: {"a cat sleeps", "a cat", "it sleeps on"},
    }
    assert splits.info.examples == {"train": 6, "test": 3}
    assert splits.info.sizes(Sizes()) == Sizes(train_examples=6, vocab_size=len(words.vocabulary))


def test_the_gallery_has_each_test_image_once_with_all_that_was_said_of_it():
    gallery = own(validation_fraction=0.0).originals
    np.testing.assert_array_equal(gallery.images, IMAGES[:2])
    np.testing.assert_array_equal(gallery.inputs, IMAGES[:2])
    assert gallery.references == (("a dog runs", "the dog is fast"), ("two cats",))
    assert gallery.scenes == ()


@pytest.mark.parametrize("on_disk", [False, True])
def test_annotations_take_the_images_place(on_disk, tmp_path):
    def annotate(images):
        assert len(images) == 5, "of all splits at once"
        found = images.stacked().mean((1, 2))[:, None].astype(np.float16)  # (N, 1, 3)
        np.save(tmp_path / "annotations.npy", found)
        return np.load(tmp_path / "annotations.npy", mmap_mode="r") if on_disk else found

    splits = caption_splits(CONFIG, ((IMAGES, CAPTIONS), (IMAGES[:2], CAPTIONS[:2])), annotate=annotate)
    assert splits.train.element_spec[0][0].shape.as_list() == [None, 1, 3]
    assert splits.train.element_spec[0][0].dtype == tf.float32
    told = {brightness: after for brightness, _, after in rows(splits.test)}
    assert set(told) == {50, 100}
    np.testing.assert_array_equal(splits.originals.inputs[:, 0, 0], [50, 100])
    np.testing.assert_array_equal(splits.examples(1), IMAGES[:1]), "an export is checked with images"


def test_two_images_in_a_list_are_no_two_splits_and_what_is_passed_twice_is_read_once(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, image in zip(paths, IMAGES):
        path.write_bytes(tf.io.encode_png(image).numpy())
    for images in (list(IMAGES[:2]), paths, [str(path) for path in paths]):
        data = evaluation_captions((images, ["a dog", "two cats"]), None)
        assert data.examples == 2
        arrays, _, found = find_captions(CONFIG, data.data)
        np.testing.assert_array_equal(found.stacked(), IMAGES[:2])
        for rows, told in (arrays.train, arrays.test):
            assert rows.tolist() == [0, 1]
            assert told.tolist() == [("a dog",), ("two cats",)]


def test_the_same_data_is_known_again_and_other_images_are_not():
    other = IMAGES.copy()
    other[0, 0, 0] += 1
    one, two = own(), own()
    three = caption_splits(CONFIG, ((other, CAPTIONS), (IMAGES[:2], CAPTIONS[:2])))
    assert one.info.fingerprint == two.info.fingerprint != three.info.fingerprint


def test_training_can_be_entered_at_any_step_and_shared_by_workers():
    splits = own(validation_fraction=0.0)
    whole = [batch[1].numpy().tolist() for batch in splits.train_from(0, 0, 1).take(6)]
    assert [batch[1].numpy().tolist() for batch in splits.train_from(4, 0, 1).take(2)] == whole[4:]
    [first], [second] = ([batch[1].numpy().tolist() for batch in splits.train_from(2, w, 2).take(1)] for w in (0, 1))
    said = [[token for token in row if token] for row in first + second]
    assert said == [[token for token in row if token] for row in whole[2]]


def test_a_caption_ends_with_its_line_and_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    """A form feed, U+2028 and U+0085 are white space within it."""
    (tmp_path / "0.png").write_bytes(tf.io.encode_png(IMAGES[0]).numpy())
    path = tmp_path / "captions.tsv"
    path.write_bytes("0.png\ta dog\x0cruns\r\n0.png\ttwo\u2028cats\u0085sleep\r\n".encode("utf-8-sig"))
    _, [captions] = own_part(path, 8)
    assert captions == ("a dog\x0cruns", "two\u2028cats\u0085sleep")
    assert in_words(captions).tolist() == [b"a dog runs", b"two cats sleep"]


def test_photographs_named_in_a_text_file(tmp_path):
    for number, image in enumerate(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
    lines = [f"{number}.png\t{text}" for number, texts in enumerate(CAPTIONS) for text in texts]
    (tmp_path / "captions.tsv").write_text("\n".join(lines))
    (tmp_path / "test.tsv").write_text("1.png\tTwo cats\n")
    splits = caption_splits(CONFIG, (tmp_path / "captions.tsv", tmp_path / "test.tsv"))
    np.testing.assert_array_equal(splits.originals.images, IMAGES[1:2])
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    again = caption_splits(CONFIG, ((paths, CAPTIONS), (paths[1:2], ["Two cats"])))
    assert again.originals.references == splits.originals.references == (("two cats",),)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ((IMAGES, CAPTIONS[:2]), "3 images and the captions of 2"),
        ((IMAGES, ["a", "b", 3]), "int' object is not iterable|texts are a int; expected a list of str"),
        ((IMAGES, ["a", "b", []]), "image 2 has no caption"),
        ((IMAGES / 255, CAPTIONS), r"lie in \[.*\]; expected \[0, 255\]"),
        ((IMAGES[..., :2], CAPTIONS), "expected numbers .N, H, W, 3., or paths of files"),
        ((["none.jpg"] * 3, CAPTIONS), "cannot read none.jpg: No such file"),
        (([IMAGES[0], IMAGES[1][:9], IMAGES[2]], CAPTIONS), "images differ in size; expected an array"),
        ((([IMAGES[0], IMAGES[1][:9]], CAPTIONS[:2]), (IMAGES, CAPTIONS)), "images differ in size; expected an array"),
        ((IMAGES[0], ["a"] * 16), "expected numbers .N, H, W, 3., or paths of files"),
        ("none.tsv", "cannot read none.tsv: No such file"),
        (7, "data holds a int, 7; expected"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, why):
    with pytest.raises(DataError, match=why):
        caption_splits(CONFIG, data)


def test_photographs_that_cannot_be_read_are_all_named_or_skipped(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        path.write_bytes(b"torn" if path.stem in "13" else tf.io.encode_png(IMAGES[0]).numpy())
    captions = ["a dog", "torn", "a cat", "torn", "a bird"]
    with pytest.raises(DataError, match=r"2 of 6 images cannot be read: .*1.png is not .*; .*3.png is not a readable"):
        caption_splits(CONFIG, ((paths, captions), (paths[:1], captions[:1])))
    arrays, info, _ = find_captions(replace(CONFIG, on_bad_file="skip"), ((paths, captions), (paths[:1], captions[:1])))
    assert [texts for (texts,) in arrays.train[1]] == ["a dog", "a cat", "a bird"]
    assert list(info.skipped) == [str(paths[1]), str(paths[3])]
    with pytest.raises(DataError, match="2 of 3 photographs cannot be read: cannot read .*none.png: No such file"):
        caption_splits(CONFIG, ([tmp_path / "none.png", tmp_path / "neither.png", paths[0]], captions[:3]))


def test_a_line_without_a_caption_is_named(tmp_path):
    (tmp_path / "captions.tsv").write_text("1.jpg\ta dog\n2.jpg a cat\n")
    with pytest.raises(DataError, match=r"line 2 of .*captions.tsv is '2.jpg a cat'; expected 'photo.jpg<tab>caption'"):
        caption_splits(CONFIG, tmp_path / "captions.tsv")


class CocoLike(tfds.core.GeneratorBasedBuilder):
    """The features and splits of coco_captions, Karpathy's."""

    VERSION = tfds.core.Version("1.1.0")

    def _info(self):
        text = tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()})
        features = {"image": tfds.features.Image(encoding_format="jpeg"), "captions": text, "image/id": np.int64}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(first) for name, first in (("test", 6), ("train", 0), ("val", 4))}

    def _generate_examples(self, first):
        for number in range(first, first + (4 if first == 0 else 2)):
            said = [{"id": place, "text": f"{number} said {place}"} for place in range(5)]
            image = np.full((9 + number, 12, 3), 30 * number, np.uint8)
            yield number, {"image": image, "captions": said, "image/id": number}


def test_coco_is_read_by_its_features(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    CocoLike(data_dir=tmp_path / "tfds").download_and_prepare()
    arrays, info, images = find_captions(replace(CONFIG, dataset="coco_like", offline="error"))
    assert (info.name, info.version) == ("coco_like", "1.1.0")
    pixels = images.stacked()
    counts = {"train": 4, "validation": 2, "test": 2}
    assert {name: len(split[0]) for name, split in arrays.named.items()} == counts
    for split in arrays.named.values():
        for row, texts in zip(*split, strict=True):
            number = int(texts[0][0])
            assert texts == tuple(f"{number} said {place}" for place in range(5))
            assert abs(float(pixels[row].mean()) - 30 * number) < 3


class HalfCaptioned(CocoLike):
    """Images of which some have no caption."""

    def _generate_examples(self, first):
        for number, example in super()._generate_examples(first):
            yield number, example | {"captions": example["captions"] if number % 2 else []}


def test_images_without_captions_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    HalfCaptioned(data_dir=tmp_path / "tfds").download_and_prepare()
    arrays, _, images = find_captions(replace(CONFIG, dataset="half_captioned", offline="error"))
    pixels = images.stacked()
    assert {name: len(split[0]) for name, split in arrays.named.items()} == {"train": 2, "validation": 1, "test": 1}
    for rows, told in arrays.named.values():
        assert all(abs(float(pixels[row].mean()) - 30 * int(texts[0][0])) < 3 for row, texts in zip(rows, told))


class Uncaptioned(CocoLike):
    """Images alone."""

    def _info(self):
        features = {"image": tfds.features.Image(encoding_format="jpeg"), "label": np.int64}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _generate_examples(self, first):
        yield first, {"image": np.zeros((8, 8, 3), np.uint8), "label": first}


def test_a_data_set_without_captions_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    Uncaptioned(data_dir=tmp_path / "tfds").download_and_prepare()
    with pytest.raises(DataError, match="uncaptioned has the features .*; expected .* 'captions'"):
        caption_splits(replace(CONFIG, dataset="uncaptioned", offline="error"))


def test_sentences_have_signs_and_words_in_small_letters():
    words = Sentences.learn(["A dog, a cat.", "a bird"], 6)
    assert words.vocabulary == ("", "[UNK]", "[START]", "[END]", "a", "dog")
    assert words.encode(["A DOG flies"])[0].numpy().tolist() == [4, 5, 1]
    assert words.decode([[START, 4, 5, 1, END, 0]]).numpy().tolist() == ["a dog \u2047".encode()]
    assert from_json(words.to_json()) == words
