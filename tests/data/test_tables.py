"""Data of any kind: tables of any make, by column; data sets of tf.data; folders and arrays without labels."""

import csv
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from recipes import cifar_convnet, dcgan, imdb_transformer, shakespeare_lstm, show_attend_tell, translate_seq2seq
from recipes.data.own_data import plain_data
from recipes.data.table_columns import is_number
from recipes.errors import ConfigError, DataError

TEXTS = [f"a {word} film, the {number}th" for number in range(20) for word in ("good", "bad")]
LABELS = ["good", "bad"] * 20
PLAIN = (TEXTS, LABELS)
TextConfig, ImageConfig = imdb_transformer.Config, cifar_convnet.Config


class Frame:
    """What a DataFrame of pandas or polars is to us."""

    def __init__(self, columns):
        self.by_name, self.columns = columns, list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def head(self, count):
        return Frame({name: values[:count] for name, values in self.by_name.items()})

    def __getitem__(self, name):
        return Series(self.by_name[name])


class Series:
    def __init__(self, values):
        self.values = values

    def to_list(self):
        return list(self.values)


@dataclass
class Feature:
    names: Any = None
    decode: Any = None


class Dataset:
    """What a data set of Hugging Face is to us."""

    def __init__(self, columns, **features):
        self.columns, self.column_names = columns, list(columns)
        self.features = {name: Feature() for name in columns} | features
        self.asked = []

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, place):
        self.asked.append(place)
        return {name: values[place] for name, values in self.columns.items()}

    def select_columns(self, names):
        return Dataset({name: self.columns[name] for name in names})

    def cast_column(self, name, feature):
        assert feature.decode is False
        return self


def write(path, rows, **dialect):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **dialect).writerows(rows)
    return path


def rows(texts=TEXTS, labels=LABELS):
    return [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write(folder / "a.csv", [("text", "label"), *zip(TEXTS, LABELS, strict=True)]),
        lambda folder: write(folder / "a.txt", [("text", "label"), *zip(TEXTS, LABELS, strict=True)], delimiter="|"),
        lambda folder: Frame({"label": LABELS, "text": TEXTS}),
        lambda folder: Dataset({"text": TEXTS, "label": [0, 1] * 20}, label=Feature(["good", "bad"])),
        lambda folder: {"text": TEXTS, "label": LABELS},
        lambda folder: rows(),
        lambda folder: tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)),
        lambda folder: tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(7),
        lambda folder: tf.data.Dataset.from_tensor_slices({"label": LABELS, "text": TEXTS}),
        lambda folder: tf.data.Dataset.from_tensor_slices({"label": LABELS, "text": TEXTS}).batch(7),
    ],
    ids=["csv", "txt", "frame", "hugging_face", "columns", "rows", "tf", "tf_batched", "tf_dicts", "tf_dicts_batched"],
)
def test_every_kind_becomes_the_same_columns(tmp_path, make):
    assert plain_data(make(tmp_path), TextConfig()) == PLAIN


def test_what_the_readers_take_is_passed_on_as_it_is(tmp_path):
    for data in (PLAIN, (PLAIN, PLAIN), tmp_path, str(tmp_path / "missing"), 5, None):
        assert plain_data(data, TextConfig()) is data


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("Review", "stars"), ("Review", "stars")),
        (("id", "sentence", "a_class", "Label"), ("sentence", "Label")),
        (("a", "b"), ("a", "b")),  # by content: spaces, and values that come again and again
    ],
)
def test_columns_are_guessed_and_said(names, chosen, capsys):
    cells = {"a": TEXTS, "b": LABELS, "id": list(range(40)), "a_class": [0, 1] * 20}
    kinds = dict(zip(chosen, (TEXTS, LABELS), strict=True))
    assert plain_data({name: kinds.get(name, cells.get(name)) for name in names}, TextConfig()) == PLAIN
    assert (
        capsys.readouterr().out
        == f"note: texts are taken from column {chosen[0]!r} and labels from {chosen[1]!r} of data\n"
    )


def test_columns_that_are_named_are_taken_in_silence(capsys):
    data = {"text": LABELS, "label": [0] * 40, "say": TEXTS, "is": LABELS}
    assert plain_data(data, TextConfig(text_column="say", label_column="is")) == PLAIN
    assert capsys.readouterr().out == ""


