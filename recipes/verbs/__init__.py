"""What every recipe can do: fit, load, evaluate, predict, tune, export, find_learning_rate."""
