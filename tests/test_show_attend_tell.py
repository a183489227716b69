import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import runs_of, strip_report

from recipes import show_attend_tell as recipe
from recipes.cli import main
from recipes.data.splits import Sizes, Splits
from recipes.data.standins.scenes import captioned
from recipes.data.tokenizers import END, START, Sentences
from recipes.errors import ConfigError, DataError, ExportError
from recipes.kinds.captioning import draw_strip
from recipes.kinds.decoding import beam_search
from recipes.pretrained.encoders import encoder_of

KINDS = ("soft", "hard")
SMALL = replace(recipe.TINY, image_size=16)


def built(attention="soft", vocab_size=12, **changes):
    keras.utils.set_random_seed(0)
    return recipe.build(replace(SMALL, attention=attention, **changes), Sizes(vocab_size=vocab_size))


def images(count=2, size=16):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_sees_its_future_and_padding_changes_nothing(kind):
    model, image, words = built(kind), images(1), np.array([[START, 5, 6, 7, 8]])
    whole = model([image, words])["logits"]
    for place in range(5):
        later = words.copy()
        later[:, place:] = 11
        after = model([image, later])["logits"]
        np.testing.assert_allclose(after[:, :place], whole[:, :place], atol=1e-5)
        assert np.abs(after[:, place] - whole[:, place]).max() > 1e-5
    padded = model([image, np.pad(words, [[0, 0], [0, 3]])])["logits"]
    np.testing.assert_allclose(padded[:, :5], whole, atol=1e-5)


def test_a_place_knows_what_is_near_it_alone():
    """Or a word could look at empty ground for what is elsewhere."""
    model = built(image_size=64)
    annotations = keras.Model(model.inputs[0], model.get_layer("annotations").output)
    one, other = images(1, 64), images(1, 64)
    other[:, :8, :8] = 0
    change = np.abs(annotations(other) - annotations(one)).max(-1).reshape(8, 8)
    assert change[0, 0] > 0
    assert (change[4:] == 0).all()
    assert (change[:, 4:] == 0).all()


