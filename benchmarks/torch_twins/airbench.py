"""airbench94 of K. Jordan (2024) on a CPU: a contestant of time_to_accuracy.py, which runs it.

python -m torch_twins.airbench FOLDER SEED DTYPE

The network and the schedule of https://arxiv.org/abs/2404.00498, 94.01 % in 9.9 epochs there: SGD with Nesterov's
momentum and 64 times the rate for the biases, a rate that rises and falls straight, Lookahead, the bias of the
whitening trained for three epochs, mirrors in turns, shifts by two pixels, six views of each test image. What differs:
float32 or bfloat16's autocast, where it has float16.
"""

import json
import os
import sys
import time
from math import ceil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BATCH, EPOCHS, MOMENTUM, SMOOTHING = 1024, 9.9, 0.85, 0.2
STEP_SCALE = 1024 * (1 + 1 / (1 - MOMENTUM))  # how much longer Nesterov's steps are than the gradient of an example
RATE, DECAY, BIAS_SCALE = 11.5 / STEP_SCALE, 0.0153 * BATCH / STEP_SCALE, 64.0
MEAN, STD = torch.tensor((0.4914, 0.4822, 0.4465)), torch.tensor((0.2470, 0.2435, 0.2616))

Tensor = torch.Tensor


def convolution(before: int, filters: int) -> nn.Conv2d:
    """Returns a 3x3 convolution whose first filters hand a channel on each."""
    layer = nn.Conv2d(before, filters, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:before])
    return layer


def normalization(filters: int) -> nn.BatchNorm2d:
    """Returns batch normalisation with a bias alone."""
    layer = nn.BatchNorm2d(filters, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


def network() -> nn.Sequential:
    """Returns the network, before its first layer whitens."""
    layers: list[nn.Module] = [nn.Conv2d(3, 24, 2), nn.GELU()]
    for before, filters in ((24, 64), (64, 256), (256, 256)):
        layers += [convolution(before, filters), nn.MaxPool2d(2), normalization(filters), nn.GELU()]
        layers += [convolution(filters, filters), normalization(filters), nn.GELU()]
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10, bias=False))


def whiten(layer: nn.Conv2d, images: Tensor) -> None:
    """Sets the first layer's kernel by images (N, 3, H, W)."""
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).transpose(1, 3).reshape(-1, 12)
    variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (directions / torch.sqrt(variances + 5e-4)).T.reshape(-1, 3, 2, 2)
    layer.weight.data = torch.cat((filters, -filters))
    layer.weight.requires_grad_(False)


def normalized(images: np.ndarray) -> Tensor:
    """Returns bytes (N, H, W, 3) as (N, 3, H, W) float32, of mean 0 and variance 1."""
    scaled = (torch.from_numpy(images) / 255 - MEAN) / STD
    return scaled.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def cropped(padded: Tensor, by: int = 2) -> Tensor:
    """Returns each image shifted by up to two pixels."""
    shifts = torch.randint(0, 2 * by + 1, (len(padded), 2))
    size = padded.shape[-1] - 2 * by
    out = torch.empty((len(padded), 3, size, size)).contiguous(memory_format=torch.channels_last)
    for row in range(2 * by + 1):
        for column in range(2 * by + 1):
            these = (shifts[:, 0] == row) & (shifts[:, 1] == column)
            out[these] = padded[these, :, row : row + size, column : column + size]
    return out


def of_six_views(model: nn.Module, images: Tensor) -> Tensor:
    """Returns logits averaged over mirrors and shifts by a pixel."""
    padded = F.pad(images, (1,) * 4, "reflect")
    views = [(0.25, images), (0.125, padded[:, :, :32, :32]), (0.125, padded[:, :, 2:34, 2:34])]
    return sum(weight * (model(view) + model(view.flip(-1))).float() for weight, view in views)


def main() -> None:
    """Trains an epoch for each line of its input, and answers with its seconds and the accuracy."""
    folder, seed, dtype = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.manual_seed(seed)
    with np.load(folder / "cifar10.npz") as arrays:
        images, test_images = normalized(arrays["train_images"]), normalized(arrays["test_images"])
        labels, test_labels = (torch.from_numpy(arrays[name]).long() for name in ("train_labels", "test_labels"))
    half = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16")

    start = time.perf_counter()
    model = network().to(memory_format=torch.channels_last)
    whiten(model[0], images[:5000])
    biases = [each for layer in model if isinstance(layer, nn.BatchNorm2d) for each in (layer.bias,)]
    others = [each for each in model.parameters() if each.requires_grad and all(each is not bias for bias in biases)]
    optimizer = torch.optim.SGD(
        [
            {"params": biases, "lr": RATE * BIAS_SCALE, "weight_decay": DECAY / (RATE * BIAS_SCALE)},
            {"params": others, "lr": RATE, "weight_decay": DECAY / RATE},
        ],
        momentum=MOMENTUM,
        nesterov=True,
    )
    per_epoch = len(images) // BATCH
    steps = ceil(per_epoch * EPOCHS)
    rising = int(0.23 * steps)

    def factor(step: int) -> float:
        if step < rising:
            return 0.2 + 0.8 * step / rising
        return 1 - 0.93 * (step - rising) / (steps - rising)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    shares = 0.95**5 * (torch.arange(steps + 1) / steps) ** 3
    slow = {name: value.clone() for name, value in model.state_dict().items()}

    def lookahead(share: float) -> None:
        for name, value in model.state_dict().items():
            if value.dtype == torch.float:
                slow[name].lerp_(value, 1 - share)
                value.copy_(slow[name])

    mirrored = torch.where((torch.rand(len(images)) < 0.5).view(-1, 1, 1, 1), images.flip(-1), images)
    padded = F.pad(mirrored, (2,) * 4, "reflect")
    ready = time.perf_counter() - start
    print(json.dumps({"ready": ready, "steps": steps, "torch": torch.__version__}), file=answers, flush=True)

    step = 0
    for epoch, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        model.train()
        model[0].bias.requires_grad_(epoch < 3)
        seen = cropped(padded)
        seen = seen.flip(-1) if epoch % 2 else seen
        order = torch.randperm(len(seen))
        for i in range(per_epoch):
            rows = order[i * BATCH : (i + 1) * BATCH]
            with half:
                logits = model(seen[rows].contiguous(memory_format=torch.channels_last)).float() / 9
            F.cross_entropy(logits, labels[rows], label_smoothing=SMOOTHING, reduction="sum").backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            if step % 5 == 0:
                lookahead(shares[step].item())
            if step >= steps:
                lookahead(1.0)
                break
        seconds = time.perf_counter() - start
        model.eval()
        with torch.no_grad(), half:
            plain = torch.cat([model(part).float() for part in test_images.split(1000)])
            start, done = time.perf_counter(), step >= steps
            views = torch.cat([of_six_views(model, part) for part in test_images.split(1000)]) if done else plain
        answer = {"epoch": epoch + 1, "seconds": seconds, "accuracy": accuracy(plain, test_labels), "done": done}
        if done:
            answer |= {
                "accuracy_of_views": accuracy(views, test_labels),
                "seconds_of_views": time.perf_counter() - start,
            }
        print(json.dumps(answer), file=answers, flush=True)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Returns the share of right answers."""
    return (logits.argmax(1) == labels).float().mean().item()


if __name__ == "__main__":
    main()
