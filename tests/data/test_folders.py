"""Folders as people have them: splits by many names, what systems leave, links, odd names, bad files."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from recipes import cifar_lecture, imdb_transformer
from recipes.data.bad_files import MOST_LISTED
from recipes.data.folder_entries import list_files
from recipes.data.folders import Reader, folder_info, one_by_one, read_folder
from recipes.data.images import find_images, read_images
from recipes.data.lazy_images import LazyImages
from recipes.errors import DataError, one_line


def read_number(path):
    try:
        return np.array(int(path.read_text()))
    except (OSError, ValueError):
        raise DataError(f"cannot read {path.name}") from None


NUMBERS = Reader(one_by_one(read_number), (".num",), "numbers")


def write(folder, *names, text="1"):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def sizes(folder):
    arrays = read_folder(folder, NUMBERS)
    return arrays.label_names, {split: len(columns[0]) for split, columns in arrays.named.items()}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("Train", "Val", "Test"),
        ("TRAINING", "valid", "testing"),
        ("training_set", "dev", "test_set"),
        ("train-images", "eval", "test data"),
    ],
)
def test_splits_by_other_names(names, tmp_path, capsys):
    for count, split in enumerate(names, 1):
        write(tmp_path, *(f"{split}/{name}/{number}.num" for name in "ab" for number in range(count)))
    assert sizes(tmp_path) == (("a", "b"), {"train": 2, "validation": 4, "test": 6})
    printed = capsys.readouterr().out
    assert (printed == "") == (names[0] == "train")
    assert all(f"{name} for " in printed for name in names) or names[0] == "train"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("train/a/1.num", "training/a/1.num"), "has both train, training, which may be one split"),
        (("train/a/1.num", "val/a/1.num", "valid/a/1.num"), "has both val, valid"),
        (("test/a/1.num", "test/b/1.num"), "has test and no train; expected a sub-folder per class, or train"),
        (("train/a/1.num", "train/b/1.num", "foo/1.num"), "has train, as if it were split, beside foo"),
        (("train/steam/1.num", "bus/1.num", "car/1.num"), "has train, as if it were split, beside bus, car"),
        (("train/1.num", "test/1.num"), "has test, train, which have no sub-folders; expected a sub-folder per class"),
        (("train/a/1.num", "train/b/1.num", "test/a/1.num", "test/c/1.num"), "has the classes a, c; expected a, b"),
        (("train/a/1.num", "train/b/x.txt"), "b has no numbers; expected files ending in .num"),
    ],
)
def test_what_may_be_split_in_two_ways_is_refused(files, message, tmp_path):
    write(tmp_path, *files)
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path, NUMBERS)


def test_what_lies_beside_the_splits_is_named(tmp_path, capsys):
    write(tmp_path, "train/a/1.num", "train/b/1.num", "test/1.num", "notes/readme.md", "9.num")
    assert sizes(tmp_path) == (("a", "b"), {"train": 2})
    printed = capsys.readouterr().out
    assert "note: notes, test in" in printed
    assert "are not used: no split with a sub-folder per class" in printed
    assert "left out 1 number in" in printed


def test_files_that_are_none_of_these_are_counted(tmp_path, capsys):
    write(tmp_path, "a/1.num", "b/1.num", "a/1.csv", "a/deep/2.csv", "b/x.xcf", "b/plain", "b/Thumbs.db", "b/.DS_Store")
    assert sizes(tmp_path) == (("a", "b"), {"train": 2})
    assert "left out 4 files in" in (printed := capsys.readouterr().out)
    assert "no numbers: .csv, no ending, .xcf" in printed


def test_hidden_and_system_entries_are_looked_at_nowhere(tmp_path, capsys):
    write(tmp_path, "a/1.num", "b/1.num", "a/._1.num", "a/deep/3.num")
    hidden = (".ipynb_checkpoints", "__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
    for name in hidden:
        write(tmp_path, f"{name}/1.num", f"a/{name}/1.num", f"a/deep/{name.upper()}/deeper/1.num")
    assert sizes(tmp_path) == (("a", "b"), {"train": 3})
    assert capsys.readouterr().out == ""


def test_circles_of_links_have_an_end_and_links_are_followed(tmp_path):
    write(tmp_path, "elsewhere/2.num", "data/a/1.num", "data/b/1.num", "data/b/deep/3.num")
    (tmp_path / "data/a/circle").symlink_to(tmp_path / "data/a")
    (tmp_path / "data/a/above").symlink_to(tmp_path / "data")
    (tmp_path / "data/b/self").symlink_to(tmp_path / "data/b/self")
    (tmp_path / "data/b/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/b/4.num").symlink_to(tmp_path / "elsewhere/2.num")
    assert [path.name for path in list_files(tmp_path / "data/a")] == ["1.num"], "not upwards"
    assert [path.name for path in list_files(tmp_path / "data/b")] == ["1.num", "4.num", "3.num", "2.num", "self"]
    with pytest.raises(DataError, match="cannot list"):
        list(list_files(tmp_path / "data/b/1.num"))


def test_names_that_are_no_utf_8_can_be_printed_and_written(tmp_path, capsys):
    name = os.fsdecode("caf\u00e9".encode("latin-1"))
    write(tmp_path, f"{name}/{name}.num", "tea\x1b[2J/1.num")
    write(tmp_path, f"{name}/bad.num", text="no number")
    arrays = read_folder(tmp_path, NUMBERS, "skip")
    assert arrays.label_names == (r"caf\xe9", r"tea\x1b[2J")
    info = folder_info(tmp_path / name, arrays)
    (json.dumps(info.to_json(), ensure_ascii=False).replace(name, "") + str(info) + capsys.readouterr().out).encode()
    assert one_line("snow \u2603 \u0915\u094d\u200d\u0937") == "snow \u2603 \u0915\u094d\u200d\u0937", "as it is"


def test_bad_files_are_all_named_or_skipped_and_listed(tmp_path, capsys):
    write(
        tmp_path, *(f"{split}/{name}/{number}.num" for split in ("train", "test") for name in "ab" for number in "12")
    )
    write(tmp_path, *(f"train/a/bad{number:03}.num" for number in range(7)), "test/b/bad.num", text="?")
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path, NUMBERS)
    message = str(caught.value)
    assert message.startswith("8 of 16 numbers cannot be read: cannot read bad000.num; ")
    assert "cannot read bad.num. Mend or remove them, or leave them out with on_bad_file='skip'" in message
    arrays = read_folder(tmp_path, NUMBERS, "skip")
    assert {split: len(columns[0]) for split, columns in arrays.named.items()} == {"train": 4, "test": 4}
    assert arrays.train[1].tolist() == [0, 0, 1, 1]
    assert capsys.readouterr().out.startswith("left out 8 of 16 numbers that cannot be read: cannot read bad000.num")
    skipped = folder_info(tmp_path, arrays).skipped
    assert skipped[str(tmp_path / "train/a/bad000.num")] == "cannot read bad000.num"
    assert len(skipped) == 8
    write(tmp_path, *(f"train/a/more{number:03}.num" for number in range(MOST_LISTED)), text="?")
    assert folder_info(tmp_path, read_folder(tmp_path, NUMBERS, "skip")).skipped["..."] == "and 8 more"
    assert "; and 98 more" in capsys.readouterr().out
    write(tmp_path, "test/b/1.num", "test/b/2.num", text="?")
    with pytest.raises(DataError, match=r"test/b is empty without them: 110 of 116 numbers cannot be read"):
        read_folder(tmp_path, NUMBERS, "skip")


def write_photographs(folder, count=12):
    for value, name in enumerate(("a", "b")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (9, 9), (value * 100, number, 0)).save(folder / name / f"{number}.png")


def test_every_image_ending_is_read_or_an_error(tmp_path):
    write_photographs(tmp_path, 1)
    photograph = Image.new("RGB", (9, 9), (250, 0, 0))
    for ending in ("webp", "BMP", "tif", "avif", "jp2", "JPG", "gif", "ppm"):
        photograph.save(tmp_path / "b" / f"photo.{ending}")
    (tmp_path / "b" / "photo.jpeg").write_bytes((tmp_path / "b" / "0.png").read_bytes())
    assert len(read_images(tmp_path, (8, 8, 3)).train[0]) == 1 + 1 + 9
    write(tmp_path, "a/iphone.heic", "a/raw.NEF")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match="4 of 15 images cannot be read: cannot read .*gone.png: No such file"
    ) as caught:
        read_images(tmp_path, (8, 8, 3))
    assert "iphone.heic is an image of a kind that is not read; expected a JPEG, PNG" in str(caught.value)
    assert "pipe.png is no file" in str(caught.value)


def test_a_skipped_file_is_in_data_json_and_evaluate_skips_it_too(tmp_path):
    write_photographs(tmp_path / "data")
    (tmp_path / "data/a/torn.png").write_bytes(b"torn")
    with pytest.raises(DataError, match="torn.png is not a readable image; .* Mend or remove it, or leave it out"):
        cifar_lecture.load_data(cifar_lecture.TINY, tmp_path / "data")
    model = cifar_lecture.fit(
        cifar_lecture.TINY,
        tmp_path / "data",
        on_bad_file="skip",
        batch_size=4,
        max_examples=None,
        runs=tmp_path / "runs",
    )
    [(path, reason)] = cifar_lecture.load(model.run.folder).run.info.skipped.items()
    assert path == str(tmp_path / "data/a/torn.png")
    assert "not a readable image" in reason
    assert cifar_lecture.evaluate(model, tmp_path / "data").keys() == {
        "accuracy",
        "loss",
        "nll",
        "brier",
        "calibration_error",
    }


def test_texts_are_skipped_likewise(tmp_path):
    write(tmp_path, *(f"{name}/{number}.txt" for name in ("bad", "good") for number in range(20)), text="a film")
    (tmp_path / "good/latin.txt").write_bytes(b"caf\xe9")
    splits = imdb_transformer.load_data(
        imdb_transformer.Config(on_bad_file="skip", batch_size=4, dataset="reviews"), tmp_path
    )
    assert list(splits.info.skipped) == [str(tmp_path / "good/latin.txt")]


def test_more_images_than_fit_in_memory_stay_on_the_disk_which_is_said(tmp_path, capsys):
    write_photographs(tmp_path, 1)
    ask = {"standin": "digits", "offline": "error", "image_shape": (1_000_000, 1_000_000, 3), "data": tmp_path}
    with pytest.raises(DataError, match="2 images, needs .* GiB of memory, more than half .*; .* with in_memory='no'"):
        find_images("", **ask, in_memory="yes")
    arrays, _ = find_images("", **ask)
    assert isinstance(arrays.train[0], LazyImages)
    assert "2 images, needs 11175.9 GiB, more than half of the free memory: it stays on disk" in capsys.readouterr().out
