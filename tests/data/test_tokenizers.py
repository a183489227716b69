import io
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.data.standins.texts import dates
from recipes.data.text_parts import at_spaces, split_words
from recipes.data.tokenizers import END, LONGEST, Characters, Sentences, Subwords, Words, from_json
from recipes.errors import DataError

ODD = ["", "   ", "\u65e5\u672c\u8a9e \u2603\u2603 x", "a" * 60, "<s> </s> <unk> <pad>", "\u2581a b"]
ODD += ["e\u0301 tab\tnew\nline", "\x00\ufeff zero"]


@pytest.fixture(scope="module")
def sentences():
    return [text for column in dates(train=300, test=1).train for text in column]


@pytest.fixture(scope="module")
def subwords(sentences):
    return Subwords.learn(sentences, 200)


def ids(ragged):
    return ragged.to_list()


def text(strings):
    return [string.decode() for string in strings.numpy()]


def test_characters_by_hand():
    tokenizer = Characters.learn(["h\u00e9", "llo"])
    assert tokenizer.vocabulary == ("h", "l", "o", "\u00e9")
    assert ids(tokenizer.encode(["hol", "", "zh\u00e9"])) == [[0, 2, 1], [], [0, 3]], "what is not known is left out"
    assert text(tokenizer.decode(tf.constant([[0, 3], [1, 2]]))) == ["h\u00e9", "lo"]


def test_words_by_hand():
    tokenizer = Words.learn(["The film, the FILM!", "It's bad<br /><br />the end"], 6)
    assert tokenizer.vocabulary == ("", "[UNK]", "the", "film", "it's", "end")
    assert ids(tokenizer.encode(["The end?", "a film", "", "<br/>"])) == [[2, 5], [1, 3], [1], [1]]
    assert ids(split_words(["'Good', don\u2019t \u0939\u093f\u0928"])) == [
        [b"good", b"don't", "\u0939\u093f\u0928".encode()]
    ]
    assert ids(split_words(["Caf\u00e9 n\u00b02 don't"])) == [["caf\u00e9".encode(), b"n", b"2", b"don't"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u6211\u7231NLP\uff0c\u5f88\u597d\u3002", "\u6211 \u7231 nlp \u5f88 \u597d"),  # Chinese with English in it
        ("\u3059\u3054\u3044\u30e9\u30fc\u30e1!", "\u3059 \u3054 \u3044 \u30e9 \u30fc \u30e1"),  # Japanese
        (
            "\u0e01\u0e34\u0e19\u0e02\u0e49\u0e32",
            "\u0e01\u0e34 \u0e19 \u0e02\u0e49 \u0e32",
        ),  # Thai
        ("\u0e9a\u0ecd\u0ec8\u0e81", "\u0e9a\u0ecd\u0ec8 \u0e81"),  # Lao
        ("\u1780\u17b6\u1781", "\u1780\u17b6 \u1781"),  # Khmer
        ("\u1019\u102c\u1000", "\u1019\u102c \u1000"),  # Myanmar
        ("\U00020000'\u4e00'\u3005", "\U00020000 \u4e00 \u3005"),  # beyond 16 bits; in quotation marks; the same again
        ("\uc601\ud654\uac00 \uc88b\ub2e4", "\uc601\ud654\uac00 \uc88b\ub2e4"),  # Korean has spaces,
        (
            "\u0939\u093f\u0928\u094d \u0444\u0438\u043b",
            "\u0939\u093f\u0928\u094d \u0444\u0438\u043b",
        ),  # as have others
    ],
)
def test_characters_of_scripts_without_spaces_are_words(text, words):
    assert [word.decode() for word in ids(split_words([text]))[0]] == words.split(" ")


def split_words_of_version_0_9(texts):
    texts = tf.strings.lower(texts, encoding="utf-8")
    for pattern, instead in (
        (r"<br\s*/?>", " "),
        ("\u2019", "'"),
        (r"[^\p{L}\p{M}\p{N}']+", " "),
        (r"(^| )'+", " "),
        (r"'+( |$)", " "),
    ):
        texts = tf.strings.regex_replace(texts, pattern, instead)
    return tf.strings.split(texts)


LATIN = st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs"]) | st.sampled_from("' \u2019<br/>"))


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(LATIN, min_size=1, max_size=8))
def test_latin_text_has_the_words_that_it_had(texts):
    assert ids(split_words(texts)) == ids(split_words_of_version_0_9(texts))


def test_what_is_known_is_counted(subwords):
    words = Words.learn(["a good film"], 10)
    assert words.count_known(["a film", "un film", "nothing here", "!!!", ""]).numpy().tolist() == [2, 1, 0, 0, 0]
    sentences = Sentences.learn(["a good film"], 10)
    assert sentences.is_known(np.array([0, 1, 2, 3, 4])).tolist() == [False] * 4 + [True]
    assert Characters.learn(["ab"]).count_known(["abba", "xyz", "xa"]).numpy().tolist() == [4, 0, 1]
    known = subwords.count_known(["She sold", "\u65e5\u672c \u672c", ""]).numpy()
    assert known[0] > 0
    assert known.tolist()[1:] == [0, 0], "the space before a word is no text"


