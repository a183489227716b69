"""Losses, metrics, optimizers and learning rates that several recipes share."""
