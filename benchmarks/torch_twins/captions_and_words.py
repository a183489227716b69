"""The captioner and the word vectors: show_attend_tell, word2vec."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_twins.recurrent import Stepwise
from torch_twins.training import Settings, Twin, adam

Tensor = torch.Tensor

# ---------------------------------------------------------------- show_attend_tell


class Writer(nn.Module):
    """An LSTM that attends softly to the places of an image before each word; the words' product is made once."""

    def __init__(self, width: int, units: int, annotation: int, attention_units: int) -> None:
        super().__init__()
        self.of_word, self.of_context = nn.Linear(width, 4 * units), nn.Linear(annotation, 4 * units, bias=False)
        # Of the hidden state: gates, the query and beta, each with what of it has a bias elsewhere
        self.of_hidden = nn.Linear(units, 4 * units, bias=False)
        self.query_and_gate = nn.Linear(units, attention_units + 1)
        self.keys = nn.Linear(annotation, attention_units, bias=False)
        self.score = nn.Linear(attention_units, 1, bias=False)

    def forward(self, x: Tensor, annotations: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, M) and (B, L, D) to the states (B, T, units), contexts (B, T, D) and weights (B, T, L)."""
        keys, steps = self.keys(annotations), []
        for of_word in self.of_word(x).unbind(1):
            hidden, cell, *others = self.step(of_word, hidden, cell, keys, annotations)
            steps.append((hidden, *others))
        states, contexts, weights = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return states, contexts, weights

    def step(
        self, of_word: Tensor, hidden: Tensor, cell: Tensor, keys: Tensor, annotations: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the next hidden and cell state, the context and the weights."""
        query, gate = self.query_and_gate(hidden).split([keys.shape[-1], 1], -1)
        weights = torch.softmax(self.score(torch.tanh(keys + query[:, None]))[..., 0].float(), -1)  # (B, L)
        context = torch.bmm(weights[:, None].to(annotations.dtype), annotations)[:, 0] * torch.sigmoid(gate)
        i, f, g, o = (of_word + self.of_context(context) + self.of_hidden(hidden)).chunk(4, -1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell, context, weights


class Captioner(nn.Module):
    """Reads an encoder's annotations and words, and gives the logits of the next."""

    def __init__(self, vocab_size: int, annotation: int, config: Any) -> None:
        super().__init__()
        width, units = config.embed_dim, config.units
        self.hidden, self.cell = nn.Linear(annotation, units), nn.Linear(annotation, units)
        self.embedding = nn.Embedding(vocab_size, width)
        self.writer = Writer(width, units, annotation, config.attention_units)
        self.of_state, self.of_image = nn.Linear(units, width), nn.Linear(annotation, width)
        self.dropout, self.logits = nn.Dropout(config.dropout), nn.Linear(width, vocab_size)

    def forward(self, annotations: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L, D) and (B, T) to logits (B, T, V) and weights (B, T, L)."""
        mean, x = annotations.mean(1), self.embedding(words)
        hidden, cell = torch.tanh(self.hidden(mean)), torch.tanh(self.cell(mean))
        states, contexts, weights = self.writer(x, annotations, hidden, cell)
        return self.logits(self.dropout(torch.tanh(x + self.of_state(states) + self.of_image(contexts)))), weights


def show_attend_tell(settings: Settings) -> Twin:
    """Soft attention to a pretrained encoder's annotations, Adam with clipped gradients."""
    config, annotation = settings.config, settings.batch[0].shape[-1]
    network = Captioner(settings.sizes.vocab_size, annotation, config)

    def loss(network: nn.Module, annotations: Tensor, words: Tensor, following: Tensor) -> Tensor:
        logits, weights = network(annotations, words)
        nats = F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=0, reduction="sum")
        looked = ((following != 0)[..., None] * weights).sum(1)  # (B, L)
        return (nats + config.attention_penalty * (1 - looked).square().sum()) / len(words)

    return Stepwise(network, loss, adam(network, config), config.clip_norm)


# ---------------------------------------------------------------- word2vec


class SkipGram(nn.Module):
    """Two tables of vectors, and their products."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.vectors, self.outer = nn.Embedding(vocab_size, width), nn.Embedding(vocab_size, width)

    def forward(self, word: Tensor, others: Tensor) -> Tensor:
        """(B,) and (B, N) to (B, N)."""
        return torch.bmm(self.outer(others), self.vectors(word)[..., None])[..., 0]


def word2vec(settings: Settings) -> Twin:
    """Skip-grams with negative sampling, Adam."""
    config = settings.config
    network = SkipGram(settings.sizes.vocab_size, config.embed_dim)

    def loss(network: nn.Module, word: Tensor, others: Tensor, labels: Tensor) -> Tensor:
        each = F.softplus((1 - 2 * labels) * network(word, others))
        return each.masked_fill(labels < 0, 0.0).sum() / len(word)

    return Twin(network, loss, adam(network, config))


TWINS = (show_attend_tell, word2vec)
