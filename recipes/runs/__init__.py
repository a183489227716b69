"""A run on disk: its folder, checkpoints, resuming, progress and report."""
