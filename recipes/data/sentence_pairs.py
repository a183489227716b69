"""Pairs of sentences in two languages, as token ids."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.in_memory import Arrays, Columns, EvaluationData, three_way
from recipes.data.labelled_texts import sequence_splits
from recipes.data.lazy_texts import LazyTexts, joined_texts, on_disk
from recipes.data.own_data import plain_data, with_origin
from recipes.data.sources import Kind, find_arrays, read_splits, stays_in_memory
from recipes.data.splits import DataInfo, Splits
from recipes.data.standins.texts import dates
from recipes.data.text_batches import Column, own_splits
from recipes.data.text_files import check_features, check_texts, text_columns, text_parts, texts_stay
from recipes.data.text_parts import encode_in_parts
from recipes.data.text_reading import read_text_file, shortened
from recipes.data.tokenizers import END, START, Subwords, Tokenizer
from recipes.errors import DataError

MEMORY_PER_CHARACTER = 24  # bytes, at most, until sentences are pieces, which SentencePiece learns: measured


def translation_splits(config: Any, data: Any = None, tokenizer: Tokenizer | None = None) -> Splits:
    """Returns batches of ((source (B, S), target (B, T)), following (B, T)), int32, padded with 0 after their end.

    `target` is the start and the sentence, `following` the sentence and the end. Both languages share a vocabulary.

    Args:
        config: Reads `dataset`, `source`, `target`, `offline`, `validation_fraction`, `max_examples`, `vocab_size`,
            `sequence_length` (the most pieces of a sentence), `batch_size` and `seed`.
        data: A user's own: Splits, a table (see `plain_data`), or see `find_pairs`.
        tokenizer: A trained model's; None: pieces are learned from the training split.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return own_splits(data, config, ((2, 2), 2), "((source (B, S), target (B, T)), following (B, T))")
    arrays, info = find_pairs(config, plain_data(data, config))
    info = with_origin(info, data)
    splits = three_way(arrays, config.validation_fraction, config.max_examples)
    pieces = tokenizer or Subwords.learn(both_sides(splits[0]), config.vocab_size)

    def source_ids(texts: Any) -> tf.RaggedTensor:
        return with_end(pieces, texts, config.sequence_length)

    def target_ids(texts: Any) -> tf.RaggedTensor:
        return tf.concat([tf.fill((len(texts), 1), START), source_ids(texts)], 1)

    def columns(split: Columns) -> list[Column]:
        return [encode_in_parts(source_ids, split[0]), encode_in_parts(target_ids, split[1])]

    info = replace(info, tokenizer=pieces, follows={"vocab_size": len(pieces.vocabulary)})
    source, target = (tuple(map(str, side)) for side in splits[2])
    return replace(sequence_splits(config, info, splits, columns, teacher_forcing_pair), originals=(source, target))


def both_sides(split: Columns) -> Any:
    """Returns the sentences of both languages, one language after the other, by their places."""
    source, target = split
    if isinstance(source, LazyTexts):
        return joined_texts(source, target)
    return np.concatenate(split)


def with_end(pieces: Tokenizer, texts: Any, sequence_length: int) -> tf.RaggedTensor:
    """Returns the pieces of each text, at most so many, and END: (B,) string to (B, None) int32."""
    token_ids = pieces.encode(texts)[:, :sequence_length]
    return tf.concat([token_ids, tf.fill((token_ids.nrows(), 1), END)], 1)


def teacher_forcing_pair(source: tf.Tensor, target: tf.Tensor) -> tuple[Any, tf.Tensor]:
    """Returns ((source, target without its last token), target without its first)."""
    inputs = tf.where(target[:, :-1] == END, 0, target[:, :-1])  # a shorter sentence's end is a target, never an input
    return (source, inputs), target[:, 1:]


