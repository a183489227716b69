"""Translation with recurrent networks: descriptions of photographs, from English to German.

An LSTM reads the source, another begins where it ended and writes the translation piece by piece (Sutskever et al.,
"Sequence to Sequence Learning with Neural Networks" 2014, https://arxiv.org/abs/1409.3215). With attention it looks
back at every piece of the source, for the hidden state alone cannot hold a long sentence:

    alpha_t = softmax_s score(h, m_s),   c_t = sum_s alpha_ts m_s,   h~_t = tanh(W_c [h_t, c_t]),   logits = W h~_t

    "bahdanau" (2015), https://arxiv.org/abs/1409.0473, section 3: before each step, from the last state,
               score(h_t-1, m_s) = v_a . tanh(W_a h_t-1 + U_a m_s), and c_t is an input of the step
    "luong"    (2015), https://arxiv.org/abs/1508.04025, section 3: after each step, from the new state,
               score(h_t, m_s) = h_t . W_a m_s ("general"), and h~_t is an input of the next ("input feeding")

    loss = - sum_t sum_k q_t(k) log p(k | y_<t, x),  q smoothed: the sum over a sentence, the mean of a batch

What differs: one layer of 256 units, which reads in both directions (so "none" needs no reversed source) and hands the
writer a tanh layer of where it ended, where Sutskever's and Luong's have four of 1,000, in one direction; an LSTM also
with "bahdanau", where the paper has a GRU of 1,000 with maxout units; Luong's equation 5 for both; one embedding for
both languages, 4,000 pieces in place of 30,000 to 160,000 words; dropout of 0.3, label smoothing, which is in
`evaluate`'s loss too, and Adam, for SGD or Adadelta; a beam of 4 with a penalty for length.

The data set is Multi30k, Elliott et al. (2016), https://aclanthology.org/W16-3210, where the papers have WMT's millions
of sentences; scores are sacreBLEU's of raw text, so none of theirs stands beside ours.

Result: BLEU 30.29 on the test split (1 seed), in 56 min with other work beside, on two cores.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.data.splits import Sizes, Splits
from recipes.errors import ConfigError
from recipes.kinds.translation import Translation
from recipes.layers.recurrent import LSTM, Bidirectional, before, gradients_after_loop, lstm_state
from recipes.optimization.losses import Perplexity, SentenceCrossentropy
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.settings import Count, Positive, SentencePairs, Share, ValidationShare, VocabSize
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(SentencePairs):
    """Settings of translate_seq2seq. Change them by name: `fit(epochs=5)`, or on the command line `--epochs 5`."""

    # data
    dataset: str = "multi30k"  # translation data set of tensorflow-datasets, "multi30k" or "dates"
    source: str = "en"  # language to translate from, as the data set names it
    target: str = "de"  # language to translate to
    validation_fraction: ValidationShare = 0.1  # share held out where the data set has no validation split
    sequence_length: Count = 100  # most pieces of a sentence, the rest is not read
    vocab_size: VocabSize = 4_000  # most pieces that are learned, of both languages
    # model
    attention: Literal["none", "bahdanau", "luong"] = "luong"  # how the decoder looks back at the source
    embed_dim: Count = 256  # width of the embedding of a piece
    units: Count = 256  # width of a hidden state
    dropout: Share = 0.3  # share of embeddings and of hidden states dropped in training
    # training
    epochs: Count = 15
    learning_rate: Positive = 1e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.1  # share of the steps in which the rate climbs
    clip_norm: Positive | None = (
        5.0  # gradients are clipped to this norm, often: a sentence's loss is a sum; None: never
    )
    label_smoothing: Share = 0.1  # probability that the targets spread evenly over all pieces


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

MULTI30K = Sizes(train_examples=29_000, vocab_size=4_000)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the batches ((source (B, S), target (B, T)), following (B, T)): int32 pieces, 0 after their end.

    Teacher forcing: `target` is the start and the sentence, `following` the sentence and the end. `data` may be
    your own: the path of a text file of "source<tab>target" lines, lists `(sources, targets)`, two or three of
    either (training, (validation,) test), a table, or Splits. With a trained model's `tokenizer` it is read as that
    model reads.
    """
    from recipes.data.sentence_pairs import translation_splits

    return translation_splits(config, data, tokenizer)


# ---------------------------------------------------------------- attention


