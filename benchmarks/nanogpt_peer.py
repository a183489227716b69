"""nanoGPT's setting for a processor, in PyTorch alone: the peer of nanogpt.py, which runs it."""

import json
import math
import os
import sys
import time

import numpy as np
import torch
from torch import nn

LENGTH, BATCH, STEPS, WARMUP, HIGHEST, LOWEST = 64, 12, 2000, 100, 1e-3, 1e-4


class Block(nn.Module):
    """Attention and feed-forward network, normalised before; nanoGPT's model.py."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)])
        self.qkv, self.projection = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.hidden, self.output = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) to the same."""
        batch, length, width = x.shape
        parts = self.qkv(self.norms[0](x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.output(nn.functional.gelu(self.hidden(self.norms[1](x))))


class GPT(nn.Module):
    """nanoGPT's model, of 0.80 million parameters."""

    def __init__(self, size: int, layers: int = 4, heads: int = 4, width: int = 128) -> None:
        super().__init__()
        self.characters, self.positions = nn.Embedding(size, width), nn.Embedding(LENGTH, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                last = name.endswith(("projection.weight", "output.weight"))
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * layers) if last else 1))

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(B, T) to logits (B, T, V)."""
        x = self.characters(token_ids) + self.positions.weight[: token_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.characters.weight.T


def rate(step: int) -> float:
    """NanoGPT's get_lr."""
    if step < WARMUP:
        return HIGHEST * (step + 1) / (WARMUP + 1)
    return LOWEST + 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) * (HIGHEST - LOWEST)


def main() -> None:
    """Trains, and prints its loss, its seconds without evaluation, and the losses on the way as JSON in the last line.

    The arguments are the path of an .npz with a text `train` and the windows `x` and `y`, and how often to look.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    arrays, every = np.load(sys.argv[1]), int(sys.argv[2])
    train, windows = arrays["train"], (arrays["x"], arrays["y"])
    size = int(train.max()) + 1
    torch.manual_seed(1337)
    model = GPT(size)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=HIGHEST, betas=(0.9, 0.99))
    text, seconds, curve = torch.from_numpy(train.astype(np.int64)), 0.0, []
    for step in range(STEPS):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        starts = torch.randint(len(text) - LENGTH, (BATCH,))
        x = torch.stack([text[start : start + LENGTH] for start in starts])
        y = torch.stack([text[start + 1 : start + 1 + LENGTH] for start in starts])
        loss = nn.functional.cross_entropy(model(x).view(-1, size), y.view(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds += time.perf_counter() - started
        if (step + 1) % every == 0:
            curve.append({"step": step + 1, "seconds": seconds, "loss": evaluate(model, windows, size)})
            print("nanoGPT", curve[-1], flush=True)
    parameters = sum(weight.numel() for weight in model.parameters())
    result = {"torch": torch.__version__, "parameters": parameters}
    print(json.dumps({**result, "loss": curve[-1]["loss"], "seconds": seconds, "curve": curve}))


@torch.no_grad()
def evaluate(model: GPT, windows: tuple[np.ndarray, np.ndarray], size: int) -> float:
    """Returns the mean loss of all windows in nats."""
    x, y = (torch.from_numpy(side.astype(np.int64)) for side in windows)
    total = 0.0
    for start in range(0, len(x), 64):
        logits, targets = model(x[start : start + 64]).view(-1, size), y[start : start + 64].reshape(-1)
        total += float(nn.functional.cross_entropy(logits, targets, reduction="sum"))
    return total / y.numel()


if __name__ == "__main__":
    main()
