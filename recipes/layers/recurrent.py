"""Recurrent layers whose training step does in one matrix product what can be done in one.

    h_t = f(W x_t + b + R h_t-1)

Keras multiplies W into x_t step by step, and adds up the gradients of W, R and b step by step. But of a step R h_t-1
alone needs the step before. So here the products of W with all steps are one, before the loop; going back, the loop
makes the gradients a_t of what f is applied to, and no more; and the gradients of the kernels, sum_t x_t a_t^T and
sum_t h_t-1 a_t^T, are one product each, after the loop.

The layers have Keras's weights and results, and are saved as Keras's. They differ in training on a processor, and
leave the rest to Keras: a GPU has cuDNN, and what is exported is made of Keras's own operations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from recipes.devices.keras_fixes import FASTER, saved_as_stock
from recipes.devices.replicas import on_processor

# ---------------------------------------------------------------- layers


class _OneProduct:
    """What the three layers share: one product before the loop that `_recur` makes."""

    cell: Any
    compute_dtype: str
    go_backwards: bool
    unroll: bool
    zero_output_for_mask: bool

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> tuple[Any, Any, Any]:
        """Returns the last output, the output of each step, and the last state; see `keras.layers.RNN`."""
        if not (training and self._is_plain() and on_processor()):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)  # type: ignore[misc]
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        sequences = tf.transpose(sequences, (1, 0, 2))  # (T, B, D)
        mask = tf.transpose(tf.cast(mask, tf.bool))[..., None] if mask is not None else None  # (T, B, 1)
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, [0]), tf.reverse(mask, [0]) if mask is not None else None
        weights = [self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias]
        weights = [keras.ops.cast(weight, self.compute_dtype) for weight in weights]
        dtype = tf.float64 if self.compute_dtype == "float64" else tf.float32  # states are added to, step by step
        initial_state = [tf.cast(state, dtype) for state in keras.tree.flatten(initial_state)]
        outputs, *states = self._recur(sequences, weights, initial_state, mask)
        if mask is not None:  # an output is repeated where there is padding, or 0, as it is before the first
            has_output = mask if self.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32)) > 0
            outputs = tf.where(has_output, outputs, tf.zeros((), dtype))
        outputs = tf.cast(outputs, self.compute_dtype)
        return outputs[-1], tf.transpose(outputs, (1, 0, 2)), states

    def _is_plain(self) -> bool:
        """Returns whether the layer is what `_recur` computes."""
        cell = self.cell
        plain = cell.activation is keras.activations.tanh and cell.use_bias
        gates = getattr(cell, "recurrent_activation", keras.activations.sigmoid) is keras.activations.sigmoid
        others = self.unroll or cell.dropout or cell.recurrent_dropout or getattr(self, "use_cudnn", None) is True
        return plain and gates and getattr(cell, "reset_after", True) and not others

    def _recur(self, x: Any, weights: list[Any], initial_state: Any, mask: Any) -> Sequence[Any]:
        """Returns h of each step, (T, B, U), and the last states.

        Args:
            x: (T, B, D).
            weights: Kernel, recurrent kernel and bias.
            initial_state: (B, U) each.
            mask: (T, B, 1) bool, False where the state stays as it is; or None.
        """
        raise NotImplementedError


@saved_as_stock(keras.layers.LSTM)
class LSTM(_OneProduct, keras.layers.LSTM):
    """Keras's layer: (B, T, D) to (B, T, U), or the last (B, U). Hochreiter and Schmidhuber (1997).

    Source: https://doi.org/10.1162/neco.1997.9.8.1735
    """

    def _recur(self, x: Any, weights: list[Any], initial_state: Any, mask: Any) -> Sequence[Any]:
        kernel, recurrent_kernel, bias = (sigmoids_first(weight) for weight in weights)
        return lstm(product_of_all_steps(x, kernel, bias), recurrent_kernel, initial_state, mask)


@saved_as_stock(keras.layers.GRU)
class GRU(_OneProduct, keras.layers.GRU):
    """Keras's layer, likewise. Cho et al. (2014), https://arxiv.org/abs/1406.1078."""

    def _recur(self, x: Any, weights: list[Any], initial_state: Any, mask: Any) -> Sequence[Any]:
        kernel, recurrent_kernel, (bias, recurrent_bias) = weights[0], weights[1], tf.unstack(weights[2])
        return gru(product_of_all_steps(x, kernel, bias), recurrent_kernel, recurrent_bias, initial_state, mask)


@saved_as_stock(keras.layers.SimpleRNN)
class SimpleRNN(_OneProduct, keras.layers.SimpleRNN):
    """Keras's layer, likewise. Elman (1990), https://doi.org/10.1207/s15516709cog1402_1."""

    def _recur(self, x: Any, weights: list[Any], initial_state: Any, mask: Any) -> Sequence[Any]:
        kernel, recurrent_kernel, bias = weights
        return simple_rnn(product_of_all_steps(x, kernel, bias), recurrent_kernel, initial_state, mask)


