"""One long text in memory, as token ids: what language models learn from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.image_batches import eval_batches
from recipes.data.in_memory import Arrays, Columns, EvaluationData, fingerprint
from recipes.data.labelled_texts import LanguageSettings, check_text
from recipes.data.sources import Kind, find_arrays, read_splits
from recipes.data.splits import DataInfo, Splits
from recipes.data.standins.texts import documentation
from recipes.data.text_batches import own_splits, window_batches, windows_and_steps
from recipes.data.text_files import decoded, read_text_file, shortened
from recipes.data.tokenizers import Characters, Tokenizer
from recipes.errors import DataError


def character_splits(config: LanguageSettings, data: Any = None, tokenizer: Tokenizer | None = None) -> Splits:
    """Returns batches of (B, T) int32 characters and, of each, the next.

    Training cuts the text anew in each epoch; validation and test texts are cut once, from their beginning on. What of
    them does not occur in the training text is left out.

    Args:
        config: Reads the fields of `LanguageSettings`; `max_examples` are windows of `sequence_length`.
        data: A user's own: Splits, or see `find_text`.
        tokenizer: A trained model's; None: characters are learned from the training text.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return own_splits(data, config, (2, 2), "(characters (B, T), of each the next (B, T))")
    arrays, info = find_text(config.dataset, config.offline, data)
    length, most = config.sequence_length, config.max_examples
    tokenizer = tokenizer or Characters.learn([text_of(arrays.train)])

    def tokens(split: Columns) -> np.ndarray:
        found = tokenizer.encode([text_of(split)]).flat_values.numpy()
        return found[: most * length + 1] if most else found

    found = {name: tokens(split) for name, split in arrays.named.items()}
    train, validation, test = found["train"], found.get("validation"), found.get("test")
    windows, steps = windows_and_steps(len(train), length, config.batch_size)
    info = replace(
        info,
        tokenizer=tokenizer,
        examples={name: (len(split) - 1) // length for name, split in found.items()},
        follows={"vocab_size": len(tokenizer.vocabulary), "train_examples": windows},
        fingerprint=fingerprint(*(split for split in (train, validation) if split is not None)),
    )
    train_from = window_batches(train, length, config.batch_size, config.seed)
    return Splits(
        train=train_from(0, 0, 1),
        validation=None if validation is None else eval_batches(cut(validation, length, info), config.batch_size),
        test=None if test is None else eval_batches(cut(test, length, info), config.batch_size),
        info=info,
        steps_per_epoch=steps,
        train_from=train_from,
    )


def evaluation_text(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate a model of characters on: the test text of a user's data, which of one is its end."""
    arrays, _ = find_text("", "error", data)
    assert arrays.test
    run = getattr(model, "run", None)
    windows = (len(text_of(arrays.test)) - 1) // (run.config.sequence_length if run else 1)
    return EvaluationData(Arrays(arrays.test, None, arrays.test), max(1, windows))


def text_of(split: Columns) -> str:
    """Returns the text that a split consists of."""
    return str(split[0][0])


def cut(token_ids: np.ndarray, length: int, info: DataInfo) -> Columns:
    """Returns the windows of a text, one after the other, (N, T), and of each token the next."""
    windows = (len(token_ids) - 1) // length
    if not windows:
        raise DataError(
            f"a split of {info.name} has {len(token_ids)} tokens; expected more than sequence_length={length}"
        )
    end = windows * length
    return token_ids[:end].reshape(windows, length), token_ids[1 : end + 1].reshape(windows, length)


def find_text(dataset: str, offline: str, data: Any = None) -> tuple[Arrays, DataInfo]:
    """Returns one long text a split and what it is.

    Args:
        dataset: A tensorflow-datasets name of a set with the feature "text", or "documentation".
        offline: "stand-in" or "error".
        data: A user's own: the text itself (a str with a line break in it), the path of a text file, or two or three
            of them: training, (validation,) test. Of one, the ninth tenth is for validation and the last for testing.

    Raises:
        DataError: If there is no such text, or none in it.
    """
    if isinstance(data, Arrays):
        return data, DataInfo("your own text")
    if data is not None:
        texts = [_read_own(part) for part in (data if isinstance(data, (tuple, list)) else [data])]
        if not 1 <= len(texts) <= 3:
            raise DataError(f"data holds {len(texts)} texts; expected one, or training, (validation,) test")
        if len(texts) == 1:
            ends = len(texts[0]) * 8 // 10, len(texts[0]) * 9 // 10
            texts = [texts[0][: ends[0]], texts[0][ends[0] : ends[1]], texts[0][ends[1] :]]
        if not all(text.strip() for text in texts):
            raise DataError("data holds a text, or a part of one, of no more than white space; expected some words")
        train, *rest = [(np.array([text], object),) for text in texts]
        return Arrays(train, rest[0] if len(rest) == 2 else None, rest[-1]), DataInfo("your own text")
    kind = Kind(check_text, _read_joined, {"documentation": documentation})
    return find_arrays(dataset, kind, standin="documentation", offline=offline)


def _read_own(part: Any) -> str:
    if isinstance(part, Path):
        return read_text_file(part)
    if isinstance(part, str) and "\n" not in part:
        if len(part) > 1000 or not Path(part).is_file():
            raise DataError(f"there is no file {shortened(part)}; expected one, or a text with a line break in it")
        return read_text_file(Path(part))
    if not isinstance(part, str):
        raise DataError(f"data holds a {type(part).__name__}; expected a text, or the path of a text file")
    return part


def _read_joined(builder: Any) -> Arrays:
    splits = Arrays(*read_splits(builder, lambda features: (features["text"],)))
    return splits.mapped(lambda split: (np.array(["\n".join(decoded(split[0]))], object),))
