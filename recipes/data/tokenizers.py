"""Text to token ids and back, in TensorFlow operations alone: the same functions in training and in a served model.

`Characters` for character models, `Words` for classifiers, `Sentences` for captions, `Subwords` for translation. A
vocabulary is learned from training text with `learn`, kept in a run's tokenizer.json, and read back with `from_json`.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import keras
import tensorflow as tf

from recipes.data.text_parts import at_spaces, cut_at_spaces, in_parts, split_words
from recipes.errors import DataError

PAD, UNKNOWN, START, END = 0, 1, 2, 3  # token ids of Words (the first two), Sentences and Subwords


@dataclass(frozen=True)
class Tokenizer:
    """What all kinds share. `vocabulary` is the text of each token id."""

    vocabulary: tuple[str, ...]
    signs = False  # whether ids 0 to 3 are padding, unknown, start and end
    first_known: ClassVar[int] = 0  # the ids before it are signs, padding and unknown among them

    @cached_property
    def table(self) -> tf.lookup.StaticHashTable:
        """Returns text -> token id, -1 for what is not in the vocabulary; a SavedModel must track it."""
        with tf.init_scope():  # outside any graph, so later graphs can share it
            ids = tf.range(len(self.vocabulary), dtype=tf.int32)
            return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(list(self.vocabulary), ids), -1)

    def encode(self, texts: Any) -> tf.RaggedTensor:
        """Returns the token ids of some texts: (B,) string to (B, None) int32."""
        raise NotImplementedError

    def decode(self, token_ids: Any) -> tf.Tensor:
        """Returns the texts of some token ids: (B, T) integer, or ragged, to (B,) string."""
        raise NotImplementedError

    def is_known(self, token_ids: Any) -> Any:
        """Returns which token ids stand for text: bool, of any shape, False for signs and for what is unknown."""
        return token_ids >= self.first_known

    def count_known(self, texts: Any) -> tf.Tensor:
        """Returns how many tokens of each text are in the vocabulary, (B,) string to (B,) int32."""
        return tf.reduce_sum(tf.cast(self.is_known(self.encode(texts)), tf.int32), -1)

    def texts_of(self, token_ids: Any) -> tf.Tensor:
        """Returns the text of each token id, of any shape."""
        if isinstance(token_ids, tf.RaggedTensor):
            return token_ids.with_flat_values(self.texts_of(token_ids.flat_values))
        return tf.gather(tf.constant(self.written), token_ids)

    @property
    def written(self) -> tuple[str, ...]:
        """How each token id is written: unknown as a double question mark, the other signs not at all."""
        return ("", "\u2047", "", "", *self.vocabulary[4:]) if self.signs else self.vocabulary

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads."""
        return {"kind": type(self).__name__, **{field.name: getattr(self, field.name) for field in fields(self)}}


def from_json(values: dict[str, Any]) -> Tokenizer:
    """Returns the tokenizer that `to_json` described."""
    kind = {kind.__name__: kind for kind in (Characters, Words, Sentences, Subwords)}[values["kind"]]
    return kind(**{name: tuple(value) for name, value in values.items() if name != "kind"})


class Characters(Tokenizer):
    """A token for each character. One that is not in the vocabulary is left out.

    Its table is from code points: as numbers, characters take a tenth of the time and memory that they take as strings.
    """

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "Characters":
        """Returns the characters of some texts, in the order of their code points."""
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return cls(tuple(sorted(characters)))

    @cached_property
    def table(self) -> tf.lookup.StaticHashTable:  # noqa: D102
        with tf.init_scope():
            code_points, ids = map(ord, self.vocabulary), range(len(self.vocabulary))
            pairs = tf.lookup.KeyValueTensorInitializer(list(code_points), list(ids), tf.int64, tf.int32)
            return tf.lookup.StaticHashTable(pairs, -1)

    def encode(self, texts: Any) -> tf.RaggedTensor:  # noqa: D102
        code_points = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        token_ids = tf.ragged.map_flat_values(lambda codes: self.table.lookup(tf.cast(codes, tf.int64)), code_points)
        return tf.ragged.boolean_mask(token_ids, self.is_known(token_ids))

    def decode(self, token_ids: Any) -> tf.Tensor:  # noqa: D102
        return tf.strings.reduce_join(self.texts_of(token_ids), axis=-1)


