"""Muon: kernels of convolutions take steps that are orthogonal matrices, so that rare directions count as common ones.

Keller Jordan (2024), https://kellerjordan.github.io/posts/muon/, with the norms of airbench94_muon
(https://github.com/KellerJordan/cifar10-airbench).
"""

from typing import Any

import keras
from keras import ops

from recipes.devices.keras_fixes import saved_as_stock


def muon(rate: Any, momentum: float, bias_rate: float, weight_decay: float) -> keras.optimizers.Optimizer:
    """Returns Muon for the kernels of convolutions, and SGD for biases, batch norm and dense layers.

    Args:
        rate: The learning rate of kernels, a share of each kernel's norm, or its schedule.
        momentum: Nesterov's, of both, in [0, 1).
        bias_rate: SGD's rate, times the learning rate.
        weight_decay: Share of what SGD updates that is taken off per step, times the learning rate; the norms of
            kernels are set.
    """
    return Muon(
        rate,
        momentum=momentum,
        ns_steps=3,
        weight_decay=None,
        adam_lr_ratio=bias_rate,
        adam_weight_decay=weight_decay,
    )


@saved_as_stock(keras.optimizers.Muon)
class Muon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions, (h, w, C, filters), as matrices (h w C, filters); SGD for all else.

    Keras's takes dense layers' matrices alone, and AdamW for all else: its arguments `adam_lr_ratio` and
    `adam_weight_decay` are SGD's here. A saved model has Keras's in its place, which would train on otherwise.
    Before each step a kernel's norm is set to sqrt(filters): batch normalisation takes any norm out again, and the step
    is the same share of it to the end.
    """

    def build(self, var_list: list[Any]) -> None:
        """Makes a momentum for each variable."""
        if not self.built:
            keras.optimizers.Optimizer.build(self, var_list)
            self.momentums = [self.add_variable_from_reference(each, name="momentum") for each in var_list]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes a step of one variable."""
        momentum = self.momentums[self._get_variable_index(variable)]
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(momentum, self.momentum * momentum + gradient)
        step = gradient + self.momentum * momentum  # Nesterov's
        if not self._should_use_adamw(variable):
            scale = variable.shape[-1] ** 0.5 / ops.norm(ops.reshape(variable, (-1,)))
            self.assign(variable, variable * scale - rate * orthogonal(step, self.ns_steps))
        else:
            self.assign_sub(variable, rate * self.adam_lr_ratio * step)

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4  # whose weight decay is `adam_weight_decay`


def orthogonal(kernel: Any, steps: int) -> Any:
    """Returns nearly the closest kernel (h, w, C, filters) whose matrix (h w C, filters) is orthogonal: U V' of U S V'.

    Each step of Newton and Schulz's takes every singular value s to a s + b s^3 + c s^5, which after three of them is
    between about 0.3 and 1.2 for all but the smallest. Jordan (2024), https://kellerjordan.github.io/posts/muon/
    The steps multiply X by polynomials of X X', which is small; these are multiplied first, and X by them once.
    """
    x = ops.reshape(kernel, (-1, kernel.shape[-1]))
    is_tall = x.shape[0] > x.shape[1]
    x = ops.transpose(x) if is_tall else x
    x = x / (ops.norm(x) + 1e-7)
    square = ops.matmul(x, ops.transpose(x))
    product = same = ops.eye(x.shape[0], dtype=x.dtype)
    for _ in range(steps):
        factor = 3.4445 * same - 4.7750 * square + 2.0315 * ops.matmul(square, square)
        product = ops.matmul(factor, product)
        square = ops.matmul(ops.matmul(factor, square), factor)  # of the next x, which is factor x
    x = ops.matmul(product, x)
    return ops.reshape(ops.transpose(x) if is_tall else x, kernel.shape)
