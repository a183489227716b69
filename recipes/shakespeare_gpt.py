"""Shakespeare, one character after the other, from a decoder-only Transformer.

Each character asks all those before it: its query q meets their keys k, and it takes the mean of their values v, by how
well they match. Blocks of that and of a small network, each added to what came in, give the logits of the next:

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V,   no position sees a later one
    x = x + attention(norm(x)),   x = x + W_2 gelu(W_1 norm(x)),   loss = -mean_t log p(x_t+1 | x_1 ... x_t)

Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf, on Vaswani et al.
(2017), https://arxiv.org/abs/1706.03762: learned positions, blocks that normalise before each part, GELU, and logits by
the very vectors that stand for the characters. AdamW with a warm-up, as in nanoGPT,
https://github.com/karpathy/nanoGPT, whose setting for a laptop's processor is the default's size: 0.8 million
parameters, 64 characters at a time. `LARGE` has the size of its setting for one GPU: 10.7 million, 256 characters, in a
third of the steps; it is not measured. What differs from nanoGPT: biases but for the keys (809,344 parameters, 804,096
there); 735 steps of 64 windows, which is 3 epochs, where it takes 2,000 of 12, or 1.5; a rate that climbs to 5e-3 and
falls to 0, where its goes from 1e-3 to 1e-4; each window once an epoch, from another offset, where it draws them with
replacement; embeddings do not decay. Its 1.88 nats are of 20 batches of the last tenth of the text, which is validation
and test split together here.

`generate` keeps keys and values of what it has read. Where the text gets longer than `sequence_length`, it reads the
later half again, from the first position on.

Result: 1.782 ± 0.013 nats (2.57 bits) per test character, 1.690 ± 0.011 nats in validation (3 seeds, bfloat16), in
1 min 44 s to 2 min 16 s on two cores beside other work. Command:
`python benchmarks/accuracy.py shakespeare_gpt --seeds 0 1 2`.
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.data.splits import Sizes, Splits
from recipes.devices.replicas import compiled_by_xla
from recipes.errors import ConfigError
from recipes.kinds.text_generation import TextGeneration
from recipes.layers.activation import Activation
from recipes.layers.layer_norm import LayerNormalization
from recipes.layers.positions import PositionEmbedding
from recipes.optimization.optimizers import AdamW, warmup_cosine
from recipes.settings import Count, NotNegative, PlainText, Positive, Share
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(PlainText):
    """Settings of shakespeare_gpt. Change them by name: `fit(epochs=5)`, `recipes fit shakespeare_gpt --epochs 5`."""

    # data
    dataset: str = "tiny_shakespeare"  # data set of tensorflow-datasets with a text, or "documentation"
    max_examples: Count | None = None  # most windows of each split to use; None: all
    sequence_length: Count = 64  # characters of a window: as far as the model can look back
    # model
    num_layers: Count = 4  # blocks of attention and feed-forward network, one on the other
    num_heads: Count = 4  # of attention; embed_dim must be a multiple of it
    embed_dim: Count = 128  # width of the character embedding
    dropout: Share = 0.0  # share of units and attention weights dropped in training
    # training
    batch_size: Count = 64
    epochs: Count = 3
    learning_rate: Positive = 5e-3  # AdamW's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.05  # share of the steps in which the rate climbs
    weight_decay: NotNegative = 0.1  # share of each kernel taken off per step, times the rate
    clip_norm: Positive | None = 1.0  # gradients are clipped to this norm, all weights together; None: not at all
    jit_compile: bool | None = None  # one program of a step, by XLA, where one device trains; None: on GPUs


# 1,650 steps: nanoGPT trains for 5,000 and keeps the best, which is reached about there; after that it overfits.
LARGE = Config(
    sequence_length=256, num_layers=6, num_heads=6, embed_dim=384, dropout=0.2, learning_rate=1e-3, epochs=27
)
TINY = Config(
    dataset="documentation",
    sequence_length=16,
    num_layers=2,
    num_heads=2,
    embed_dim=8,
    epochs=1,
    batch_size=32,
    max_examples=256,
    precision="float32",
)

# ---------------------------------------------------------------- data

SHAKESPEARE = Sizes(train_examples=15_684, vocab_size=65)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the training, validation and test batches: (B, T) int32 characters and, of each, the next.

    `data` may be your own: a text (str with a line break), the path of a text file in UTF-8, two or three of these
    (training, (validation,) test; of one, the last two tenths are held out), a table, or Splits. With a trained
    model's `tokenizer` it is read as that model reads.
    """
    from recipes.data.character_windows import character_splits

    return character_splits(config, data, tokenizer)


