"""The builder of Flickr8k, on archives of a few photographs; and what happens where they are not there."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from recipes import show_attend_tell
from recipes.data import sources
from recipes.data.caption_sources import find_captions
from recipes.data.tfds import flickr8k
from recipes.errors import DataError

FILES = {"train": ("Flickr_8k.trainImages.txt", 2), "validation": ("Flickr_8k.devImages.txt", 1)}
FILES["test"] = ("Flickr_8k.testImages.txt", 1)
NAMES = {"train": ["1_a.jpg", "2_b.jpg"], "validation": ["3_c.jpg"], "test": ["4_d.jpg"]}


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """Two zip files where a user puts them, with photographs of different sizes."""
    monkeypatch.setattr(flickr8k, "SPLITS", FILES)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    manual = tmp_path / "tfds" / "downloads" / "manual"
    manual.mkdir(parents=True)
    every = [name for names in NAMES.values() for name in names]
    with zipfile.ZipFile(manual / flickr8k.IMAGES, "w") as images:
        images.writestr("__MACOSX/Flicker8k_Dataset/._1_a.jpg", b"rubbish")
        for number, name in enumerate(every):
            pixels = np.full((20 + number, 30, 3), 40 * number, np.uint8)
            images.writestr(f"Flicker8k_Dataset/{name}", tf.io.encode_jpeg(pixels, quality=100).numpy())
    with zipfile.ZipFile(manual / flickr8k.TEXTS, "w") as texts:
        lines = [f"{name}#{number}\t{name[2]} says {number} ." for name in every for number in range(5)]
        texts.writestr("Flickr8k.token.txt", "\n".join(lines) + "\n")
        for split, names in NAMES.items():
            texts.writestr(FILES[split][0], "\n".join(names) + "\n")
    return manual


def test_photographs_keep_their_captions_and_their_size(archives, tmp_path):
    builder = flickr8k.Flickr8k(data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    rows = {row["filename"].decode(): row for row in tfds.as_numpy(builder.as_dataset("train"))}
    assert set(rows) == set(NAMES["train"])
    assert rows["2_b.jpg"]["image"].shape == (21, 30, 3)
    assert [text.decode() for text in rows["2_b.jpg"]["captions"]] == [f"b says {number} ." for number in range(5)]


def test_it_is_prepared_when_it_is_asked_for_and_read_at_any_size(archives, capsys):
    arrays, info, images = find_captions(show_attend_tell.Config(image_size=32, offline="error"))
    assert (info.name, info.version, info.source) == ("flickr8k", "1.0.0", "tfds")
    assert {name: len(split[0]) for name, split in arrays.named.items()} == {"train": 2, "validation": 1, "test": 1}
    pixels = images.stacked()
    assert pixels.shape == (4, 32, 32, 3)
    brightness = {"1": 0, "2": 40, "3": 80, "4": 120}
    for split in arrays.named.values():
        for row, texts in zip(*split, strict=True):
            number = "abcd".index(texts[0][0]) + 1
            assert abs(pixels[row].mean() - brightness[str(number)]) < 2, "each image beside its own captions"


def test_where_it_is_not_it_is_said_what_to_put_where(monkeypatch):
    with pytest.raises(DataError, match=r"no network.*Flickr8k_Dataset.zip.*downloads/manual"):
        show_attend_tell.load_data(show_attend_tell.Config(offline="error"))
    monkeypatch.setattr(sources, "network_problem", lambda: "")
    with pytest.raises(DataError, match=r"by hand.*Flickr8k_text.zip"):
        show_attend_tell.load_data(show_attend_tell.Config(offline="error"))


def test_archives_that_do_not_fit_are_refused_and_nothing_is_left(archives, tmp_path):
    with zipfile.ZipFile(archives / flickr8k.TEXTS, "w") as texts:
        texts.writestr("Flickr8k.token.txt", "1_a.jpg#0\tOne .\n")
        for split, names in NAMES.items():
            texts.writestr(FILES[split][0], "\n".join(names) + "\n")
    with pytest.raises(DataError, match=r"lists 2 photographs, 1 of them without captions; expected 2"):
        show_attend_tell.load_data(show_attend_tell.Config(offline="error"))
    assert not list((tmp_path / "tfds").glob("flickr8k/1.0.0"))