def test_tokenizers_of_earlier_runs_are_read():
    """Their tokenizer.json holds a list of words, whatever has become of how text is cut into them."""
    words = from_json({"kind": "Words", "vocabulary": ["", "[UNK]", "film", "\u8fd9\u90e8\u7535\u5f71"]})
    assert ids(words.encode(["Film!", "\u8fd9\u90e8\u7535\u5f71"])) == [[2], [1] * 4]
    characters = from_json({"kind": "Characters", "vocabulary": ["\n", "b", "a", "\U0001f600"]})
    assert ids(characters.encode(["ab\U0001f600c\n"])) == [[2, 1, 3, 0]], "in any order, beyond 16 bits"


def test_subwords_are_cut_as_sentencepiece_cuts_them(sentences, subwords):
    import sentencepiece

    learned = io.BytesIO()
    flat = text(tf.strings.reduce_join(at_spaces(sentences), -1, separator=" "))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(flat),
        model_writer=learned,
        vocab_size=200,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        character_coverage=1.0,
        num_threads=1,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_proto=learned.getvalue())
    everything = sentences + ODD
    flat = text(tf.strings.reduce_join(at_spaces(everything), -1, separator=" "))
    assert ids(subwords.encode(everything)) == theirs.encode(flat)
    assert [theirs.id_to_piece(number) for number in range(theirs.get_piece_size())] == list(subwords.vocabulary)


def test_subwords_give_their_text_back(sentences, subwords):
    assert text(subwords.decode(subwords.encode(sentences))) == sentences
    assert text(subwords.decode(subwords.encode(["  one   date "]))) == ["one date"]
    assert text(subwords.decode([[4, END, 0, 0]])) == [subwords.vocabulary[4].replace("\u2581", " ").strip()]


@pytest.fixture(scope="module")
def in_graphs(subwords):
    """Each kind of tokenizer and its `encode` as a graph."""
    signature = [tf.TensorSpec((None,), tf.string)]
    kinds = (subwords, Words.learn(["some words", "are known"], 5), Characters.learn(["some words"]))
    return [(tokenizer, tf.function(tokenizer.encode, input_signature=signature)) for tokenizer in kinds]


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_is_read_alone_as_among_others_and_in_a_graph(texts, in_graphs):
    for tokenizer, graph in in_graphs:
        together = ids(tokenizer.encode(texts))
        assert together == [ids(tokenizer.encode([one]))[0] for one in texts]
        assert ids(graph(texts)) == together
        assert all(0 <= number < len(tokenizer.vocabulary) for row in together for number in row)


@pytest.mark.parametrize("empty", [[], [""]])
def test_nothing_is_nothing(subwords, empty):
    encoded = subwords.encode(tf.constant(empty, tf.string))
    assert ids(encoded) == [[] for _ in empty]
    assert text(subwords.decode(encoded)) == ["" for _ in empty]


def test_a_word_without_end_is_cut_in_parts(subwords):
    """A web address among words; SentencePiece would look at all of it at once."""
    parts = [ids(subwords.encode(["x" * LONGEST]))[0], ids(subwords.encode(["x" * 10]))[0]]
    [row] = ids(subwords.encode(["x" * (50 * LONGEST)]))
    assert len(parts[1]) <= len(row) <= 51 * len(parts[0])
    assert ids(subwords.encode(["one " + "x" * 300 + " two"]))[0][-1:] == ids(subwords.encode(["two"]))[0][-1:]


def test_a_tokenizer_is_first_used_in_a_graph_and_then_outside_of_it(subwords):
    for tokenizer in (subwords, Words.learn(["a b"], 4), Characters.learn(["ab"])):
        fresh = from_json(tokenizer.to_json())
        expected = ids(tokenizer.encode(["a b"]))
        for _ in range(2):
            assert ids(tf.function(lambda texts: fresh.encode(texts))(tf.constant(["a b"]))) == expected  # noqa: B023
            assert ids(fresh.encode(["a b"])) == expected


def test_tokenizers_survive_json(subwords):
    for tokenizer in (subwords, Words.learn(["a b"], 4), Characters.learn(["ab"])):
        again = from_json(json.loads(json.dumps(tokenizer.to_json())))
        assert again == tokenizer
        assert type(again) is type(tokenizer)


def test_too_small_a_vocabulary_is_refused(sentences):
    with pytest.raises(DataError, match="no vocabulary of 10 tokens can be learned"):
        Subwords.learn(sentences, 10)
    with pytest.raises(DataError, match="of texts that are white space alone; expected some words"):
        Subwords.learn(["", " \n\t"], 10)


def test_learning_is_the_same_every_time(sentences, subwords):
    assert Subwords.learn(sentences, 200) == subwords
    assert np.isfinite(subwords.scores[4:]).all()
