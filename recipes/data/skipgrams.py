"""Words and the words around them, with others drawn at random: what word2vec learns from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from recipes.data.in_memory import Arrays, EvaluationData, fingerprint
from recipes.data.plain_text import find_text, text_of
from recipes.data.splits import Splits
from recipes.data.text_batches import own_splits
from recipes.data.tf_data import endless, evaluation_options, shared_evenly
from recipes.data.tokenizers import UNKNOWN, Tokenizer, Words
from recipes.errors import DataError


class SkipGramSettings(Protocol):
    """The fields of a recipe's Config that decide on its data."""

    @property
    def dataset(self) -> str: ...  # noqa: D102
    @property
    def offline(self) -> str: ...  # noqa: D102
    @property
    def validation_fraction(self) -> float: ...  # noqa: D102
    @property
    def max_examples(self) -> int | None: ...  # noqa: D102
    @property
    def vocab_size(self) -> int: ...  # noqa: D102
    @property
    def window(self) -> int: ...  # noqa: D102
    @property
    def negatives(self) -> int: ...  # noqa: D102
    @property
    def subsampling(self) -> float: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def skipgram_splits(config: SkipGramSettings, data: Any = None, tokenizer: Tokenizer | None = None) -> Splits:
    """Returns batches of ((word (B,), others (B, 2 W + K)), labels (B, 2 W + K)).

    Of the others, 2 W stand around the word in the text, with the label 1, or -1 where they are outside of a window
    whose size is drawn from 1 to W; K are drawn from all words, more often the frequent ones, with the label 0. Words
    that are frequent are left out of the training text at random: Mikolov et al. (2013), equation 5.

    Args:
        config: Reads the fields of `SkipGramSettings`.
        data: A user's own: Splits, or see `find_text`.
        tokenizer: A trained model's; None: words are learned from the training text.

    Raises:
        DataError: If the data cannot be had, is of the wrong kind, or is smaller than one batch.
    """
    if isinstance(data, Splits):
        return own_splits(data, config, ((1, 2), 2), "((word (B,), others (B, N)), labels (B, N))")
    arrays, info = find_text(config.dataset, config.offline, data)
    texts = {name: text_of(split) for name, split in arrays.named.items()}
    if "validation" not in texts and config.validation_fraction:
        whole = text_of(arrays.train)
        cut = int(len(whole) * (1 - config.validation_fraction))
        texts |= {"train": whole[:cut], "validation": whole[cut:]}
    lines = {name: text.splitlines() for name, text in texts.items()}
    words = tokenizer or Words.learn(lines["train"], config.vocab_size)
    found = {name: known_words(words, text)[: config.max_examples] for name, text in lines.items()}
    train = found["train"]
    counts = np.bincount(train, minlength=len(words.vocabulary))
    kept = _thinned(train, counts, config.subsampling)
    if len(kept) < config.batch_size:
        raise DataError(
            f"{info.name} has {len(kept)} words to learn from; expected at least batch_size={config.batch_size}"
        )
    found["train"] = kept
    info = replace(
        info,
        tokenizer=words,
        examples={name: len(split) for name, split in found.items()},
        follows={"vocab_size": len(words.vocabulary), "train_examples": len(kept)},
        fingerprint=fingerprint(*(found[name] for name in ("train", "validation") if name in found)),
    )
    weights = counts.astype(np.float64) ** 0.75  # section 2.2
    likely = np.cumsum(weights / weights.sum())
    train_from = train_skipgrams(kept, likely, config)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_skipgrams(found["validation"], likely, config) if "validation" in found else None,
        test=eval_skipgrams(found["test"], likely, config) if "test" in found else None,
        info=info,
        steps_per_epoch=len(kept) // config.batch_size,
        train_from=train_from,
    )


