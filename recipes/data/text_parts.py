"""Texts in parts: their words, and what of long texts, and of many, is encoded at a time."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from recipes.data.lazy_texts import LazyTexts, TokenFile, token_file

LONGEST_PART = 10_000  # characters of a text
MOST_CHARACTERS = 1 << 22  # of some texts, that are encoded at a time

#: A character of a script that writes no spaces between words, with the marks that belong to it
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"


def split_words(texts: Any) -> tf.RaggedTensor:
    """Returns the words of some texts in small letters, (B,) to (B, None): letters, digits, apostrophes inside of them.

    HTML line breaks, which reviews are full of, part words as spaces do. In scripts that write none, such as Chinese,
    Japanese or Thai, each character is a word, as BERT has it for Chinese: https://arxiv.org/abs/1810.04805.
    """
    texts = tf.strings.lower(texts, encoding="utf-8")
    for pattern, instead in (
        (r"<br\s*/?>", " "),
        ("\u2019", "'"),
        (r"[^\p{L}\p{M}\p{N}']+", " "),
        (rf"({UNSPACED})", r" \1 "),
        (r"(^| )'+", " "),
        (r"'+( |$)", " "),
    ):
        texts = tf.strings.regex_replace(texts, pattern, instead)
    return tf.strings.split(texts)


def at_spaces(texts: Any) -> tf.RaggedTensor:
    """Returns the parts of some texts between white space of any kind, (B,) to (B, None)."""
    return tf.strings.split(tf.strings.regex_replace(texts, r"[\s\p{Z}]+", " "))


def cut_at_spaces(text: str) -> list[str]:
    """Returns the parts of a text, in order: its lines, and of long lines what stands between some of their spaces.

    No word is cut, unless it has more than `LONGEST_PART` characters; neither is "<br />".
    """
    return re.findall(rf".{{1,{LONGEST_PART}}}(?:\s(?!/?>)|$)|.{{1,{LONGEST_PART}}}", text, re.MULTILINE)


def encode_in_parts(
    encode: Callable[[list[str]], tf.RaggedTensor], texts: Iterable[str] | LazyTexts
) -> tf.RaggedTensor | TokenFile:
    """Returns what `encode` makes of any number of texts, (B,) to (B, None), some millions of characters at a time.

    What an encoding passes through, words as strings, takes many times the memory of the texts, and of its token ids.
    Those of texts on a disk stay on it.
    """
    encoded = map(encode, in_parts(texts))
    return token_file(encoded) if isinstance(texts, LazyTexts) else tf.concat([*encoded], 0)


def in_parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yields texts some millions of characters at a time, in lists; one of none where there are none."""
    part: list[str] = []
    characters = 0
    for text in texts:
        if part and characters + len(text) > MOST_CHARACTERS:
            yield part
            part, characters = [], 0
        part.append(text)
        characters += len(text)
    yield part
