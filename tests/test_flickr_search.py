from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report
from PIL import Image

from recipes import flickr_search as recipe
from recipes.cli import main
from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError, DataError
from recipes.kinds import text_image_search

SMALL = replace(recipe.TINY, image_size=16)


def contrast(photo, text, number, temperature=0.5):
    return nats_and_found(photo, text, number, temperature)[0]


def nats_and_found(photo, text, number, temperature=0.5):
    answers = recipe.Contrast(temperature)(*(np.array(each, np.float32) for each in (photo, text)), np.array(number))
    return [each.numpy() for each in answers]


def test_the_loss_of_two_orthogonal_pairs_is_by_hand():
    """Cosines are 1 and 0, logits 2 and 0: -log(e^2 / (e^2 + 1)) each way."""
    unit = np.eye(2)
    np.testing.assert_allclose(contrast(unit, unit, [7, 9]), [np.log1p(np.exp(-2))] * 2, rtol=1e-6)
    np.testing.assert_allclose(contrast(unit, unit[::-1], [7, 9]), [2 + np.log1p(np.exp(-2))] * 2, rtol=1e-6)


def test_both_ways_count_the_same():
    """Two photographs alike, (1, 0), texts (1, 0) and (0, 1): each way has its own nats."""
    nats = contrast([[1, 0], [1, 0]], [[1, 0], [0, 1]], [0, 1])
    to_texts = np.array([np.log1p(np.exp(-2)), 2 + np.log1p(np.exp(-2))])  # logits (2, 0) twice
    to_photos = np.log(2)  # both photographs are as near to any text
    np.testing.assert_allclose(nats, (to_texts + to_photos) / 2, rtol=1e-6)


def test_another_caption_of_the_same_photograph_is_no_negative():
    photo, text = [[1, 0], [1, 0], [0, 1]], [[1, 0], [0.8, 0.6], [0, 1]]
    nats = contrast(photo, text, [4, 4, 5])
    first = np.log1p(np.exp(-2))  # against the third pair alone, both ways
    assert nats[0] == pytest.approx(first, rel=1e-6)
    assert contrast(photo[:2], text[:2], [4, 4]).tolist() == [0, 0], "nothing is wrong"
    assert contrast(photo, text, [4, 6, 5])[0] > first + 0.3, "of another it is"


def test_the_metric_is_how_many_captions_find_their_photograph_in_the_batch():
    """Of four captions the second is nearer to the third photograph; the last two photographs are one."""
    photo, text = np.eye(4)[[0, 1, 2, 2]], np.eye(4)[[0, 2, 2, 2]]
    _, is_found = nats_and_found(photo, text, [4, 6, 5, 5])
    assert is_found.tolist() == [True, False, True, True]
    model = recipe.build(SMALL, Sizes(vocab_size=12))
    model.compute_loss(y=np.array([4, 6, 5, 5]), y_pred={"photo": photo.astype("f"), "text": text.astype("f")})
    assert model.get_metrics_result()["batch_r1"] == 0.75


def test_the_temperature_is_learned_and_never_below_a_hundredth():
    layer = recipe.Contrast(0.07)
    assert layer.scale().numpy() == pytest.approx(1 / 0.07, rel=1e-5)
    layer.log_scale.assign(9.0)
    assert layer.scale().numpy() == pytest.approx(100, rel=1e-5)
    model = recipe.build(SMALL, Sizes(vocab_size=12))
    assert any(weight is model.contrast.log_scale for weight in model.trainable_variables)