@saved_as_stock(keras.layers.Bidirectional)
class Bidirectional(keras.layers.Bidirectional):
    """Keras's layer, which makes its two layers anew, from a description that names Keras's: here they are ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with keras.saving.custom_object_scope(FASTER):
            super().__init__(*args, **kwargs)


# ---------------------------------------------------------------- cells


def lstm(
    preactivations: Any, recurrent_kernel: Any, initial_state: Any, mask: Any = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns h of each step, (T, B, U), and the last h and c, (B, U).

    i, f, o = sigmoid(.), g = tanh(.) of a_t + R h_t-1;  c_t = f c_t-1 + i g,  h_t = o tanh(c_t)

    Args:
        preactivations: (T, B, 4 U): a_t = W x_t + b, in the order i, f, o, g.
        recurrent_kernel: (U, 4 U), likewise: R.
        initial_state: h and c before the first step, (B, U) each.
        mask: (T, B, 1) bool, False where the state stays as it is.
    """
    units = recurrent_kernel.shape[0]

    @tf.custom_gradient
    def recur(a: Any, kernel: Any, h_0: Any, c_0: Any) -> Any:
        def step(state: Any, a: Any, *real: Any) -> Any:
            gates, g = tf.split(a + product(state[0], kernel), [3 * units, units], -1)
            gates, g = tf.sigmoid(gates), tf.tanh(g)
            i, f, o = tf.split(gates, 3, -1)
            c = f * state[1] + i * g
            tanh_c = tf.tanh(c)
            h = o * tanh_c
            h, c = (tf.where(*real, new, old) if real else new for new, old in zip((h, c), state, strict=True))
            return (h, c), (h, gates, g, state[1], tanh_c)

        widths = (units, 3 * units, units, units, units)
        (outputs, *saved), (last_h, last_c) = loop(step, (h_0, c_0), (a, *optional(mask)), widths)
        h = stacked(outputs, a)

        def gradient(dh_outputs: Any, dh_last: Any, dc_last: Any) -> Any:
            transposed = tf.transpose(kernel)

            def step_back(state: Any, dh: Any, gates: Any, g: Any, c_before: Any, tanh_c: Any, *real: Any) -> Any:
                i, f, o = tf.split(gates, 3, -1)
                dh += state[0]
                dc = state[1] + gradient_of_tanh(tanh_c, dh * o)
                dgates = gradient_of_sigmoid(gates, tf.concat([dc * g, dc * c_before, dh * tanh_c], -1))
                da, dc_before = tf.concat([dgates, gradient_of_tanh(g, dc * i)], -1), dc * f
                if not real:
                    return (product(da, transposed), dc_before), (da,)
                da, dc_before = tf.where(*real, da, 0.0), tf.where(*real, dc_before, state[1])
                return (product(da, transposed) + tf.where(*real, 0.0, dh), dc_before), (da,)

            inputs = (dh_outputs, *saved, *optional(mask))
            (da,), (dh, dc) = loop(step_back, (dh_last, dc_last), inputs, (4 * units,), backwards=True)
            da = stacked(da, a)
            return da, sum_of_products(before(h_0, h), da, kernel.dtype), dh, dc

        return (h, last_h, last_c), gradient

    return recur(tf.cast(preactivations, initial_state[0].dtype), recurrent_kernel, *initial_state)