@keras.saving.register_keras_serializable("recipes")
class AttentionLSTM(layers.Layer):
    """An LSTM that attends to a memory in each step, or not; the formulas stand at the top of the page.

    Training scans `step` over a sentence, decoding calls it piece by piece.

    Args:
        units: Width of the hidden state.
        attention: "none", "bahdanau" or "luong".
    """

    def __init__(self, units: int, attention: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if attention not in ("none", "bahdanau", "luong"):
            raise ConfigError(f"attention={attention!r} is unknown; expected 'none', 'bahdanau' or 'luong'")
        self.units, self.attention = units, attention
        self.cell = layers.LSTMCell(units, dtype=self.dtype_policy)
        self.keys = layers.Dense(units, use_bias=False, name="keys", dtype=self.dtype_policy)  # U_a; luong's W_a
        self.query = layers.Dense(units, name="query", dtype=self.dtype_policy)  # bahdanau's W_a
        self.score = layers.Dense(1, use_bias=False, name="score", dtype=self.dtype_policy)  # v_a
        self.joint = layers.Dense(units, activation="tanh", name="joint", dtype=self.dtype_policy)  # W_c

    def build(self, x_shape: Any, memory_shape: Any, *_: Any) -> None:
        """Makes the weights that the kind of attention needs."""
        extra_input = {"none": 0, "luong": self.units, "bahdanau": memory_shape[-1]}[self.attention]
        self.embed_dim = x_shape[-1]
        self.cell.build((x_shape[0], x_shape[-1] + extra_input))
        if self.attention != "none":
            self.keys.build(memory_shape)
            self.joint.build((x_shape[0], self.units + memory_shape[-1]))
        if self.attention == "bahdanau":
            self.query.build((x_shape[0], self.units))
            self.score.build((x_shape[0], self.units))

    def call(
        self, x: Any, memory: Any, padding_mask: Any, hidden: Any, cell: Any, training: bool = False
    ) -> tuple[Any, Any]:
        """Returns the output of each step, (B, T, units), and the attention weights, (B, T, S): all 0 with "none".

        Args:
            x: (B, T, D).
            memory: (B, S, M).
            padding_mask: (B, S) bool, True where the memory is of a piece.
            hidden: (B, units), before the first step.
            cell: (B, units).
            training: Whether there will be gradients.
        """
        projected, kernels = self.project_memory(memory, padding_mask), self.kernels()
        initial_state = self.initial_state(hidden, cell, padding_mask)
        inputs, states = ops.transpose(self.read(x), (1, 0, 2)), list[Any]()  # (T, B, 4 units)

        def multiplied() -> tuple[Any, ...]:
            """Returns what each of `kernels` has been multiplied by, (T, B, ...)."""
            hidden_states, _, outputs, weights = states
            extra_inputs = {
                "none": lambda: (),
                "luong": lambda: (before(initial_state[2], outputs),),
                "bahdanau": lambda: (ops.einsum("tbs,bsm->tbm", weights, memory),),
            }[self.attention]()
            return before(hidden, hidden_states), *extra_inputs

        if training:
            inputs = gradients_after_loop(inputs, kernels, multiplied)
            kernels = tuple(ops.stop_gradient(kernel) for kernel in kernels)

        def step(state: Any, x: Any) -> tuple[Any, Any]:
            _, state = self.step(x, state, *projected, kernels)
            return state, state

        _, parts = ops.scan(step, initial_state, inputs)
        states.extend(parts)
        return ops.transpose(parts[2], (1, 0, 2)), ops.transpose(parts[3], (1, 0, 2))

    def read(self, x: Any) -> Any:
        """Returns what pieces, (..., D), add to the gates, (..., 4 units): a product for all steps."""
        kernel, bias = (ops.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self.cell.bias))
        return ops.matmul(x, kernel[: self.embed_dim]) + bias

    def kernels(self) -> tuple[Any, ...]:
        """Returns what h, and the context or the last output, are multiplied by: (units, 4 units), (..., 4 units)."""
        kernel, recurrent = (
            ops.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self.cell.recurrent_kernel)
        )
        return (recurrent,) if self.attention == "none" else (recurrent, kernel[self.embed_dim :])

    def project_memory(self, memory: Any, padding_mask: Any) -> tuple[Any, Any, Any]:
        """Returns what stays the same in all steps: the memory's keys (B, S, units), the memory, its padding mask."""
        return (memory if self.attention == "none" else self.keys(memory)), memory, padding_mask

    def initial_state(self, hidden: Any, cell: Any, padding_mask: Any) -> tuple[Any, ...]:
        """Returns the state before the first step: hidden, cell, output, attention weights."""
        return hidden, cell, ops.zeros_like(hidden), ops.zeros_like(padding_mask, dtype=self.compute_dtype)

    def step(
        self, x: Any, state: Any, keys: Any, memory: Any, padding_mask: Any, kernels: tuple[Any, ...] | None = None
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns (the output (B, units), the next state) after a piece has been read.

        Args:
            x: (B, 4 units): `read` of the piece.
            state: The one before.
            keys: (B, S, units), of `project_memory`.
            memory: (B, S, M).
            padding_mask: (B, S) bool.
            kernels: `kernels`, whose gradients are made elsewhere; None: themselves.
        """
        hidden, cell, output, weights = state
        of_hidden, *of_extra_input = kernels or self.kernels()
        gates = x + ops.matmul(hidden, of_hidden)
        if self.attention == "bahdanau":  # look, then read
            scores = self.score(ops.tanh(self.query(hidden)[:, None] + keys))[..., 0]  # (B, S)
            context, weights = attend(scores, memory, padding_mask)
            gates += ops.matmul(context, *of_extra_input)
        elif self.attention == "luong":
            gates += ops.matmul(output, *of_extra_input)  # input feeding, section 3.3
        hidden, cell = lstm_state(gates, cell)
        if self.attention == "luong":  # read, then look
            scores = ops.matmul(keys, hidden[..., None])[..., 0]  # (B, S): equation 8, "general"
            context, weights = attend(scores, memory, padding_mask)
        # equation 5
        output = hidden if self.attention == "none" else self.joint(ops.concatenate([hidden, context], -1))
        return output, (hidden, cell, output, weights)

    def compute_output_shape(self, x_shape: Any, memory_shape: Any, *_: Any) -> Any:
        """Returns the shapes of what `call` returns."""
        return (*x_shape[:-1], self.units), (*x_shape[:-1], memory_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), "units": self.units, "attention": self.attention}


def attend(scores: Any, memory: Any, padding_mask: Any) -> tuple[Any, Any]:
    """Returns the context sum_s alpha_s m_s, (B, M), and the weights alpha = softmax(scores), (B, S), 0 at padding."""
    masked = ops.where(padding_mask, ops.cast(scores, "float32"), -1e9)
    weights = ops.cast(ops.softmax(masked), memory.dtype)
    return ops.matmul(weights[:, None], memory)[:, 0], weights


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = MULTI30K) -> keras.Model:
    """Returns the compiled model: source (B, S) and target (B, T) pieces to (B, T, V) float32 logits of the next."""
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    pieces = layers.Embedding(sizes.vocab_size, config.embed_dim, name="pieces")
    padding_mask = ops.not_equal(source, 0)  # (B, S)
    x = layers.Dropout(config.dropout)(pieces(source))  # (B, S, D)
    reader = LSTM(config.units, return_sequences=True, return_state=True)
    memory, *ends = Bidirectional(reader, name="reader")(x, mask=padding_mask)  # (B, S, 2 units), 4 (B, units)
    both_hidden, both_cell = layers.Concatenate()(ends[0::2]), layers.Concatenate()(ends[1::2])
    hidden = layers.Dense(config.units, activation="tanh", name="hidden")(both_hidden)
    cell = layers.Dense(config.units, activation="tanh", name="cell")(both_cell)

    x = layers.Dropout(config.dropout)(pieces(target))  # (B, T, D)
    writer = AttentionLSTM(config.units, config.attention, name="writer")
    x, _ = writer(x, memory, padding_mask, hidden, cell)  # (B, T, units)
    x = layers.Dropout(config.dropout)(x)
    logits = layers.Dense(sizes.vocab_size, dtype="float32", name="logits")(x)  # (B, T, V)

    model = keras.Model([source, target], logits, name="translate_seq2seq")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=Adam(rate, global_clipnorm=config.clip_norm),
        loss=SentenceCrossentropy(config.label_smoothing),
        metrics=[Perplexity()],
    )
    return model


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (source ids -> state before the first piece, step), for `recipes.kinds.decoding`."""
    pieces, writer, logits = (model.get_layer(name) for name in ("pieces", "writer", "logits"))
    memory, *_ = model.get_layer("reader").output
    reader = keras.Model(model.inputs[0], [memory, model.get_layer("hidden").output, model.get_layer("cell").output])

    def encode(source: tf.Tensor) -> dict[str, Any]:
        memory, hidden, cell = reader(source, training=False)
        padding_mask = tf.not_equal(source, 0)
        return {
            "projected": writer.project_memory(memory, padding_mask),
            "state": writer.initial_state(hidden, cell, padding_mask),
        }

    def step(token: tf.Tensor, position: tf.Tensor, state: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
        output, next_state = writer.step(writer.read(pieces(token)), state["state"], *state["projected"])
        return logits(output), {**state, "state": next_state}

    return encode, step


def align(model: keras.Model, source: Any, target: Any) -> Any:
    """Returns the attention weights of each target piece, (B, T, S) float32."""
    weights = keras.Model(model.inputs, model.get_layer("writer").output[1])([source, target], training=False)
    return ops.cast(weights, "float32")


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        attention=hp.Choice("attention", ["bahdanau", "luong"]),
        dropout=hp.Float("dropout", 0.1, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-4, 3e-3, sampling="log"),
        label_smoothing=hp.Float("label_smoothing", 0.0, 0.2, step=0.1),
    )


# ---------------------------------------------------------------- verbs

kind = Translation(decoder, align, Config.sequence_length)
recipe = Recipe(Config, load_data, build, search_space, kind=kind, objective=("val_perplexity", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
translate, explain = recipe.verb(kind.translate), recipe.verb(kind.explain)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
