"""Words as vectors: those that stand between the same words get vectors that are alike.

Mikolov et al., "Distributed Representations of Words and Phrases" (2013), https://arxiv.org/abs/1310.4546: skip-grams
with negative sampling (section 2.2) and fewer frequent words (section 2.3). A word's vector is to point the way of the
vectors of the words around it, and away from those of words drawn at random. What differs: a text is thinned once, not
anew in each epoch; a word and all those around it share the words that are drawn, which may be among them; windows, of
a size drawn for each word as in https://arxiv.org/abs/1301.3781, go over line ends; Adam in place of SGD.

Any text will do; the default is 25,000 film reviews, Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/.

Result: cosines have a correlation (Spearman's) of 0.43 with people's scores of WordSim-353, where those of a bag of
words have 0.37 (1 seed); 3 min 4 s on two cores. Command: `python benchmarks/word_similarity.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.skipgrams import evaluation_words, skipgram_splits
from recipes.data.splits import Splits
from recipes.devices.replicas import compiled_by_xla
from recipes.devices.strategies import training_scope
from recipes.kinds.decoding import check_number
from recipes.kinds.text_classification import tokenizer_of
from recipes.optimization.optimizers import Adam, one_cycle
from recipes.runs.atomic_files import save_picture, write_text
from recipes.runs.finish import evaluate_model
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.tasks.vectors import NegativeSampling, draw_words, index_of, nearest, unit, write_vectors
from recipes.verbs.export import Signature, export_signatures
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import known_tokenizer, run_of, same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of word2vec. Change them by name: `fit(epochs=5)`, `recipes fit word2vec --epochs 5`."""

    # data
    dataset: str = "imdb_reviews"  # data set of tensorflow-datasets with a text, or "documentation"
    offline: Literal["stand-in", "error"] = "stand-in"  # data cannot be had: train on "documentation", or stop
    validation_fraction: float = 0.02  # share of the training text held out where there is no validation split
    max_examples: int | None = None  # most words of each split to use; None: all
    vocab_size: int = 20_000  # most words that get a vector; follows the data
    train_examples: int = 2_000_000  # words of an epoch; follows the data
    window: int = 10  # words on either side that may count, W
    negatives: int = 20  # words drawn at random for each word, K
    subsampling: float = 1e-4  # words of a greater share of the text are thinned towards it; 0: none
    # model
    embed_dim: int = 100  # numbers that stand for a word
    # training
    batch_size: int = 2048  # words per step, over all replicas
    epochs: int = 5  # passes over the training text, 1 or more
    learning_rate: float = 5e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: float = 0.05  # share of the steps in which the rate climbs
    seed: int = 0  # decides on weights, order and draws, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    jit_compile: bool = True  # one program of a step, by XLA, where one device trains: twice as fast here
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


TINY = Config(
    dataset="documentation",
    vocab_size=200,
    window=2,
    negatives=3,
    embed_dim=8,
    epochs=1,
    batch_size=32,
    max_examples=256,
    subsampling=0.0,
    precision="float32",
    jit_compile=False,
)

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, *, tokenizer: Any = None, **changes: Any) -> Splits:
    """Returns the batches ((word (B,), others (B, 2 W + K)), labels (B, 2 W + K)), all int32.

    Args:
        config: The settings.
        data: Your own instead: Splits, a text (str with a line break), the path of a text file in UTF-8, or two or
            three of these: training, (validation,) test.
        tokenizer: A trained model's, to read data as it does; None: learned from the training text.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    return skipgram_splits(change(config, **changes), data, tokenizer)


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: word (B,) and others (B, N) to (B, N) float32 logits of standing around it."""
    word = keras.Input((), dtype="int32", name="word")
    others = keras.Input((2 * config.window + config.negatives,), dtype="int32", name="others")
    start = keras.initializers.RandomUniform(-0.5 / config.embed_dim, 0.5 / config.embed_dim)
    x = layers.Embedding(config.vocab_size, config.embed_dim, start, dtype="float32", name="vectors")(word)  # (B, D)
    y = layers.Embedding(config.vocab_size, config.embed_dim, "zeros", dtype="float32", name="outer")(
        others
    )  # (B, N, D)
    logits = layers.Dot(axes=(1, 2), dtype="float32")([x, y])  # (B, N): equation 4

    model = keras.Model([word, others], logits, name="word2vec")
    model.compile(optimizer=Adam(one_cycle(config)), loss=NegativeSampling(), jit_compile=compiled_by_xla(config))
    return model


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: how words are drawn, for one, which decides what a loss means.
    """
    return replace(
        config,
        embed_dim=hp.Choice("embed_dim", [50, 100, 200]),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
        warmup_fraction=hp.Float("warmup_fraction", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- verbs


def fit(
    config: Config = Config(),
    data: Any = None,
    *,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    runs: str | Path = "runs",
    resume: bool = True,
    **changes: Any,
) -> keras.Model:
    """Returns the trained model; its run folder holds the weights, curves, metrics and a report.

    Args:
        config: The settings.
        data: Your own data; see `load_data`.
        callbacks: Your own Keras callbacks.
        runs: The run folder is `<runs>/word2vec/<id>`.
        resume: Whether to continue the unfinished run of the same settings and data, where there is one.
        **changes: Settings to change by name: `fit(epochs=5)`.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: See `load_data`.
        TrainingError: Out of memory, disk full, or a loss that is no number.
    """
    config = change(config, **changes)
    with training_scope(config):  # the strategy first: several machines must meet before TensorFlow does anything else
        splits = load_data(config, data)
        config = follow_data(config, splits)  # vocab_size, train_examples
        run = open_run(config, splits, runs, resume)  # a new run, or an unfinished one; its precision
        keras.utils.set_random_seed(config.seed)
        model = build(config)
    return fit_model(model, splits, run, callbacks, pictures)


def pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes vectors.txt in word2vec's format, neighbours of some words, and a map of the most frequent ones."""
    tokenizer = splits.info.tokenizer
    if tokenizer is None:
        return {}
    names, vectors = tokenizer.vocabulary[2:], word_vectors(model)
    write_vectors(names, vectors, folder / "vectors.txt")
    shown = [names[index] for index in np.linspace(50, min(len(names) - 1, 2000), 12).astype(int) if index < len(names)]
    near = [" ".join(name for name, _ in of_word) for of_word in nearest(names, vectors, shown, 6)]
    lines = "".join(f"{word:<14} {others}\n" for word, others in zip(shown, near, strict=True))
    write_text(folder / "neighbours.txt", lines)
    first = 30 if len(names) > 230 else 0  # the most frequent words of all say little
    save_picture(draw_words(names[first:][:200], vectors[first:][:200]), folder / "words.png")
    return {
        "Words and those whose vectors are nearest": "neighbours.txt",
        "Frequent words, on the two axes along which their vectors differ most": "words.png",
    }