def test_several_labels_and_weights_only_where_a_setting_says_so(tmp_path):
    path = write(tmp_path / "a.csv", [("text", "tags", "w"), ("a b", "x | y", "0.5"), ("c d", "", "2")])
    config = TextConfig(label_column="tags", label_separator="|", weight_column="w")
    assert plain_data(path, config) == (["a b", "c d"], [["x", "y"], []], [0.5, 2.0])


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["1", " 2", "-3"], [1, 2, -3]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["1", "2", "b "], ["1", "2", "b"]),
        (["01", "02", "01"], ["01", "02", "01"]),
        (["nan", "inf", "1"], ["nan", "inf", "1"]),
        (["3,5", "4", "-0,25"], [3.5, 4.0, -0.25]),
        (["3,500", "4", "1,250"], ["3,500", "4", "1,250"]),
    ],
)
def test_labels_in_files_are_numbers_where_all_are(tmp_path, cells, labels):
    path = write(tmp_path / "a.csv", [("text", "label"), *(("a b", cell) for cell in cells)])
    got = plain_data(path, TextConfig())[1]
    assert (got, set(map(type, got))) == (labels, set(map(type, labels)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": TEXTS, "label": LABELS[1:]}, "the columns of data differ in length: {'text': 40, 'label': 39}"),
        (
            {"a": TEXTS, "b": TEXTS, "label": LABELS},
            "which column of data holds the texts: 'a', 'b' may be meant, of 'a'",
        ),
        ({"text": TEXTS, "review": TEXTS, "y": LABELS}, "'text', 'review' may be meant, .*; name it with text_column"),
        ({"text": TEXTS, "a": LABELS, "b": LABELS}, "holds the labels: 'a', 'b' may be meant"),
        (
            {"a": [1, 2] * 20, "b": LABELS},
            "holds the texts: none is clearly meant, of 'a', 'b'; name it with text_column",
        ),
        ({"text": TEXTS}, "data has one column, 'text'; expected labels? in columns of their own|has one column"),
        (
            rows([*TEXTS[:3], None], LABELS[:4]),
            "row 3 of data has no text in column 'text'; expected one in each of its 4",
        ),
        (rows([*TEXTS[:3], 7], LABELS[:4]), r"row 3 of data has no text in column 'text' \(7\)"),
        (
            rows(TEXTS[:5], [1, 0, 1, "x", 0]),
            r"row 3 of data has a text in column 'label' \('x'\); expected what its other",
        ),
        (rows(TEXTS[:4], [1, None, float("nan"), 0]), r"2 rows \(1, 2\) of data have no label in column 'label'"),
        ([{"text": "a b", "label": 1}, 5], "row 1 of data is a int; expected a dict as the rows before it"),
        (
            tf.data.Dataset.from_tensors(("a b", 1)).repeat(),
            "the tf.data.Dataset is endless; expected each example once",
        ),
        (tf.data.Dataset.from_tensors((np.zeros(4, np.int32), 1)), "expected examples .text, label., texts as strings"),
        ("a.parquet", "a.parquet is no text file; .*pass it as data=pandas.read_parquet"),
        ("none.csv", "there is no file none.csv; expected a table"),
        ({"train": rows(), "training": rows()}, "data has both 'train' and 'training', which may be one split"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(data, message):
    with pytest.raises(DataError, match=message) as error:
        plain_data(data, TextConfig())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\n" + "a b,1\n" * 19 + "a b,x\n",
            r"line 21 of .* has no number in column 'label' \('x'\); expected what",
        ),
        (
            "text:label\na b:1\n",
            "has one column, 'text:label'; expected texts and labels in columns of their own, with c",
        ),
        ("text,label\na b,\n ,1\n", r"line 3 of .* has no text in column 'text'"),
        ("4,1\n5,0\n", "Its first line is taken for a header, the names of the columns, and does not look like one"),
    ],
)
def test_what_is_wrong_with_the_cells_of_a_file_is_one_sentence(tmp_path, content, message):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        plain_data(tmp_path / "a.csv", TextConfig())


def test_a_column_that_there_is_not_and_one_of_no_table():
    with pytest.raises(
        DataError, match=r"data has no column 'txt' .did you mean 'text'.., as text_column names it; its"
    ):
        plain_data(rows(), TextConfig(text_column="txt"))
    with pytest.raises(DataError, match="column 'text' of data is asked for twice; .* text_column, label_column"):
        plain_data(rows(), TextConfig(text_column="text", label_column="text"))
    for data in (None, PLAIN):
        with pytest.raises(ConfigError, match="text_column='text' would change nothing: data= .--data. is no table"):
            plain_data(data, TextConfig(text_column="text"))


def test_splits_are_known_by_their_names(capsys):
    data = {"val": rows(), "unlabelled": rows(), "training": rows(), "test": rows()}
    train, validation, test = plain_data(data, TextConfig())
    assert train == validation == test == PLAIN
    assert "note: unlabelled of data is not used: it is no split of a known name" in capsys.readouterr().out
    assert plain_data((rows(), rows()), TextConfig()) == (PLAIN, PLAIN)
    assert plain_data({"train": PLAIN, "test": PLAIN}, TextConfig()) == (PLAIN, PLAIN)


def test_hidden_labels_are_no_test_split(capsys):
    label = Feature(["good", "bad"])
    splits = {"train": [0, 1] * 20, "validation": [0, 1] * 20, "test": [-1] * 40}
    data = {split: Dataset({"text": TEXTS, "label": labels}, label=label) for split, labels in splits.items()}
    assert plain_data(data, TextConfig()) == (PLAIN, PLAIN)
    notes = capsys.readouterr().out
    assert "the labels of the test split are hidden: it is not used" in notes
    assert "data has no test split: validation is taken for it" in notes


