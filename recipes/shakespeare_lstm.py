"""Shakespeare, one character after the other, from a recurrent network.

Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015),
https://karpathy.github.io/2015/05/21/rnn-effectiveness/, whose char-rnn is a stack of LSTMs with dropout between them
(https://github.com/karpathy/char-rnn). What differs: Adam in place of RMSprop, gradients clipped by their norm, and
each window begins with an empty state, where char-rnn goes on with the last one's.

`generate` carries the hidden state from one character to the next: what was said before is in it, and nowhere else.

Result: 1.655 nats (2.39 bits) per test character, 1.573 nats in validation (1 seed), in 5 min 21 s with other work
beside, on two cores.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from recipes.data.character_windows import character_splits, evaluation_text
from recipes.data.splits import Splits
from recipes.devices.strategies import training_scope
from recipes.kinds.text_classification import tokenizer_of
from recipes.kinds.text_generation import check_how, export_generator, stream_text, text_samples
from recipes.optimization.losses import Bits
from recipes.optimization.optimizers import Adam, one_cycle
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
    """Settings of shakespeare_lstm. Change them by name: `fit(epochs=5)`, `recipes fit shakespeare_lstm --epochs 5`."""

    # data
    dataset: str = "tiny_shakespeare"  # data set of tensorflow-datasets with a text, or "documentation"
    offline: Literal["stand-in", "error"] = "stand-in"  # data cannot be had: train on "documentation", or stop
    max_examples: int | None = None  # most windows of each split to use; None: all
    sequence_length: int = 96  # characters of a window: as far back as it learns from
    vocab_size: int = 65  # different characters; follows the data
    train_examples: int = 10_455  # windows of an epoch; follows the data
    # model
    cell: Literal["lstm", "gru", "rnn"] = "lstm"  # of the recurrent layers
    num_layers: int = 2  # recurrent layers, one on the other
    embed_dim: int = 64  # numbers that stand for a character
    units: int = 256  # numbers in a hidden state
    dropout: float = 0.1  # share of each layer's output dropped in training
    # training
    batch_size: int = 32  # windows per step, over all replicas
    epochs: int = 4  # passes over the training text, 1 or more
    learning_rate: float = 4e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: float = 0.05  # share of the steps in which the rate climbs
    clip_norm: float = 1.0  # gradients of a greater norm, all weights together, are shortened to it
    seed: int = 0  # decides on weights, order and dropout, 0 or more
    strategy: Literal["auto", "single", "mirrored", "multi_worker", "tpu"] = "auto"  # auto: whatever there is
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"  # auto: bfloat16 where it is native and faster
    deterministic: bool = False  # fixed order in every operation, slower; a CPU gives the same bits without
    checkpoint_seconds: float = 60.0  # a checkpoint to continue from at most so often, in seconds
    checkpoint_steps: int | None = None  # and one every so many steps; None: by time alone

    def __post_init__(self) -> None:
        check_config(self)


TINY = Config(
    dataset="documentation",
    sequence_length=16,
    num_layers=2,
    embed_dim=8,
    units=8,
    epochs=1,
    batch_size=32,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data


def load_data(config: Config = Config(), data: Any = None, *, tokenizer: Any = None, **changes: Any) -> Splits:
    """Returns the training, validation and test batches: (B, T) int32 characters and, of each, the next.

    Args:
        config: The settings.
        data: Your own instead: Splits, a text (str with a line break), the path of a text file in UTF-8, or two or
            three of these: training, (validation,) test. Of one, the last two tenths are held out.
        tokenizer: A trained model's, to read data as it does; None: learned from the training split.
        **changes: Settings to change by name.

    Raises:
        ConfigError: An unknown setting, a wrong type or range.
        DataError: The data is unknown, damaged, of the wrong kind, or cannot be had with offline="error".
    """
    return character_splits(change(config, **changes), data, tokenizer)


# ---------------------------------------------------------------- model


def build(config: Config = Config()) -> keras.Model:
    """Returns the compiled model: (B, T) int32 characters to (B, T, V) float32 logits of the next."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.Embedding(config.vocab_size, config.embed_dim, name="characters")(token_ids)  # (B, T, D)
    cell = {"lstm": layers.LSTM, "gru": layers.GRU, "rnn": layers.SimpleRNN}[config.cell]
    for number in range(config.num_layers):
        x = cell(config.units, return_sequences=True, name=f"layer_{number}")(x)
        x = layers.Dropout(config.dropout)(x)  # (B, T, units)
    logits = layers.Dense(config.vocab_size, dtype="float32", name="logits")(x)  # (B, T, V)

    model = keras.Model(token_ids, logits, name="shakespeare_lstm")
    model.compile(
        optimizer=Adam(one_cycle(config), global_clipnorm=config.clip_norm),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),  # nats per character
        metrics=[Bits()],
    )
    return model


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (rows -> state before the first character, step), for `recipes.kinds.decoding`.

    The state is the hidden state of each layer, and an LSTM's cell state.
    """
    recurrent = [layer for layer in model.layers if isinstance(layer, layers.RNN)]

    def begin(rows: Any) -> list[list[tf.Tensor]]:
        return [
            [tf.zeros((rows, size), layer.compute_dtype) for size in keras.tree.flatten(layer.cell.state_size)]
            for layer in recurrent
        ]

    def step(token: tf.Tensor, place: tf.Tensor, state: list[list[tf.Tensor]]) -> tuple[tf.Tensor, Any]:
        x, following = model.get_layer("characters")(token), []  # (B, D)
        for layer, states in zip(recurrent, state, strict=True):
            x, states = layer.cell(x, states)
            following.append(states)
        return model.get_layer("logits")(x), following

    return begin, step


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    Args:
        hp: `keras_tuner.HyperParameters`.
        config: What the space leaves alone.
    """
    return replace(
        config,
        dropout=hp.Float("dropout", 0.0, 0.3, step=0.05),
        learning_rate=hp.Float("learning_rate", 3e-4, 5e-3, sampling="log"),
        units=hp.Choice("units", [128, 256, 512]),
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
        runs: The run folder is `<runs>/shakespeare_lstm/<id>`.
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
    """Writes what the report shows: how the model goes on with places of the test text."""
    return text_samples(decoder, model, splits, folder)


def evaluate(
    model: keras.Model | str | Path | None = None, data: Any = None, *, runs: str | Path = "runs", **changes: Any
) -> dict[str, float]:
    """Returns {"loss": nats, "bits"} per character on the test split.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        data: Your own data; see `load_data`. None: what the model was trained on.
        runs: Where run folders are.
        **changes: Settings of the data to change by name.

    Raises:
        RunError: There is no such run, or it needs data that is not passed.
    """
    model = trained(Config, model, runs)
    config, data = same_data(model, Config, data, evaluation_text)
    return evaluate_model(model, load_data(config, data, tokenizer=known_tokenizer(model), **changes))


def tune(
    config: Config = Config(), data: Any = None, *, trials: int = 20, runs: str | Path = "runs", **changes: Any
) -> tuple[Config, float]:
    """Returns (config, validation loss) of the best of some trials of `search_space`: `fit(best)` trains it.

    Args:
        config: What the trials start from.
        data: Your own data; see `load_data`.
        trials: How many settings to try.
        runs: The search is kept in `<runs>/shakespeare_lstm/tune-<id>`, with the best config in best.json.
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
    """Writes `<path>/shakespeare_lstm/<version>/`, a SavedModel: prompts in, text out; returns that folder.

    Args:
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        path: The version is one above the last in `<path>/shakespeare_lstm`.
        runs: Where run folders are.

    Raises:
        ExportError: If the SavedModel does not answer as the model does; nothing is published then.
        RunError: There is no such run.
    """
    model = trained(Config, model, runs)
    source = getattr(model, "run", None) or load_data()
    return export_generator(decoder, model, source, Path(path) / recipe_name(Config))


def generate(
    prompt: str = "\n",
    length: int = 500,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    model: keras.Model | str | Path | None = None,
    *,
    runs: str | Path = "runs",
) -> Iterator[str]:
    """Returns the prompt and then, one by one as they are made, `length` characters after it: "".join(generate()).

    Args:
        prompt: Any text; characters that the model does not know are skipped.
        length: How many characters to add, 0 or more.
        temperature: Below 1 the likely gets likelier; 0: always the likeliest.
        top_k: Only the k likeliest may come; 0: all.
        top_p: Only the likeliest that together have this probability may come; 1: all.
        seed: The same seed, the same text.
        model: What `fit` returned, a run's folder, or None for the newest finished run in `runs`.
        runs: Where run folders are.

    Raises:
        ConfigError: If one of the numbers is out of range.
    """
    check_how(length, temperature, top_k, top_p, seed)
    found = trained(Config, model, runs)
    how: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    return stream_text(decoder, found, tokenizer_of(run_of(found).info), prompt, length, **how)


if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
