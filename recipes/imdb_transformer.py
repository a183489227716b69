"""Sentiment of film reviews with a Transformer's encoder: 25,000 IMDB reviews, good or bad.

Vaswani et al., "Attention Is All You Need" (2017), https://arxiv.org/abs/1706.03762: the left half of figure 1. Each
word looks at all the words of a review, and the average of what they have become is classified. What differs: one small
block, positions that are learned, normalisation before each part (as in GPT-2), and whole words dropped while it
trains, without which it soon knows its reviews by heart.

`explain` shows where each word looks. The data set is Maas et al. (2011),
https://ai.stanford.edu/~amaas/data/sentiment/.

Result: 88.04 % test accuracy (1 seed) after 2 epochs, in 2 min 26 s on two cores. (Validation says 89.1 %: its reviews
are of films that the training split knows too, the test split's are of others.)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from recipes.data.labelled_texts import evaluation_texts, labelled_text_splits
from recipes.data.splits import Splits
from recipes.devices.strategies import training_scope
from recipes.kinds.plots import draw_attention
from recipes.kinds.text_classification import export_text_classifier, padded_ids, text_classifier_pictures, tokenizer_of
from recipes.layers.positions import PositionEmbedding
from recipes.layers.transformer import TransformerBlock
from recipes.optimization.optimizers import Adam, one_cycle
from recipes.runs.atomic_files import save_picture
from recipes.runs.finish import evaluate_model
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import known_tokenizer, run_of, same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of imdb_transformer. Change them by name: `fit(epochs=5)`, `recipes fit imdb_transformer --epochs 5`."""

    # data
    dataset: str = "imdb_reviews"  # text-classification data set of tensorflow-datasets, or "reviews"
    offline: Literal["stand-in", "error"] = "stand-in"  # when the data set cannot be had: train on "reviews", or stop
    validation_fraction: float = 0.1  # share of the training split held out for choosing, at most 0.9; 0: none
    max_examples: int | None = None  # most examples of each split to use; None: all
    sequence_length: int = 512  # words of a text that are read, its last
    vocab_size: int = 20_000  # most words that are known, with padding and unknown; follows the data
    num_classes: int = 2  # follows the data
    train_examples: int = 22_500  # follows the data; with batch_size and epochs the length of the schedule
    # model
    num_layers: int = 1  # blocks of attention and feed-forward network, one on the other
    num_heads: int = 2  # of attention; embed_dim must be a multiple of it
    embed_dim: int = 64  # numbers that stand for a word
    ff_dim: int = 128  # hidden units of the feed-forward network
    dropout: float = 0.3  # share of units and attention weights dropped in training
    word_dropout: float = 0.3  # share of whole words dropped in training
    # training
    batch_size: int = 32  # examples per step, over all replicas
    epochs: int = 2  # passes over the training split, 1 or more
    learning_rate: float = 1e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: float = 0.1  # share of the steps in which the rate climbs
    seed: int = 0  # decides on weights, order and dropout, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


