"""Networks that make images: mnist_autoencoder, mnist_vae, dcgan."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_twins.classifiers import BatchNorm, Scaled
from torch_twins.training import Both, Settings, Twin, adam

Tensor = torch.Tensor


def normalized_relu(layer: nn.Module, filters: int) -> list[nn.Module]:
    """Returns a convolution, batch-normalised and rectified."""
    return [layer, BatchNorm(filters), nn.ReLU(inplace=True)]


# ---------------------------------------------------------------- mnist_autoencoder


def mnist_autoencoder(settings: Settings) -> Twin:
    """A convolutional encoder and decoder, Adam."""
    config, channels = settings.config, settings.sizes.image_shape[-1]
    layers, before = [Scaled()], channels
    for i, count in enumerate(config.filters):
        layers += normalized_relu(nn.Conv2d(before, count, 3, 2 if i else 1, 1, bias=False), count)
        before = count
    layers += normalized_relu(nn.Conv2d(before, before, 3, padding=1, bias=False), before)
    layers.append(nn.Conv2d(before, config.latent_dim, 1))  # the code
    before = config.latent_dim
    for i, count in enumerate(reversed(config.filters)):
        larger = nn.ConvTranspose2d(before, count, 4, 2, 1, bias=False) if i else None
        layers += normalized_relu(larger or nn.Conv2d(before, count, 3, padding=1, bias=False), count)
        before = count
    network = nn.Sequential(*layers, nn.Conv2d(before, channels, 3, padding=1))

    def loss(network: nn.Module, image: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(image), target)

    return Twin(network, loss, adam(network, config))


# ---------------------------------------------------------------- mnist_vae


class VAE(nn.Module):
    """A convolutional encoder to a Gaussian, a draw from it, and a decoder."""

    def __init__(self, filters: list[int], units: int, latent_dim: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        side, _, channels = image_shape
        layers, before = [Scaled()], channels
        for count in filters:
            layers += [nn.Conv2d(before, count, 3, 2, 1), nn.GELU()]
            before, side = count, side // 2
        small = before * side * side
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(small, units), nn.GELU())
        self.mean, self.log_var = nn.Linear(units, latent_dim), nn.Linear(units, latent_dim)
        layers = [nn.Linear(latent_dim, units), nn.GELU(), nn.Linear(units, small), nn.GELU()]
        layers.append(nn.Unflatten(1, (before, side, side)))
        for count in reversed(filters):
            layers += [nn.ConvTranspose2d(before, count, 4, 2, 1), nn.GELU()]
            before = count
        self.decoder = nn.Sequential(*layers, nn.Conv2d(before, channels, 3, padding=1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) to logits (B, C, H, W), mean and logarithm of the variance (B, L)."""
        x = self.encoder(image)
        mean, log_var = self.mean(x), self.log_var(x)
        return self.decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)), mean, log_var


def mnist_vae(settings: Settings) -> Twin:
    """A convolutional VAE, Adam."""
    config = settings.config
    network = VAE(config.filters, config.units, config.latent_dim, settings.sizes.image_shape)

    def loss(network: nn.Module, image: Tensor, target: Tensor) -> Tensor:
        logits, mean, log_var = network(image)
        pixels = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        kl = 0.5 * torch.sum(log_var.exp() + mean.square() - 1 - log_var)
        return (pixels + config.beta * kl) / len(image)

    return Twin(network, loss, adam(network, config))


# ---------------------------------------------------------------- dcgan


class Halve(nn.Conv2d):
    """A 4x4 convolution that halves an image, rounded up: of an odd side there is a pixel more behind it."""

    def __init__(self, before: int, filters: int, side: int, bias: bool = False) -> None:
        super().__init__(before, filters, 4, 2, 0 if side % 2 else 1, bias=bias)
        self.odd = side % 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, filters, H / 2, W / 2)."""
        return super().forward(F.pad(x, (1, 2, 1, 2)) if self.odd else x)


class Crop(nn.Module):
    """The middle of an image."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, side, side)."""
        start = (x.shape[-1] - self.side) // 2
        return x[:, :, start : start + self.side, start : start + self.side]


def build_generator(filters: list[int], latent_dim: int, side: int, channels: int) -> nn.Sequential:
    """Returns the generator: noise (B, L) to images (B, C, H, W) in [-1, 1]."""
    smallest, before = math.ceil(side / 2 ** len(filters)), filters[-1]
    layers = [nn.Linear(latent_dim, before * smallest**2, bias=False), nn.Unflatten(1, (before, smallest, smallest))]
    layers += [BatchNorm(before), nn.ReLU(inplace=True)]
    for count in reversed(filters[:-1]):
        layers += normalized_relu(nn.ConvTranspose2d(before, count, 4, 2, 1, bias=False), count)
        before = count
    return nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 4, 2, 1), Crop(side), nn.Tanh())


def build_discriminator(filters: list[int], side: int, channels: int) -> nn.Sequential:
    """Returns the discriminator: images (B, C, H, W) in [-1, 1] to (B, 1) logits."""
    layers, before = [], channels
    for i, count in enumerate(filters):
        layers.append(Halve(before, count, side, bias=i == 0))
        layers += [BatchNorm(count)] if i else []
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        before, side = count, math.ceil(side / 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side * side, 1))


class Adversaries(Twin):
    """Both networks take a step from the same images, noise and weights, as in the recipe: one pass forward."""

    def compile(self) -> None:
        """Has torch.compile make programs of the two networks, for their gradients are two calls."""
        torch._functorch.config.donated_buffer = False  # the discriminator is gone through twice
        for network in self.network.values():
            network.compile()

    def backward(self, loss: tuple[Tensor, Tensor]) -> None:
        """Sets the gradients of each network by its own loss."""
        for name, of_network, keep in zip(("discriminator", "generator"), loss, (True, False), strict=True):
            weights = list(self.network[name].parameters())
            for weight, gradient in zip(weights, torch.autograd.grad(of_network, weights, retain_graph=keep)):
                weight.grad = gradient


def dcgan(settings: Settings) -> Twin:
    """A generator and a discriminator, Adam of both."""
    config, (side, _, channels) = settings.config, settings.sizes.image_shape
    generator = build_generator(config.filters, config.latent_dim, side, channels)
    discriminator = build_discriminator(config.filters, side, channels)
    network, smoothing = nn.ModuleDict({"discriminator": discriminator, "generator": generator}), config.label_smoothing

    def loss(network: Any, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        generated = network["generator"](torch.rand(len(image), config.latent_dim) * 2 - 1)
        of_real = network["discriminator"](image.float() / 127.5 - 1)
        of_generated = network["discriminator"](generated)
        real = (1 - smoothing) * F.softplus(-of_real).mean() + smoothing * F.softplus(of_real).mean()
        return real + F.softplus(of_generated).mean(), F.softplus(-of_generated).mean()

    both = Both(*(adam(part, config, betas=(config.momentum, 0.999)) for part in network.values()))
    return Adversaries(network, loss, both)


TWINS = (mnist_autoencoder, mnist_vae, dcgan)
