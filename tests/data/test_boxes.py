"""Photographs with boxes as people have them: COCO, Pascal VOC, YOLO, tables; and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from recipes import cells_detector as recipe
from recipes.data.box_files import boxes_of_voc, of_pixels, read_annotations
from recipes.data.boxes import padded
from recipes.errors import DataError

EXPECTED = [[0.25, 0.1, 0.75, 0.5], [0.0, 0.5, 0.25, 1.0]]  # y_min, x_min, y_max, x_max; of a cat and of a dog
LABELS = ("cat", "dog")


@pytest.fixture
def photos(tmp_path):
    """Two photographs of 100x40 pixels, the second of which shows nothing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (100, 40), (9, 90, 30)).save(folder / name)
    return folder


def voc(size=(100, 40), boxes=((11, 11, 50, 30), (51, 1, 100, 10)), names=LABELS):
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{end}</xmax><ymax>{low}</ymax>"
        "</bndbox></object>"
        for name, (x, y, end, low) in zip(names, boxes, strict=False)
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{objects}</annotation>"


def coco(folder, **changes):
    boxes = [[10, 10, 40, 20], [50, 0, 50, 10]]
    content = {
        "images": [
            {"id": 7 + n, "file_name": f"{name}.jpg", "width": 100, "height": 40} for n, name in enumerate("ab")
        ],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 3 + n, "bbox": box, "iscrowd": 0} for n, box in enumerate(boxes)
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content | changes))
    return path


def as_voc(folder):
    for name, boxes in (("a", LABELS), ("b", ())):
        (folder / f"{name}.xml").write_text(voc(names=boxes))
    return folder


def as_yolo(folder):
    (folder / "labels").mkdir()
    (folder / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / name).rename(folder / "images" / name)
    (folder / "labels" / "a.txt").write_text("0 0.3 0.5 0.4 0.5\n1 0.5 0 1 0 1 0.25 0.5 0.25\n")  # a box; an outline
    (folder / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    return folder


def as_table(folder):
    rows = "a.jpg,cat,10,10,50,30\na.jpg,dog,50,0,100,10\nb.jpg,,,,,\n"
    (folder / "boxes.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n" + rows)
    return folder / "boxes.csv"


@pytest.mark.parametrize("write", [as_voc, as_yolo, as_table, coco])
def test_every_form_gives_the_same_boxes(write, photos):
    splits, names, bad = read_annotations(write(photos))
    assert tuple(names) == LABELS
    assert not bad
    [(files, boxes)] = splits.values()
    assert [file.name for file in files] == ["a.jpg", "b.jpg"]
    np.testing.assert_allclose(boxes[0].boxes, EXPECTED)
    assert boxes[0].labels == LABELS
    assert boxes[1].boxes.shape == (0, 4)


def test_a_folder_of_splits(photos, tmp_path):
    root = tmp_path / "data"
    for split in ("train", "valid", "test"):
        (root / split).mkdir(parents=True)
        for name in "ab":
            (root / split / f"{name}.jpg").write_bytes((photos / f"{name}.jpg").read_bytes())
        coco(root / split)
    splits, names, _ = read_annotations(root)
    assert set(splits) == {"train", "validation", "test"}
    assert names == ["cat", "dog"]
    assert [len(files) for files, _ in splits.values()] == [2, 2, 2]


def test_lists_of_names_split_what_pascal_voc_has(photos):
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (photos / folder).mkdir(parents=True)
    for name in "ab":
        (photos / f"{name}.jpg").rename(photos / "JPEGImages" / f"{name}.jpg")
        (photos / "Annotations" / f"{name}.xml").write_text(voc())
    (photos / "ImageSets/Main/train.txt").write_text("a\n")
    (photos / "ImageSets/Main/val.txt").write_text("b\n")
    (photos / "ImageSets/Main/trainval.txt").write_text("a\nb\n")
    splits, _, _ = read_annotations(photos)
    assert {split: [file.stem for file in files] for split, (files, _) in splits.items()} == {
        "train": ["a"],
        "validation": ["b"],
    }


def test_pixels_are_counted_from_one_in_pascal_voc():
    np.testing.assert_allclose(boxes_of_voc(voc().encode(), "a.xml").boxes, EXPECTED)
    whole = boxes_of_voc(voc(boxes=[(1, 1, 100, 40)]).encode(), "a.xml")
    np.testing.assert_array_equal(whole.boxes, [[0, 0, 1, 1]])


def test_boxes_without_an_area_and_beyond_the_edge():
    found = boxes_of_voc(voc(boxes=[(30, 30, 30, 30), (51, 1, 130, 10)]).encode(), "a.xml")
    np.testing.assert_allclose(found.boxes, [[0, 0.5, 0.25, 1]])
    assert found.labels == ("dog",)


def test_a_photograph_that_was_shrunk_has_the_same_boxes(photos):
    Image.new("RGB", (50, 20)).save(photos / "a.jpg")
    splits, _, _ = read_annotations(coco(photos))
    np.testing.assert_allclose(splits["train"][1][0].boxes, EXPECTED)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: Image.new("RGB", (40, 100)).save(f / "a.jpg"), "a.jpg is 40x100 pixels, upright, and its boxes are"),
        (lambda f: (f / "a.xml").write_text("<annotation>"), "is no annotation of Pascal VOC"),
        (lambda f: (f / "a.xml").write_text(voc(boxes=[(50, 1, 20, 9)])), "ends before it begins"),
        (lambda f: (f / "a.xml").write_text(voc(boxes=[(0, 0, "x", 1)])), "no annotation of Pascal VOC: could not"),
        (lambda f: (f / "a.jpg").unlink(), "there is no photograph of .*a.xml"),
        (lambda f: (f / "a.jpg").write_bytes(b"GIF89a"), "a.jpg is not a readable image"),
    ],
)
def test_what_is_wrong_is_named_and_can_be_left_out(spoil, message, photos, capsys):
    as_voc(photos)
    spoil(photos)
    with pytest.raises(DataError, match=message):
        read_annotations(photos)
    (photos / "b.xml").write_text(voc())
    splits, _, bad = read_annotations(photos, "skip")
    assert [file.name for file in splits["train"][0]] == ["b.jpg"]
    assert len(bad) == 1
    assert "left out 1 of 2 photographs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2 of 2"),
        ("0 50 50 10 10", "a box beyond the photograph"),
        ("0 0.5 0.5 0.1", "3 numbers after the class"),
        ("cat 0.5 0.5 0.1 0.1", "line 2 of .*a.txt"),
    ],
)
def test_lines_of_yolo_that_are_wrong(line, message, photos):
    as_yolo(photos)
    (photos / "labels" / "a.txt").write_text(f"0 0.3 0.5 0.4 0.5\n{line}\n")
    with pytest.raises(DataError, match=message):
        read_annotations(photos)


