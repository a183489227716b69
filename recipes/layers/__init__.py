"""Keras layers that several recipes are built of."""
