"""Texts that do not fit in memory: the same bits as in memory, of folders, files, lists and tensorflow-datasets."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import imdb_transformer, shakespeare_gpt, translate_transformer
from recipes.data.lazy_texts import on_disk, token_file
from recipes.data.text_files import text_parts
from recipes.data.text_reading import read_text_file
from recipes.devices.environment import cache_dir
from recipes.errors import DataError


def tensors(splits):
    """The first two epochs' training batches, and all of the others, flat."""
    train = splits.train.take(2 * splits.steps_per_epoch)
    splits = [split for split in (train, splits.validation, splits.test) if split is not None]
    return [part.numpy() for split in splits for batch in split for part in tf.nest.flatten(batch)]


def assert_same(load, config, data):
    kept, read = (load(config(in_memory=how), data) for how in ("yes", "no"))
    one, other = tensors(kept), tensors(read)
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    assert kept.info.fingerprint == read.info.fingerprint
    assert kept.info.tokenizer == read.info.tokenizer
    worker = next(iter(read.train_from(3, 1, 2)))
    whole = next(iter(read.train_from(3, 0, 1)))
    for part, all_rows in zip(tf.nest.flatten(worker), tf.nest.flatten(whole), strict=True):
        np.testing.assert_array_equal(part, all_rows[len(all_rows) // 2 :])
    return read


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
@settings(max_examples=30, deadline=None)
def test_texts_come_back_as_they_were(texts):
    lazy = on_disk(texts)
    assert list(lazy) == texts
    order = np.arange(len(texts))[::-1]
    assert list(lazy[order]) == texts[::-1]
    assert [lazy[place] for place in range(len(texts))] == texts


def test_token_ids_come_back_as_they_were():
    parts = [tf.ragged.constant([[1, 2], []], dtype=tf.int32), tf.ragged.constant([[7]], dtype=tf.int32)]
    kept = token_file(parts)
    assert kept.shape == (3,)
    assert kept.row_lengths().numpy().tolist() == [2, 0, 1]
    assert tf.function(kept.at)(tf.constant([2, 1, 0, 2])).to_list() == [[7], [], [1, 2], [7]]
    assert not [*cache_dir().iterdir()], "no file has a name"


def config_of(recipe, **changes):
    return lambda **more: recipe.Config(
        **{**vars(recipe.TINY), "max_examples": None, "batch_size": 4, **changes, **more}
    )


def test_labelled_texts_are_the_same_in_memory_and_on_the_disk(tmp_path):
    rng = np.random.default_rng(0)
    texts = [
        " ".join(rng.choice(["good", "bad", "film", "caf\u00e9", "\u6620"], rng.integers(1, 9))) for _ in range(60)
    ]
    folder, config = tmp_path / "texts", config_of(imdb_transformer)
    assert_same(imdb_transformer.load_data, config, (texts, np.arange(60) % 2))
    for number, text in enumerate(texts):
        path = folder / ("good", "bad")[number % 2] / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert_same(imdb_transformer.load_data, config, folder)
    (folder / "bad" / "1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"bad/1.txt as text in UTF-8"):
        imdb_transformer.load_data(config(in_memory="no"), folder)
    skipped = config_of(imdb_transformer, on_bad_file="skip")
    assert len(assert_same(imdb_transformer.load_data, skipped, folder).info.skipped) == 1


def test_pairs_and_characters_are_the_same_in_memory_and_on_the_disk(tmp_path):
    lines = "\n".join(f"sentence {number} of it\tsatz {number} davon" for number in range(60))
    (tmp_path / "pairs.tsv").write_text(lines)
    config = config_of(translate_transformer, vocab_size=60)
    assert_same(translate_transformer.load_data, config, tmp_path / "pairs.tsv")
    (tmp_path / "novel.txt").write_text("\u2026 it was a dark night\r\n" * 300, newline="")
    read = assert_same(shakespeare_gpt.load_data, config_of(shakespeare_gpt, dropout=0.0), tmp_path / "novel.txt")
    assert "\r" not in read.info.tokenizer.vocabulary
    (tmp_path / "pairs.tsv").write_text(lines + "\nalone\n")
    with pytest.raises(DataError, match=r"line 61 of .*pairs.tsv has 1 columns; expected 'source<tab>target'"):
        translate_transformer.load_data(config(in_memory="no"), tmp_path / "pairs.tsv")


def test_a_run_on_the_disk_ends_as_one_in_memory():
    data = (["a good film", "a bad film indeed"] * 40, [0, 1] * 40)
    models = [
        imdb_transformer.fit(imdb_transformer.TINY, data, in_memory=how, runs=how, batch_size=8)
        for how in ("yes", "no")
    ]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", ["", "one\r\ntwo\r\n", "\ufeffa\nb", "a" * 1001, "\r\n" * 500])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_in_parts_is_the_file(tmp_path, content, encoding):
    (tmp_path / "text").write_bytes(content.encode(encoding))
    parts = [*text_parts(tmp_path / "text", size=7)]
    assert "".join(parts) == read_text_file(tmp_path / "text")


def test_what_is_no_text_is_named(tmp_path):
    for content, message in ((b"fine\ncaf\xe9\n", "byte 0xe9 in or after line 1"), (b"a\0b", "has a NUL near line 1")):
        (tmp_path / "text").write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(text_parts(tmp_path / "text"))


def test_a_cache_without_room_is_one_message(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECIPES_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot keep texts in .*file: .*\. Make space there"):
        on_disk(["a"])


def test_texts_of_tensorflow_datasets_are_the_same(tmp_path, monkeypatch):
    class TwoTexts(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["bad", "good"])}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(40), "test": self._generate_examples(8)}

        def _generate_examples(self, count):
            for number in range(count):
                yield number, {"text": f"film {number} is \u00e9" * (1 + number % 3), "label": number % 2}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    TwoTexts(data_dir=tmp_path).download_and_prepare()
    config = config_of(imdb_transformer, dataset="two_texts")
    read = assert_same(imdb_transformer.load_data, config, None)
    assert read.info.examples == {"train": 36, "validation": 4, "test": 8}
