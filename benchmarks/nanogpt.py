"""Time to the same loss on tiny_shakespeare: `shakespeare_gpt` against nanoGPT's setting for a processor, in PyTorch.

    pip install torch
    python benchmarks/nanogpt.py

The peer is nanoGPT's model and training as its README sets them for a laptop
(https://github.com/karpathy/nanoGPT#i-only-have-a-macbook): 4 layers, 4 heads, 128 numbers, 64 characters, 12 windows,
2,000 steps, no dropout, AdamW (0.9, 0.99) with a weight decay of 0.1, 100 steps of warm-up to 1e-3 and a cosine to
1e-4, gradients clipped to 1, no biases. Restated here, because nanoGPT is no package. Both are run with the same cores,
one after the other, without what they spend on evaluation, and their loss is that of the same windows: all of the
validation and test splits of tiny_shakespeare, which together are nanoGPT's own validation text. `seconds_to_1.88` is
the time of the first look at which a model is there, every 250 steps and at the end: nanoGPT's README says 1.88 in
about 3 minutes. Ours trains for one epoch, 980 steps of 16 windows at up to 5e-3, the compilation by XLA included; its
default, three epochs in larger batches, takes longer and gets further, and is in results/shakespeare_gpt.json.
"""

import json
import math
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import torch
from torch import nn

from machine import environment, rates
from recipes import shakespeare_gpt
from recipes.data.language import find_text

RESULT = Path(__file__).parent / "results" / "nanogpt.json"
EVERY, GOAL = 250, 1.88
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


def peer(train: np.ndarray, windows: tuple[np.ndarray, np.ndarray], size: int) -> dict:
    """Trains nanoGPT; returns its loss, its seconds without evaluation, and the losses on the way."""
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
        if (step + 1) % EVERY == 0:
            curve.append({"step": step + 1, "seconds": seconds, "loss": evaluate(model, windows, size)})
            print("nanoGPT", curve[-1], flush=True)
    parameters = sum(weight.numel() for weight in model.parameters())
    return {"loss": curve[-1]["loss"], "seconds": seconds, "parameters": parameters, "curve": curve}


@torch.no_grad()
def evaluate(model: GPT, windows: tuple[np.ndarray, np.ndarray], size: int) -> float:
    """Returns the mean loss of all windows in nats."""
    x, y = (torch.from_numpy(side.astype(np.int64)) for side in windows)
    total = 0.0
    for start in range(0, len(x), 64):
        logits, targets = model(x[start : start + 64]).view(-1, size), y[start : start + 64].reshape(-1)
        total += float(nn.functional.cross_entropy(logits, targets, reduction="sum"))
    return total / y.numel()


class Watch(keras.callbacks.Callback):
    """Evaluates every EVERY steps, and at the end; counts the seconds of training alone, from the first step on."""

    def __init__(self, windows: tuple[np.ndarray, np.ndarray]) -> None:
        super().__init__()
        self.windows, self.curve, self.steps, self.seconds = windows, [], 0, 0.0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks, every so many steps."""
        self.steps += 1
        if self.steps % EVERY == 0:
            self.look()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Looks a last time."""
        self.look()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stops the clock for the validation after an epoch."""
        self.seconds += time.perf_counter() - self.started

    def on_test_end(self, logs: dict | None = None) -> None:
        """Goes on."""
        self.started = time.perf_counter()

    def look(self) -> None:
        """Stops the clock while it evaluates."""
        self.seconds += time.perf_counter() - self.started
        logits = keras.Model(self.model.inputs, self.model.outputs)
        nats = []
        for start in range(0, len(self.windows[0]), 64):
            x, y = (side[start : start + 64] for side in self.windows)
            nats.append(keras.losses.sparse_categorical_crossentropy(y, logits(x), from_logits=True).numpy())
        self.curve.append({"step": self.steps, "seconds": self.seconds, "loss": float(np.concatenate(nats).mean())})
        print("shakespeare_gpt", self.curve[-1], flush=True)
        self.started = time.perf_counter()


def main() -> None:
    """Trains both and writes the result."""
    torch.set_num_threads(os.cpu_count() or 1)
    config = shakespeare_gpt.Config(batch_size=16, epochs=1, offline="error")
    arrays, _ = find_text(config.dataset, config.offline)
    splits = shakespeare_gpt.load_data(config)
    tokenizer = splits.info.tokenizer
    texts = [tokenizer.encode([str(split[0][0])]).flat_values.numpy() for split in arrays[:3]]
    batches = list(splits.validation.concatenate(splits.test))
    inputs, following = (np.concatenate([batch[place] for batch in batches]) for place in (0, 1))
    windows = (inputs, following)
    result = {
        "command": "python benchmarks/nanogpt.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment(), "torch": torch.__version__},
        "windows": len(windows[0]),
        "nanogpt": peer(texts[0], windows, len(tokenizer.vocabulary)),
    }
    watch = Watch(windows)
    model = shakespeare_gpt.fit(config, callbacks=[watch], resume=False)
    result["shakespeare_gpt"] = {
        "loss": watch.curve[-1]["loss"],
        "seconds": watch.curve[-1]["seconds"],  # with compilation and checkpoints
        "parameters": model.run.metrics["parameters"],
        "curve": watch.curve,
    }
    for name in ("nanogpt", "shakespeare_gpt"):
        there = [look["seconds"] for look in result[name]["curve"] if look["loss"] <= GOAL]
        result[name][f"seconds_to_{GOAL}"] = there[0] if there else None
    times = [result[name][f"seconds_to_{GOAL}"] for name in ("nanogpt", "shakespeare_gpt")]
    result["speedup"] = times[0] / times[1] if all(times) else None
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: result[name] for name in ("nanogpt", "shakespeare_gpt", "speedup")}, indent=2))


if __name__ == "__main__":
    main()
