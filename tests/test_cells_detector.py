"""Detection: boxes there and back, which default box is whose, the loss, average precision, and boxes in pixels."""

import io
import json
import zipfile
from contextlib import redirect_stdout

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recipes import cells_detector as recipe
from recipes.data.splits import Sizes
from recipes.data.standins.groups import KINDS, draw_groups, groups
from recipes.errors import ConfigError, DataError
from recipes.kinds import detection
from recipes.verbs import export

DEFAULTS = recipe.default_boxes((96, 96, 3), 5, 2.5)


def test_default_boxes():
    assert DEFAULTS.shape == (6 * (12 * 12 + 6 * 6 + 3 * 3), 4)
    first = DEFAULTS[0] * 96  # a square of 20 pixels around (4, 4)
    np.testing.assert_allclose(first, [-6, -6, 14, 14], atol=1e-4)
    tall = DEFAULTS[1] * 96  # twice as high as wide, of the same area
    np.testing.assert_allclose((tall[2:] - tall[:2]), [20 * 2**0.5, 20 / 2**0.5], rtol=1e-5)
    last = DEFAULTS[-1] * 96  # of the smallest map, around (80, 80)
    np.testing.assert_allclose((last[:2] + last[2:]) / 2, [80, 80], rtol=1e-5)


def test_intersection_over_union():
    boxes = np.array([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 1]])
    others = np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [2, 2, 3, 3]])
    np.testing.assert_allclose(detection.overlap(boxes, others), [1 / 7, 1, 0])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.45), min_size=4, max_size=4), st.integers(0, len(DEFAULTS) - 1))
def test_encoding_and_decoding_is_the_identity(numbers, place):
    top, left, height, width = numbers
    box = np.array([[top, left, top + height + 0.02, left + width + 0.02]], np.float32)
    default = DEFAULTS[place : place + 1]
    np.testing.assert_allclose(recipe.to_boxes(recipe.to_offsets(box, default), default), box, atol=1e-4)


def test_offsets_by_hand():
    default, box = np.float32([[0, 0, 0.2, 0.4]]), np.float32([[0.1, 0.1, 0.5, 0.3]])
    # the centre (0.3, 0.2) is 1 height and no width from (0.1, 0.2); it is twice as high and half as wide
    expected = [[1 / 0.1, 0, np.log(2) / 0.2, np.log(0.5) / 0.2]]
    np.testing.assert_allclose(recipe.to_offsets(box, default), expected, atol=1e-4)


def test_what_each_default_box_is_to_answer():
    defaults = np.float32([[0, 0, 0.4, 0.4], [0, 0, 0.4, 0.56], [0, 0, 0.4, 0.9], [0.6, 0.6, 1, 1], [0.5, 0.5, 1, 1]])
    boxes = np.float32([[[0, 0, 0.4, 0.4], [0.8, 0.8, 0.9, 0.9], [0, 0, 0, 0]]])
    labels = np.int32([[2, 1, -1]])
    targets = recipe.encode(tf.constant(boxes), tf.constant(labels), default_boxes=defaults).numpy()[0]
    # Shared with the first object: 1, 0.71, 0.44 (neither), 0, 0. With the second 0.0625 and 0.04: the best is its own.
    np.testing.assert_array_equal(targets[:, 4], [2, 2, -2, 1, -1])
    np.testing.assert_allclose(targets[0, :4], 0, atol=1e-6)
    np.testing.assert_array_equal(targets[4, :4], 0)
    np.testing.assert_allclose(
        targets[3, :4], [0.05 / 0.4 / 0.1, 0.05 / 0.4 / 0.1, *[np.log(0.25) / 0.2] * 2], rtol=1e-4
    )


