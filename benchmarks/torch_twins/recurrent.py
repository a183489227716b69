"""Recurrent networks: imdb_lstm, shakespeare_lstm, translate_seq2seq."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torch_twins.training import Settings, Twin, adam

Tensor = torch.Tensor
BIASES = "an LSTM of PyTorch has two vectors of biases, which are added, for one"


class BidirectionalLSTM(nn.Module):
    """Reads texts in both directions, padding left out of the states.

    With `packed` as PyTorch's users do, by packed sequences: without padding, and step by step. Else each direction
    is read by an LSTM over the whole batch, which oneDNN does as one operation, and texts are turned round in place.
    """

    def __init__(self, width: int, units: int, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        if packed:
            self.lstm = nn.LSTM(width, units, batch_first=True, bidirectional=True)
        else:
            self.forwards, self.backwards = (nn.LSTM(width, units, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """(B, T, D) and (B,) to all states (B, T, 2 units), the last hidden and cell states (B, 2 units) each."""
        if self.packed:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            outputs, (hidden, cell) = self.lstm(packed)
            outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
            return outputs, torch.cat(tuple(hidden), -1), torch.cat(tuple(cell), -1)
        places = torch.arange(x.shape[1])
        turned = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)[..., None]
        forwards, _ = self.forwards(x)
        backwards, _ = self.backwards(x.gather(1, turned.expand_as(x)))
        last = (lengths - 1)[:, None, None].expand(-1, 1, forwards.shape[-1])
        hidden = torch.cat([forwards.gather(1, last)[:, 0], backwards.gather(1, last)[:, 0]], -1)
        outputs = torch.cat([forwards, backwards.gather(1, turned.expand_as(backwards))], -1)
        return outputs, hidden, None


# ---------------------------------------------------------------- imdb_lstm


class Classifier(nn.Module):
    """Embedding, a bidirectional LSTM, logits of its last states."""

    def __init__(self, vocab_size: int, classes: int, config: Any, packed: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, config.embed_dim)
        self.lstm = BidirectionalLSTM(config.embed_dim, config.units, packed)
        self.dropout = nn.Dropout(config.dropout)
        self.logits = nn.Linear(2 * config.units, classes)

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, T), 0 for padding, to (B, classes)."""
        lengths = (token_ids != 0).sum(1)
        _, hidden, _ = self.lstm(self.dropout(self.embedding(token_ids)), lengths)
        return self.logits(self.dropout(hidden))


