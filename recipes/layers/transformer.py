"""A block of a Transformer: attention and a two-layer network, each with a residual connection and normalisation."""

from typing import Any

import keras

from recipes.layers.attention import MultiHeadAttention, causal_mask, normal


@keras.saving.register_keras_serializable("recipes")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, attention to a memory where there is one, and a feed-forward network.

    Vaswani et al. (2017), figure 1: the encoder's block, and with `cross` the decoder's. With `norm_first` each part
    normalises what it reads, as in GPT-2, and not what it has added to.

    Args:
        num_heads: H, of each attention.
        ff_dim: Hidden units of the feed-forward network, section 3.3.
        dropout: Share dropped of weights of attention and of what each part adds, section 5.4.
        activation: Of the hidden units.
        norm_first: Whether to normalise before each part.
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
        norm_first: bool = False,
        causal: bool = False,
        cross: bool = False,
        init_scale: float | None = None,
        output_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        ]
        first, last = map(normal, scales)
        self.hidden = keras.layers.Dense(own["ff_dim"], own["activation"], kernel_initializer=first, dtype=dtype)
        self.output_layer = keras.layers.Dense(shape[-1], kernel_initializer=last, dtype=dtype)
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype) for _ in range(2 + own["cross"])]
        self.dropout = keras.layers.Dropout(own["dropout"], dtype=dtype)
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
        """Returns (B, T, D) and the weights of each attention, (B, H, T, S) float32.

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
        source = self._read(x, 0)
        added, weights = self.attentions[0](source, source, attention_mask, training=training)
        x, seen = self._add(x, added, 0, training), [weights]
        if self.settings["cross"]:
            added, weights = self.attentions[1](self._read(x, 1), memory, memory_attention_mask, training=training)
            x, seen = self._add(x, added, 1, training), [*seen, weights]
        return self._feed_forward(x, training), seen

    def fill(self, x: Any, length: int) -> tuple[Any, Any]:
        """Returns ((B, T, D), a cache of these positions with room for `length`), for `step` to go on with."""
        keys_and_values = keras.ops.stack(self.attentions[0].project(self._read(x, 0)), axis=1)  # (B, 2, H, T, D / H)
        cache = keras.ops.pad(keys_and_values, [[0, 0]] * 3 + [[0, length - x.shape[1]], [0, 0]])
        return self(x)[0], cache

    def step(
        self, x: Any, cache: Any, place: Any, attention_mask: Any, memory: Any = None, memory_attention_mask: Any = None
    ) -> tuple[Any, Any]:
        """Returns ((B, 1, D), the cache with this position in it).

        Args:
            x: (B, 1, D): one position.
            cache: Keys and values of the positions before it: (B, 2, H, T, D / H).
            place: Scalar int: which position it is.
            attention_mask: (1, 1, 1, T) bool: which positions there are.
            memory: Keys and values of the memory, (B, 2, H, S, D / H), with `cross`.
            memory_attention_mask: Where a position may look in the memory.
        """
        source = self._read(x, 0)
        here = keras.ops.stack(self.attentions[0].project(source), axis=1)  # (B, 2, H, 1, D / H)
        places = keras.ops.arange(cache.shape[3])[:, None]
        cache = keras.ops.where(places == place, here, cache)  # not slice_update, which only XLA can serve
        added, _ = self.attentions[0].attend(source, cache[:, 0], cache[:, 1], attention_mask)
        x = self._add(x, added, 0, False)
        if memory is not None:
            added, _ = self.attentions[1].attend(self._read(x, 1), memory[:, 0], memory[:, 1], memory_attention_mask)
            x = self._add(x, added, 1, False)
        return self._feed_forward(x, False), cache

    def _feed_forward(self, x: Any, training: bool) -> Any:
        return self._add(x, self.output_layer(self.hidden(self._read(x, -1))), -1, training)

    def _read(self, x: Any, part: int) -> Any:
        return self.norms[part](x) if self.settings["norm_first"] else x

    def _add(self, x: Any, added: Any, part: int, training: bool) -> Any:
        x = x + self.dropout(added, training=training)
        return x if self.settings["norm_first"] else self.norms[part](x)

    def compute_output_spec(self, x: Any, *_: Any, **__: Any) -> Any:
        """Returns the shapes and dtypes of what `call` returns."""
        weights = keras.KerasTensor((x.shape[0], self.num_heads, x.shape[1], None), "float32")
        return keras.KerasTensor(x.shape, self.compute_dtype), [weights] * (1 + self.settings["cross"])

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {**super().get_config(), **self.settings}