def test_no_object_is_no_error():
    targets = recipe.encode(tf.zeros((2, 3, 4)), tf.fill((2, 3), -1), default_boxes=DEFAULTS).numpy()
    assert (targets[..., 4] == -1).all()
    outputs = tf.zeros((2, len(DEFAULTS), 4 + 5))
    loss = recipe.DetectionLoss()(targets, outputs)
    np.testing.assert_allclose(loss, len(DEFAULTS) * 5 * 0.75 * 0.25 * np.log(2), rtol=1e-5)


def test_the_loss_by_hand():
    targets = np.zeros((1, 3, 5), np.float32)
    targets[0, 0] = [0.5, 0, 0, 3, 1]  # class 1
    targets[0, 1, 4] = -1  # nothing
    targets[0, 2, 4] = -2  # neither: does not count
    outputs = np.zeros((1, 3, 6), np.float32)
    outputs[0, :, 4:] = [[0, np.log(3)], [0, 0], [9, 9]]  # p = 1/2, 3/4
    focal = 0.25 * (1 / 4) ** 2 * np.log(4 / 3) + 3 * 0.75 * 0.25 * np.log(2)
    huber = 0.5 * 0.5**2 + (3 - 0.5)
    np.testing.assert_allclose(recipe.DetectionLoss()(targets, outputs), focal + huber, rtol=1e-6)


def test_a_mirrored_image_has_mirrored_boxes():
    images, boxes, labels = draw_groups(8, 3)
    for flip, seeds in (("horizontal", range(4)), ("both", range(6))):
        for seed in seeds:
            batch = tuple(map(tf.constant, (images, boxes, labels)))
            new_images, new_boxes, new_labels = recipe.changed(batch, tf.constant([seed, 1]), 0, 1, flip=flip, zoom=0.0)
            np.testing.assert_array_equal(new_labels, labels)
            for row in range(8):
                box = np.rint(new_boxes[row, 0] * 96).astype(int)
                old = np.rint(boxes[row, 0] * 96).astype(int)
                new = new_images[row, box[0] : box[2], box[1] : box[3]].numpy().astype(float)
                was = images[row, old[0] : old[2], old[1] : old[3]].astype(float)
                ways = [was, was[:, ::-1], *([was[::-1], was[::-1, ::-1]] if flip == "both" else [])]
                likeness = max(np.corrcoef(new.ravel(), way.ravel())[0, 1] for way in ways)
                assert likeness > 0.99, (flip, seed, row)


def test_a_zoomed_box_moves_with_what_is_in_it():
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, 16:32, 24:56] = 255
    box = np.float32([[[16 / 64, 24 / 64, 32 / 64, 56 / 64]]])
    for seed in range(8):
        batch = (tf.constant(image), tf.constant(box), tf.constant([[0]]))
        new_image, new_box, label = recipe.changed(batch, tf.constant([seed, 0]), 0, 1, flip="both", zoom=0.4)
        is_bright = new_image[0, ..., 0].numpy() > 150
        if not is_bright.any() or label[0, 0] < 0:
            continue
        rows, columns = np.flatnonzero(is_bright.any(1)), np.flatnonzero(is_bright.any(0))
        found = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        np.testing.assert_allclose(new_box[0, 0] * 64, found, atol=2)


def test_what_is_hardly_seen_is_no_box_any_more():
    batch = (tf.zeros((1, 64, 64, 3), tf.uint8), tf.constant([[[0.0, 0, 0.02, 0.02]]]), tf.constant([[0]]))
    labels = [int(recipe.changed(batch, tf.constant([s, 0]), 0, 1, flip="none", zoom=0.6)[2][0, 0]) for s in range(12)]
    assert set(labels) == {0, -1}