def imdb_lstm(settings: Settings) -> Twin:
    """A bidirectional LSTM, Adam with clipped gradients."""
    config, sizes = settings.config, settings.sizes
    network = Classifier(sizes.vocab_size, sizes.num_classes, config, settings.packed)

    def loss(network: nn.Module, token_ids: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(network(token_ids), label)

    return Twin(network, loss, adam(network, config), config.clip_norm, 2 * 4 * config.units, BIASES)


# ---------------------------------------------------------------- shakespeare_lstm


class CharacterLSTM(nn.Module):
    """Embedding, layers of LSTMs with dropout, logits of the next character."""

    def __init__(self, vocab_size: int, config: Any) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(vocab_size, config.embed_dim), nn.Dropout(config.dropout)
        sizes = {"num_layers": config.num_layers, "dropout": config.dropout}
        self.lstm = nn.LSTM(config.embed_dim, config.units, batch_first=True, **sizes)
        self.logits = nn.Linear(config.units, vocab_size)

    def forward(self, token_ids: Tensor) -> Tensor:
        """(B, T) to (B, T, V)."""
        x, _ = self.lstm(self.embedding(token_ids))
        return self.logits(self.dropout(x))


def shakespeare_lstm(settings: Settings) -> Twin:
    """Layers of LSTMs, Adam with clipped gradients."""
    config = settings.config
    network = CharacterLSTM(settings.sizes.vocab_size, config)

    def loss(network: nn.Module, token_ids: Tensor, following: Tensor) -> Tensor:
        return F.cross_entropy(network(token_ids).flatten(0, 1), following.flatten())

    more = config.num_layers * 4 * config.units
    return Twin(network, loss, adam(network, config), config.clip_norm, more, BIASES)


# ---------------------------------------------------------------- translate_seq2seq


class Luong(nn.Module):
    """An LSTM that attends after each step, and whose output is an input of the next; the input's product is made once.

    Args:
        width: Of the input.
        units: Of the hidden state.
        memory_width: Of the memory.
    """

    def __init__(self, width: int, units: int, memory_width: int) -> None:
        super().__init__()
        self.of_input = nn.Linear(width, 4 * units)
        self.of_states = nn.Linear(2 * units, 4 * units, bias=False)  # of the last output and hidden state
        self.keys = nn.Linear(memory_width, units, bias=False)
        self.joint = nn.Linear(units + memory_width, units)

    def forward(self, x: Tensor, memory: Tensor, padding_mask: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """(B, T, D) and (B, S, M) to (B, T, units)."""
        keys, inputs = self.keys(memory), self.of_input(x).unbind(1)
        missing = torch.zeros(padding_mask.shape).masked_fill_(~padding_mask, -1e9)
        output, outputs = torch.zeros_like(hidden), []
        for of_input in inputs:
            output, hidden, cell = self.step(of_input, output, hidden, cell, keys, memory, missing)
            outputs.append(output)
        return torch.stack(outputs, 1)

    def step(
        self, of_input: Tensor, output: Tensor, hidden: Tensor, cell: Tensor, keys: Tensor, memory: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the next output, hidden and cell state, (B, units) each."""
        gates = of_input + self.of_states(torch.cat([output, hidden], -1))
        i, f, g, o = gates.chunk(4, -1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        weights = torch.softmax(torch.bmm(keys, hidden[..., None])[..., 0] + bias, -1)  # (B, S)
        context = torch.bmm(weights[:, None].to(memory.dtype), memory)[:, 0]
        return torch.tanh(self.joint(torch.cat([hidden, context], -1))), hidden, cell


class Translator(nn.Module):
    """A bidirectional LSTM reads the source, another writes the target."""

    def __init__(self, vocab_size: int, config: Any, packed: bool) -> None:
        super().__init__()
        units = config.units
        self.pieces, self.dropout = nn.Embedding(vocab_size, config.embed_dim), nn.Dropout(config.dropout)
        self.reader = BidirectionalLSTM(config.embed_dim, units, packed)
        self.hidden, self.cell = nn.Linear(2 * units, units), nn.Linear(2 * units, units)
        self.writer = Luong(config.embed_dim, units, 2 * units)
        self.logits = nn.Linear(units, vocab_size)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, S) and (B, T) to (B, T, V)."""
        padding_mask = source != 0
        memory, last_hidden, last_cell = self.reader(self.dropout(self.pieces(source)), padding_mask.sum(1))
        if last_cell is None:  # not known of unpacked sequences; what stands in for it costs the same
            last_cell = last_hidden
        hidden, cell = torch.tanh(self.hidden(last_hidden)), torch.tanh(self.cell(last_cell))
        x = self.writer(self.dropout(self.pieces(target)), memory, padding_mask, hidden, cell)
        return self.logits(self.dropout(x))


class Stepwise(Twin):
    """A twin with a loop over steps, of which torch.compile makes a program each: all of them in one take minutes."""

    def compile(self) -> None:
        """Compiles a step of the writer."""
        self.network.writer.step = torch.compile(self.network.writer.step)


def sentence_loss(network: nn.Module, source: Tensor, target: Tensor, following: Tensor, smoothing: float) -> Tensor:
    """Returns the cross-entropy of whole sentences: the sum over their tokens, the mean over a batch."""
    logits, following = network(source, target).flatten(0, 1), following.flatten()
    total = F.cross_entropy(logits, following, ignore_index=0, reduction="sum", label_smoothing=smoothing)
    return total / len(source)


def translate_seq2seq(settings: Settings) -> Twin:
    """Luong's attention with input feeding, Adam with clipped gradients."""
    config = settings.config
    network = Translator(settings.sizes.vocab_size, config, settings.packed)

    def loss(network: nn.Module, source: Tensor, target: Tensor, following: Tensor) -> Tensor:
        return sentence_loss(network, source, target, following, config.label_smoothing)

    return Stepwise(network, loss, adam(network, config), config.clip_norm, 2 * 4 * config.units, BIASES)


TWINS = (imdb_lstm, shakespeare_lstm, translate_seq2seq)