class Words(Tokenizer):
    """A token for each word, in small letters, without punctuation; id 0 is padding, 1 any unknown word.

    A text without a word is one unknown word, so that there is something to average.
    """

    first_known = UNKNOWN + 1

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> "Words":
        """Returns the most frequent words of some texts: `vocab_size` tokens with padding and unknown."""
        layer = keras.layers.TextVectorization(vocab_size, standardize=None, split=None)
        parts = (part for text in texts for part in cut_at_spaces(text))  # as strings, words need many times the memory

        def batches() -> Iterator[list[str]]:
            yield [*itertools.islice(parts, 256)] or [""]  # there is one of no text, too
            while some := [*itertools.islice(parts, 256)]:
                yield some

        dataset = tf.data.Dataset.from_generator(batches, output_signature=tf.TensorSpec((None,), tf.string))
        layer.adapt(dataset.map(split_words))
        return cls(tuple(map(str, layer.get_vocabulary())))

    def encode(self, texts: Any) -> tf.RaggedTensor:  # noqa: D102
        words = split_words(texts)
        empty = words.row_lengths() == 0
        nothing = tf.repeat("", tf.math.count_nonzero(empty))
        words_or_nothing = tf.concat([words, tf.RaggedTensor.from_row_lengths(nothing, tf.cast(empty, tf.int64))], 1)
        token_ids = self.table.lookup(words_or_nothing.flat_values)
        token_ids = tf.where(token_ids <= PAD, UNKNOWN, token_ids)
        return tf.RaggedTensor.from_row_lengths(token_ids, tf.maximum(words.row_lengths(), 1))

    def decode(self, token_ids: Any) -> tf.Tensor:  # noqa: D102
        return tf.strings.strip(tf.strings.reduce_join(self.texts_of(token_ids), axis=-1, separator=" "))


class Sentences(Words):
    """A token for each word, as `Words`, and ids 2 and 3 for the start and the end: what writes needs them."""

    signs = True
    first_known = END + 1

    @classmethod
    def learn(cls, texts: Iterable[str], vocab_size: int) -> "Sentences":
        """Returns the most frequent words of some texts: `vocab_size` tokens with the four ids."""
        padding, unknown, *words = Words.learn(texts, max(2, vocab_size - 2)).vocabulary
        return cls((padding, unknown, "[START]", "[END]", *words))


MOST_LEARNED = 5_000_000  # sentences that pieces are learned from
SPACE = "\u2581"  # how SentencePiece writes the space before a word, which is part of its first piece
LONGEST = 64  # characters: what is longer, a web address perhaps, is cut there first, that no word is slow
UNKNOWN_PENALTY = 10.0  # SentencePiece's: how much less likely than the rarest piece an unknown character is


