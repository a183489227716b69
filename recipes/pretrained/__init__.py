"""Pretrained encoders, and a disk cache of their features."""
