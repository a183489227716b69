"""Shakespeare, one character after the other, from a recurrent network.

The hidden state is all that the network remembers of the text so far, and the next character is drawn from it:

    h_t = LSTM(x_t, h_t-1),   p(x_t+1 | x_1 ... x_t) = softmax(W h_t),   loss = -mean_t log p(x_t+1)

Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015),
https://karpathy.github.io/2015/05/21/rnn-effectiveness/, whose char-rnn is a stack of LSTMs with dropout between them
(https://github.com/karpathy/char-rnn). What differs: an embedding of characters where char-rnn has one-hot vectors;
Adam, whose rate climbs to 6e-3 and falls to 0 within 4 epochs, where RMSprop's is 2e-3 for ten and falls by 3 % in each
of the next 40; gradients clipped by their norm, not number by number; Glorot's first weights, and orthogonal ones, not
even ones in [-0.08, 0.08]; each window begins with an empty state, where char-rnn's begins with the last window's; and
its default is of 128 units, windows of 50 characters and batches of 50.

`generate` carries the hidden state from one character to the next: what came before is in it, and nowhere else.

Result: 1.624 ± 0.023 nats (2.34 bits) per test character, 1.531 ± 0.048 nats in validation (3 seeds, bfloat16), in
4 min 6 s to 4 min 48 s on two cores beside other work. With a highest rate of 4e-3: 1.684 ± 0.038 nats, in validation
1.606 ± 0.047. Command: `python benchmarks/accuracy.py shakespeare_lstm --seeds 0 1 2`.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from recipes.data.splits import Sizes, Splits
from recipes.kinds.text_generation import TextGeneration
from recipes.layers.recurrent import GRU, LSTM, SimpleRNN
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.settings import Count, PlainText, Positive, Share
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(PlainText):
    """Settings of shakespeare_lstm. Change them by name: `fit(epochs=5)`, `recipes fit shakespeare_lstm --epochs 5`."""

    # data
    dataset: str = "tiny_shakespeare"  # data set of tensorflow-datasets with a text, or "documentation"
    max_examples: Count | None = None  # most windows of each split to use; None: all
    sequence_length: Count = 96  # characters of a window: as far back as it learns from
    # model
    cell: Literal["lstm", "gru", "rnn"] = "lstm"  # of the recurrent layers
    num_layers: Count = 2  # recurrent layers, one on the other
    embed_dim: Count = 64  # width of the character embedding
    units: Count = 256  # width of the hidden state
    dropout: Share = 0.1  # share of each layer's output dropped in training
    # training
    batch_size: Count = 32
    epochs: Count = 4
    learning_rate: Positive = 6e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.05  # share of the steps in which the rate climbs
    clip_norm: Positive | None = 1.0  # gradients are clipped to this norm, all weights together; None: not at all


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

SHAKESPEARE = Sizes(train_examples=10_455, vocab_size=65)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, T) int32 characters and, of each, the next.

    `data` may be your own: a text (str with a line break), the path of a text file in UTF-8, two or three of these
    (training, (validation,) test; of one, the last two tenths are held out), a table, or Splits. With a trained
    model's `tokenizer` it is read as that model reads.
    """
    from recipes.data.character_windows import character_splits

    return character_splits(config, data, tokenizer)


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = SHAKESPEARE) -> keras.Model:
    """Returns the compiled model: (B, T) int32 characters to (B, T, V) float32 logits of the next."""
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = layers.Embedding(sizes.vocab_size, config.embed_dim, name="characters")(token_ids)  # (B, T, D)
    cell: Any = {"lstm": LSTM, "gru": GRU, "rnn": SimpleRNN}[config.cell]
    for i in range(config.num_layers):
        x = cell(config.units, return_sequences=True, name=f"layer_{i}")(x)
        x = layers.Dropout(config.dropout)(x)  # (B, T, units)
    logits = layers.Dense(sizes.vocab_size, dtype="float32", name="logits")(x)  # (B, T, V)

    model = keras.Model(token_ids, logits, name="shakespeare_lstm")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=Adam(rate, global_clipnorm=config.clip_norm),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),  # nats per character
    )
    return model


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (rows -> state before the first character, step), for `recipes.kinds.decoding`.

    The state is the hidden state of each layer, and an LSTM's cell state: the very cells that were trained make a step.
    """
    recurrent = [layer for layer in model.layers if isinstance(layer, layers.RNN)]

    def initial_state(rows: Any) -> list[list[tf.Tensor]]:
        return [
            [tf.zeros((rows, size), layer.compute_dtype) for size in keras.tree.flatten(layer.cell.state_size)]
            for layer in recurrent
        ]

    def step(token: tf.Tensor, position: tf.Tensor, state: list[list[tf.Tensor]]) -> tuple[tf.Tensor, Any]:
        x, next_state = model.get_layer("characters")(token), []  # (B, D)
        for layer, states in zip(recurrent, state, strict=True):
            x, states = layer.cell(x, states)
            next_state.append(states)
        return model.get_layer("logits")(x), next_state

    return initial_state, step


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        dropout=hp.Float("dropout", 0.0, 0.3, step=0.05),
        learning_rate=hp.Float("learning_rate", 3e-4, 5e-3, sampling="log"),
        units=hp.Choice("units", [128, 256, 512]),
    )


# ---------------------------------------------------------------- verbs

kind = TextGeneration(decoder)
recipe = Recipe(Config, load_data, build, search_space, kind=kind, objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
generate = recipe.verb(kind.generate)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
