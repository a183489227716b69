import numpy as np
import pytest
import tensorflow as tf
from conftest import strip_report

from recipes import shakespeare_gpt


def test_parameters_are_nanogpts():
    """0.80 million with the CPU setting, 10.65 million with the large one, positions not counted, as it prints them.

    There are some more here: nanoGPT leaves out all biases.
    """
    for config, printed in ((shakespeare_gpt.Config(), 0.80e6), (shakespeare_gpt.LARGE, 10.65e6)):
        model = shakespeare_gpt.build(config)
        positions = config.sequence_length * config.embed_dim
        assert model.count_params() - positions == pytest.approx(printed, rel=0.01)


def test_what_the_page_says_of_nanogpt():
    """nanoGPT has no biases, and takes 2,000 steps of 12 windows."""
    config, sizes, page = shakespeare_gpt.Config(), shakespeare_gpt.SHAKESPEARE, shakespeare_gpt.__doc__
    model = shakespeare_gpt.build(config)
    without = sum(int(np.prod(w.shape)) for w in model.weights if not w.path.endswith(("bias", "beta")))
    assert f"({model.count_params():,} parameters, {without:,}\nthere)" in page
    steps = sizes.steps(config.epochs, config.batch_size)
    assert f"{steps} steps of {config.batch_size} windows, which is {config.epochs} epochs" in page
    assert round(2_000 * 12 / sizes.train_examples, 1) == 1.5
    assert config.learning_rate == 5e-3


def test_no_position_sees_its_future():
    model = shakespeare_gpt.build(shakespeare_gpt.TINY)
    token_ids = np.arange(10)[None] % 60
    before = model(token_ids)
    for place in range(10):
        later = token_ids.copy()
        later[:, place:] += 1
        after = model(later)
        np.testing.assert_allclose(after[:, :place], before[:, :place], atol=1e-5)
        assert np.abs(after[:, place] - before[:, place]).max() > 1e-4


def test_the_cache_says_what_the_whole_says_and_reads_the_later_half_again_when_full():
    model = shakespeare_gpt.build(shakespeare_gpt.TINY)  # sees 16
    begin, step = shakespeare_gpt.decoder(model)
    text = np.random.default_rng(0).integers(0, 60, (2, 40)).astype(np.int32)
    state = begin(2)
    for place in range(40):
        logits, state = step(tf.constant(text[:, place]), tf.constant(place), state)
        first = 0 if place < 16 else (place - 16) // 8 * 8 + 8
        np.testing.assert_allclose(logits, model(text[:, first : place + 1])[:, -1], atol=1e-5, err_msg=str(place))


def test_xla_trains_the_same(monkeypatch):
    strip_report(shakespeare_gpt, monkeypatch)
    one, other = (shakespeare_gpt.fit(shakespeare_gpt.TINY, jit_compile=wanted) for wanted in (False, True))
    assert (one.jit_compile, other.jit_compile) == (False, True)
    for weight, compiled in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(compiled, weight, rtol=1e-3, atol=1e-5)


def test_it_learns(tmp_path):
    model = shakespeare_gpt.fit(
        shakespeare_gpt.TINY, max_examples=2000, embed_dim=32, epochs=3, learning_rate=3e-3, sequence_length=32
    )
    assert model.run.metrics["test"]["loss"] < 3.0 < np.log(len(model.run.info.tokenizer.vocabulary))
    assert "--- the model goes on:" in (model.run.folder / "report.md").read_text()