@pytest.mark.parametrize("reader", ["words", "gru"])
def test_padding_and_other_rows_change_no_text(reader):
    keras.utils.set_random_seed(0)
    model = recipe.build(replace(SMALL, reader=reader), Sizes(vocab_size=12))
    read = keras.Model(model.inputs[1], model.get_layer("text").output)
    alone = read(np.array([[2, 5, 6, 3]]))
    padded = read(np.array([[2, 5, 6, 3, 0, 0], [2, 7, 8, 9, 10, 3]]))
    np.testing.assert_allclose(padded[0], alone[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(padded, axis=-1), 1, rtol=1e-5)
    turned = read(np.array([[2, 6, 5, 3]]))
    assert (np.abs(turned - alone).max() > 1e-5) == (reader == "gru"), "a set of words has no order"


def test_means_and_highest_values_leave_padding_out():
    x = np.array([[[-3.0, 1], [-2, -5], [9, 9]], [[1, 1], [1, 1], [1, 1]]], np.float32)
    means_and_highest = recipe.OverWords()(x, np.array([[4, 5, 0], [0, 0, 0]]))
    assert means_and_highest.numpy().tolist() == [[-2.5, -2, -2, 1], [0, 0, 0, 0]]


COSINES = np.array([[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.5, 0.4, 0.6], [0.2, 0.8, 0.7]])  # captions, photographs
PHOTO_OF = np.array([0, 0, 1, 2])


def test_ranks_and_recalls_of_a_small_matrix():
    search, annotation = text_image_search.ranks(COSINES, PHOTO_OF)
    assert search.tolist() == [1, 1, 3, 2]
    assert annotation.tolist() == [1, 2, 1], "of two own captions the better one counts"
    figures = text_image_search.recalls(COSINES, PHOTO_OF)
    assert (figures["search_r1"], figures["search_r5"], figures["search_median_rank"]) == (0.5, 1.0, 1.5)
    assert figures["annotation_r1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_one_answer_to_all_has_the_worst_ranks(value):
    search, annotation = text_image_search.ranks(np.full((4, 3), value), PHOTO_OF)
    assert search.tolist() == [3] * 4
    assert annotation.tolist() == [3, 4, 4]


def test_the_best_path_never_goes_back():
    matrix = np.array([[1.0, 0, 3], [0, 2, 0], [0, 1, 0.5]])
    assert recipe.best_path(matrix) == [0, 1, 1], "1 + 2 + 1; with the 3 it would have to stay there: 3.5"
    assert recipe.best_path(matrix[:, :1]) == [0, 0, 0]
    assert recipe.best_path(np.zeros((2, 3))) == [0, 0], "of equals the earlier"
    assert recipe.best_path(matrix[:0]) == []


def test_the_best_path_is_the_best_of_all():
    from itertools import combinations_with_replacement

    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = rng.normal(size=(4, 5))
        sums = {path: matrix[range(4), path].sum() for path in combinations_with_replacement(range(5), 4)}
        assert tuple(recipe.best_path(matrix)) == max(sums, key=sums.get)


def photographs(model, count=4):
    return list(model.run.examples(count))


@pytest.mark.drawn
def test_search_sorts_by_the_cosines_of_embed_and_draws_them(fitted):
    model = fitted(recipe)
    photos, text = photographs(model), "a red star left of a blue ring"
    cosines = recipe.embed(photos=photos, model=model) @ recipe.embed(texts=text, model=model)[0]
    order = np.argsort(-cosines)[:3]
    found = recipe.search(text, photos, k=3, picture="sheet.png", model=model)
    assert [name for name, _ in found] == [f"image {place}" for place in order]
    np.testing.assert_allclose([cosine for _, cosine in found], cosines[order], atol=1e-6)
    assert Path("sheet.png").read_bytes().startswith(b"\x89PNG")
    assert recipe.search(text, iter(photos), k=1, picture="again.png", model=model)[0] == found[0]


def test_the_command_line_searches_a_folder(fitted, tmp_path, capsys):
    model, folder = fitted(recipe), tmp_path / "photos"
    folder.mkdir()
    for number, photo in enumerate(photographs(model)):
        Image.fromarray(photo).save(folder / f"{number}.png")
    command = ["search", "flickr_search", "a red star", str(folder), "--count", "3", "--run", str(model.run.folder)]
    assert main(command) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()[-3:]]
    found = recipe.search("a red star", folder, k=3, model=model)
    assert lines == [[name, f"{cosine:.4f}"] for name, cosine in found]
    assert main(["search", "flickr_search", "a red star"]) == 2
    assert main(["search", "mnist_dense", "a red star", str(folder)]) == 2


def test_describe_gives_the_softmax_of_cosines_over_the_temperature(fitted):
    model, sentences = fitted(recipe), ["a red star", "a blue ring", "a white cross is above a bar"]
    [photo] = photographs(model, 1)
    cosines = recipe.embed(texts=sentences, model=model) @ recipe.embed(photos=[photo], model=model)[0]
    expected = keras.ops.softmax(cosines * model.contrast.scale()).numpy()
    answers = recipe.describe(photo, sentences, model=model)
    assert [answer[0] for answer in answers] == [sentences[place] for place in np.argsort(-cosines)]
    np.testing.assert_allclose([answer[2] for answer in answers], np.sort(expected)[::-1], rtol=1e-5)
    assert recipe.describe(photo, sentences, k=1, model=model) == answers[:1]


def test_a_story_is_aligned_by_its_cosines(fitted):
    model, sentences = fitted(recipe), ["a red star", "a blue ring", "a white cross"]
    photos = photographs(model, 5)
    cosines = recipe.embed(texts=sentences, model=model) @ recipe.embed(photos=photos, model=model).T
    path = recipe.best_path(cosines)
    expected = [(text, f"image {place}") for text, place in zip(sentences, path, strict=True)]
    assert [answer[:2] for answer in recipe.align(photos, sentences, model=model)] == expected


def test_what_cannot_be_searched_is_refused(fitted):
    model = fitted(recipe)
    [photo] = photographs(model, 1)
    Path("empty").mkdir()
    for why, ask in {
        r"no word of 'xyzzy' is among the \d+ that are known": lambda: recipe.search("xyzzy", [photo], model=model),
        "cannot read none.png": lambda: recipe.search("red", ["none.png"], model=model),
        "search got 2 texts; expected one": lambda: recipe.search(["red", "blue"], [photo], model=model),
        "photos has none": lambda: recipe.search("red", [], model=model),
        "the folder empty has no images": lambda: recipe.search("red", "empty", model=model),
        "1 photographs and 0 sentences": lambda: recipe.describe(photo, [], model=model),
        "2 photographs and 1 sentences": lambda: recipe.describe([photo] * 2, ["red"], model=model),
    }.items():
        with pytest.raises(DataError, match=why):
            ask()
    for why, ask in {
        "k=0": lambda: recipe.search("red", [photo], k=0, model=model),
        "both texts= and photos=, or neither": lambda: recipe.embed(model=model),
        "picture='no/sheet.png' cannot be written": lambda: recipe.search(
            "red", [photo], picture="no/sheet.png", model=model
        ),
    }.items():
        with pytest.raises(ConfigError, match=why):
            ask()
    assert recipe.embed(photos=[], model=model).shape == (0, 8)


def test_evaluate_ranks_all_captions_and_photographs_of_the_test_split(fitted):
    model = fitted(recipe)
    splits = recipe.load_data(replace(model.run.config, dataset="scenes"), None, model.run.tokenizer)
    gallery = splits.originals
    photos = recipe.embed(photos=list(gallery.photographs.stacked()), model=model)
    texts = recipe.embed(texts=[text for texts in gallery.references for text in texts], model=model)
    photo_of = np.repeat(np.arange(64), 5)
    figures = text_image_search.recalls(texts @ photos.T, photo_of)
    got = {name: model.run.metrics["test"][name] for name in figures}
    assert got == pytest.approx(figures, abs=0.02), "ties by a rounding error apart"


def test_the_batches_know_whose_captions_they_are():
    splits = recipe.load_data(replace(recipe.TINY, max_examples=32))
    (photo, words), number = next(iter(splits.train))
    assert (photo.shape, photo.dtype, words.dtype, number.shape) == ((32, 56, 56, 3), tf.uint8, tf.int32, (32,))
    for one in range(32):
        for other in range(32):
            assert (number[one] == number[other]).numpy() == (photo[one] == photo[other]).numpy().all()
    own = Splits(splits.train, steps_per_epoch=1)
    assert recipe.load_data(recipe.TINY, own).info.sizes(Sizes()).train_examples == 32
    with pytest.raises(DataError, match="number .B,. of the photograph"):
        recipe.load_data(recipe.TINY, Splits(splits.train.map(lambda x, y: x), steps_per_epoch=1))


PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
SAID = [["A dog runs.", "a dog on grass"], ["Two cats."], ["A red star"], ["a man"]] * 2


@pytest.mark.slow
def test_a_pretrained_encoders_features_are_what_photographs_are_embedded_by_and_exported(tmp_path, monkeypatch):
    strip_report(recipe, monkeypatch)
    how = {"encoder": "efficientnet_lite0", "image_size": 64, "batch_size": 4, "max_examples": None}
    data = ((PHOTOGRAPHS, SAID), (PHOTOGRAPHS, SAID))
    model = recipe.fit(recipe.TINY, data, filters=recipe.Config.filters, **how)
    assert model.input_shape[0] == (None, 1280)
    vectors = recipe.embed(photos=list(PHOTOGRAPHS), model=model)
    served = tf.saved_model.load(str(recipe.export(model, path=tmp_path))).signatures
    png = tf.constant([tf.io.encode_png(image).numpy() for image in PHOTOGRAPHS])
    np.testing.assert_allclose(served["serving_default"](image_bytes=png)["embedding"], vectors, atol=1e-4)
    texts = ["A dog runs.", "nothing known", ""]
    answer = served["text"](text=tf.constant(texts))
    np.testing.assert_allclose(answer["embedding"][:1], recipe.embed(texts=texts[:1], model=model), atol=1e-5)
    assert answer["known_words"].numpy().tolist() == [3, 0, 0]
    figures = recipe.evaluate(model, data=(PHOTOGRAPHS, SAID))
    assert figures["loss"] == pytest.approx(model.run.metrics["test"]["loss"], rel=0.2)
