"""Labelled texts in memory, as token ids."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recipes.data.folders import FileContents, Reader, folder_info, one_by_one, read_folder, setting_of
from recipes.data.in_memory import (
    Arrays,
    Columns,
    EvaluationData,
    fingerprint,
    from_pairs,
    known_labels,
    three_way,
    with_weights,
    without_hidden_labels,
)
from recipes.data.labels import sizes_of_labels
from recipes.data.lazy_texts import in_blocks, on_disk
from recipes.data.own_data import plain_data, with_origin
from recipes.data.sources import Kind, find_arrays, read_splits, stays_in_memory
from recipes.data.splits import DataInfo, Splits, label_follows, refuse_less_than_a_batch
from recipes.data.standins.texts import reviews
from recipes.data.text_batches import Column, bucketed_batches, count, own_splits, sorted_batches, with_follows
from recipes.data.text_files import check_features, check_texts, text_columns, texts_stay
from recipes.data.text_parts import encode_in_parts
from recipes.data.text_reading import MEMORY_PER_CHARACTER, read_text_file
from recipes.data.tokenizers import UNKNOWN, Tokenizer, Words
from recipes.errors import DataError, one_line


def labelled_text_splits(config: Any, data: Any = None, tokenizer: Tokenizer | None = None) -> Splits:
    """Returns batches of ((B, T) int32 token ids, (B,) int32 labels), padded with 0 after their end.

    Words are known by their frequency in the training split. Of a text that is longer than `sequence_length`, the last
    words count: a review says at its end what it means.

    Args:
        config: Reads `dataset`, `offline`, `on_bad_file`, `validation_fraction`, `max_examples`, `sequence_length`,
            `vocab_size`, `batch_size` and `seed`.
        data: A user's own: Splits, (texts, labels), two or three such pairs, a folder of .txt files with a
            sub-folder per class, or a table; see `plain_data`.
        tokenizer: A trained model's; None: words are learned from the training split.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return _own_texts(data, config)
    plain = plain_data(data, config)
    how = {"on_bad_file": config.on_bad_file, "task": config.task, "in_memory": config.in_memory}
    arrays, info = find_labelled_texts(config.dataset, config.offline, plain, **how)
    config.refuse_for_task(arrays.task)
    info = with_origin(info, data)
    splits = three_way(arrays, config.validation_fraction, config.max_examples)
    train, validation, test = with_weights(splits, config.class_weight)
    words = tokenizer or Words.learn(train[0], config.vocab_size)

    def columns(split: Columns) -> list[Column]:
        token_ids = encode_in_parts(lambda texts: last_words(words, texts, config.sequence_length), split[0])
        return [token_ids, *split[1:]]

    info = replace(
        info,
        tokenizer=words,
        follows={
            **sizes_of_labels(arrays.task, info.label_names, train[1]),
            "vocab_size": len(words.vocabulary),
        },
    )
    return sequence_splits(config, info, (train, validation, test), columns, pairs)


def _own_texts(splits: Splits, config: Any) -> Splits:
    """Returns a user's own Splits of (token ids (B, T), labels of any kind) and what follows from them."""
    spec = splits.train.element_spec
    ranks = [part.shape.rank for part in spec] if isinstance(spec, tuple) else []
    of_other_kind = ranks[:2] == [2, 2] or (ranks[:2] == [2, 1] and (spec[1].dtype.is_floating or len(ranks) == 3))
    if not of_other_kind or not spec[0].dtype.is_integer or spec[1].dtype == tf.string:
        return own_splits(splits, config, (2, 1), "(token ids (B, T), labels (B,))")
    splits = with_follows(splits, config)
    return replace(
        splits, info=replace(splits.info, follows={**label_follows(splits, config.task), **splits.info.follows})
    )


def last_words(words: Tokenizer, texts: Any, sequence_length: int) -> tf.RaggedTensor:
    """Returns the token ids of each text's last words, (B,) string to (B, None) int32: in training and when served."""
    return words.encode(texts)[:, -sequence_length:]


