"""What every recipe can do: fit, load, evaluate, predict, tune, export."""