def random_scene(rng, photographs=4, classes=3):
    """Objects, and what a poor detector finds of them."""
    found, boxes, labels = [], np.zeros((photographs, 9, 4), np.float32), np.full((photographs, 9), -1)
    for row in range(photographs):
        count = rng.integers(1, 9)
        corner, size = rng.uniform(0, 0.7, (count, 2)), rng.uniform(0.05, 0.3, (count, 2))
        boxes[row, :count], labels[row, :count] = np.hstack([corner, corner + size]), rng.integers(0, classes, count)
        which = rng.integers(0, count, 2 * count)
        places = boxes[row, which] + rng.normal(0, 0.02, (2 * count, 4))
        places = np.sort(places.reshape(-1, 2, 2), axis=1).reshape(-1, 4)  # none ends before it begins
        scores = rng.permutation(np.linspace(0.1, 0.9, 2 * count))
        guesses = np.where(rng.random(2 * count) < 0.8, labels[row, which], rng.integers(0, classes, 2 * count))
        order = np.argsort(-scores)
        found.append((places[order].astype(np.float32), scores[order], guesses[order]))
    return found, boxes, labels


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_coco(seed):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    found, boxes, labels = random_scene(np.random.default_rng(seed))

    def xywh(box):
        y, x, end, right = map(float, 1000 * box)
        return [x, y, right - x, end - y]

    with redirect_stdout(io.StringIO()):
        truth, results = COCO(), []
        annotations = [
            {"id": 1 + 9 * row + place, "image_id": row, "category_id": int(label), "bbox": xywh(box), "iscrowd": 0}
            for row, (of_row, numbers) in enumerate(zip(boxes, labels, strict=True))
            for place, (box, label) in enumerate(zip(of_row, numbers, strict=True))
            if label >= 0
        ]
        for one in annotations:
            one["area"] = one["bbox"][2] * one["bbox"][3]
        truth.dataset = {
            "images": [{"id": row} for row in range(len(found))],
            "annotations": annotations,
            "categories": [{"id": label} for label in range(3)],
        }
        truth.createIndex()
        for row, (places, scores, classes) in enumerate(found):
            for box, score, label in zip(places, scores, classes, strict=True):
                results.append({"image_id": row, "category_id": int(label), "bbox": xywh(box), "score": float(score)})
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # (overlaps, recalls, classes), all sizes, 100 boxes
    for label in range(3):
        for place, least in enumerate(np.linspace(0.5, 0.95, 10)):
            theirs = precision[place, :, label]
            ours, curve = detection.average_precision(found, boxes, labels, label, least)
            if np.all(theirs == -1):
                assert np.isnan(ours)
                continue
            np.testing.assert_allclose(curve, theirs, atol=1e-12)
            np.testing.assert_allclose(ours, theirs.mean(), atol=1e-12)


def test_average_precision_by_hand():
    boxes, labels = np.float32([[[0, 0, 1, 1], [2, 2, 3, 3]]]), np.array([[0, 0]])
    found = [(np.float32([[0, 0, 1, 1], [5, 5, 6, 6], [2, 2, 3, 3]]), np.array([0.9, 0.8, 0.7]), np.array([0, 0, 0]))]
    value, _ = detection.average_precision(found, boxes, labels, 0)
    # Precision 1 up to recall 1/2 (51 of the 101 places), and 2/3 beyond it.
    np.testing.assert_allclose(value, (51 + 50 * 2 / 3) / 101)
    assert np.isnan(detection.average_precision(found, boxes, labels, 1)[0])
    assert detection.average_precision([(np.zeros((0, 4)), np.zeros(0), np.zeros(0))], boxes, labels, 0)[0] == 0


def test_of_boxes_that_mean_the_same_object_the_likeliest_is_kept():
    outputs = np.full((1, len(DEFAULTS), 4 + 2), -9.0, np.float32)
    target = np.float32([[0.3, 0.3, 0.6, 0.6]])
    for place, logit in ((300, 1.0), (306, 3.0), (312, 2.0)):
        outputs[0, place, :4] = recipe.to_offsets(target, DEFAULTS[place : place + 1])
        outputs[0, place, 4] = logit
    outputs[0, 500, :4] = recipe.to_offsets(target, DEFAULTS[500:501])
    outputs[0, 500, 5] = 0.5  # another class at the same place stays
    found = detection.kept_objects(recipe.to_boxes(outputs[..., :4], DEFAULTS), tf.sigmoid(outputs[..., 4:]), 0.4)
    boxes, probabilities, classes, count = (one.numpy()[0] for one in found)
    assert count == 2
    np.testing.assert_array_equal(classes[:2], [0, 1])
    np.testing.assert_allclose(probabilities[:2], 1 / (1 + np.exp([-3.0, -0.5])), rtol=1e-5)
    np.testing.assert_allclose(boxes[0], target[0], atol=1e-4)
    assert not boxes[2:].any()