def pairs(*columns: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns its arguments: the columns of labelled texts, with their weights or without, are what `fit` takes."""
    return columns


def sequence_splits(
    config: Any,
    info: DataInfo,
    arrays: tuple[Columns, Columns | None, Columns],
    columns: Callable[[Columns], list[Column]],
    arrange: Callable[..., tuple[Any, Any]],
) -> Splits:
    """Returns the batches of examples in memory: training ones with others of their length, the rest sorted by it.

    Args:
        config: Reads `batch_size` and `seed`.
        info: What the examples are.
        arrays: Training, validation or None, test.
        columns: Makes token ids of a split.
        arrange: The columns of a batch -> (inputs, targets).
    """
    train, validation, test = (split and columns(split) for split in arrays)
    assert train
    assert test
    refuse_less_than_a_batch(count(train), config.batch_size, info.name)
    named = {"train": train, "validation": validation, "test": test}
    note_unknown(info.known_tokenizer(), {split: examples for split, examples in named.items() if examples})
    info = replace(
        info,
        examples={split: count(examples) for split, examples in named.items() if examples},
        follows={**info.follows, "train_examples": count(train)},
        fingerprint=fingerprint(*_parts(train), *_parts(validation or [])),
    )
    train_from = bucketed_batches(train, config.batch_size, config.seed, arrange)
    return Splits(
        train=train_from(0, 0, 1),
        validation=sorted_batches(validation, config.batch_size, arrange) if validation else None,
        test=sorted_batches(test, config.batch_size, arrange),
        info=info,
        steps_per_epoch=count(train) // config.batch_size,
        train_from=train_from,
    )


def note_unknown(tokenizer: Tokenizer, splits: dict[str, list[Column]]) -> None:
    """Prints a note on the first split of whose tokens most are unknown: a model can learn, or say, little of it."""
    for name, columns in splits.items():
        values = [np.asarray(part.flat_values) for part in columns if not isinstance(part, np.ndarray)]
        blocks = [block for array in values for block in in_blocks(array)]
        unknown = sum(int((block == UNKNOWN).sum()) for block in blocks)
        known = sum(int(tokenizer.is_known(block).sum()) for block in blocks)
        if unknown > known:
            print(
                f"note: {unknown / (unknown + known):.0%} of the tokens of {name} are unknown, not among the "
                f"{len(tokenizer.vocabulary):,} of the vocabulary; expected text of the language that it was learned "
                "from, and a vocab_size that fits"
            )
            return


def find_labelled_texts(
    dataset: str,
    offline: str,
    data: Any = None,
    on_bad_file: str = "error",
    task: str = "auto",
    names: tuple[str, ...] = (),
    in_memory: str = "auto",
) -> tuple[Arrays, DataInfo]:
    """Returns (texts, labels) columns of a set of labelled texts and what they are; see `find_arrays`, `from_pairs`."""
    if isinstance(data, (str, Path)):
        arrays = read_folder(data, Reader(_reader_of_texts(Path(data), in_memory), (".txt",), "texts"), on_bad_file)
        return arrays, folder_info(data, arrays)
    if data is not None:
        arrays = from_pairs(data, lambda texts: check_texts(texts, in_memory=in_memory), "texts", task, names)
        return arrays, DataInfo("your own arrays", label_names=arrays.label_names)
    kind = Kind(check_label, lambda builder: _read_labelled(builder, in_memory), {"reviews": reviews})
    return find_arrays(dataset, kind, standin="reviews", offline=offline, reads_as=("labelled texts", in_memory))


def _reader_of_texts(folder: Path, in_memory: str) -> Callable[[list[str]], FileContents]:
    """Returns a Reader's `read` of text files, which keeps the texts in memory or on a disk."""

    def read(paths: list[str]) -> FileContents:
        sizes = sum(Path(path).stat().st_size for path in paths if Path(path).is_file())
        if stays_in_memory(one_line(folder), MEMORY_PER_CHARACTER * sizes, in_memory):
            return one_by_one(read_text_file)(paths)
        bad = {}

        def texts() -> Iterator[str]:
            for place, path in enumerate(paths):
                try:
                    yield read_text_file(Path(path))
                except DataError as error:
                    bad[place] = str(error)
                    yield ""

        return FileContents(on_disk(texts()), bad)

    return read


def evaluation_texts(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate on: the test split of a user's data, or all of it."""
    how = setting_of(model, "on_bad_file", "error")
    arrays, _ = find_labelled_texts("", "error", data, how, *known_labels(model))
    test = (arrays.test or arrays.train)[:2]
    return EvaluationData((test, test), len(test[0]), arrays.label_names)


def check_label(builder: Any) -> Any:
    """Returns the feature "label" of a set of labelled texts, refusing one of another kind."""
    import tensorflow_datasets as tfds

    expected = "a text-classification data set with a 'text' and a 'label'"
    check_features(builder, {"text": tfds.features.Text, "label": tfds.features.ClassLabel}, expected)
    return builder.info.features["label"]


def _read_labelled(builder: Any, in_memory: str) -> Arrays:
    stays = texts_stay(builder, in_memory)
    splits = read_splits(builder, lambda split: text_columns(builder, split, ("text",), ("label",), stays))
    return without_hidden_labels(Arrays(*splits, tuple(check_label(builder).names)), builder.name)


def _parts(columns: list[Column]) -> list[np.ndarray]:
    """Returns the arrays that the columns consist of."""
    arrays: list[np.ndarray] = []
    for part in columns:
        arrays += (
            [part] if isinstance(part, np.ndarray) else [np.asarray(part.flat_values), np.asarray(part.row_splits)]
        )
    return arrays
