"""Devices, precision and distribution strategies."""