def gru(
    preactivations: Any, recurrent_kernel: Any, recurrent_bias: Any, initial_state: Any, mask: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns h of each step, (T, B, U), and the last h, (B, U).

    z, r = sigmoid(a_t + p_t),  n = tanh(a_t + r p_t),  p_t = R h_t-1 + b_R;  h_t = z h_t-1 + (1 - z) n

    Args:
        preactivations: (T, B, 3 U): a_t = W x_t + b, in the order z, r, n.
        recurrent_kernel: (U, 3 U), likewise: R.
        recurrent_bias: (3 U,), likewise: b_R.
        initial_state: h before the first step, (B, U), alone in a list.
        mask: (T, B, 1) bool, False where the state stays as it is.
    """
    units = recurrent_kernel.shape[0]

    @tf.custom_gradient
    def recur(a: Any, kernel: Any, bias: Any, h_0: Any) -> Any:
        def step(state: Any, a_gates: Any, a_n: Any, *real: Any) -> Any:
            p_gates, p_n = tf.split(product(state[0], kernel) + bias_of_state, [2 * units, units], -1)
            gates = tf.sigmoid(a_gates + p_gates)
            z, r = tf.split(gates, 2, -1)
            n = tf.tanh(a_n + r * p_n)
            h = z * state[0] + (1 - z) * n
            h = tf.where(*real, h, state[0]) if real else h
            return (h,), (h, gates, n, p_n, state[0])

        bias_of_state = tf.cast(bias, a.dtype)
        widths = (units, 2 * units, units, units, units)
        inputs = (*tf.split(a, [2 * units, units], -1), *optional(mask))
        (outputs, *saved), (last_h,) = loop(step, (h_0,), inputs, widths)
        h = stacked(outputs, a)

        def gradient(dh_outputs: Any, dh_last: Any) -> Any:
            transposed = tf.transpose(kernel)

            def step_back(state: Any, dh: Any, gates: Any, n: Any, p_n: Any, h_before: Any, *real: Any) -> Any:
                z, r = tf.split(gates, 2, -1)
                dh += state[0]
                dn = gradient_of_tanh(n, dh * (1 - z))
                dgates = gradient_of_sigmoid(gates, tf.concat([dh * (h_before - n), dn * p_n], -1))
                dp, dh_before = tf.concat([dgates, dn * r], -1), dh * z
                if real:
                    dp, dn, dh_before = (
                        tf.where(*real, dp, 0.0),
                        tf.where(*real, dn, 0.0),
                        tf.where(*real, dh_before, dh),
                    )
                return (product(dp, transposed) + dh_before,), (dp, dn)

            inputs, widths = (dh_outputs, *saved, *optional(mask)), (3 * units, units)
            (dp, dn), (dh,) = loop(step_back, (dh_last,), inputs, widths, backwards=True)
            dp = stacked(dp, a)
            da = tf.concat([dp[..., : 2 * units], stacked(dn, a)], -1)
            dbias = tf.cast(tf.reduce_sum(dp, (0, 1)), bias.dtype)
            return da, sum_of_products(before(h_0, h), dp, kernel.dtype), dbias, dh

        return (h, last_h), gradient

    return recur(tf.cast(preactivations, initial_state[0].dtype), recurrent_kernel, recurrent_bias, *initial_state)


def simple_rnn(
    preactivations: Any, recurrent_kernel: Any, initial_state: Any, mask: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns h_t = tanh(a_t + R h_t-1) of each step, (T, B, U), and the last, (B, U).

    Args:
        preactivations: (T, B, U): a_t = W x_t + b.
        recurrent_kernel: (U, U): R.
        initial_state: h before the first step, (B, U), alone in a list.
        mask: (T, B, 1) bool, False where the state stays as it is.
    """
    units = recurrent_kernel.shape[0]

    @tf.custom_gradient
    def recur(a: Any, kernel: Any, h_0: Any) -> Any:
        def step(state: Any, a: Any, *real: Any) -> Any:
            h = tf.tanh(a + product(state[0], kernel))
            h = tf.where(*real, h, state[0]) if real else h
            return (h,), (h,)

        (outputs,), (last_h,) = loop(step, (h_0,), (a, *optional(mask)), (units,))
        h = stacked(outputs, a)

        def gradient(dh_outputs: Any, dh_last: Any) -> Any:
            transposed = tf.transpose(kernel)

            def step_back(state: Any, dh: Any, h: Any, *real: Any) -> Any:
                dh += state[0]
                da = gradient_of_tanh(h, dh)
                if not real:
                    return (product(da, transposed),), (da,)
                da = tf.where(*real, da, 0.0)
                return (product(da, transposed) + tf.where(*real, 0.0, dh),), (da,)

            inputs = (dh_outputs, outputs, *optional(mask))
            (da,), (dh,) = loop(step_back, (dh_last,), inputs, (units,), backwards=True)
            da = stacked(da, a)
            return da, sum_of_products(before(h_0, h), da, kernel.dtype), dh

        return (h, last_h), gradient

    return recur(tf.cast(preactivations, initial_state[0].dtype), recurrent_kernel, *initial_state)


def lstm_state(gates: Any, cell: Any) -> tuple[Any, Any]:
    """Returns h_t and c_t, (B, U).

    Args:
        gates: (B, 4 U): i, f, g and o, in Keras's order, before their sigmoids and tanh.
        cell: (B, U): c_t-1.
    """
    i, f, g, o = keras.ops.split(gates, 4, -1)
    cell = keras.ops.sigmoid(f) * cell + keras.ops.sigmoid(i) * keras.ops.tanh(g)
    return keras.ops.sigmoid(o) * keras.ops.tanh(cell), cell


def gradients_after_loop(preactivations: Any, kernels: Sequence[Any], inputs: Callable[[], Sequence[Any]]) -> tf.Tensor:
    """Returns the preactivations a_t, (T, B, N), as they are; their gradient makes that of kernels in a loop, too.

    In the loop stands a_t + x_t W with `stop_gradient` of W. The gradient of a_t is that of the sum, so W's is
    sum_t x_t da_t^T: one product after the loop, where TensorFlow makes T products and adds them up.

    Args:
        preactivations: (T, B, N).
        kernels: (D, N) each: W.
        inputs: Returns (T, B, D) for each kernel: x_t. It is called when the loop is over.
    """

    @tf.custom_gradient
    def unchanged(a: Any, *kernels: Any) -> Any:
        def gradient(da: Any) -> Any:
            return da, *(sum_of_products(x, da, kernel.dtype) for x, kernel in zip(inputs(), kernels, strict=True))

        return tf.identity(a), gradient

    return unchanged(preactivations, *kernels)


# ---------------------------------------------------------------- parts


def loop(
    step: Callable[..., Any],
    state: tuple[Any, ...],
    inputs: tuple[Any, ...],
    widths: tuple[int, ...],
    backwards: bool = False,
) -> tuple[tuple[tf.TensorArray, ...], tuple[Any, ...]]:
    """Returns the outputs of each step and the last state.

    Args:
        step: (state, an input of this step each) -> (the next state, the outputs of this step).
        state: Before the first step, (B, ...) each.
        inputs: (T, B, ...) each, or a TensorArray of T; the first a tensor.
        widths: Of the outputs, (B, width) each.
        backwards: Whether to begin with the last step.
    """
    length, batch, dtype = tf.shape(inputs[0])[0], inputs[0].shape[1], state[0].dtype
    state = tuple(tf.ensure_shape(part, (batch, *part.shape[1:])) for part in state)
    readers = [x if isinstance(x, tf.TensorArray) else array_of(x, length) for x in inputs]
    writers = tuple(
        tf.TensorArray(dtype, length, element_shape=(batch, width), clear_after_read=False) for width in widths
    )

    def body(count: Any, writers: Any, *state: Any) -> Any:
        place = length - 1 - count if backwards else count
        next_state, outputs = step(state, *(reader.read(place) for reader in readers))
        writers = tuple(writer.write(place, output) for writer, output in zip(writers, outputs, strict=True))
        return (count + 1, writers, *next_state)

    _, writers, *last = tf.while_loop(lambda count, *_: count < length, body, (0, writers, *state))
    return writers, tuple(last)


def array_of(x: Any, length: Any) -> tf.TensorArray:
    """Returns the steps of (T, B, ...)."""
    return tf.TensorArray(x.dtype, length, element_shape=x.shape[1:]).unstack(x)


def stacked(steps: tf.TensorArray, like: Any) -> tf.Tensor:
    """Returns the steps in one tensor, (T, B, width), of as many steps and rows as another has."""
    return tf.ensure_shape(steps.stack(), (*like.shape[:2], None))


def gradient_of_sigmoid(y: Any, dy: Any) -> tf.Tensor:
    """Returns dy y (1 - y), the gradient in x of y = sigmoid(x), in one operation."""
    return tf.raw_ops.SigmoidGrad(y=y, dy=dy)


def gradient_of_tanh(y: Any, dy: Any) -> tf.Tensor:
    """Returns dy (1 - y^2), the gradient in x of y = tanh(x), in one operation."""
    return tf.raw_ops.TanhGrad(y=y, dy=dy)


def product_of_all_steps(x: Any, kernel: Any, bias: Any) -> tf.Tensor:
    """Returns x W + b, (T, B, D) to (T, B, U), as one product of two matrices, which is faster than T of them."""
    rows = tf.nn.bias_add(tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel), bias)
    return tf.reshape(rows, tf.concat([tf.shape(x)[:2], [kernel.shape[-1]]], 0))


def sum_of_products(x: Any, gradients: Any, dtype: Any) -> tf.Tensor:
    """Returns sum_tb x_tb gradients_tb^T, (D, U), of (T, B, D) and (T, B, U): the gradient of a kernel."""
    x, gradients = (tf.cast(tf.reshape(part, (-1, part.shape[-1])), dtype) for part in (x, gradients))
    return tf.matmul(x, gradients, transpose_a=True)


def product(x: Any, kernel: Any) -> tf.Tensor:
    """Returns x W in the dtype of x, multiplied in that of W."""
    return tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel), x.dtype)


def before(first: Any, states: Any) -> tf.Tensor:
    """Returns the state before each step, (T, B, U): `first`, and all but the last."""
    return tf.concat([first[None], states[:-1]], 0)


def optional(part: Any) -> tuple[Any, ...]:
    """Returns a tuple of it, of nothing where it is None."""
    return () if part is None else (part,)


def sigmoids_first(weight: Any) -> tf.Tensor:
    """Returns the gates of an LSTM's weight in the order i, f, o, g: Keras has i, f, g, o along its last axis."""
    i, f, g, o = tf.split(weight, 4, -1)
    return tf.concat([i, f, o, g], -1)
