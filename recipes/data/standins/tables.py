"""A generated table of features and a number, whose best possible predictions are known."""

import numpy as np

from recipes.data.in_memory import Arrays

NOISE = 1.0  # deviation of what no model can predict: the best RMSE, and the best NLL is log(NOISE) + 1.4189
SPLITS = 20


def friedman(examples: int = 1000, seed: int = 0) -> Arrays:
    """Returns Friedman's first function of ten numbers in [0, 1], five of which say nothing, with noise of N(0, 1).

        y = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 + noise

    Friedman (1991), "Multivariate adaptive regression splines", section 4.3, https://doi.org/10.1214/aos/1176347963.

    Args:
        examples: How many.
        seed: The same seed gives the same table.

    Returns:
        The columns features (N, 10) float32, y (N,) float32, and whether a row is in the test part of each of 20
        splits, (N, 20) bool, a tenth of the rows each.
    """
    random = np.random.default_rng(seed)
    x = random.uniform(size=(examples, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y += NOISE * random.standard_normal(examples)
    is_test = np.zeros((examples, SPLITS), bool)
    for split in range(SPLITS):
        is_test[random.permutation(examples)[: examples // 10], split] = True
    return Arrays((x.astype(np.float32), y.astype(np.float32), is_test), task="regression")
