"""What the recipes that translate share."""

import importlib
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report

from recipes import translate_seq2seq, translate_transformer
from recipes.data.sentence_pairs import find_pairs
from recipes.data.tokenizers import END, START
from recipes.errors import ConfigError, DataError
from recipes.kinds.decoding import beam_search
from recipes.kinds.translation import bleu, sentences, source_ids
from recipes.optimization.losses import Perplexity, SentenceCrossentropy


@pytest.fixture(params=["translate_seq2seq", "translate_transformer"])
def translator(request):
    return importlib.import_module(f"recipes.{request.param}")


one_by_default = pytest.mark.parametrize(  # what both do in the same lines; the other with `-m slow`
    "translator", ["translate_seq2seq", pytest.param("translate_transformer", marks=pytest.mark.slow)], indirect=True
)


def test_losses_by_hand():
    logits = np.log(np.array([[[0.1, 0.2, 0.3, 0.4], [0.25] * 4], [[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]]], "f"))
    targets = np.array([[3, 2], [1, 0]])  # the second sentence has one piece
    by_hand = [-np.log(0.4) - np.log(0.25), -np.log(0.1)]
    np.testing.assert_allclose(SentenceCrossentropy(reduction="none")(targets, logits), by_hand, rtol=1e-5)
    assert float(SentenceCrossentropy()(targets, logits)) == pytest.approx(np.mean(by_hand), rel=1e-5)
    smoothed = SentenceCrossentropy(0.2, reduction="none")(targets, logits)
    of_all = [-np.log([0.1, 0.2, 0.3, 0.4]).mean() - np.log(0.25), -np.log([0.7, 0.1, 0.1, 0.1]).mean()]
    np.testing.assert_allclose(smoothed, 0.8 * np.array(by_hand) + 0.2 * np.array(of_all), rtol=1e-5)
    metric = Perplexity()
    metric.update_state(targets, logits)
    assert float(metric.result()) == pytest.approx(np.exp(sum(by_hand) / 3), rel=1e-5)


def test_an_undecided_model_has_a_perplexity_of_its_vocabulary():
    metric = Perplexity()
    metric.update_state(np.array([[1, 2, 3, 0]]), np.zeros((1, 4, 7), "float32"))
    assert float(metric.result()) == pytest.approx(7)


def test_the_cache_says_what_the_whole_says(translator):
    model = translator.build(translator.TINY)
    encode, step = translator.decoder(model)
    source = tf.constant([[7, 8, 9, 3, 0], [5, 6, 7, 8, 3]])
    target = np.random.default_rng(0).integers(4, 60, (2, 12)).astype(np.int32)
    whole, state = model([source, tf.constant(target)]), encode(source)
    for place in range(12):
        logits, state = step(tf.constant(target[:, place]), tf.constant(place), state)
        np.testing.assert_allclose(logits, whole[:, place], atol=1e-5)


def test_a_beam_of_one_is_greedy(translator):
    model = translator.build(translator.TINY)
    encode, step = translator.decoder(model)
    source = tf.constant([[7, 8, 9, 3]])
    said, _ = beam_search(step, encode(source), tf.constant([START]), 6)
    token_ids = [START]
    for token_id in said[0, 0].numpy().tolist():
        assert token_ids[-1] != END
        logits = model([source, tf.constant([token_ids])])[0, -1].numpy()
        assert logits[token_id] == pytest.approx(logits[END:].max(), abs=1e-5)  # an untrained model's are near ties
        token_ids.append(token_id)
    assert len(token_ids) == 7 or token_ids[-1] == END


