"""Scaled dot-product attention in several heads. Vaswani et al. (2017), https://arxiv.org/abs/1706.03762."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from recipes.errors import ConfigError
from recipes.layers.dropout import Dropout


@keras.saving.register_keras_serializable("recipes")
class MultiHeadAttention(keras.layers.Layer):
    """softmax(Q K^T / sqrt(D / N)) V in each of N heads: sections 3.2.1 and 3.2.2. shakespeare_gpt has it written out.

    Args:
        num_heads: N; the width D of the queries must be a multiple of it.
        dropout: Share of the weights dropped in training.
        init_scale: Standard deviation of the projections' first weights; None: Glorot and Bengio's.
        output_scale: That of the last of the four, W_O, where it is another.
    """

    def __init__(
        self,
        num_heads: int,
        dropout: float = 0.0,
        init_scale: float | None = None,
        output_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.rate, self.init_scale, self.output_scale = num_heads, dropout, init_scale, output_scale
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)

    def build(self, query_shape: Any, *_: Any) -> None:
        """Makes the four projections, W_Q, W_K, W_V and W_O."""
        width = query_shape[-1]
        if width % self.num_heads:
            raise ConfigError(f"embed_dim={width} cannot be shared by num_heads={self.num_heads}; expected a multiple")
        self.scale = (width // self.num_heads) ** -0.5
        for name in ("query", "key", "value", "output"):
            scale = self.output_scale if name == "output" and self.output_scale else self.init_scale
            biased = name != "key"  # it would add the same to all scores of a query, which a softmax does not see
            projection = keras.layers.Dense(
                width, use_bias=biased, kernel_initializer=normal(scale), name=name, dtype=self.dtype_policy
            )
            setattr(self, f"{name}_projection", projection)
            projection.build((*query_shape[:-1], width))

    def call(self, query: Any, memory: Any, attention_mask: Any = None, training: bool = False) -> tuple[Any, Any]:
        """Returns (B, T, D) and the weights, (B, N, T, S) float32, which add up to one over S.

        Args:
            query: (B, T, D).
            memory: (B, S, D), which keys and values are made of; `query` itself for self-attention.
            attention_mask: Bool that fits (B, 1, T, S), True where a query may look; None: everywhere.
            training: Whether weights are dropped.
        """
        return self.attend(query, *self.project(memory), attention_mask, training)

    def project(self, memory: Any) -> tuple[Any, Any]:
        """Returns the keys and values of (B, S, D), each (B, N, S, D / N): what a cache keeps."""
        return self._split(self.key_projection(memory)), self._split(self.value_projection(memory))

    def attend(
        self, query: Any, keys: Any, values: Any, attention_mask: Any = None, training: bool = False
    ) -> tuple[Any, Any]:
        """Returns what `call` does, of keys and values that `project` has made."""
        queries = self._split(self.query_projection(query) * self.scale)  # (B, N, T, D / N)
        scores = tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32)  # equation 1
        if attention_mask is not None:
            scores += tf.where(attention_mask, 0.0, -1e9)  # not infinite: where none may be looked at, all are alike
        weights = tf.nn.softmax(scores)
        if training:  # a gradient that is written out does not go into other formats
            factors = self.dropout.factors(tf.shape(scores), values.dtype) if self.rate else None
            context = weighted_average(scores, values, factors)
        else:
            context = tf.matmul(tf.cast(weights, values.dtype), values)
        batch, _, length, _ = ops.shape(context)
        joined = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (batch, length, query.shape[-1]))
        return self.output_projection(joined), weights

    def _split(self, x: Any) -> Any:
        """Returns (B, S, D) as (B, N, S, D / N)."""
        batch, length, width = ops.shape(x)[0], ops.shape(x)[1], x.shape[-1]
        return ops.transpose(ops.reshape(x, (batch, length, self.num_heads, width // self.num_heads)), (0, 2, 1, 3))

    def compute_output_spec(self, query: Any, memory: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Returns the shapes and dtypes of what `call` returns."""
        weights = (query.shape[0], self.num_heads, query.shape[1], memory.shape[1])
        return keras.KerasTensor(query.shape, self.compute_dtype), keras.KerasTensor(weights, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        own = {"num_heads": self.num_heads, "dropout": self.rate}
        return {**super().get_config(), **own, "init_scale": self.init_scale, "output_scale": self.output_scale}


def weighted_average(scores: tf.Tensor, values: tf.Tensor, factors: tf.Tensor | None = None) -> tf.Tensor:
    """Returns softmax(scores) V, (B, N, T, d), or (softmax(scores) * factors) V.

    Args:
        scores: (B, N, T, S) float32.
        values: (B, N, S, d).
        factors: (B, N, T, S) in the values' dtype: 0 for weights that are dropped.

    Its gradient is written out, for (B, N, T, S) is by far the largest tensor of a layer: it takes three passes over
    it where the derivatives of each operation take eight. With weights P = softmax(scores), P' = P * factors, the
    context C = P' V and gradients d:

        dP' = dC V^T,   dV = P'^T dC,   dscores = P * (dP - sum_s P dP) = P' * dP' - P * sum_d C dC

    for dP = dP' * factors, and sum_s P dP = sum_s P' dP' = sum_s P' (dC V^T) = sum_d C dC: Dao et al. (2022),
    https://arxiv.org/abs/2205.14135, appendix B.2.
    """

    @tf.custom_gradient
    def average(scores: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, Any]:
        weights = tf.nn.softmax(scores)  # P, (B, N, T, S) float32
        dropped = tf.cast(weights, values.dtype)
        if factors is not None:
            dropped *= factors
        context = tf.matmul(dropped, values)  # (B, N, T, d)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_dropped = tf.matmul(upstream, values, transpose_b=True)
            sums = tf.reduce_sum(tf.cast(upstream, tf.float32) * tf.cast(context, tf.float32), -1, keepdims=True)
            if factors is None:
                of_scores = weights * (tf.cast(of_dropped, tf.float32) - sums)
            else:
                of_scores = tf.cast(dropped * of_dropped, tf.float32) - weights * sums
            return of_scores, tf.matmul(dropped, upstream, transpose_a=True)

        return context, gradient

    return average(scores, values)


def normal(scale: float | None) -> Any:
    """Returns the initializer of a standard deviation; None: Glorot and Bengio's."""
    return keras.initializers.RandomNormal(stddev=scale) if scale else "glorot_uniform"


def causal_mask(length: Any) -> Any:
    """Returns (1, 1, T, T) bool: position t may look at t and what comes before it, section 3.2.3."""
    places = ops.arange(length)
    return (places[:, None] >= places)[None, None]