def evaluate(
    model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs", **changes: Any
) -> dict[str, float]:
    """Returns {"loss": nats per word, and those around it and drawn for it} on the test split.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data, evaluation_words)
    return evaluate_model(model, load_data(config, data, tokenizer=known_tokenizer(model), **changes))


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation loss) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/word2vec/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(build, search_space, load_data, config, data=data, trials=trials, objective="val_loss", runs=runs)


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/word2vec/<version>/`, a SavedModel: words in, vectors and neighbours out; returns that folder.

    `serving_default` takes `word` (B,) string and answers with `vector` (B, D) float32, zeros for a word that is not
    known, and `neighbours` (B, 10) string, empty for such a word, with their `similarity` (B, 10) float32, the cosine
    of the angle. There are fewer where fewer words are known.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/word2vec`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    found = trained(Config, model, runs)
    run = getattr(found, "run", None)
    info = (run or load_data()).info
    tokenizer, embedding = tokenizer_of(info), found.get_layer("vectors")
    words, vectors = list(tokenizer.vocabulary[2:10]), word_vectors(found)
    count = min(10, len(vectors) - 1)

    def look_up(word: tf.Tensor) -> dict[str, tf.Tensor]:
        index = tokenizer.table.lookup(tf.strings.lower(word, encoding="utf-8"))
        known = tf.cast(index > 1, tf.float32)[:, tf.newaxis]
        vector = embedding(tf.maximum(index, 0)) * known
        directions = tf.math.l2_normalize(embedding.embeddings[2:], -1)
        cosines = tf.linalg.matmul(tf.math.l2_normalize(vector, -1), directions, transpose_b=True)
        itself = tf.one_hot(index - 2, tf.shape(cosines)[1], on_value=2.0)
        similarity, near = tf.math.top_k(cosines - itself, count)
        names = tf.where(known > 0, tokenizer.texts_of(near + 2), "")
        return {"vector": vector, "neighbours": names, "similarity": similarity}

    near = nearest(tokenizer.vocabulary[2:], vectors, words, count)
    answer = {
        "vector": vectors[:8],
        "neighbours": np.array([[name.encode() for name, _ in of_word] for of_word in near], object),
        "similarity": np.array([[cosine for _, cosine in of_word] for of_word in near], np.float32),
    }
    spec = {"word": tf.TensorSpec((None,), tf.string)}
    signatures = {"serving_default": Signature(look_up, spec, {"word": words}, answer)}
    return export_signatures([found, tokenizer.table], info, Path(path) / recipe_name(Config), signatures, run=run)


def word_vectors(model: keras.Model) -> np.ndarray:
    """Returns the vectors of all words but padding and unknown, (V - 2, D)."""
    return ops.convert_to_numpy(model.get_layer("vectors").embeddings)[2:]


def neighbours(
    word: str, count: int = 10, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> list[tuple[str, float]]:
    """Returns the words whose vectors are nearest to a word's, with the cosine of the angle, the nearest first.

    Args:
        word: One that is known, or a ConfigError names the nearest spelling.
        count: How many, 0 or more.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.
    """
    check_number("count", count, int, lambda value: value >= 0, "a whole number of 0 or more")
    fitted = trained(Config, model, runs)
    return nearest(tokenizer_of(run_of(fitted).info).vocabulary[2:], word_vectors(fitted), [word], count)[0]


def similarity(
    one: str, other: str, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> float:
    """Returns the cosine of the angle between the vectors of two words, in [-1, 1].

    Args:
        one: A word that is known.
        other: Another.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.
    """
    fitted = trained(Config, model, runs)
    names = tokenizer_of(run_of(fitted).info).vocabulary[2:]
    a, b = unit(word_vectors(fitted)[[index_of(one, names), index_of(other, names)]])
    return float(a @ b)


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
