"""Classifiers of images: mnist_dense, cifar_lecture, cifar_convnet, cifar_resnet, cifar_googlenet."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_twins.training import Both, Muon, Settings, Twin, adam, sgd

Tensor = torch.Tensor
BatchNorm = partial(nn.BatchNorm2d, eps=1e-3)


class Scaled(nn.Module):
    """Bytes in [0, 255] as numbers in [low, 1]."""

    def __init__(self, low: float = 0.0) -> None:
        super().__init__()
        self.low = low

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return image.float() * ((1 - self.low) / 255) + self.low


def cross_entropy(network: nn.Module, image: Tensor, label: Tensor, smoothing: float) -> Tensor:
    """Returns the mean loss of a batch."""
    return F.cross_entropy(network(image), label, label_smoothing=smoothing)


def loss_of(settings: Settings) -> partial:
    """Returns the loss with the recipe's label smoothing."""
    return partial(cross_entropy, smoothing=settings.config.label_smoothing)


# ---------------------------------------------------------------- mnist_dense


def mnist_dense(settings: Settings) -> Twin:
    """Dense layers with dropout, Adam."""
    config, (height, width, channels) = settings.config, settings.sizes.image_shape
    layers, features = [Scaled(), nn.Flatten()], height * width * channels
    for units in config.units:
        layers += [nn.Linear(features, units), nn.ReLU(), nn.Dropout(config.dropout)]
        features = units
    network = nn.Sequential(*layers, nn.Linear(features, settings.sizes.num_classes))
    return Twin(network, loss_of(settings), adam(network, config))


# ---------------------------------------------------------------- cifar_lecture


def cifar_lecture(settings: Settings) -> Twin:
    """Two blocks of two convolutions, a dense layer, RMSprop."""
    config, (side, _, channels) = settings.config, settings.sizes.image_shape
    layers = [Scaled()]
    for filters in config.filters:
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.Conv2d(filters, filters, 3), nn.ReLU()]
        layers += [nn.MaxPool2d(2), nn.Dropout(config.dropout)]
        channels, side = filters, (side - 2) // 2
    layers += [nn.Flatten(), nn.Linear(channels * side * side, config.units), nn.ReLU(), nn.Dropout(2 * config.dropout)]
    network = nn.Sequential(*layers, nn.Linear(config.units, settings.sizes.num_classes))
    optimizer = torch.optim.RMSprop(network.parameters(), config.learning_rate, alpha=0.9, foreach=True)
    return Twin(network, loss_of(settings), optimizer)


# ---------------------------------------------------------------- cifar_convnet


class FastConvnet(nn.Module):
    """The shape of airbench94: a 2x2 convolution, blocks of two 3x3 ones that halve the image, the maximum, logits.

    With `whitened` the first convolution is not trained, and neither batch norm's scales nor a bias of the logits are.
    """

    def __init__(
        self, channels: int, filters: list[int], classes: int, act: type, whitened: bool, first: int = 24
    ) -> None:
        super().__init__()
        layers = [Scaled(-1.0), nn.Conv2d(channels, first, 2, bias=not whitened), nn.GELU()]
        layers[1].requires_grad_(not whitened)
        before = first
        for width in filters:
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2), BatchNorm(width), act()]
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), BatchNorm(width), act()]
            before = width
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d) and whitened:
                layer.weight.requires_grad_(False)
        self.features, self.logits = nn.Sequential(*layers), nn.Linear(before, classes, bias=not whitened)
        self.divisor = 84 if whitened else 9  # keeps the first logits small

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, classes)."""
        return self.logits(self.features(image).amax((2, 3)) / self.divisor)


def cifar_convnet(settings: Settings) -> Twin:
    """airbench94's shape, Nesterov's SGD; with Muon its first layer whitens, as in airbench94_muon."""
    config, sizes = settings.config, settings.sizes
    with_muon = hasattr(config, "bias_rate")
    act = nn.SiLU if with_muon else nn.GELU
    network = FastConvnet(sizes.image_shape[-1], config.filters, sizes.num_classes, act, whitened=with_muon)
    if not with_muon:
        return Twin(network, loss_of(settings), sgd(network, config))
    return Twin(network, loss_of(settings), muon(network, config))


def muon(network: nn.Module, config: Any) -> Both:
    """Muon for the kernels of convolutions, Nesterov's SGD for all else."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    kernels, others = ([weight for weight in weights if (weight.dim() == 4) is kernel] for kernel in (True, False))
    rate = config.learning_rate * config.bias_rate
    biases = torch.optim.SGD(others, rate, config.momentum, nesterov=True, weight_decay=config.weight_decay, fused=True)
    return Both(biases, Muon(kernels, config.learning_rate, config.momentum))


