"""Keras layers that recipes are built of."""

from recipes.layers.attention import MultiHeadAttention, causal_mask
from recipes.layers.looking import LookingLSTM
from recipes.layers.positions import PositionEmbedding, sinusoids
from recipes.layers.recurrent import AttentionLSTM
from recipes.layers.transformer import TransformerBlock

__all__ = [
    "AttentionLSTM",
    "LookingLSTM",
    "MultiHeadAttention",
    "PositionEmbedding",
    "TransformerBlock",
    "causal_mask",
    "sinusoids",
]
