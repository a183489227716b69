"""A block of a Transformer: attention and a two-layer network, each with a residual connection and normalisation."""

from typing import Any

import keras

from recipes.errors import ConfigError
from recipes.layers.attention import MultiHeadAttention, causal_mask, normal
from recipes.layers.dropout import Dropout
from recipes.layers.layer_norm import LayerNormalization


@keras.saving.register_keras_serializable("recipes")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, attention to a memory where there is one, and a feed-forward network.

    Vaswani et al. (2017), figure 1: the encoder's block, and with `cross` the decoder's; but each part normalises what
    it reads, as in GPT-2, and not what it has added to.

    Args:
        num_heads: N, of each attention.
        ff_dim: Hidden units of the feed-forward network, section 3.3.
        dropout: Share dropped of weights of attention and of what each part adds, section 5.4.
        activation: Of the hidden units.
        norm_first: Of files of version 0.1; True.
        causal: Whether no position sees its future.
        cross: Whether there is a memory.
        init_scale: See `MultiHeadAttention`; also of the feed-forward network.
        output_scale: Of the layers whose output is added to what was there, where it is another.
    """

    def __init__(
        self,
        num_heads: int,
        ff_dim: int,
        dropout: float = 0.0,
        activation: str = "relu",
        norm_first: bool = True,
        causal: bool = False,
        cross: bool = False,
        init_scale: float | None = None,
        output_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not norm_first:
            raise ConfigError("norm_first=False is not there any more; expected True, normalisation before each part")
        self.settings: dict[str, Any] = {
            "num_heads": num_heads,
            "ff_dim": ff_dim,
            "dropout": dropout,
            "activation": activation,
            "norm_first": norm_first,
            "causal": causal,
            "cross": cross,
            "init_scale": init_scale,
            "output_scale": output_scale,
        }
        self.num_heads = num_heads

    def build(self, shape: Any, *_: Any) -> None:
        """Makes the parts."""
        own, dtype = self.settings, self.dtype_policy
        scales = own["init_scale"], own["output_scale"] or own["init_scale"]
        self.attentions = [
            MultiHeadAttention(own["num_heads"], own["dropout"], *scales, dtype=dtype) for _ in range(1 + own["cross"])
        ]  # to the sequence itself, and to the memory
        first, last = normal(scales[0]), normal(scales[1])
        self.hidden = keras.layers.Dense(own["ff_dim"], own["activation"], kernel_initializer=first, dtype=dtype)
        self.output_layer = keras.layers.Dense(shape[-1], kernel_initializer=last, dtype=dtype)
        self.norms = [LayerNormalization(epsilon=1e-5, dtype=dtype) for _ in range(2 + own["cross"])]
        self.dropout = Dropout(own["dropout"], dtype=dtype)
        for part in (*self.attentions, self.hidden, *self.norms):
            part.build(shape)
        self.output_layer.build((*shape[:-1], own["ff_dim"]))

    def call(
        self,
        x: Any,
        attention_mask: Any = None,
        memory: Any = None,
        memory_attention_mask: Any = None,
        training: bool = False,
    ) -> tuple[Any, list[Any]]:
        """Returns (B, T, D) and the weights of each attention, (B, N, T, S) float32.

        Args:
            x: (B, T, D).
            attention_mask: Where each position may look in x; see `MultiHeadAttention`.
            memory: (B, S, D), with `cross`.
            memory_attention_mask: Where each position may look in the memory.
            training: Whether to drop.
        """
        if self.settings["causal"]:
            past = causal_mask(keras.ops.shape(x)[1])
            attention_mask = past if attention_mask is None else past & attention_mask
        normalized = self.norms[0](x)
        context, weights = self.attentions[0](normalized, normalized, attention_mask, training=training)
        x, all_weights = x + self.dropout(context, training=training), [weights]
        if self.settings["cross"]:
            context, weights = self.attentions[1](self.norms[1](x), memory, memory_attention_mask, training=training)
            x = x + self.dropout(context, training=training)
            all_weights.append(weights)
        return self.feed_forward(x, training), all_weights

    def feed_forward(self, x: Any, training: bool = False) -> Any:
        """Returns x plus what the two-layer network makes of each position: section 3.3."""
        hidden = self.hidden(self.norms[-1](x))
        return x + self.dropout(self.output_layer(hidden), training=training)

    def fill(self, x: Any, length: int) -> tuple[Any, Any]:
        """Returns ((B, T, D), a cache of these positions with room for `length`), from which `step` continues."""
        keys_and_values = keras.ops.stack(self.attentions[0].project(self.norms[0](x)), axis=1)  # (B, 2, N, T, D / N)
        cache = keras.ops.pad(keys_and_values, [[0, 0]] * 3 + [[0, length - x.shape[1]], [0, 0]])
        return self(x)[0], cache

    def step(
        self,
        x: Any,
        cache: Any,
        position: Any,
        attention_mask: Any,
        memory: Any = None,
        memory_attention_mask: Any = None,
    ) -> tuple[Any, Any]:
        """Returns ((B, 1, D), the cache with this position in it).

        Args:
            x: (B, 1, D): one position.
            cache: Keys and values of the positions before it: (B, 2, N, T, D / N).
            position: Scalar int: which position it is.
            attention_mask: (1, 1, 1, T) bool: which positions there are.
            memory: Keys and values of the memory, (B, 2, N, S, D / N), with `cross`.
            memory_attention_mask: Where a position may look in the memory.
        """
        normalized = self.norms[0](x)
        keys_and_values = keras.ops.stack(self.attentions[0].project(normalized), axis=1)  # (B, 2, N, 1, D / N)
        positions = keras.ops.arange(cache.shape[3])[:, None]
        cache = keras.ops.where(positions == position, keys_and_values, cache)  # slice_update needs XLA to be served
        context, _ = self.attentions[0].attend(normalized, cache[:, 0], cache[:, 1], attention_mask)
        x = x + context
        if memory is not None:
            keys, values = memory[:, 0], memory[:, 1]
            context, _ = self.attentions[1].attend(self.norms[1](x), keys, values, memory_attention_mask)
            x = x + context
        return self.feed_forward(x), cache

    def compute_output_spec(self, x: Any, *_: Any, **__: Any) -> Any:
        """Returns the shapes and dtypes of what `call` returns."""
        weights = keras.KerasTensor((x.shape[0], self.num_heads, x.shape[1], None), "float32")
        return keras.KerasTensor(x.shape, self.compute_dtype), [weights] * (1 + self.settings["cross"])

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), **self.settings}