# ---------------------------------------------------------------- cifar_resnet


class ResidualBlock(nn.Module):
    """relu(x + F(x)); a block that halves the image adds every other pixel, and zeros for the new filters."""

    def __init__(self, before: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(before, filters, 3, stride, 1, bias=False), BatchNorm(filters)
        self.second, self.second_norm = nn.Conv2d(filters, filters, 3, padding=1, bias=False), BatchNorm(filters)
        self.stride, self.missing = stride, filters - before

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, filters, H / stride, W / stride)."""
        y = F.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.missing:
            x = F.pad(x, (0, 0, 0, 0, self.missing // 2, self.missing - self.missing // 2))
        return F.relu(x + y)


def cifar_resnet(settings: Settings) -> Twin:
    """Three stages of residual blocks, Muon or Nesterov's SGD."""
    config, sizes = settings.config, settings.sizes
    before = config.filters
    layers = [Scaled(-1.0), nn.Conv2d(sizes.image_shape[-1], before, 3, padding=1, bias=False), BatchNorm(before)]
    layers.append(nn.ReLU())
    for stage in range(3):
        filters = config.filters * 2**stage
        for block in range((config.num_layers - 2) // 6):
            layers.append(ResidualBlock(before, filters, 2 if stage and not block else 1))
            before = filters
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(before, sizes.num_classes))
    optimizer = muon if config.optimizer == "muon" else sgd
    return Twin(network, loss_of(settings), optimizer(network, config))


# ---------------------------------------------------------------- cifar_googlenet

# As in the recipe: (1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool's 1x1) filters of each module; None: max pooling
MODULES = (
    (32, 32, 48, 8, 16, 16),
    (32, 32, 64, 8, 16, 16),
    (48, 48, 80, 12, 24, 24),
    None,
    (64, 48, 96, 12, 32, 32),
    (64, 48, 96, 12, 32, 32),
)


def normalized_convolution(before: int, filters: int, size: int) -> nn.Sequential:
    """Returns a convolution, batch-normalised and rectified."""
    convolution = nn.Conv2d(before, filters, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, BatchNorm(filters), nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Four branches of the same image, concatenated."""

    def __init__(self, before: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, pooled = filters
        conv = normalized_convolution
        self.one = conv(before, one, 1)
        self.three = nn.Sequential(conv(before, three_reduce, 1), conv(three_reduce, three, 3))
        self.five = nn.Sequential(conv(before, five_reduce, 1), conv(five_reduce, five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(before, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, sum of the branches', H, W)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


def cifar_googlenet(settings: Settings) -> Twin:
    """The small network's five Inception modules, Nesterov's SGD."""
    config, sizes, before = settings.config, settings.sizes, 64
    layers = [Scaled(-1.0), normalized_convolution(sizes.image_shape[-1], before, 3), nn.MaxPool2d(3, 2, 1)]
    for filters in MODULES:
        layers.append(Inception(before, filters) if filters else nn.MaxPool2d(3, 2, 1))
        before = filters[0] + filters[2] + filters[4] + filters[5] if filters else before
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout)]
    network = nn.Sequential(*layers, nn.Linear(before, sizes.num_classes))
    return Twin(network, loss_of(settings), sgd(network, config))


TWINS = (mnist_dense, cifar_lecture, cifar_convnet, cifar_resnet, cifar_googlenet)
