"""What the recipes that write text share."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report

from recipes.data.tokenizers import Characters
from recipes.errors import ConfigError, DataError, RunError
from recipes.kinds.text_generation import spread_prompts


@pytest.fixture(params=["shakespeare_lstm", "shakespeare_gpt"])
def writer(request):
    return importlib.import_module(f"recipes.{request.param}")


one_by_default = pytest.mark.parametrize(  # what both do in the same lines; the other with `-m slow`
    "writer", ["shakespeare_lstm", pytest.param("shakespeare_gpt", marks=pytest.mark.slow)], indirect=True
)


def test_an_untrained_model_is_as_good_as_undecided(writer):
    config = writer.TINY
    splits = writer.load_data(config)
    sizes = splits.info.sizes(writer.SHAKESPEARE)
    figures = writer.build(config, sizes).evaluate(splits.test, return_dict=True, verbose=0)
    assert np.exp(figures["loss"]) == pytest.approx(sizes.vocab_size, rel=0.05)


def test_the_same_seed_says_the_same_streamed_or_in_the_graph(writer, fitted):
    model = fitted(writer)
    streamed = "".join(writer.generate("The ", 30, seed=4, model=model))
    assert streamed == "".join(writer.generate("The ", 30, seed=4, model=model))
    assert streamed != "".join(writer.generate("The ", 30, seed=5, model=model))
    assert streamed.startswith("The ")
    assert len(streamed) == 34
    how = {"temperature": 0.8, "seed": 4}
    [whole, _] = writer.kind.continue_texts(model, model.run.info.tokenizer, ["The ", "x"], 30, **how).numpy()
    assert whole.decode() == streamed


def test_odd_prompts_are_gone_on_with(writer, fitted):
    model = fitted(writer)
    for prompt in ("", "\u65e5\u672c", "word " * 40):
        said = "".join(writer.generate(prompt, 5, model=model))
        assert said.startswith(prompt)
        assert len(said) == len(prompt) + 5
    assert "".join(writer.generate("The", 0, model=model)) == "The"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"length": -1}, "length=-1 is out of range; expected a whole number of 0 or more"),
        ({"temperature": -0.1}, "temperature=-0.1 is out of range"),
        ({"top_k": -2}, "top_k=-2 is out of range"),
        ({"top_p": 0.0}, "top_p=0.0 is out of range; expected a number of more than 0, at most 1"),
        ({"length": "5"}, "length='5' is out of range"),
        ({"length": 2.5}, "length=2.5 is out of range"),
        ({"seed": 2**31}, "seed=2147483648 is out of range; expected a whole number of at most 32 bits"),
    ],
)
def test_ways_of_drawing_that_mean_nothing_are_refused(writer, how, message, fitted):
    with pytest.raises(ConfigError, match=message):
        writer.generate(model=fitted(writer), **how)


def test_a_model_without_a_run_is_refused(writer):
    with pytest.raises(RunError, match="is of no run; pass what fit returned, or a run's folder"):
        writer.generate(model=writer.build(writer.TINY))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (None, "prompt is a NoneType, None; expected a str"),
        (5, "prompt is a int, 5"),
        (["a"], "prompt is a list"),
        ("caf\udce9", "prompt is no UTF-8 at position 3"),
    ],
)
@one_by_default
def test_what_is_no_prompt_is_refused_before_anything_is_written(writer, prompt, message, fitted):
    with pytest.raises(DataError, match=message):
        writer.generate(prompt, model=fitted(writer))
    if not isinstance(prompt, list):
        with pytest.raises(DataError):
            writer.predict(prompt, fitted(writer))


@one_by_default
def test_a_prompt_of_unknown_characters_has_a_note(writer, fitted):
    known, empty, unknown = writer.predict(["The ", "", "\u65e5\u672c"], fitted(writer), length=3)
    assert known.keys() == empty.keys() == {"text"}
    assert unknown["note"] == "it has no character that the model knows"


def test_samples_are_of_all_places_of_the_test_text_and_no_two_begin_alike():
    text = "to be or not to be\n" * 12 + " " * 64 + "the middle of it\n" * 8 + "and so it ends there"
    tokenizer = Characters.learn([text])
    token_ids = tokenizer.encode([text]).flat_values.numpy()
    windows = token_ids[: len(token_ids) // 19 * 19].reshape(-1, 19)
    prompts = spread_prompts(tf.data.Dataset.from_tensor_slices((windows, windows)).batch(4), tokenizer)
    assert len({*prompts}) == 3
    assert next(iter(prompts)) == "to be or "
    assert "and so it" in [*prompts.values()][-1]
    assert all(prompt.strip() and whole.startswith(prompt) for prompt, whole in prompts.items())
    alike = tf.data.Dataset.from_tensor_slices((windows[:5], windows[:5])).batch(4)
    assert [*spread_prompts(alike, tokenizer)] == ["to be or "]
    blank = tf.data.Dataset.from_tensors((tokenizer.encode([" " * 19]).to_tensor(),) * 2)
    assert spread_prompts(blank, tokenizer) == {}


@one_by_default
def test_samples_of_a_report_go_on_differently(writer, fitted):
    """Drawn from seeds of their own: those of one seed go on much alike, however they begin."""
    sections = (fitted(writer).run.folder / "samples.txt").read_text().split("=== prompt ")[1:]
    samples = [section.split("--- the model goes on:\n")[1].split("--- the test text")[0] for section in sections]
    assert len(samples) == 3
    same = [np.mean([a == b for a, b in zip(samples[0], other)]) for other in samples[1:]]
    assert max(same) < 0.5, "characters in the same places"


@one_by_default
def test_a_run_in_bfloat16_is_used_from_its_folder(writer, monkeypatch):
    strip_report(writer, monkeypatch)
    run = writer.fit(writer.TINY, precision="mixed_bfloat16").run
    assert len("".join(writer.generate("The ", 40, model=run.folder))) == 44
    assert writer.evaluate(run.folder)["loss"] == pytest.approx(run.metrics["test"]["loss"], rel=0.02)


def test_own_text_is_evaluated_on_as_fit_did(writer, tmp_path):
    text = "To be, or not to be: that is the question.\n" * 60
    (tmp_path / "own.txt").write_text(text)
    config = replace(writer.TINY, batch_size=8)
    model = writer.fit(config, data=tmp_path / "own.txt")
    for data in (tmp_path / "own.txt", str(tmp_path / "own.txt"), text, (text[:400], text[-len(text) // 10 :])):
        figures = writer.evaluate(model, data=data)
        assert figures["loss"] == pytest.approx(model.run.metrics["test"]["loss"], rel=0.05), data
    assert writer.evaluate(model)["loss"] == pytest.approx(model.run.metrics["test"]["loss"]), "the file is found again"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("\n", "of no more than white space; expected some words"),
        ("To be or not to be", "there is no file To be or not to be; expected one, or a text with a line break in it"),
        (5, "data holds a int; expected a text, or the path of a text file"),
        ("caf\udce9\n", "the text passed as data is no UTF-8 at position 3"),
        ((), "data holds 0 texts; expected one, or training"),
        (["a\n"] * 4, "data holds 4 texts"),
    ],
)
def test_texts_that_are_none_are_refused(writer, data, message):
    with pytest.raises(DataError, match=message):
        writer.load_data(writer.TINY, data)


@one_by_default
def test_prompts_are_served(writer, fitted, exported):
    model = fitted(writer)
    signatures = tf.saved_model.load(str(exported(writer))).signatures
    answer = signatures["serving_default"](prompt=tf.constant(["The ", "", "\u65e5"]))
    assert [len(text.decode()) for text in answer["text"].numpy()] == [204, 200, 201]
    assert answer["known_characters"].numpy().tolist() == [4, 0, 0]
    rows = {
        "prompt": ["The ", "a", ""],
        "length": [12, 40, 0],
        "temperature": [0.8, 0.0, 1.5],
        "top_k": [0, 1, 3],
        "top_p": [1.0, 0.5, 0.9],
        "seed": [4, 4, -7],
    }

    def generate(rows):
        dtypes = {"prompt": tf.string, "temperature": tf.float32, "top_p": tf.float32}
        asked = {name: tf.constant(values, dtypes.get(name, tf.int32)) for name, values in rows.items()}
        return [text.decode() for text in signatures["generate"](**asked)["text"].numpy()]

    together = generate(rows)
    for row, text in enumerate(together):
        alone = {name: values[row] for name, values in rows.items()}
        assert generate({name: [value] for name, value in alone.items()}) == [text], "of its own row alone"
        prompt, length = alone.pop("prompt"), alone.pop("length")
        assert text == "".join(writer.generate(prompt, length, **alone, model=model))
    assert generate({name: [] for name in rows}) == []
    for name, value, message in (
        ("length", -1, "length of row 1 of the batch is -1; expected 0 to 10000"),
        ("temperature", -0.5, "temperature of row 1 of the batch is -0.5.*; expected 0 or more"),
        ("top_k", -2, "top_k of row 1 of the batch is -2; expected 0"),
        ("top_p", 0.0, "top_p of row 1 of the batch is 0.*; expected more than 0, at most 1"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            generate(rows | {name: [rows[name][0], value, rows[name][2]]})
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected a seed for each prompt"):
        generate(rows | {"seed": [1]})