def test_tables_that_are_wrong(photos):
    path = as_table(photos)
    text = path.read_text()
    path.write_text(text.replace("xmin", "x"))
    with pytest.raises(DataError, match="none for x_min; expected image, label, x_min"):
        read_annotations(path)
    path.write_text(text.replace("10,10,50,30", "0.1,0.25,0.5,0.75").replace("50,0,100,10", "0.5,0,1,0.25"))
    with pytest.raises(DataError, match="boxes of numbers up to 1; expected pixels"):
        read_annotations(path)
    path.write_text(text.replace("a.jpg,dog,50", "a.jpg,,50"))
    with pytest.raises(DataError, match="line 3 of .*has a box without a label"):
        read_annotations(path)
    path.write_text(text.replace("dog,50", "dog,left"))
    with pytest.raises(DataError, match="line 3 of .*expected four numbers"):
        read_annotations(path)


def test_a_coco_file_that_is_none(photos):
    path = coco(photos)
    content = json.loads(path.read_text())
    del content["categories"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="is no COCO file: KeyError: 'categories'"):
        read_annotations(path)
    path = coco(photos, images=[{"id": 7, "file_name": "elsewhere.jpg"}])
    with pytest.raises(DataError, match="photographs of .*are not beside it"):
        read_annotations(path)


def test_what_is_no_such_data(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no boxes; expected a COCO .json file"):
        read_annotations(tmp_path / "empty")
    with pytest.raises(DataError, match="is not such data"):
        read_annotations(tmp_path / "nowhere")


def test_rows_are_padded_to_the_one_that_has_most():
    some = [of_pixels([[0, 0, 2, 2], [1, 1, 4, 4]], ["b", "a"], (4, 4), "x"), of_pixels([], [], (4, 4), "y")]
    boxes, labels = padded(some, ("a", "b"), "data")
    np.testing.assert_allclose(boxes, [[[0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]], [[0] * 4] * 2])
    np.testing.assert_array_equal(labels, [[1, 0], [-1, -1]])


def test_a_run_on_a_folder_is_evaluated_by_itself(photos):
    as_voc(photos)
    for number in range(10):
        for name in ("jpg", "xml"):
            (photos / f"c{number}.{name}").write_bytes((photos / f"a.{name}").read_bytes())
    model = recipe.fit(recipe.TINY, str(photos), batch_size=2)
    assert model.run.info.label_names == LABELS
    figures = recipe.evaluate(model)
    assert figures["objects_cat"] == 1 or figures["objects_cat"] == 0
    assert recipe.evaluate(model, str(photos)).keys() == figures.keys()


def test_a_data_frame(photos):
    pd = pytest.importorskip("pandas")
    frame = pd.read_csv(as_table(photos))
    frame["filename"] = [str(photos / name) for name in frame["filename"]]
    more = pd.concat([frame.assign(filename=frame["filename"].str.replace("a.jpg", f"c{n}.jpg")) for n in range(12)])
    for number in range(12):
        (photos / f"c{number}.jpg").write_bytes((photos / "a.jpg").read_bytes())
    splits = recipe.load_data(recipe.Config(batch_size=2, image_shape=(64, 64, 3), filters=(4, 4, 4, 4, 4)), more)
    assert splits.info.label_names == LABELS
    assert sum(splits.info.examples.values()) == 13