def test_generated_boxes_lie_tight_around_the_shapes():
    images, boxes, labels = draw_groups(20, 5)
    assert images.shape == (20, 96, 96, 3)
    assert set(np.unique(labels)) == {-1, *range(len(KINDS))}
    assert not boxes[labels < 0].any()
    for row in range(20):
        outside = np.ones((96, 96), bool)
        ground = np.median(images[row].reshape(-1, 3), 0)
        for box in np.rint(boxes[row] * 96).astype(int)[labels[row] >= 0]:
            outside[box[0] : box[2], box[1] : box[3]] = False
            inside = np.abs(images[row, box[0] : box[2], box[1] : box[3]] - ground).max(-1)
            assert (inside[0] > 30).any()  # a pixel on each edge
            assert (inside[:, -1] > 30).any()
        assert np.mean(np.abs(images[row] - ground).max(-1)[outside] > 45) < 0.01


def test_image_sizes_must_be_halved():
    with pytest.raises(ConfigError, match="multiples of 32"):
        recipe.build(recipe.Config(), Sizes(train_examples=8, image_shape=(240, 320, 3), num_classes=3))
    with pytest.raises(ConfigError, match="three or more"):
        recipe.Config(filters=(8, 8))


def test_the_network():
    model = recipe.build()
    assert model.output_shape == (None, 6 * (32 * 40 + 16 * 20 + 8 * 10), 4 + 3)
    probabilities = tf.sigmoid(model(np.full((1, 256, 320, 3), 128.0))[..., 4:])
    assert 0.001 < float(tf.reduce_mean(probabilities)) < 0.1  # of a hundredth at first


# ---------------------------------------------------------------- photographs


@pytest.fixture
def photo(tmp_path):
    """A photograph of 200x120 pixels, stored on its side: its EXIF turns it."""
    image = np.zeros((120, 200, 3), np.uint8)
    image[20:60, 40:100] = [250, 40, 40]
    stored = Image.fromarray(np.rot90(image).copy())  # orientation 6 turns it clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    return tmp_path / "turned.jpg"


@pytest.mark.drawn
def test_boxes_are_in_the_photographs_own_pixels(photo, fitted, tmp_path):
    model = fitted(recipe)
    upright = Image.open(photo)
    assert upright.size == (120, 200)
    [answer] = recipe.predict([photo], model, min_probability=0.001)
    boxes = answer["boxes"]
    assert len(boxes) == len(answer["labels"]) == len(answer["probabilities"]) == answer["count"] > 0
    assert sum(answer["counts"].values()) == answer["count"]
    assert 121 < boxes[:, [0, 2]].max() <= 200
    assert boxes[:, [1, 3]].max() <= 120
    small = np.asarray(Image.open(photo).transpose(Image.Transpose.ROTATE_270))
    [of_array] = recipe.predict([small], model, min_probability=0.001)
    assert of_array["counts"].keys() == answer["counts"].keys()
    path = recipe.export(model, path=tmp_path / "saved")
    served = tf.saved_model.load(str(path)).signatures["serving_default"](tf.constant([photo.read_bytes()]))
    [asked] = recipe.predict([photo], model)
    count = int(served["count"][0])
    assert count == len(asked["labels"])
    np.testing.assert_allclose(served["boxes"][0, :count], asked["boxes"], atol=0.01)
    recipe.detect(photo, model=model, picture=str(tmp_path / "found.png"), min_probability=0.001)
    assert Image.open(tmp_path / "found.png").size[0] > 100
    assert recipe.count([photo, small], model=model)[0].keys() == set(KINDS)


