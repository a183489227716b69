"""The builder of Multi30k, on files of a few lines."""

import gzip

import pytest
import tensorflow_datasets as tfds

from recipes.data.tfds import multi30k


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Four languages of three lines each, in place of the download."""
    monkeypatch.setattr(multi30k, "SPLITS", {"train": ("train", 3), "validation": ("val", 3), "test": ("test", 3)})
    folder = tmp_path / "files"
    folder.mkdir()
    asked = []

    def download(self, urls):
        paths = {}
        for split, of_split in urls.items():
            for language, url in of_split.items():
                asked.append(url)
                path = folder / url.rsplit("/", 1)[1]
                if not path.exists():
                    lines = [f"{language} {split} {number} \u00fc\u2028x" for number in range(3)]
                    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
                paths.setdefault(split, {})[language] = path
        return paths

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    return folder, asked


def test_lines_are_pairs(files, tmp_path):
    builder = multi30k.Multi30k(data_dir=tmp_path)
    builder.download_and_prepare()
    assert files[1][0] == "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/train.cs.gz"
    rows = list(tfds.as_numpy(builder.as_dataset("validation", shuffle_files=False)))
    expected = [f"de validation {number} \u00fc\u2028x" for number in range(3)]
    assert sorted(row["de"].decode() for row in rows) == expected
    for row in rows:
        assert row["en"].decode()[2:] == row["de"].decode()[2:], "line by line"


def test_a_file_with_other_lines_is_refused_and_nothing_is_left(files, tmp_path):
    (files[0] / "val.de.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    builder = multi30k.Multi30k(data_dir=tmp_path)
    with pytest.raises(ValueError, match="'de': 2.*expected 3 in each"):
        builder.download_and_prepare()
    assert not (tmp_path / "multi30k").exists() or not list((tmp_path / "multi30k").glob("1.0.0"))