@dataclass(frozen=True)
class Subwords(Tokenizer):
    """A token for each frequent word or part of one: a unigram language model's best segmentation.

    Kudo (2018), https://arxiv.org/abs/1804.10959, section 3.2. The vocabulary is learned by SentencePiece, and text cut
    as SentencePiece cuts it (the tests compare the two). Spaces are part of the tokens, so that `decode` gives the text
    back, but for runs of spaces, which become one. Ids 0 to 3 are padding, unknown, start and end.
    """

    scores: tuple[float, ...]  # the logarithm of each token's probability
    signs = True
    first_known = END + 1

    @classmethod
    def learn(cls, texts: Sequence[str], vocab_size: int) -> "Subwords":
        """Returns the pieces of some texts: `vocab_size` tokens, or fewer where there is too little text.

        Of more than `MOST_LEARNED` texts, as many are read that are spread evenly: SentencePiece keeps all in memory.

        Raises:
            DataError: If `vocab_size` is less than the number of characters in them and the four ids, or they are
                white space alone.
        """
        import sentencepiece

        learned, step = io.BytesIO(), -(-len(texts) // MOST_LEARNED) or 1
        places = range(0, len(texts), step)
        if not any(texts[place].strip() for place in places):
            raise DataError("no vocabulary can be learned of texts that are white space alone; expected some words")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(
                    text.decode()
                    for part in in_parts(texts[place] for place in places)
                    for text in tf.strings.reduce_join(at_spaces(part), -1, separator=" ").numpy()
                ),
                model_writer=learned,
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                normalization_rule_name="identity",
                character_coverage=1.0,
                max_sentence_length=1 << 20,
                num_threads=1,  # the same sums in the same order, so the same pieces, on any machine
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=START,
                eos_id=END,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise DataError(f"no vocabulary of {vocab_size} tokens can be learned: {error}") from None
        pieces = sentencepiece.SentencePieceProcessor(model_proto=learned.getvalue())
        count = range(pieces.get_piece_size())
        return cls(tuple(map(pieces.id_to_piece, count)), tuple(map(pieces.get_score, count)))

    def is_known(self, token_ids: Any) -> Any:
        """Returns which token ids stand for text; a space alone, which is before every word, does not."""
        space = self.vocabulary.index(SPACE) if SPACE in self.vocabulary else PAD
        return (token_ids >= self.first_known) & (token_ids != space)

    def encode(self, texts: Any) -> tf.RaggedTensor:  # noqa: D102
        words = at_spaces(texts)
        different, index = tf.unique(words.flat_values)  # each word is cut once
        one_more = tf.concat([different, [""]], 0)  # for a scan over none fails in a graph
        pieces = tf.gather(self._cut(tf.strings.join([SPACE, one_more])), index)
        return tf.RaggedTensor.from_row_splits(pieces.flat_values, tf.gather(pieces.row_splits, words.row_splits))

    def decode(self, token_ids: Any) -> tf.Tensor:  # noqa: D102
        joined = tf.strings.reduce_join(self.texts_of(token_ids), axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(joined, SPACE, " "))

    def _cut(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the most likely pieces of each word, (W,) to (W, None): Viterbi's algorithm over its characters."""
        ragged = tf.strings.unicode_split(words, "UTF-8", errors="replace")
        starts = tf.ragged.range(tf.zeros_like(ragged.row_lengths()), ragged.row_lengths(), LONGEST)
        lengths = tf.minimum(tf.cast(LONGEST, tf.int64), ragged.row_lengths()[:, tf.newaxis] - starts)
        parts = self._cut_parts(tf.RaggedTensor.from_row_lengths(ragged.flat_values, lengths.flat_values))
        row_splits = tf.gather(parts.row_splits, starts.row_splits)
        return tf.RaggedTensor.from_row_splits(parts.flat_values, row_splits)

    def _cut_parts(self, ragged: tf.RaggedTensor) -> tf.RaggedTensor:
        characters = tf.transpose(ragged.to_tensor(""))  # (C, W)
        ids = self._pieces_that_end(characters)  # (C, W, L): of the last 1, 2, ... L characters; -1 for none
        scores = tf.gather(tf.constant([*self.scores, float("-inf")]), ids % (len(self.scores) + 1))
        unknown = min(self.scores[4:]) - UNKNOWN_PENALTY
        scores = tf.concat([tf.where(ids[..., :1] < 0, unknown, scores[..., :1]), scores[..., 1:]], -1)

        def forward(before: tuple[tf.Tensor, tf.Tensor], here: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            totals = before[0] + here  # (W, L): by the length of the last piece
            best = tf.reduce_max(totals, -1, keepdims=True)
            longest_best = longest - 1 - tf.argmax(totals[:, ::-1], -1, tf.int32)  # of equals, as SentencePiece does
            return tf.concat([best, before[0][:, :-1]], -1), longest_best

        count, longest = tf.shape(characters)[1], ids.shape[-1]
        start = tf.concat([tf.zeros((count, 1)), tf.fill((count, longest - 1), float("-inf"))], -1)
        _, lengths = tf.scan(forward, scores, (start, tf.zeros((count,), tf.int32)))  # (C, W), less 1
        last = tf.maximum(tf.gather(ids, lengths, batch_dims=2), UNKNOWN)  # (C, W): the piece that ends here

        def backward(after: tuple[tf.Tensor, ...], here: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            (end, following, _), (place, piece, length) = after, here
            ends = end == place + 1
            starts_piece = ends & ~((piece == UNKNOWN) & (following == UNKNOWN))  # of unknown characters in a row, one
            kept = tf.where(starts_piece, piece, -1)
            return tf.where(ends, place - length, end), tf.where(ends, piece, following), kept

        first = (tf.cast(ragged.row_lengths(), tf.int32), tf.fill((count,), -1), tf.fill((count,), -1))
        inputs = (tf.range(tf.shape(characters)[0]), last, lengths)
        pieces = tf.transpose(tf.scan(backward, inputs, first, reverse=True)[-1])  # (W, C)
        return tf.ragged.boolean_mask(pieces, pieces >= 0)

    def _pieces_that_end(self, characters: tf.Tensor) -> tf.Tensor:
        """Returns the ids of the last 1, 2, ... L characters at each place, (C, W) to (C, W, L); -1 for no piece."""
        piece, ids_by_length = characters, []
        for length in range(1, 1 + max(map(len, self.vocabulary[4:]))):
            ids = self.table.lookup(piece)
            whole = (tf.range(tf.shape(characters)[0])[:, tf.newaxis] >= length - 1) & (characters != "")
            ids_by_length.append(tf.where(whole & (ids > END), ids, -1))
            before = tf.pad(piece, [[1, 0], [0, 0]], constant_values="")[:-1]
            piece = tf.strings.join([before, characters])
        return tf.stack(ids_by_length, -1)