def test_state_dropout_tells_whole_words_without_the_hidden_state():
    model = built(state_dropout=0.5, dropout=0.0)
    for name in ("embedding", "L_z"):  # the other two that a word is told from
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    inputs = [images(8), np.full((8, 6), 5)]
    silent = np.abs(np.asarray(model(inputs, training=True)["logits"])).max(-1) == 0
    assert 0.2 < silent.mean() < 0.8
    assert np.abs(np.asarray(model(inputs)["logits"])).max(-1).min() > 0, "in training alone"


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_on_the_four_places_of_a_small_image(kind):
    said = built(kind)([images(), np.array([[START, 5, 6]] * 2)])
    assert said["looks"].shape == (2, 3, 4)
    np.testing.assert_allclose(keras.ops.sum(said["looks"], -1), 1, rtol=1e-5)
    np.testing.assert_allclose(keras.ops.sum(said["weights"], -1), 1, rtol=1e-5)
    assert (np.asarray(said["looks"]).max(-1) == 1).all() == (kind == "hard")


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_what_the_whole_model_says(kind):
    model, words = built(kind), [START, 5, 6, 7]
    whole = model([images(), np.array([words] * 2)])["logits"]
    encode, step = recipe.decoder(model)
    state = encode(tf.constant(images()))
    for place, word in enumerate(words):
        logits, state = step(tf.constant([word] * 2), tf.constant(place), state)
        np.testing.assert_allclose(logits, whole[:, place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wide_beam_finds_the_likeliest_caption_of_all(kind):
    """Of every caption of up to three words from a vocabulary of four, by the whole model."""
    model = built(kind, vocab_size=8)
    model.get_layer("logits").bias.assign(np.random.default_rng(1).normal(size=8) * 2)
    found = {}
    for words in product(range(END, 8), repeat=3):
        said = list(words[: words.index(END) + 1] if END in words else words)
        if tuple(said) not in found:
            log_p = tf.nn.log_softmax(model([images(1), np.array([[START, *said[:-1]]])])["logits"])[0].numpy()
            found[tuple(said)] = log_p[range(len(said)), said].sum()
    best = max(found, key=found.get)
    encode, step = recipe.decoder(model)
    said, scores = beam_search(step, encode(tf.constant(images(1))), tf.constant([START]), 3, 8**3, 0.0)
    assert said[0, 0].numpy().tolist() == [*best, *[0] * (3 - len(best))]
    assert scores[0, 0].numpy() == pytest.approx(found[best], rel=1e-4)


def test_captions_come_with_their_log_probability_and_attention():
    model, words = built(vocab_size=8), Sentences(("", "[UNK]", "[START]", "[END]", "a", "dog", "red", "star"))
    model.run = SimpleNamespace(config=replace(SMALL, sequence_length=4))
    made = recipe.kind.caption_all(model, words, images(3), beam_width=2, length_penalty=0.7, batch_size=2)
    for row, text in enumerate(made.captions):
        tokens = words.encode([text])[0].numpy().tolist() if text else []
        assert made.words[row] == text.split()
        assert made.attention[row].shape == (len(tokens), 2, 2)
        ended = [*tokens, END][:4]
        said = model([images(3)[row : row + 1], np.array([[START, *ended[:-1]]])])
        log_p = tf.nn.log_softmax(said["logits"])[0].numpy()[range(len(ended)), ended].sum()
        assert made.log_probability[row] == pytest.approx(log_p, rel=1e-4), "without the penalty for length"
        np.testing.assert_allclose(made.attention[row].reshape(-1, 4), said["looks"][0, : len(tokens)], rtol=1e-4)


def test_the_loss_is_the_captions_nats_and_the_penalty():
    model = built(attention_penalty=0.5, dropout=0.0)
    inputs, following = [images(), np.array([[START, 5, 6], [START, 7, 0]])], np.array([[5, 6, END], [7, END, 0]])
    said = model(inputs)
    log_p = tf.nn.log_softmax(said["logits"]).numpy()
    nats = [-log_p[row, range(len(words)), words].sum() for row, words in enumerate(([5, 6, END], [7, END]))]
    there = (following != 0)[..., None]
    penalty = ((1 - (there * np.asarray(said["weights"])).sum(1)) ** 2).sum(-1)
    figures = model.evaluate(tf.data.Dataset.from_tensors((tuple(inputs), following)), return_dict=True, verbose=0)
    assert figures["loss"] == pytest.approx(np.mean(nats + 0.5 * penalty), rel=1e-4)
    assert figures["perplexity"] == pytest.approx(np.exp(np.sum(nats) / 5), rel=1e-4)


def test_hard_attention_learns_where_to_look_and_a_run_of_it_goes_on(plain):
    """Every weight of the network that scores the places gets a gradient, and the baseline moves."""
    model = recipe.fit(recipe.TINY, attention="hard", max_examples=32)
    keras.utils.set_random_seed(model.run.config.seed)
    untrained = recipe.build(model.run.config, model.run.info.sizes(recipe.FLICKR8K))  # as it was when training began
    for layer in ("keys", "query", "score"):
        before, after = (getattr(found.get_layer("writer"), layer).kernel.numpy() for found in (untrained, model))
        assert np.abs(after - before).max() > 1e-4, layer
    assert model.cost.baseline.numpy() < -1
    again = recipe.load(model.run.folder)
    assert again.cost.attention == "hard"
    assert again.cost.baseline.numpy() == model.cost.baseline.numpy()
    np.testing.assert_allclose(recipe.evaluate(again)["loss"], model.run.metrics["test"]["loss"], rtol=1e-5)


PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (8, 40, 50, 3), np.uint8)
SAID = [["A dog runs.", "a dog on grass"], ["Two cats."], ["A red star"], ["a man"]] * 2
PRETRAINED = {"encoder": "efficientnet_lite0", "image_size": 64, "batch_size": 4, "max_examples": None}
PRETRAINED["filters"] = recipe.Config.filters  # which are not its own


@pytest.fixture
def plain(monkeypatch):
    """Neither scores nor pictures, which take their time."""
    strip_report(recipe, monkeypatch)


def fit_pretrained(**changes):
    return recipe.fit(recipe.TINY, ((PHOTOGRAPHS, SAID), (PHOTOGRAPHS, SAID)), **PRETRAINED, **changes)


@pytest.mark.slow
def test_a_pretrained_encoders_annotations_are_what_it_reads_and_exports(plain, tmp_path):
    model = fit_pretrained()
    assert model.input_shape[0] == (None, 4, 320)
    assert recipe.kind.encoder_for(model).output_shape == (None, 4, 320)
    figures = recipe.evaluate(model, data=(PHOTOGRAPHS, SAID))
    assert figures["perplexity"] == pytest.approx(model.run.metrics["test"]["perplexity"], rel=1e-5)
    served = tf.saved_model.load(str(recipe.export(model, path=tmp_path))).signatures["serving_default"]
    png = [tf.io.encode_png(image).numpy() for image in PHOTOGRAPHS[:3]]
    answer = served(image_bytes=tf.constant(png))
    (tmp_path / "photo.png").write_bytes(png[0])
    said = recipe.caption([tmp_path / "photo.png"], model=model)
    assert [answer["caption"][0].numpy().decode()] == said
    assert answer["attention"].shape[2:] == (2, 2)
    assert recipe.caption(PHOTOGRAPHS[:1], model=model) == said


def test_fine_tuning_trains_the_encoder_but_not_its_batch_norms(plain):
    model = fit_pretrained(fine_tune=True, learning_rate=1e-4)
    assert model.input_shape[0] == (None, 64, 64, 3)
    before, after = encoder_of("efficientnet_lite0", 64), model.get_layer("efficientnet_lite0")
    moved = {
        one.path: np.abs(one.numpy() - other.numpy()).max()
        for one, other in zip(before.weights, after.weights, strict=True)
    }
    assert max(moved.values()) > 1e-5
    assert all(move == 0 for path, move in moved.items() if "moving" in path)
    assert recipe.kind.encoder_for(model) is None, "it reads images itself"


def test_the_loss_is_in_float32_whatever_the_model_computes_in():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = built("hard")
    finally:
        keras.config.set_dtype_policy("float32")
    words, following = np.array([[START, 5, 6]] * 2), np.array([[5, 6, END]] * 2)
    said = model([images(), words])
    assert model.get_layer("writer").compute_dtype == "bfloat16"
    loss = model.compute_loss(y=tf.constant(following), y_pred=said, training=False)
    log_p = tf.nn.log_softmax(said["logits"]).numpy()
    nats = [-log_p[row, range(3), following[row]].sum() for row in range(2)]
    assert float(loss) == pytest.approx(np.mean(nats), rel=1e-6), "bfloat16 has three digits"


def test_annotations_alone_cannot_be_exported(plain, tmp_path):
    splits = recipe.load_data(replace(recipe.TINY, **PRETRAINED), ((PHOTOGRAPHS, SAID), (PHOTOGRAPHS, SAID)))
    own = Splits(splits.train, splits.validation, splits.test, splits.info, steps_per_epoch=2)
    model = recipe.fit(recipe.TINY, own, **PRETRAINED)
    with pytest.raises(ExportError, match=r"annotations \(8, 4, 320\), which are no images; fit on images"):
        recipe.export(model, path=tmp_path)
    assert not list(tmp_path.rglob("saved_model.pb"))


def test_scenes_are_read_by_a_network_of_their_own():
    splits = recipe.load_data(replace(recipe.TINY, max_examples=64))
    assert splits.train.element_spec[0][0].shape[1:] == (56, 56, 3)
    assert len(splits.originals.scenes) == len(splits.originals.references) == 64
    assert all(
        scene.is_true_caption(text)
        for scene, texts in zip(splits.originals.scenes, splits.originals.references)
        for text in texts
    )


def test_what_cannot_be_captioned_is_refused(fitted):
    model = fitted(recipe)
    for asked, why in (
        ("photo.jpg", "cannot read photo.jpg"),
        (["none.jpg"], "cannot read none.jpg"),
        (np.full((8, 8, 3), 300), r"image 0 lies in \[300, 300\]; expected \[0, 255\]"),
    ):
        with pytest.raises(DataError, match=why):
            recipe.caption(asked, model=model)
    with pytest.raises(ConfigError, match="beam_width=0"):
        recipe.caption(images(1), beam_width=0, model=model)
    assert recipe.caption([], model=model) == []


def test_exported_captions_are_the_models_from_raw_bytes(fitted, exported):
    model = fitted(recipe)
    served = tf.saved_model.load(str(exported(recipe))).signatures["serving_default"]
    pixels = model.run.examples(3)
    answer = served(image_bytes=tf.constant([tf.io.encode_png(image).numpy() for image in pixels]))
    captions = [caption.decode() for caption in answer["caption"].numpy()]
    assert captions == recipe.caption(pixels, model=model)
    for caption, words, attention in zip(captions, answer["words"].numpy(), answer["attention"].numpy(), strict=True):
        assert [word.decode() for word in words if word] == caption.split()
        np.testing.assert_allclose(attention.sum((1, 2)), words != b"", atol=1e-5)
    assert (answer["log_probability"].numpy() < 0).all()
    grey = tf.io.encode_jpeg(np.full((90, 30, 1), 200, np.uint8)).numpy()
    assert served(image_bytes=tf.constant([grey]))["caption"].shape == (1,), "of any size, colour or grey"
    assert served(image_bytes=tf.constant([], tf.string))["caption"].shape == (0,)


@pytest.mark.drawn
def test_predict_prints_captions_and_draws_where_they_looked(fitted, capsys):
    model = fitted(recipe)
    Path("photo.png").write_bytes(tf.io.encode_png(model.run.examples(1)[0]).numpy())
    Path("torn.jpg").write_bytes(b"no image")
    Path("other").mkdir()
    shutil.copy("photo.png", "other/photo.png")
    files = ["photo.png", "none.png", "torn.jpg", "other/photo.png"]
    assert main(["predict", "show_attend_tell", *files, "--runs", str(runs_of(model))]) == 1
    printed, errors = capsys.readouterr()
    [(_, answer)] = recipe.kind.predict(model, "photo.png")
    prediction = f"{answer['caption']}\t{answer['log_probability']:.4f}"
    assert printed.splitlines() == [
        f"photo.png\t{prediction}\tphoto-attention.png",
        f"other/photo.png\t{prediction}\tphoto-attention-2.png",
    ]
    assert Path("photo-attention.png").read_bytes().startswith(b"\x89PNG")
    assert Path("photo-attention.png").read_bytes() == Path("photo-attention-2.png").read_bytes()
    assert "trained on the stand-in 'scenes', not on flickr8k" in errors
    assert "cannot read none.png: No such file" in errors
    assert "torn.jpg is not a readable image" in errors


def test_the_report_shows_captions_and_strips_good_and_bad(fitted):
    folder = fitted(recipe).run.folder
    report = (folder / "report.md").read_text()
    assert "reference:" in report  # of generated scenes; there are no people
    assert "people" not in report
    for name in ("good1.png", "good3.png", "bad1.png", "bad3.png"):
        assert f"]({name})" in report
        assert (folder / name).exists()


def test_a_strip_shows_the_image_and_then_each_word():
    attention = np.zeros((9, 7, 7))
    attention[:, 2, 3] = 1
    strip = draw_strip(images(1, 56)[0], [f"word{number}" for number in range(9)], attention)
    titles = [axes.get_title() for axes in strip.axes if axes.get_images()]
    assert titles == ["the image", *(f"word{number}" for number in range(9))]
    assert [len(axes.get_images()) for axes in strip.axes] == [1, *[2] * 9, *[0] * 6]


@pytest.mark.slow
def test_it_learns_to_say_what_is_there():
    """A smaller network than SCENES', and easier: whatever it looks at, colours and shapes come out."""
    train, test = captioned(3000, 1), captioned(200, 2)
    data = tuple((part[0], list(map(list, part[1]))) for part in (train, test))
    model = recipe.fit(recipe.SCENES, data, image_size=56, epochs=3)
    said = recipe.caption(test[0], model=model)
    assert np.mean([scene.is_true_caption(text) for scene, text in zip(test[2], said, strict=True)]) > 0.3