TINY = Config(
    dataset="reviews",
    sequence_length=24,
    embed_dim=8,
    ff_dim=8,
    dropout=0.1,
    epochs=1,
    batch_size=32,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, *, tokenizer: Any = None, **changes: Any) -> Splits:
    """Returns the training, validation and test batches: (B, T) int32 token ids, 0 after their end, and (B,) labels.

    Args:
        config: The settings.
        data: Your own instead: Splits, `(texts, labels)` or two or three such pairs (training, (validation,) test), or
            a folder of .txt files with a sub-folder per class.
        tokenizer: A trained model's, to read data as it does; None: learned from the training split.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    return labelled_text_splits(change(config, **changes), data, tokenizer)


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, T) int32 token ids, 0 for padding, to (B, num_classes) float32 logits."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    there = keras.ops.not_equal(token_ids, 0)  # (B, T): no padding
    x = layers.Embedding(config.vocab_size, config.embed_dim, name="embedding")(token_ids)  # (B, T, D)
    x = PositionEmbedding(config.sequence_length)(x)  # section 3.5
    x = layers.Dropout(config.word_dropout, noise_shape=(None, None, 1))(x)
    for number in range(config.num_layers):
        block = TransformerBlock(
            config.num_heads, config.ff_dim, config.dropout, norm_first=True, name=f"block_{number}"
        )
        x, _ = block(x, there[:, None, None, :])  # sections 3.1 to 3.3; padding is not looked at
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    x = layers.GlobalAveragePooling1D()(x, mask=there)  # (B, D): of the words that are there
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(config.num_classes, dtype="float32", name="logits")(x)

    model = keras.Model(token_ids, logits, name="imdb_transformer")
    model.compile(
        optimizer=Adam(one_cycle(config)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),  # nats
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone.
    """
    return replace(
        config,
        num_layers=hp.Int("num_layers", 1, 2),
        num_heads=hp.Choice("num_heads", [1, 2, 4]),
        dropout=hp.Float("dropout", 0.1, 0.5, step=0.1),
        word_dropout=hp.Float("word_dropout", 0.0, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
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
        runs: The run folder is `<runs>/imdb_transformer/<id>`.
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
        config = follow_data(config, splits)  # vocab_size, num_classes
        run = open_run(config, splits, runs, resume)  # a new run, or an unfinished one; its precision
        keras.utils.set_random_seed(config.seed)
        model = build(config)
    return fit_model(model, splits, run, callbacks, pictures)


def pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes what the report shows: the confusion matrix, the surest mistakes, and where words of a review look."""
    written = text_classifier_pictures(model, splits, folder)
    tokenizer = splits.info.tokenizer
    if tokenizer is None or splits.validation is None:
        return written
    *_, (token_ids, _) = splits.validation  # the shortest
    shortest = token_ids[-1][token_ids[-1] > 0][-24:]
    words = [word.decode() for word in tokenizer.texts_of(shortest).numpy()]
    weights = attention_weights(model, keras.ops.expand_dims(shortest, 0))
    save_picture(draw_attention(weights[-1][0].mean(0), words, words), folder / "attention.png")
    return written | {"Where each word of a review looks (the last block, its heads' average)": "attention.png"}


def evaluate(
    model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs", **changes: Any
) -> dict[str, float]:
    """Returns {"loss": nats, "accuracy": in [0, 1]} on the test split.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data, evaluation_texts)
    return evaluate_model(model, load_data(config, data, tokenizer=known_tokenizer(model), **changes))


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation accuracy) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/imdb_transformer/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(build, search_space, load_data, config, data=data, trials=trials, runs=runs)


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/imdb_transformer/<version>/`, a SavedModel: strings in, labels out; returns that folder.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/imdb_transformer`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    # The words and labels, and texts to check the answers with: of the run that a model of fit carries, else of the
    # default data.
    run = getattr(model, "run", None)
    length = (run.config if run else Config()).sequence_length
    return export_text_classifier(model, run or load_data(), Path(path) / recipe_name(Config), length)


def explain(
    text: str, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> tuple[list[str], list[np.ndarray]]:
    """Returns the words of a text as they are read, and where each looks: of each block (H, T, T) float32.

    Row t holds the weights of word t over all the words, which add up to one.

    Args:
        text: Any.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.
    """
    found = trained(Config, model, runs)
    run = run_of(found)
    tokenizer = tokenizer_of(run.info)
    token_ids = padded_ids(tokenizer, [text], run.config.sequence_length)
    words = [word.decode() for word in tokenizer.texts_of(token_ids[0]).numpy()]
    return words, [weights[0] for weights in attention_weights(found, token_ids)]


def attention_weights(model: keras.Model, token_ids: Any) -> list[np.ndarray]:
    """Returns the weights of each block, (B, H, T, T)."""
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    inside = keras.Model(model.inputs[0], [block.output[1] for block in blocks])
    return [keras.ops.convert_to_numpy(weights) for weights in keras.tree.flatten(inside(token_ids))]


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