# ---------------------------------------------------------------- attention and its block

INIT_SCALE = 0.02  # standard deviation of the first weights


@keras.saving.register_keras_serializable("recipes")
class CausalSelfAttention(layers.Layer):
    """softmax(Q K^T / sqrt(d)) V in N heads of width d = D / N, where no position sees a later one.

    Args:
        num_heads: N; the width D must be a multiple of it.
        dropout: Share of the attention weights dropped in training.
        output_scale: Standard deviation of the first weights of the output projection.

    Vaswani et al. (2017), sections 3.2.1 to 3.2.3.
    """

    def __init__(self, num_heads: int, dropout: float, output_scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.rate, self.output_scale = num_heads, dropout, output_scale
        self.dropout = layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, shape: Any) -> None:
        """Makes the four projections, W_Q, W_K, W_V and W_O."""
        width = shape[-1]
        if width % self.num_heads:
            raise ConfigError(f"embed_dim={width} cannot be shared by num_heads={self.num_heads}; expected a multiple")

        def projection(name: str, scale: float = INIT_SCALE, use_bias: bool = True) -> layers.Dense:
            start = keras.initializers.RandomNormal(stddev=scale)
            dense = layers.Dense(width, use_bias=use_bias, kernel_initializer=start, name=name, dtype=self.dtype_policy)
            dense.build(shape)
            return dense

        self.query = projection("query")
        self.key = projection("key", use_bias=False)  # it would add the same to all scores of a query
        self.value = projection("value")
        self.output_projection = projection("output", self.output_scale)

    def call(self, x: Any, training: bool = False) -> Any:
        """Returns (B, T, D) to (B, T, D)."""
        keys, values = self.keys_and_values(x)
        position = ops.arange(ops.shape(x)[1])
        causal_mask = (position[:, None] >= position)[None, None]  # (1, 1, T, T)
        return self.attend(x, keys, values, causal_mask, training)

    def attend(self, x: Any, keys: Any, values: Any, mask: Any, training: bool = False) -> Any:
        """Returns (B, T, D): what each position of x takes from the values, (B, N, S, d).

        Args:
            x: (B, T, D), which queries are made of.
            keys: (B, N, S, d).
            values: (B, N, S, d).
            mask: Bool that fits (B, 1, T, S), True where a query may look.
            training: Whether attention weights are dropped.
        """
        queries = self.split_heads(self.query(x))  # (B, N, T, d)
        scores = ops.matmul(queries, ops.swapaxes(keys, -1, -2))  # (B, N, T, S)
        scores = ops.cast(scores, "float32") * (x.shape[-1] // self.num_heads) ** -0.5  # equation 1
        weights = ops.softmax(ops.where(mask, scores, -1e9))  # (B, N, T, S), each row adds up to 1
        weights = self.dropout(ops.cast(weights, self.compute_dtype), training=training)
        context = ops.matmul(weights, values)  # (B, N, T, d)
        batch, _, length, _ = ops.shape(context)
        return self.output_projection(ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, x.shape[-1])))

    def keys_and_values(self, x: Any) -> tuple[Any, Any]:
        """Returns the keys and values of (B, S, D), each (B, N, S, d): what a cache keeps."""
        return self.split_heads(self.key(x)), self.split_heads(self.value(x))

    def split_heads(self, x: Any) -> Any:
        """Returns (B, S, D) as (B, N, S, d)."""
        batch, length, width = ops.shape(x)[0], ops.shape(x)[1], x.shape[-1]
        return ops.transpose(ops.reshape(x, (batch, length, self.num_heads, width // self.num_heads)), (0, 2, 1, 3))


@keras.saving.register_keras_serializable("recipes", "GPTBlock")
class Block(layers.Layer):
    """x + attention(norm(x)), then x + network(norm(x)); `step` does one position, with a cache of those before it.

    Args:
        num_heads: N.
        dropout: Share dropped of attention weights and of what is added.
        output_scale: Standard deviation of the first weights of the layers whose output is added.
    """

    def __init__(self, num_heads: int, dropout: float, output_scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.rate, self.output_scale = num_heads, dropout, output_scale

    def build(self, shape: Any) -> None:
        """Makes the parts."""
        width, dtype = shape[-1], self.dtype_policy
        self.attention = CausalSelfAttention(self.num_heads, self.rate, self.output_scale, dtype=dtype)
        start = keras.initializers.RandomNormal(stddev=INIT_SCALE)
        start_of_output = keras.initializers.RandomNormal(stddev=self.output_scale)
        self.hidden = layers.Dense(4 * width, kernel_initializer=start, dtype=dtype)
        self.gelu = Activation("gelu", dtype=dtype)
        self.output_layer = layers.Dense(width, kernel_initializer=start_of_output, dtype=dtype)
        self.attention_norm = LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.network_norm = LayerNormalization(epsilon=1e-5, dtype=dtype)
        self.dropout = layers.Dropout(self.rate, dtype=dtype)
        for part in (self.attention, self.hidden, self.attention_norm, self.network_norm):
            part.build(shape)
        self.output_layer.build((*shape[:-1], 4 * width))

    def call(self, x: Any, training: bool = False) -> Any:
        """Returns (B, T, D) to (B, T, D)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), training=training), training=training)
        return self.feed_forward(x, training)

    def feed_forward(self, x: Any, training: bool = False) -> Any:
        """Returns x plus what the two-layer network makes of each position."""
        hidden = self.gelu(self.hidden(self.network_norm(x)), training=training)
        return x + self.dropout(self.output_layer(hidden), training=training)

    def fill(self, x: Any, length: int) -> tuple[Any, Any]:
        """Returns ((B, T, D), a cache of these positions with room for `length`), from which `step` continues."""
        cache = ops.stack(self.attention.keys_and_values(self.attention_norm(x)), axis=1)  # (B, 2, N, T, d)
        return self(x), ops.pad(cache, [[0, 0]] * 3 + [[0, length - x.shape[1]], [0, 0]])

    def step(self, x: Any, cache: Any, position: Any, mask: Any) -> tuple[Any, Any]:
        """Returns ((B, 1, D), the cache with this position in it).

        Args:
            x: (B, 1, D): one position.
            cache: Keys and values of the positions before it: (B, 2, N, T, d).
            position: Scalar int: which position it is.
            mask: (1, 1, 1, T) bool: which positions there are.
        """
        normalized = self.attention_norm(x)
        keys_and_values = ops.stack(self.attention.keys_and_values(normalized), axis=1)  # (B, 2, N, 1, d)
        is_here = ops.arange(cache.shape[3])[:, None] == position
        cache = ops.where(is_here, keys_and_values, cache)  # not slice_update, which only XLA can serve
        x = x + self.attention.attend(normalized, cache[:, 0], cache[:, 1], mask)
        return self.feed_forward(x), cache

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"num_heads": self.num_heads, "dropout": self.rate, "output_scale": self.output_scale}
        return {**super().get_config(), **own}


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = SHAKESPEARE) -> keras.Model:
    """Returns the compiled model: (B, T) int32 characters to (B, T, V) float32 logits of the next."""
    start = keras.initializers.RandomNormal(stddev=INIT_SCALE)
    characters = layers.ReversibleEmbedding(
        sizes.vocab_size, config.embed_dim, embeddings_initializer=start, reverse_dtype="float32", name="characters"
    )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = PositionEmbedding(config.sequence_length, name="positions")(characters(token_ids))  # (B, T, D)
    x = layers.Dropout(config.dropout)(x)
    output_scale = INIT_SCALE / (2 * config.num_layers) ** 0.5  # 2 N outputs are added up: section 2.3
    for i in range(config.num_layers):
        x = Block(config.num_heads, config.dropout, output_scale, name=f"block_{i}")(x)
    x = LayerNormalization(epsilon=1e-5, name="last_norm")(x)
    logits = characters(x, reverse=True)  # (B, T, V)

    model = keras.Model(token_ids, logits, name="shakespeare_gpt")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    optimizer = AdamW(rate, config.weight_decay, beta_2=0.99, global_clipnorm=config.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embeddings", "positions"])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),  # nats per character
        jit_compile=compiled_by_xla(config.jit_compile, config.deterministic),
    )
    return model


# ---------------------------------------------------------------- one character at a time


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (rows -> state before the first character, step), for `recipes.kinds.decoding`.

    The state is a cache of keys and values for each block, and the last characters, which they are of.
    """
    characters, positions = model.get_layer("characters"), model.get_layer("positions")
    blocks = [layer for layer in model.layers if layer.name.startswith("block_")]
    length = positions.length

    def initial_state(rows: Any) -> dict[str, Any]:
        heads, width = blocks[0].num_heads, characters.output_dim
        cache = tf.zeros((rows, 2, heads, length, width // heads), blocks[0].compute_dtype)
        return {"last_characters": tf.zeros((rows, length), tf.int32), "caches": [cache for _ in blocks]}

    def caches_of(token_ids: tf.Tensor) -> list[tf.Tensor]:
        x, caches = positions(characters(token_ids)), []
        for block in blocks:
            x, cache = block.fill(x, length)
            caches.append(cache)
        return caches

    def step(token: tf.Tensor, position: tf.Tensor, state: dict[str, Any]) -> tuple[tf.Tensor, dict[str, Any]]:
        slot, window_is_full = slot_in_window(position, length)
        caches = tf.cond(
            window_is_full,
            lambda: caches_of(state["last_characters"][:, length - length // 2 :]),  # read again, from slot 0 on
            lambda: state["caches"],
        )
        x = positions(characters(token[:, tf.newaxis]), start=slot)  # (B, 1, D)
        mask = (tf.range(length) <= slot)[tf.newaxis, tf.newaxis, tf.newaxis]  # (1, 1, 1, T)
        new_caches = []
        for block, cache in zip(blocks, caches, strict=True):
            x, cache = block.step(x, cache, slot, mask)
            new_caches.append(cache)
        logits = characters(model.get_layer("last_norm")(x), reverse=True)[:, 0]  # (B, V)
        last_characters = tf.concat([state["last_characters"][:, 1:], token[:, tf.newaxis]], 1)
        return logits, {"last_characters": last_characters, "caches": new_caches}

    return initial_state, step


def slot_in_window(position: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (the slot of a position in a window of so many, whether the window was full before it).

    The first `length` positions have their own slots. When the window is full, its later half is moved to its
    beginning, and the text continues behind it.
    """
    half = length // 2
    beyond = position - length
    slot = tf.where(beyond < 0, position, half + beyond % (length - half))
    return slot, (beyond >= 0) & (beyond % (length - half) == 0)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        dropout=hp.Float("dropout", 0.0, 0.3, step=0.05),
        learning_rate=hp.Float("learning_rate", 3e-4, 5e-3, sampling="log"),
        weight_decay=hp.Float("weight_decay", 1e-2, 1.0, sampling="log"),
    )


# ---------------------------------------------------------------- verbs

kind = TextGeneration(decoder)
recipe = Recipe(Config, load_data, build, search_space, kind=kind, objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
generate = recipe.verb(kind.generate)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
