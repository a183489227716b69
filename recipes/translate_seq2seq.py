"""Translation with recurrent networks: descriptions of photographs, from English to German.

Sutskever et al., "Sequence to Sequence Learning with Neural Networks" (2014), https://arxiv.org/abs/1409.3215: an LSTM
reads the source, another begins where it ended and writes the translation piece by piece. With `attention` it also
looks back at every piece of the source: "bahdanau" (2015), https://arxiv.org/abs/1409.0473, section 3, before each
step, from the last hidden state; "luong" (2015), https://arxiv.org/abs/1508.04025, section 3, after it, from the new
one ("general" scores, input feeding). What differs: one layer, which reads in both directions (so "none" needs no
reversed source) and hands the writer a tanh layer of where it ended; an LSTM also with "bahdanau"; pieces for words.

The data set is Multi30k, Elliott et al. (2016), https://aclanthology.org/W16-3210; scores are sacreBLEU's.

Result: BLEU 30.29 on the test split (1 seed), in 56 min with other work beside, on two cores.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.data.sentence_pairs import evaluation_pairs, translation_splits
from recipes.data.splits import Splits
from recipes.devices.strategies import training_scope
from recipes.kinds.translation import (
    evaluate_translator,
    explain_translation,
    export_translator,
    search,
    translate_all,
    translation_report,
)
from recipes.layers.recurrent import AttentionLSTM
from recipes.optimization.losses import Perplexity, SentenceNats
from recipes.optimization.optimizers import Adam, one_cycle
from recipes.runs.open_run import open_run
from recipes.runs.run_folder import recipe_name
from recipes.settings import change, check_config
from recipes.verbs.fit import fit_model, follow_data
from recipes.verbs.load import known_tokenizer, same_data, trained
from recipes.verbs.tune import tune_model

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config:
    """Settings of translate_seq2seq. Change them by name: `fit(epochs=5)`, or on the command line `--epochs 5`."""

    # data
    dataset: str = "multi30k"  # translation data set of tensorflow-datasets, "multi30k" or "dates"
    source: str = "en"  # language to translate from, as the data set names it
    target: str = "de"  # language to translate to
    offline: Literal["stand-in", "error"] = "stand-in"  # when the data set cannot be had: train on "dates", or stop
    validation_fraction: float = 0.1  # share of the training split held out where the data set has no validation split
    max_examples: int | None = None  # most pairs of each split to use; None: all
    sequence_length: int = 100  # most pieces of a sentence, the rest is not read
    vocab_size: int = 4_000  # pieces of both languages; follows the data
    train_examples: int = 29_000  # follows the data; with batch_size and epochs the length of the schedule
    # model
    attention: Literal["none", "bahdanau", "luong"] = "luong"  # how the decoder looks back at the source
    embed_dim: int = 256  # numbers that stand for a piece
    units: int = 256  # numbers in a hidden state
    dropout: float = 0.3  # share of embedded pieces' numbers and of hidden states dropped in training
    # training
    batch_size: int = 128  # pairs per step, over all replicas
    epochs: int = 15  # passes over the training split, 1 or more
    learning_rate: float = 1e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: float = 0.1  # share of the steps in which the rate climbs
    clip_norm: float = 5.0  # gradients of a greater norm are shortened to it; the loss is of sentences, so often
    label_smoothing: float = 0.1  # probability that the targets spread evenly over all pieces
    seed: int = 0  # decides on weights, order and dropout, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


TINY = Config(
    dataset="dates",
    sequence_length=40,
    vocab_size=200,
    embed_dim=8,
    units=8,
    epochs=1,
    batch_size=32,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, *, tokenizer: Any = None, **changes: Any) -> Splits:
    """Returns the batches ((source (B, S), target (B, T)), following (B, T)): int32 pieces, 0 after their end.

    Args:
        config: The settings.
        data: Your own instead: Splits, the path of a text file of "source<tab>target" lines, lists `(sources, targets)`
            or two or three of either (training, (validation,) test).
        tokenizer: A trained model's, to read data as it does; None: learned from the training split.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    return translation_splits(change(config, **changes), data, tokenizer)


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: source (B, S) and target (B, T) pieces to (B, T, V) float32 logits of the next."""
    source, target = (keras.Input((None,), dtype="int32", name=name) for name in ("source", "target"))
    pieces = layers.Embedding(config.vocab_size, config.embed_dim, name="pieces")
    there = ops.not_equal(source, 0)  # (B, S): no padding
    x = layers.Dropout(config.dropout)(pieces(source))  # (B, S, D)
    reader = layers.LSTM(config.units, return_sequences=True, return_state=True)
    memory, *states = layers.Bidirectional(reader, name="reader")(x, mask=there)  # (B, S, 2 units), 4 times (B, units)
    hidden, cell = (
        layers.Dense(config.units, activation="tanh", name=name)(layers.Concatenate()(states[part::2]))
        for part, name in enumerate(("hidden", "cell"))
    )
    x = layers.Dropout(config.dropout)(pieces(target))  # (B, T, D)
    x, _ = AttentionLSTM(config.units, config.attention, name="writer")(x, memory, there, hidden, cell)  # (B, T, units)
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(config.vocab_size, dtype="float32", name="logits")(x)  # (B, T, V)

    model = keras.Model([source, target], logits, name="translate_seq2seq")
    model.compile(
        optimizer=Adam(one_cycle(config), global_clipnorm=config.clip_norm),
        loss=SentenceNats(config.label_smoothing),
        metrics=[Perplexity()],
    )
    return model


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (source ids -> state before the first piece, step), for `recipes.kinds.decoding`."""
    pieces, writer, logits = (model.get_layer(name) for name in ("pieces", "writer", "logits"))
    outputs = [model.get_layer(name).output for name in ("reader", "hidden", "cell")]
    reader = keras.Model(model.inputs[0], [outputs[0][0], *outputs[1:]])

    def encode(source: tf.Tensor) -> dict[str, Any]:
        memory, hidden, cell = reader(source, training=False)
        there = tf.not_equal(source, 0)
        return {"known": writer.know(memory, there), "state": writer.begin(hidden, cell, there)}

    def step(token: tf.Tensor, place: tf.Tensor, state: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
        said, following = writer.step(pieces(token), state["state"], *state["known"])
        return logits(said), {**state, "state": following}

    return encode, step


def align(model: keras.Model, source: Any, target: Any) -> np.ndarray:
    """Returns where each target piece looked, (T, S)."""
    weights = keras.Model(model.inputs, model.get_layer("writer").output[1])([source, target], training=False)
    return ops.convert_to_numpy(weights)[0]


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone: its size, for one.
    """
    return replace(
        config,
        attention=hp.Choice("attention", ["bahdanau", "luong"]),
        dropout=hp.Float("dropout", 0.1, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-4, 3e-3, sampling="log"),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.1),
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
        runs: The run folder is `<runs>/translate_seq2seq/<id>`.
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
    return fit_model(model, splits, run, callbacks, pictures, figures)


def pictures(model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes what the report shows: translations of test sentences, and where one of them looked."""
    return translation_report(decoder, align, model, splits, folder, **search(model, Config()))


def figures(model: keras.Model, splits: Splits) -> dict[str, float]:
    """Returns the loss, with label smoothing, the perplexity and sacreBLEU's score of beam search on the test split."""
    return evaluate_translator(decoder, model, splits, **search(model, Config()))


def evaluate(
    model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs", **changes: Any
) -> dict[str, float]:
    """Returns {"loss": nats per sentence, "perplexity": per piece, "bleu": in [0, 100]} of the test split.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data, evaluation_pairs)
    splits = load_data(config, data, tokenizer=known_tokenizer(model), **changes)
    return figures(model, splits)


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation perplexity) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/translate_seq2seq/tune-<id>`, with the best config in best.json.
        **changes: Settings to change by name: `tune(trials=5, epochs=3)`.

    Raises:
        TrainingError: If every trial failed.
    """
    config = change(config, **changes)
    return tune_model(
        build, search_space, load_data, config, data=data, trials=trials, objective="val_perplexity", runs=runs
    )


def export(
    model: keras.Model | str | Path | None = None,
    *,
    path: str | Path = "saved_models",
    runs: str | Path = "runs",
) -> Path:
    """Writes `<path>/translate_seq2seq/<version>/`, a SavedModel: sentences in, translations out; returns it.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/translate_seq2seq`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    source = getattr(model, "run", None) or load_data()
    return export_translator(decoder, model, source, Path(path) / recipe_name(Config), **search(model, Config()))


def translate(
    texts: Sequence[str],
    beam_width: int = 4,
    length_penalty: float = 0.6,
    model: keras.Model | str | Path | None = None,
    *,
    runs: str | Path = "runs",
) -> list[str]:
    """Returns the translations of some sentences.

    Args:
        texts: Any number, of any length; of each, `sequence_length` pieces are read.
        beam_width: Translations that are followed up at a time; 1: greedy search.
        length_penalty: 0: none, which favours short translations.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.

    Raises:
        ConfigError: If one of the numbers is out of range.
    """
    found = trained(Config, model, runs)
    return translate_all(decoder, found, texts, **search(found, Config(), beam_width, length_penalty))


def explain(
    text: str, model: keras.Model | str | Path | None = None, *, runs: str | Path = "runs"
) -> tuple[list[str], list[str], np.ndarray]:
    """Returns the T pieces of a sentence's translation, its own S, and where each of the first looked, (T, S)."""
    found = trained(Config, model, runs)
    return explain_translation(decoder, align, found, text, **search(found, Config()))


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
