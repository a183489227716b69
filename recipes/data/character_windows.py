"""One long text in memory, as token ids: what language models learn from."""

from dataclasses import replace
from typing import Any

import numpy as np

from recipes.data.folders import setting_of
from recipes.data.image_batches import eval_batches
from recipes.data.in_memory import Arrays, Columns, EvaluationData, fingerprint
from recipes.data.lazy_texts import LazyTexts, token_file
from recipes.data.own_data import plain_data, with_origin
from recipes.data.plain_text import find_text, parts_of
from recipes.data.splits import DataInfo, Splits
from recipes.data.text_batches import own_splits, window_batches, windows_and_steps
from recipes.data.tokenizers import Characters, Tokenizer
from recipes.errors import DataError


def character_splits(config: Any, data: Any = None, tokenizer: Tokenizer | None = None) -> Splits:
    """Returns batches of (B, T) int32 characters and, of each, the next.

    Training cuts the text anew in each epoch; validation and test texts are cut once, from their beginning on. What of
    them does not occur in the training text is left out.

    Args:
        config: Reads `dataset`, `offline`, `max_examples` (windows), `sequence_length`, `batch_size` and `seed`.
        data: A user's own: Splits, a table (see `plain_data`), or see `find_text`.
        tokenizer: A trained model's; None: characters are learned from the training text.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return own_splits(data, config, (2, 2), "(characters (B, T), of each the next (B, T))")
    arrays, info = find_text(config.dataset, config.offline, plain_data(data, config), config.in_memory)
    info = with_origin(info, data)
    length, most = config.sequence_length, config.max_examples
    tokenizer = tokenizer or Characters.learn(parts_of(arrays.train))

    def tokens(split: Columns) -> np.ndarray:
        parts = (tokenizer.encode([part]) for part in parts_of(split))
        if isinstance(split[0], LazyTexts):
            token_ids = token_file(parts).flat_values
        else:
            token_ids = np.concatenate([part.flat_values.numpy() for part in parts])
        return token_ids[: most * length + 1] if most else token_ids

    splits = {name: tokens(split) for name, split in arrays.named.items()}
    train, validation, test = splits["train"], splits.get("validation"), splits.get("test")
    windows, steps = windows_and_steps(len(train), length, config.batch_size)
    info = replace(
        info,
        tokenizer=tokenizer,
        examples={name: (len(split) - 1) // length for name, split in splits.items()},
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
    arrays, _ = find_text("", "error", data, setting_of(model, "in_memory", "auto"))
    assert arrays.test
    run = getattr(model, "run", None)
    windows = (sum(map(len, parts_of(arrays.test))) - 1) // (run.config.sequence_length if run else 1)
    return EvaluationData(Arrays(arrays.test, None, arrays.test), max(1, windows))


def cut(token_ids: np.ndarray, length: int, info: DataInfo) -> Columns:
    """Returns the windows of a text, one after the other, (N, T), and of each token the next."""
    windows = (len(token_ids) - 1) // length
    if not windows:
        raise DataError(
            f"a split of {info.name} has {len(token_ids)} tokens; expected more than sequence_length={length}"
        )
    end = windows * length
    return token_ids[:end].reshape(windows, length), token_ids[1 : end + 1].reshape(windows, length)