def test_a_folder_of_tables_is_split_by_their_names(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", [("text", "label"), *zip(TEXTS, LABELS, strict=True)])
    assert plain_data(tmp_path, TextConfig()) == (PLAIN, PLAIN)


def test_pairs_with_a_header_and_those_without(tmp_path):
    pairs = (["one two", "three"], ["eins zwei", "drei"])
    lines = [*zip(*pairs, strict=True)]
    config = translate_seq2seq.Config()
    assert plain_data(write(tmp_path / "a.tsv", [("en", "de"), *lines], delimiter="\t"), config) == pairs
    assert plain_data(write(tmp_path / "b.csv", [("de", "id", "en"), *((b, 1, a) for a, b in lines)]), config) == pairs
    without = write(tmp_path / "c.tsv", lines, delimiter="\t")
    assert plain_data(without, config) is without


def test_a_text_of_a_column(tmp_path):
    path = write(tmp_path / "a.csv", [("text", "label"), ("one", "x"), ("two", "y")])
    assert plain_data(path, shakespeare_lstm.Config()) == "one\ntwo\n"


def test_captions_are_gathered_by_their_image(tmp_path):
    (tmp_path / "captions.txt").write_text("image,caption\na.jpg,A dog .\na.jpg,A black dog .\nb.jpg,A cat .\n")
    images, captions = plain_data(tmp_path / "captions.txt", show_attend_tell.Config())
    assert images == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert captions == [["A dog .", "A black dog ."], ["A cat ."]]


def test_images_are_paths_from_the_table_s_folder_bytes_or_looked_up_one_by_one(tmp_path):
    path = write(tmp_path / "a.csv", [("file", "class"), ("x/1.jpg", "ant"), ("/y/2.png", "bee")])
    images, labels = plain_data(path, ImageConfig())
    assert list(map(str, images)) == [str(tmp_path / "x/1.jpg"), "/y/2.png"]
    assert labels == ["ant", "bee"]
    encoded = [{"bytes": b"1", "path": None}, {"bytes": None, "path": "/y/2.png"}] * 3
    data = Dataset({"image": encoded, "label": [0, 1] * 3}, image=Feature(decode=True), label=Feature(["ant", "bee"]))
    images, _ = plain_data(data, ImageConfig())
    assert (len(images), images[2], str(images[1])) == (6, b"1", "/y/2.png")
    picture = Image.new("RGB", (2, 2))
    assert plain_data([{"image": picture, "label": 1}], ImageConfig()) == ([picture], [1])


def test_arrays_of_one_shape_are_stacked():
    pixels = np.zeros((6, 8, 8, 3), np.uint8)
    for data in (
        tf.data.Dataset.from_tensor_slices((pixels, [0, 1] * 3)),
        {"image": list(pixels), "label": [0, 1] * 3},
    ):
        images, labels = plain_data(data, ImageConfig())
        assert (images.shape, images.dtype, labels) == (pixels.shape, np.uint8, [0, 1] * 3)


def test_images_alone(tmp_path):
    pixels, config = np.zeros((6, 8, 8), np.uint8), dcgan.Config()
    images, labels = plain_data(pixels, config)
    assert images is pixels
    assert labels.tolist() == [0] * 6
    assert [len(split[0]) for split in plain_data((pixels, pixels[:2]), config)] == [6, 2]
    for data in ((pixels, labels), ((pixels, labels), (pixels, labels))):
        assert plain_data(data, config) is data, "with labels, as ever"
    for name in ("b.png", "a.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    images, _ = plain_data(tmp_path, config)
    assert [path.name for path in images] == ["a.png", "b.png"]


def test_a_run_on_a_file_finds_it_again_and_another_table_may_have_other_columns(tmp_path, capsys):
    labels = [0, 1] * 20
    path = write(tmp_path / "a.csv", [("text", "label"), *zip(TEXTS, labels, strict=True)])
    model = imdb_transformer.fit(imdb_transformer.TINY, path, batch_size=8)
    assert (model.run.info.name, model.run.info.source) == (str(path), "file")
    assert imdb_transformer.evaluate(model) == model.run.metrics["test"]
    other = write(
        tmp_path / "b.csv", [("a", "b", "text"), *((text, y, "-") for text, y in zip(TEXTS, labels, strict=True))]
    )
    columns = {"text_column": "a", "label_column": "b"}
    assert imdb_transformer.evaluate(model, other, **columns) == imdb_transformer.evaluate(model, (TEXTS, labels))
    with pytest.raises(ConfigError, match="text_column='a' would change nothing"):
        imdb_transformer.evaluate(model, (TEXTS, labels), text_column="a")


def test_numbers_as_files_have_them():
    assert all(map(is_number, ("0", "-1", "+2", "3.", ".5", "1e-3", " 4 ")))
    assert not any(map(is_number, ("", "007", "1_000", "1,5", "nan", "0x1", "\u0663", None, 1)))