def find_pairs(config: Any, data: Any = None) -> tuple[Arrays, DataInfo]:
    """Returns (source, target) columns of text and what they are.

    Args:
        config: Reads `dataset`, a tensorflow-datasets name of a translation set, "multi30k" or "dates", and its
            languages, `source` and `target`.
        data: A user's own: the path of a text file with "source<tab>target" lines, two lists of str, or two or three
            of either: training, (validation,) test.
    """
    if data is not None:
        parts = [_own_pairs(part, config.in_memory) for part in (data if _several(data) else [data])]
        if len(parts) > 3:
            raise DataError(f"data holds {len(parts)} splits; expected one, or training, (validation,) test")
        train, *rest = parts
        return Arrays(train, rest[0] if len(rest) == 2 else None, rest[-1] if rest else None), DataInfo(
            "your own pairs"
        )
    import recipes.data.tfds.multi30k  # noqa: F401 - makes the name known

    names = (config.source, config.target)
    kind = Kind(
        lambda builder: _check(builder, names),
        lambda builder: _read(builder, names, config.in_memory),
        {"dates": dates},
    )
    reads_as = ("sentence pairs", *names, config.in_memory)
    return find_arrays(config.dataset, kind, standin="dates", offline=config.offline, reads_as=reads_as)


def evaluation_pairs(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate on: the test split of a user's data, or all of it."""
    parts = data if _several(data) else [data]
    test = _own_pairs(parts[-1])
    return EvaluationData((test, test), len(test[0]))


def _several(data: Any) -> bool:
    """Returns whether data is several splits: tuples of paths or of pairs of lists."""
    if not isinstance(data, (tuple, list)) or not data:
        return False
    first = data[0]
    lists = (tuple, list, np.ndarray)
    return isinstance(first, (str, Path)) or (
        isinstance(first, lists) and len(first) == 2 and isinstance(first[0], lists)
    )


def _own_pairs(part: Any, in_memory: str = "auto") -> Columns:
    if isinstance(part, (str, Path)):
        path = Path(part)
        size = path.stat().st_size if path.is_file() else 0
        if not stays_in_memory(shortened(part), MEMORY_PER_CHARACTER * size, in_memory):
            return _pairs_on_disk(path)
        lines = [line.split("\t") for line in read_text_file(path, MEMORY_PER_CHARACTER).split("\n")]
        for number, line in enumerate(lines, 1):
            _check_pair(line, number, path)
        part = tuple(zip(*(line for line in lines if len(line) == 2), strict=True)) or ((), ())
    expected = "expected (sources, targets), each a list of str, or the path of a file with 'source<tab>target' lines"
    if not isinstance(part, (tuple, list)) or len(part) != 2:
        raise DataError(f"data holds a {type(part).__name__}, {shortened(part)}; {expected}")
    source, target = (check_texts(side, MEMORY_PER_CHARACTER, in_memory) for side in part)
    if len(source) != len(target) or not len(source):
        raise DataError(f"data holds {len(source)} sources and {len(target)} targets; {expected}")
    return source, target


def _check_pair(line: list[str], number: int, path: Path) -> None:
    if len(line) != 2 and line != [""]:
        raise DataError(f"line {number} of {path} has {len(line)} columns; expected 'source<tab>target'")


def _pairs_on_disk(path: Path) -> Columns:
    """Returns the pairs of a text file, which is read twice: for each side."""

    def side(place: int) -> Iterator[str]:
        rest, number = "", 0
        for part in itertools.chain(text_parts(path), ["\n"]):
            *lines, rest = (rest + part).split("\n")
            for line in lines:
                number += 1
                pair = line.split("\t")
                _check_pair(pair, number, path)
                if len(pair) == 2:
                    yield pair[place]

    return on_disk(side(0)), on_disk(side(1))


def _check(builder: Any, languages: tuple[str, str]) -> None:
    """Refuses a data set without the two languages."""
    import tensorflow_datasets as tfds

    expected = f"a translation data set with {languages[0]!r} and {languages[1]!r} (source and target)"
    check_features(builder, dict.fromkeys(languages, tfds.features.Text), expected)


def _read(builder: Any, languages: tuple[str, str], in_memory: str) -> Arrays:
    stays = texts_stay(builder, in_memory)
    return Arrays(*read_splits(builder, lambda split: text_columns(builder, split, languages, (), stays)))
