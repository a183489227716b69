"""Translation with a Transformer: descriptions of photographs, from English to German.

An encoder reads the source, each of whose pieces looks at all the others; a decoder writes the translation piece by
piece, and each looks at the pieces before it and at the source:

    attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V,   in each of N heads (equation 1; shakespeare_gpt writes it out)
    encoder block  x = x + attention(x, x, x),  x = x + W_2 relu(W_1 x)
    decoder block  y = y + attention(y, y, y) without later positions,  y = y + attention(y, x, x),
                   y = y + W_2 relu(W_1 y)
    loss = - sum_t sum_k q_t(k) log p(k | y_<t, x),  q smoothed: the sum over a sentence, the mean of a batch

Vaswani et al., "Attention Is All You Need" (2017), https://arxiv.org/abs/1706.03762, whose sections are named where
they are followed. Pieces are Kudo's (2018), https://arxiv.org/abs/1804.10959, of one vocabulary; its vectors also make
the logits (section 3.4). What differs: normalisation before each part; dropout of 0.3, of attention weights too; one
cosine cycle of the rate in place of the inverse root; no averaging of checkpoints; batches of 128 sentences, not 25,000
tokens; translations of at most 20 pieces more than their source, not 50; 3 blocks of width 192 for the 29,000 sentences
of Multi30k, Elliott et al. (2016), https://aclanthology.org/W16-3210. `evaluate`'s loss has the smoothing.

Scores are sacreBLEU's (13a), of raw text. DGL's Transformer has 35.41 on Multi30k with 6 blocks of width 512, and 36.45
with two (https://github.com/dmlc/dgl/tree/264d96cdf54667c0efaa943185ebe4f121a423ad/examples/pytorch/transformer): not
the same metric, but multi-bleu of tokenised text with a word vocabulary, after up to 100 epochs.

Result: BLEU 37.38 on the test split, scored as DGL scores 37.45 (1 seed, bfloat16), in 44 min on one Zen 5 core. By
width 256, 8,000 pieces and 15 epochs, of before, 35.25; in validation that had 50.5 nats a sentence for 49.2.
Commands: `python benchmarks/accuracy.py translate_transformer --seeds 0`, `python benchmarks/translations.py
translate_transformer RUN`.
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers, ops

from recipes.data.splits import Sizes, Splits
from recipes.kinds.translation import Translation
from recipes.layers.dropout import Dropout
from recipes.layers.layer_norm import LayerNormalization
from recipes.layers.positions import PositionEmbedding
from recipes.layers.transformer import TransformerBlock
from recipes.optimization.losses import Perplexity, SentenceCrossentropy
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.settings import Count, Positive, SentencePairs, Share, ValidationShare, VocabSize
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(SentencePairs):
    """Settings of translate_transformer. Change them by name: `fit(epochs=5)`, or on the command line `--epochs 5`."""

    # data
    dataset: str = "multi30k"  # translation data set of tensorflow-datasets, "multi30k" or "dates"
    source: str = "en"  # language to translate from, as the data set names it
    target: str = "de"  # language to translate to
    validation_fraction: ValidationShare = 0.1  # share held out where the data set has no validation split
    sequence_length: Count = 100  # most pieces of a sentence, the rest is not read
    vocab_size: VocabSize = 4_000  # most pieces that are learned, of both languages
    # model
    num_layers: Count = 3  # blocks of the encoder, and of the decoder
    num_heads: Count = 4  # of attention; embed_dim must be a multiple of it
    embed_dim: Count = 192  # width of the embedding of a piece
    ff_dim: Count = 512  # hidden units of the feed-forward networks
    dropout: Share = 0.3  # share of units and attention weights dropped in training
    # training
    epochs: Count = 30
    learning_rate: Positive = 2e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.1  # share of the steps in which the rate climbs
    label_smoothing: Share = 0.1  # probability that the targets spread evenly over all pieces


TINY = Config(
    dataset="dates",
    sequence_length=40,
    vocab_size=200,
    num_layers=1,
    embed_dim=8,
    ff_dim=8,
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


# ---------------------------------------------------------------- model


def build(config: Config = Config(), sizes: Sizes = MULTI30K) -> keras.Model:
    """Returns the compiled model: source (B, S) and target (B, T) pieces to (B, T, V) float32 logits of the next."""
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    start = keras.initializers.RandomNormal(stddev=config.embed_dim**-0.5)
    pieces = layers.ReversibleEmbedding(
        sizes.vocab_size, config.embed_dim, embeddings_initializer=start, reverse_dtype="float32", name="pieces"
    )
    positions = PositionEmbedding(config.sequence_length + 1, learned=False, name="positions")  # section 3.5
    scale = layers.Rescaling(config.embed_dim**0.5)  # section 3.4
    block_sizes: Any = {"num_heads": config.num_heads, "ff_dim": config.ff_dim, "dropout": config.dropout}
    padding_mask = ops.not_equal(source, 0)[:, None, None, :]  # (B, 1, 1, S)

    x = Dropout(config.dropout)(positions(scale(pieces(source))))  # (B, S, D)
    for i in range(config.num_layers):
        x, _ = TransformerBlock(**block_sizes, name=f"encoder_{i}")(x, padding_mask)
    memory = LayerNormalization(epsilon=1e-5, name="memory")(x)

    x = Dropout(config.dropout)(positions(scale(pieces(target))))  # (B, T, D)
    for i in range(config.num_layers):
        block = TransformerBlock(**block_sizes, causal=True, cross=True, name=f"decoder_{i}")
        x, _ = block(x, None, memory, padding_mask)
    x = LayerNormalization(epsilon=1e-5, name="last_norm")(x)
    logits = pieces(x, reverse=True)  # (B, T, V)

    model = keras.Model([source, target], logits, name="translate_transformer")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=Adam(rate, beta_2=0.98, epsilon=1e-9),  # section 5.3
        loss=SentenceCrossentropy(config.label_smoothing),  # section 5.4
        metrics=[Perplexity()],
    )
    return model


def decoder(model: keras.Model) -> tuple[Any, Any]:
    """Returns (source ids -> state before the first piece, step), for `recipes.kinds.decoding`.

    The state is a cache of keys and values for each block, and those of the memory, which stay.
    """
    pieces, positions, last_norm = (model.get_layer(name) for name in ("pieces", "positions", "last_norm"))
    [scale] = [layer for layer in model.layers if isinstance(layer, layers.Rescaling)]
    blocks = [layer for layer in model.layers if layer.name.startswith("decoder_")]
    encoder = keras.Model(model.inputs[0], model.get_layer("memory").output)
    width, heads, length = pieces.output_dim, blocks[0].num_heads, positions.length

    def encode(source: Any) -> dict[str, Any]:
        memory = encoder(source, training=False)
        cache = ops.zeros((ops.shape(source)[0], 2, heads, length, width // heads), blocks[0].compute_dtype)
        return {
            "padding_mask": ops.not_equal(source, 0)[:, None, None],
            "memories": [ops.stack(block.attentions[1].project(memory), axis=1) for block in blocks],
            "caches": [cache for _ in blocks],
        }

    def step(token: Any, position: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = positions(scale(pieces(token[:, None])), start=position)  # (B, 1, D)
        causal_mask = (ops.arange(length) <= position)[None, None, None]  # (1, 1, 1, T)
        caches = []
        for block, cache, memory in zip(blocks, state["caches"], state["memories"], strict=True):
            x, cache = block.step(x, cache, position, causal_mask, memory, state["padding_mask"])
            caches.append(cache)
        logits = pieces(last_norm(x), reverse=True)[:, 0]  # (B, V)
        return logits, {**state, "caches": caches}

    return encode, step


def align(model: keras.Model, source: Any, target: Any) -> Any:
    """Returns where each target piece looks, (B, T, S) float32: the last block's attention, its heads' average."""
    blocks = [layer for layer in model.layers if layer.name.startswith("decoder_")]
    weights = keras.Model(model.inputs, blocks[-1].output[2])([source, target], training=False)  # (B, N, T, S)
    return ops.mean(weights, 1)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for; `config` is what the space leaves alone."""
    return replace(
        config,
        num_layers=hp.Int("num_layers", 1, 4),
        dropout=hp.Float("dropout", 0.1, 0.5, step=0.1),
        learning_rate=hp.Float("learning_rate", 3e-4, 3e-3, sampling="log"),
    )


# ---------------------------------------------------------------- verbs

kind = Translation(decoder, align, Config.sequence_length)
recipe = Recipe(Config, load_data, build, search_space, kind=kind, objective=("val_perplexity", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
translate, explain = recipe.verb(kind.translate), recipe.verb(kind.explain)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
