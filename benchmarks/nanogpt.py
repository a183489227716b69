"""Time to the same loss on tiny_shakespeare: `shakespeare_gpt` against nanoGPT's setting for a processor, in PyTorch.

    pip install -e ".[benchmarks]"
    python benchmarks/nanogpt.py

The peer, in nanogpt_peer.py, is nanoGPT's model and training as its README sets them for a laptop
(https://github.com/karpathy/nanoGPT#i-only-have-a-macbook): 4 layers, 4 heads, 128 numbers, 64 characters, 12 windows,
2,000 steps, no dropout, AdamW (0.9, 0.99) with a weight decay of 0.1, 100 steps of warm-up to 1e-3 and a cosine to
1e-4, gradients clipped to 1, no biases. Restated, because nanoGPT is no package, and in a process of its own, because
PyTorch and TensorFlow may not share one. Both are run with the same cores, one after the other, without what they spend
on evaluation, and their loss is that of the same windows: all of the validation and test splits of tiny_shakespeare,
which together are nanoGPT's own validation text. What is compared is how long nanoGPT trains and how long ours takes to
nanoGPT's last loss, at the first of the looks, every 100 steps and at the end, at which it is there. (nanoGPT's README
says 1.88 in about 3 minutes, an estimate from 20 batches.)

Ours is trained twice, the compilation by XLA included. With a setting of its own: one epoch, 980 steps of 16 windows at
up to 5e-3, five times nanoGPT's rate, which falls to 0. And with nanoGPT's: 2,000 steps of 12 windows, 1.5 epochs, its
rate and schedule, embeddings that decay; what is left is that ours has biases (809,344 parameters, 804,096) and takes
each window once an epoch. The recipe's default, 735 steps of 64 windows, three epochs, takes longer and gets further,
and is in results/shakespeare_gpt.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from machine import environment, rates
from recipes import shakespeare_gpt
from recipes.data.plain_text import find_text
from recipes.optimization.optimizers import AdamW

RESULT = Path(__file__).parent / "results" / "nanogpt.json"
EVERY = 100  # steps from one look at the loss to the next
STEPS, WARMUP, HIGHEST, LOWEST = 2000, 100, 1e-3, 1e-4  # as in nanogpt_peer.py, which cannot be imported beside this


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
        if self.steps % EVERY:
            self.look()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stops the clock for the validation after an epoch."""
        self.seconds += time.perf_counter() - self.started

    def on_test_end(self, logs: dict | None = None) -> None:
        """Starts the clock again."""
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


def with_settings_of_nanogpt(windows: tuple[np.ndarray, np.ndarray]) -> dict:
    """Trains ours as nanogpt_peer.py trains nanoGPT; returns its loss, seconds without evaluation, and losses."""
    config = shakespeare_gpt.Config(batch_size=12, offline="error")
    keras.utils.set_random_seed(config.seed)
    splits = shakespeare_gpt.load_data(config)
    model = shakespeare_gpt.build(config)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, STEPS - WARMUP, alpha=LOWEST / HIGHEST, warmup_target=HIGHEST, warmup_steps=WARMUP
    )
    optimizer = AdamW(rate, config.weight_decay, beta_2=0.99, epsilon=1e-8, global_clipnorm=config.clip_norm)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer, model.loss, jit_compile=model.jit_compile)
    watch = Watch(windows)
    model.fit(splits.train, steps_per_epoch=STEPS, epochs=1, callbacks=[watch], verbose=0, shuffle=False)
    last = {name: watch.curve[-1][name] for name in ("loss", "seconds")}
    return {**last, "precision": keras.config.dtype_policy().name, "curve": watch.curve}


def peer(train: np.ndarray, windows: tuple[np.ndarray, np.ndarray]) -> dict:
    """Trains nanoGPT; returns its loss, its seconds without evaluation, and the losses on the way."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.npz"
        np.savez(path, train=train, x=windows[0], y=windows[1])
        command = [sys.executable, str(Path(__file__).with_name("nanogpt_peer.py")), str(path), str(EVERY)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(output, flush=True)
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Trains both and writes the result."""
    config = shakespeare_gpt.Config(batch_size=16, epochs=1, offline="error")
    arrays, _ = find_text(config.dataset, config.offline)
    splits = shakespeare_gpt.load_data(config)
    tokenizer = splits.info.tokenizer
    text = tokenizer.encode([str(arrays.train[0][0])]).flat_values.numpy()
    batches = list(splits.validation.concatenate(splits.test))
    windows = tuple(np.concatenate([batch[side] for batch in batches]) for side in (0, 1))
    result = {
        "command": "python benchmarks/nanogpt.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": {"gflops_before": rates(), **environment()},
        "windows": len(windows[0]),
        "nanogpt": peer(text, windows),
    }
    watch = Watch(windows)
    model = shakespeare_gpt.fit(config, callbacks=[watch], resume=False)
    result["shakespeare_gpt"] = {
        "loss": watch.curve[-1]["loss"],
        "seconds": watch.curve[-1]["seconds"],  # with compilation and checkpoints
        "parameters": model.run.metrics["parameters"],
        "curve": watch.curve,
    }
    reached = [look["seconds"] for look in watch.curve if look["loss"] <= result["nanogpt"]["loss"]]
    result["shakespeare_gpt"]["seconds_to_the_loss_of_nanogpt"] = reached[0] if reached else None
    result["speedup"] = result["nanogpt"]["seconds"] / reached[0] if reached else None
    same = result["shakespeare_gpt_with_nanogpt_settings"] = with_settings_of_nanogpt(windows)
    result["speedup_with_the_same_settings"] = result["nanogpt"]["seconds"] / same["seconds"]  # of as many steps
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "machine"}, indent=2))


if __name__ == "__main__":
    main()