def train_skipgrams(
    words: np.ndarray, likely: np.ndarray, config: SkipGramSettings
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless batches; an epoch takes each word of the text once, in a new order.

    Args:
        words: (N,) int32, a text.
        likely: (V,) the cumulative probabilities of the words to draw.
        config: Reads `window`, `negatives`, `batch_size` and `seed`.
    """
    bank, batch_size, steps = tf.constant(words, tf.int32), config.batch_size, len(words) // config.batch_size

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = slice(worker * batch_size // workers, (worker + 1) * batch_size // workers)

        def batch(step: tf.Tensor) -> tuple[Any, tf.Tensor]:
            epoch, position = step // steps, step % steps
            places = position * batch_size + tf.range(batch_size, dtype=tf.int64)
            seed = tf.stack([config.seed, epoch])
            places = tf.random.experimental.index_shuffle(places, seed=seed, max_index=len(words) - 1)
            found = skipgrams(bank, likely, places, tf.stack([config.seed, step]), config)
            return tf.nest.map_structure(lambda column: column[rows], found)

        return endless(batch, start)

    return train_from


def eval_skipgrams(words: np.ndarray, likely: np.ndarray, config: SkipGramSettings) -> tf.data.Dataset:
    """Returns each word of a text once, in its order, with the same draws every time; see `train_skipgrams`."""
    bank, batch_size = tf.constant(words, tf.int32), shared_evenly(len(words), config.batch_size)

    def batch(step: tf.Tensor) -> tuple[Any, tf.Tensor]:
        places = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, len(words)))
        return skipgrams(bank, likely, places, tf.stack([config.seed, -1 - step]), config)

    return tf.data.Dataset.range(-(-len(words) // batch_size)).map(batch).prefetch(2).with_options(evaluation_options())


def skipgrams(
    bank: tf.Tensor, likely: np.ndarray, places: tf.Tensor, seeds: tf.Tensor, config: SkipGramSettings
) -> tuple[Any, tf.Tensor]:
    """Returns ((the words at some places of a text (B,), others (B, 2 W + K)), labels); see `skipgram_splits`."""
    count = tf.shape(places)[0]
    around = tf.constant([offset for offset in range(-config.window, config.window + 1) if offset], tf.int64)  # (2 W,)
    reach = tf.random.stateless_uniform((count, 1), seeds, 1, config.window + 1, tf.int64)
    others = places[:, tf.newaxis] + around  # (B, 2 W)
    last = tf.shape(bank, tf.int64)[0] - 1
    inside = (tf.abs(around) <= reach) & (others >= 0) & (others <= last)
    context = tf.gather(bank, tf.clip_by_value(others, 0, last))
    draws = tf.random.stateless_uniform((count * config.negatives,), seeds + 2**40)
    drawn = tf.searchsorted(tf.constant(likely, tf.float32), draws, side="right")
    drawn = tf.reshape(tf.minimum(drawn, len(likely) - 1), (count, config.negatives))
    labels = tf.concat([tf.where(inside, 1, -1), tf.zeros_like(drawn)], 1)
    return (tf.gather(bank, places), tf.concat([context, drawn], 1)), labels


def known_words(words: Tokenizer, lines: list[str]) -> np.ndarray:
    """Returns the words of some lines that are in the vocabulary, one after the other: windows go over line ends."""
    token_ids = words.encode(lines).flat_values.numpy()
    return token_ids[token_ids > UNKNOWN]


def evaluation_words(data: Any, model: Any) -> EvaluationData:
    """Returns what to evaluate a model of words on: the test text of a user's data, which of one is its end."""
    arrays, _ = find_text("", "error", data)
    assert arrays.test
    run = getattr(model, "run", None)
    lines = text_of(arrays.test).splitlines()
    known = known_words(run.info.tokenizer, lines) if run and run.info.tokenizer else lines
    return EvaluationData(Arrays(arrays.test, None, arrays.test), len(known))


def _thinned(words: np.ndarray, counts: np.ndarray, subsampling: float) -> np.ndarray:
    """Returns a text from which frequent words are left out at random, the same every time; 0: none is."""
    if not subsampling:
        return words
    frequency = counts[words] / len(words)
    return words[np.random.default_rng(2013).random(len(words)) < np.sqrt(subsampling / frequency)]