@one_by_default
def test_sentences_are_served_as_they_are_translated(translator, fitted, exported):
    model = fitted(translator)
    signatures = tf.saved_model.load(str(exported(translator))).signatures
    served = signatures["serving_default"]
    odd = ["She sold ten books.", "", "\u65e5\u672c \U0001f600", "very " * 300]
    answer = served(text=tf.constant(odd))
    alone = [served(text=tf.constant([text]))["translation"].numpy()[0].decode() for text in odd]
    assert [text.decode() for text in answer["translation"].numpy()] == alone == translator.translate(odd, model=model)
    assert alone[1] == ""
    assert (answer["log_probability"].numpy() <= 0).all()
    assert (answer["known_pieces"].numpy() > 0).tolist() == [True, False, False, True]

    aligned = {name: value.numpy() for name, value in signatures["alignment"](text=tf.constant(odd)).items()}
    assert aligned["translation"].tolist() == answer["translation"].numpy().tolist()
    tokenizer = model.run.info.tokenizer
    source = source_ids(tokenizer, odd, translator.TINY.sequence_length)
    target = signatures["token_ids"](token_ids=source)["translation_ids"]
    assert tokenizer.decode(target).numpy().tolist() == aligned["translation"].tolist()
    assert aligned["target_pieces"].shape == target.shape
    is_piece = aligned["target_pieces"] != b""
    np.testing.assert_array_equal(is_piece, target != 0)
    assert is_piece[:, 0].tolist() == [True, False, True, True]
    np.testing.assert_allclose(aligned["attention"].sum(-1), is_piece, atol=1e-5)
    assert (
        aligned["attention"][np.broadcast_to((source == 0).numpy()[:, None], aligned["attention"].shape)] == 0
    ).all()
    assert [piece.decode() for piece in aligned["source_pieces"][1]][:2] == ["(end)", ""]
    start = tf.fill((len(odd), 1), START)
    before = tf.concat([start, tf.where(target == END, 0, target)[:, :-1]], 1)
    weights = np.where(is_piece[..., None], translator.align(model, source, before), 0)
    np.testing.assert_allclose(aligned["attention"], weights, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_source_of_padding_alone_makes_no_nan(translator, dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        model = translator.build(translator.TINY)
    finally:
        keras.config.set_dtype_policy("float32")
    source, target = np.array([[0, 0, 0], [7, 8, 3]]), np.array([[START, 5], [START, 0]])
    assert np.isfinite(model([source, target])).all()
    encode, step = translator.decoder(model)
    _, scores = beam_search(step, encode(tf.constant(source)), tf.constant([START] * 2), 4, beam_width=2)
    assert np.isfinite(scores).all()


@one_by_default
def test_a_text_of_unknown_pieces_has_a_note_and_what_is_none_is_refused(translator, fitted):
    model = fitted(translator)
    known, empty, unknown = translator.predict(["She sold ten books.", " ", "\u65e5\u672c \u8a9e"], model)
    assert "note" not in known.keys() | empty.keys(), "of an empty text, the empty translation is right"
    assert unknown["note"] == "it has no piece that the model knows"
    with pytest.raises(ConfigError, match=r"texts is None; expected a list of str: translate\(\[...\]\)"):
        translator.translate(None, model=model)
    for texts, message in (
        ([None], "text 0 is a NoneType, None; expected a str"),
        (["a", 5], "text 1 is a int, 5; expected a str"),
        (["caf\udce9"], "text 0 is no UTF-8 at position 3"),
    ):
        with pytest.raises(DataError, match=message):
            translator.translate(texts, model=model)
    with pytest.raises(DataError, match="text is a NoneType, None; expected a str"):
        translator.explain(None, model=model)


@one_by_default
def test_a_run_in_bfloat16_is_used_from_its_folder(translator, monkeypatch):
    strip_report(translator, monkeypatch)
    run = translator.fit(translator.TINY, precision="mixed_bfloat16").run
    again = translator.load(run.folder)
    assert len(translator.translate(["She sold ten books."], model=again)) == 1
    assert len(translator.translate(["She sold ten books."], model=again)) == 1, "and once more"


def test_sentences_longer_than_positions_are_cut():
    pairs = (["one two three"] * 40 + ["one " * 40], ["eins zwei drei"] * 40 + ["eins " * 40])
    model = translate_transformer.fit(
        translate_transformer.TINY, data=(pairs, pairs), sequence_length=13, vocab_size=40
    )
    assert np.isfinite(model.run.metrics["test"]["loss"])


def test_bad_searches_are_refused(translator, fitted):
    with pytest.raises(ConfigError, match="beam_width=0 is out of range; expected a whole number of 1, greedy"):
        translator.translate(["a"], beam_width=0, model=fitted(translator))
    with pytest.raises(ConfigError, match="length_penalty=-1 is out of range"):
        translator.translate(["a"], length_penalty=-1, model=fitted(translator))
    with pytest.raises(ConfigError, match="beam_width=2.5 is out of range"):
        translator.translate(["a"], beam_width=2.5, model=fitted(translator))
    with pytest.raises(ConfigError, match=r"texts is 'Hi!'; expected a list of str: translate\(\[...\]\)"):
        translator.translate("Hi!", model=fitted(translator))


def test_a_users_own_pairs_and_their_mistakes(tmp_path):
    translator = translate_seq2seq
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"this is number {n}\tdas ist Nummer {n}\n" for n in range(100)))
    model = translator.fit(translator.TINY, data=pairs, vocab_size=60)
    assert (model.run.info.name, model.run.info.source) == (str(pairs), "file")
    assert translator.evaluate(model) == model.run.metrics["test"], "the file is found again"
    assert len(translator.translate(["number 5"], model=model)) == 1
    assert translator.evaluate(model, data=pairs).keys() == model.run.metrics["test"].keys()
    pairs.write_text("no tab here\n")
    with pytest.raises(DataError, match="line 1 of .* has 1 columns; expected 'source<tab>target'"):
        translator.load_data(translator.TINY, pairs)
    pairs.write_text("one\teins\n\ntwo\tzwei\ndrei\n")
    with pytest.raises(DataError, match="line 4 of .* has 1 columns"):
        translator.load_data(translator.TINY, pairs)
    for data, message in (
        ((["a", "b"], ["c"]), r"data holds 2 sources and 1 targets; expected \(sources, targets\)"),
        (([1], [2]), "text 0 is a int, 1; expected a str"),
        (5, "data holds a int, 5; expected"),
        (((["a"], ["b"]),) * 4, "data holds 4 splits; expected one, or training"),
    ):
        with pytest.raises(DataError, match=message):
            translator.load_data(translator.TINY, data)


