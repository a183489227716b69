"""Long texts are read in parts as they would be read whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import shakespeare_gpt
from recipes.data import plain_text, text_parts
from recipes.data.text_parts import cut_at_spaces, encode_in_parts, split_words
from recipes.data.tokenizers import Characters, Words

WORDS = ["a", "film", "don't", "'so'", "<br />", "<br\t/>", "\n", " ", "\u4e00", "x" * 9]
TEXTS = st.lists(st.sampled_from(WORDS)).map(" ".join)


@pytest.fixture(scope="module", autouse=True)
def _short_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_parts, "LONGEST_PART", 12)
        patch.setattr(text_parts, "MOST_CHARACTERS", 20)
        patch.setattr(plain_text, "PART", 7)
        yield


@settings(max_examples=50, deadline=None)
@given(text=TEXTS)
def test_no_word_is_cut(text):
    parts = cut_at_spaces(text)
    assert all(len(part) <= 13 for part in parts)
    words = [word for part in parts for word in split_words([part]).to_list()[0]]
    assert words == split_words([text]).to_list()[0]


def test_a_word_without_end_is_cut_all_the_same():
    assert cut_at_spaces("y " + "x" * 30) == ["y ", "x" * 12, "x" * 12, "x" * 6]
    assert cut_at_spaces("one\n\ntwo\n") == ["one\n", "two\n"]


@settings(max_examples=8, deadline=None)
@given(texts=st.lists(TEXTS, max_size=6))
def test_many_texts_are_encoded_as_all_at_once(texts):
    words = Words.learn(["a film", "don't", "so"], 10)
    together = words.encode(texts).to_list() if texts else []
    assert encode_in_parts(words.encode, texts).to_list() == together


def test_words_are_learned_of_a_line_as_of_its_lines():
    lines = ["the film was good", "a bad film <br /> the end"]
    assert Words.learn([" ".join(lines)], 20) == Words.learn(lines, 20)


def test_characters_of_a_long_text_are_read_in_parts():
    """Whatever they are: some take four bytes, some are not known."""
    text = "caf\u00e9 \U0001f600\u65e5\n" * 80
    config = replace(shakespeare_gpt.TINY, batch_size=2, sequence_length=4)
    splits = shakespeare_gpt.load_data(config, (text, "caf\u00e9? \U0001f600\n" * 3))
    tokenizer = splits.info.tokenizer
    assert tokenizer == Characters.learn([text])
    [windows] = [np.concatenate([token_ids for token_ids, _ in splits.test])]
    assert tokenizer.decode(windows).numpy().tolist() == [
        part.encode() for part in ("caf\u00e9", " \U0001f600\nc", "af\u00e9 ", "\U0001f600\nca", "f\u00e9 \U0001f600")
    ]
