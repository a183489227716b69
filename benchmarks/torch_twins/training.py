"""A twin: a network, its loss and its optimizer; and a training step in one of several modes."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Twin:
    """A network with its loss and optimizer.

    Args:
        network: In training mode.
        loss: (network, *batch) -> scalar.
        optimizer: Of the network's parameters.
        clip_norm: Gradients are clipped to this norm, all together; None: not at all.
        more_parameters: How many more than the recipe's network has.
        why: Why that is so.
    """

    network: nn.Module
    loss: Callable[..., Any]
    optimizer: Any
    clip_norm: float | None = None
    more_parameters: int = 0
    why: str = ""

    def compile(self) -> None:
        """Has torch.compile make programs of the loss and its gradient."""
        self.loss = torch.compile(self.loss)

    def backward(self, loss: Any) -> None:
        """Sets the gradients."""
        loss.backward()

    def step(self, batch: list[torch.Tensor], autocast: Any) -> None:
        """Trains on a batch."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = self.loss(self.network, *batch)
        self.backward(loss)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm, foreach=True)
        self.optimizer.step()

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.network.parameters() if weight.requires_grad)


Settings = SimpleNamespace  # .config and .sizes, the recipe's own; .batch; .packed: how texts with padding are read


def in_mode(twin: Twin, batch: list[torch.Tensor], mode: str) -> Callable[[int], None]:
    """Returns the function that trains so many steps on a batch.

    Args:
        twin: The twin, which is changed.
        batch: Inputs and target; images are (B, C, H, W).
        mode: Words: "eager" (what is left without the others), "unpacked", "channels_last", "compiled", "bfloat16".
    """
    words = mode.split()
    if "channels_last" in words:
        twin.network.to(memory_format=torch.channels_last)
        batch = [part.contiguous(memory_format=torch.channels_last) if part.dim() == 4 else part for part in batch]
    if "compiled" in words:
        twin.compile()

    def autocast() -> Any:
        return torch.autocast("cpu", torch.bfloat16) if "bfloat16" in words else nullcontext()

    def steps(count: int) -> None:
        for _ in range(count):
            twin.step(batch, autocast)

    return steps


def answers_in_mode(twin: Twin, inputs: torch.Tensor, mode: str) -> Callable[[int], None]:
    """Returns the function that answers so many times with the probabilities of the classes; modes as of `in_mode`."""
    words, network = mode.split(), twin.network.eval()
    if "channels_last" in words and inputs.dim() == 4:
        network, inputs = network.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)
    if "compiled" in words:
        torch._inductor.config.freezing = True
        network = torch.compile(network)

    @torch.no_grad()  # torch.compile freezes weights under it, and not under inference_mode
    def answers(count: int) -> None:
        for _ in range(count):
            torch.softmax(network(inputs), -1).numpy()

    return answers


def flop_of_a_step(twin: Twin, batch: list[torch.Tensor]) -> int:
    """Returns the floating-point operations of the matrix products and convolutions of a step, forward and backward.

    Kernels that do several at once are not counted, so an LSTM's and attention's are left out for the plain ones.
    """
    counter = FlopCounterMode(display=False)
    has_lstm = any(isinstance(part, nn.LSTM) for part in twin.network.modules())
    plain = torch.backends.mkldnn.flags(enabled=False) if has_lstm else nullcontext()
    with plain, sdpa_kernel(SDPBackend.MATH), counter:
        twin.step(batch, nullcontext)
    return counter.get_total_flops()


# ---------------------------------------------------------------- optimizers


def adam(network: nn.Module, config: Any, **settings: Any) -> torch.optim.Optimizer:
    """Returns Adam, each step in one kernel."""
    return torch.optim.Adam(network.parameters(), config.learning_rate, fused=True, **settings)


def decayed_and_not(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Returns kernels, which decay, and biases and normalisation, which do not."""
    parameters = list(parameters)
    kernels, others = ([weight for weight in parameters if (weight.dim() > 1) is kernel] for kernel in (True, False))
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def sgd(network: nn.Module, config: Any) -> torch.optim.Optimizer:
    """Returns Nesterov's SGD, each step in one kernel."""
    groups = decayed_and_not(network.parameters(), config.weight_decay)
    return torch.optim.SGD(groups, config.learning_rate, config.momentum, nesterov=True, fused=True)


class Both:
    """Two optimizers as one."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        """Takes a step of both."""
        for optimizer in self.optimizers:
            optimizer.step()


class Muon(torch.optim.Optimizer):
    """Kernels of convolutions keep their norm, and step along the nearest orthogonal matrix to Nesterov's momentum.

    Jordan's, of airbench94_muon.py: https://github.com/KellerJordan/cifar10-airbench
    """

    def __init__(self, kernels: Iterable[nn.Parameter], rate: float, momentum: float) -> None:
        super().__init__(kernels, {"rate": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step."""
        for group in self.param_groups:
            for kernel in group["params"]:
                momentum = self.state[kernel].setdefault("momentum", torch.zeros_like(kernel))
                momentum.mul_(group["momentum"]).add_(kernel.grad)
                nesterov = kernel.grad.add(momentum, alpha=group["momentum"])
                kernel.mul_(len(kernel) ** 0.5 / kernel.norm())
                kernel.add_(orthogonal(nesterov.flatten(1)).view(kernel.shape), alpha=-group["rate"])


def orthogonal(matrix: torch.Tensor, steps: int = 3) -> torch.Tensor:
    """Returns nearly the closest orthogonal matrix, by steps of Newton and Schulz's."""
    x = matrix / (matrix.norm() + 1e-7)
    x = x.T if len(x) > x.shape[1] else x
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315) @ x
    return (x.T if len(matrix) > matrix.shape[1] else x).contiguous()