def test_a_sentence_ends_with_its_line_and_a_byte_order_mark_is_no_part_of_it(tmp_path):
    """A form feed, U+2028 and U+0085 are white space within it."""
    path = tmp_path / "pairs.tsv"
    path.write_bytes("one\x0ctwo\u2028three\teins\u0085zwei\r\nfour\tvier\n".encode("utf-8-sig"))
    arrays, _ = find_pairs(translate_seq2seq.Config(), path)
    assert [side.tolist() for side in arrays.train] == [["one\x0ctwo\u2028three", "four"], ["eins\u0085zwei", "vier"]]


def test_bleu_is_of_the_references_as_they_are_written(translator, tmp_path):
    """Characters that the vocabulary does not have are wrong, not equal to each other."""
    known = (["one", "two"] * 30, ["eins", "zwei"] * 30)
    splits = translator.load_data(replace(translator.TINY, vocab_size=40), (known, (["\u2603 one"], ["\u2603 eins"])))
    assert splits.originals == (("\u2603 one",), ("\u2603 eins",))
    assert sentences(splits) == (["\u2603 one"], ["\u2603 eins"])


def test_a_languages_absence_is_said(translator, monkeypatch, tmp_path):
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    tfds.testing.DummyMnist(data_dir=tmp_path).download_and_prepare()
    with pytest.raises(DataError, match="expected a translation data set with 'en' and 'de'"):
        translator.load_data(translator.Config(dataset="dummy_mnist"))


def test_bleu_is_sacrebleus_with_its_signature():
    score, signature = bleu(["the cat sat on the mat", "a dog"], ["the cat sat on the mat", "a dog"])
    assert score == pytest.approx(100)
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in signature


def test_losses_come_back_from_a_file(translator, fitted):
    model = keras.models.load_model(fitted(translator).run.folder / "model.keras")
    assert model.loss.label_smoothing == pytest.approx(0.1)