def test_a_copy_in_float32_of_what_was_trained_in_bfloat16_is_asked(fitted, monkeypatch):
    model, images = fitted(recipe), draw_groups(2, 0)[0]
    expected = recipe.predict(images, model, min_probability=0.001)

    def copied(model):  # which has no run
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy

    monkeypatch.setattr(export, "in_float32", copied)
    answers = recipe.predict(images, model, min_probability=0.001)
    for answer, other in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(answer["boxes"], other["boxes"])
    recipe.recipe.kind.signatures(model, model.run)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_probabilities_out_of_range_are_refused(fitted, least):
    with pytest.raises(ConfigError, match=f"min_probability={least}"):
        recipe.predict([np.zeros((96, 96, 3), np.uint8)], fitted(recipe), min_probability=least)


def test_own_arrays_are_trained_on_and_evaluated(fitted):
    arrays = groups(24, 4, 8)

    def columns(split):
        images, boxes, labels = split
        pixels = [(96 * of_image[number >= 0])[:, [1, 0, 3, 2]] for of_image, number in zip(boxes, labels, strict=True)]
        return images, pixels, [[KINDS[one] for one in number if one >= 0] for number in labels]

    model = recipe.fit(recipe.TINY, (columns(arrays.train), columns(arrays.test)), max_examples=None)
    assert model.run.info.label_names == tuple(sorted(KINDS))
    assert model.run.info.examples == {"train": 22, "validation": 2, "test": 8}
    figures = recipe.evaluate(model, columns(arrays.test))
    assert figures["loss"] == pytest.approx(
        recipe.evaluate(model, (columns(arrays.train), columns(arrays.test)))["loss"]
    )
    assert 0 <= figures["map_50"] <= 1
    few = [column[:3] for column in columns(arrays.test)]
    few[2] = [["dog" for _ in names] for names in few[2]]
    with pytest.raises(DataError, match="has a box of 'dog'; expected one of circle, cross"):
        recipe.evaluate(model, tuple(few))


def test_the_authors_archive_becomes_a_data_set(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    from recipes.data.tfds import bccd

    archive, content = tmp_path / "master.zip", io.BytesIO()
    Image.new("RGB", (64, 48), (200, 150, 150)).save(content, "JPEG")
    voc = (
        "<annotation><size><width>64</width><height>48</height></size>"
        "<object><name>RBC</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>32</xmax><ymax>24</ymax></bndbox></object>"
        "<object><name>WBC</name><bndbox><xmin>5</xmin><ymin>9</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object>"
        "</annotation>"
    )
    with zipfile.ZipFile(archive, "w") as files:
        for number, split in enumerate(("train", "val", "test"), 1):
            root, name = "BCCD_Dataset-master/BCCD/", f"BloodImage_0000{number}"
            files.writestr(f"{root}ImageSets/Main/{split}.txt", f"{name}\n")
            files.writestr(f"{root}Annotations/{name}.xml", voc)
            files.writestr(f"{root}JPEGImages/{name}.jpg", content.getvalue())
    monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda self, url: archive)
    builder = bccd.Bccd(data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    splits = recipe.load_data(recipe.Config(batch_size=1, image_shape=(96, 96, 3)))
    assert splits.info.label_names == ("RBC", "WBC", "Platelets")
    boxes, labels = splits.originals
    np.testing.assert_allclose(boxes[0], [[0, 0, 0.5, 0.5]])  # that without an area is left out
    np.testing.assert_array_equal(labels, [[0]])


def test_the_manifest_says_what_it_is(fitted, tmp_path):
    path = recipe.export(fitted(recipe), path=tmp_path)
    manifest = json.loads((path / "assets.extra" / "recipe.json").read_text())
    assert manifest["kind"] == "detection"
