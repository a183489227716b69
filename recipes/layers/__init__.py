"""Keras layers that two or more recipes need unchanged."""

from recipes.layers.attention import MultiHeadAttention, causal_mask
from recipes.layers.positions import PositionEmbedding, sinusoids
from recipes.layers.recurrent import AttentionLSTM
from recipes.layers.transformer import TransformerBlock

__all__ = ["AttentionLSTM", "MultiHeadAttention", "PositionEmbedding", "TransformerBlock", "causal_mask", "sinusoids"]
