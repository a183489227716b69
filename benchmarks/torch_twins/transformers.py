"""Transformers: imdb_transformer, shakespeare_gpt, translate_transformer."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_twins.recurrent import sentence_loss
from torch_twins.training import Settings, Twin, adam, decayed_and_not

Tensor = torch.Tensor
BIASES = "keys have a bias too, so that the projections of the same input are one product"


class Attention(nn.Module):
    """Scaled dot-product attention in several heads, to the sequence itself or to a memory."""

    def __init__(self, width: int, heads: int, dropout: float, cross: bool = False) -> None:
        super().__init__()
        self.heads, self.dropout, self.cross = heads, dropout, cross
        if cross:
            self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        else:
            self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor | None, mask: Tensor | None, causal: bool = False) -> Tensor:
        """(B, T, D) and (B, S, D) to (B, T, D)."""
        parts = (self.query(x), *self.key_value(memory).chunk(2, -1)) if self.cross else self.projection(x).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(query, key, value, mask, dropout, causal)
        return self.output(context.transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Attention, attention to a memory where there is one, and a feed-forward network; normalised before each."""

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, activation: Any = F.relu, cross: bool = False
    ) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        if cross:
            self.memory_norm, self.memory_attention = nn.LayerNorm(width), Attention(width, heads, dropout, cross=True)
        self.network_norm = nn.LayerNorm(width)
        self.hidden, self.output = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout, self.activation = nn.Dropout(dropout), activation

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) to the same."""
        x = x + self.dropout(self.attention(self.norm(x), None, mask, causal))
        if memory is not None:
            x = x + self.dropout(self.memory_attention(self.memory_norm(x), memory, memory_mask))
        return x + self.dropout(self.output(self.activation(self.hidden(self.network_norm(x)))))


# ---------------------------------------------------------------- imdb_transformer


class TextClassifier(nn.Module):
    """Blocks of attention over the words, and logits of their average."""

    def __init__(self, vocab_size: int, classes: int, config: Any) -> None:
        super().__init__()
        width = config.embed_dim
        self.words, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(config.sequence_length, width)
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, config.ff_dim, config.dropout) for _ in range(config.num_layers)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(config.dropout)
        self.logits = nn.Linear(width, classes)
        self.word_dropout = config.word_dropout

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, T), 0 for padding, to (B, classes)."""
        padding_mask = token_ids != 0
        x = self.words(token_ids) + self.positions.weight[: token_ids.shape[1]]
        if self.training:
            x = x * F.dropout(torch.ones(*token_ids.shape, 1), self.word_dropout)  # whole words
        for block in self.blocks:
            x = block(x, padding_mask[:, None, None, :])
        x = self.norm(x).masked_fill(~padding_mask[..., None], 0.0)
        return self.logits(self.dropout(x.sum(1) / padding_mask.sum(1, keepdim=True).clamp(min=1)))


def imdb_transformer(settings: Settings) -> Twin:
    """A Transformer's encoder, Adam."""
    config, sizes = settings.config, settings.sizes
    network = TextClassifier(sizes.vocab_size, sizes.num_classes, config)

    def loss(network: nn.Module, token_ids: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(network(token_ids), label)

    more = config.num_layers * config.embed_dim
    return Twin(network, loss, adam(network, config), None, more, BIASES)


# ---------------------------------------------------------------- shakespeare_gpt


class GPT(nn.Module):
    """A decoder-only Transformer; the vectors of the characters make the logits, too."""

    def __init__(self, vocab_size: int, config: Any) -> None:
        super().__init__()
        width = config.embed_dim
        self.characters, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(config.sequence_length, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, 4 * width, config.dropout, F.gelu) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, T) to (B, T, V)."""
        x = self.dropout(self.characters(token_ids) + self.positions.weight[: token_ids.shape[1]])
        for block in self.blocks:
            x = block(x, causal=True)
        return F.linear(self.norm(x), self.characters.weight)


def shakespeare_gpt(settings: Settings) -> Twin:
    """GPT, AdamW with clipped gradients; kernels decay, embeddings, normalisation and biases do not."""
    config = settings.config
    network = GPT(settings.sizes.vocab_size, config)
    others = [*network.characters.parameters(), *network.positions.parameters(), *network.norm.parameters()]
    groups = [
        *decayed_and_not(network.blocks.parameters(), config.weight_decay),
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, config.learning_rate, (0.9, 0.99), fused=True)

    def loss(network: nn.Module, token_ids: Tensor, following: Tensor) -> Tensor:
        return F.cross_entropy(network(token_ids).flatten(0, 1), following.flatten())

    return Twin(network, loss, optimizer, config.clip_norm, config.num_layers * config.embed_dim, BIASES)


# ---------------------------------------------------------------- translate_transformer


class Translator(nn.Module):
    """An encoder and a decoder; one table of vectors for both languages and the logits."""

    def __init__(self, vocab_size: int, config: Any) -> None:
        super().__init__()
        width = config.embed_dim
        sizes = (width, config.num_heads, config.ff_dim, config.dropout)
        self.pieces, self.dropout = nn.Embedding(vocab_size, width), nn.Dropout(config.dropout)
        self.encoder = nn.ModuleList(Block(*sizes) for _ in range(config.num_layers))
        self.decoder = nn.ModuleList(Block(*sizes, cross=True) for _ in range(config.num_layers))
        self.memory_norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        places = torch.arange(config.sequence_length + 1)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("positions", torch.stack([places.sin(), places.cos()], -1).flatten(1))
        self.scale = width**0.5

    def embed(self, token_ids: Tensor) -> Tensor:
        """(B, T) to (B, T, D)."""
        return self.dropout(self.pieces(token_ids) * self.scale + self.positions[: token_ids.shape[1]])

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S) and (B, T) to (B, T, V)."""
        padding_mask, memory, x = (source != 0)[:, None, None, :], self.embed(source), self.embed(target)
        for block in self.encoder:
            memory = block(memory, padding_mask)
        memory = self.memory_norm(memory)
        for block in self.decoder:
            x = block(x, None, True, memory, padding_mask)
        return F.linear(self.last_norm(x), self.pieces.weight)


def translate_transformer(settings: Settings) -> Twin:
    """A Transformer, Adam."""
    config = settings.config
    network = Translator(settings.sizes.vocab_size, config)

    def loss(network: nn.Module, source: Tensor, target: Tensor, following: Tensor) -> Tensor:
        return sentence_loss(network, source, target, following, config.label_smoothing)

    optimizer = adam(network, config, betas=(0.9, 0.98), eps=1e-9)
    return Twin(network, loss, optimizer, None, 3 * config.num_layers * config.embed_dim, BIASES)


TWINS = (imdb_transformer, shakespeare_gpt, translate_transformer)
