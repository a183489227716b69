# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What should stand left of what
#
# A set has no order. A small network compares its elements in pairs: $C_{ij} = f(x_i, x_j) - f(x_j, x_i)$ is what it
# costs that $i$ stands left of $j$. How much of each element stands at each position, $P$, is found by a few steps down
# the gradient of the cost of all pairs,
#
# $$\frac{\partial c}{\partial P_{pq}} = 2 \sum_j C_{pj} \Big( \sum_{k > q} P_{jk} - \sum_{k < q} P_{jk} \Big)$$
#
# and the network learns through these steps, from sets and the same sets in order.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from recipes import set_permutation
from recipes.kinds.permutation import asked_of, by_position, hungarian, permutations_of

model = set_permutation.fit(set_size=6, max_examples=10_000, batch_size=64)
set_permutation.evaluate(model)

# %% [markdown]
# ## Look at the results
# It was trained on numbers in [0, 1). Sets of another size, and of any numbers:

# %%
for answer in set_permutation.predict([[3, 1, 2], [1000.5, 1000.25, 1000.75, 1000], [-7, 40, 0, 2, -30, 5, 11]], model):
    print(answer["ordered"], "by the indices", answer["indices"])

# %% [markdown]
# The costs of one set, in the order of its numbers, and $P$ before the first step and after each: how much of each
# number (row) stands at each position (column).

# %%
plt.figure(figsize=(14, 3))
plt.imshow(plt.imread(model.run.folder / "permutation.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## An order out of a permutation that is none yet
# $P$ stays soft. The largest element of each position is often the same for two positions; the Hungarian algorithm
# gives each element one position, so that as much of $P$ as can be is kept. What an exported model does without it, the
# order of the expected positions, does as well here.

# %%
sets = np.random.default_rng(0).uniform(size=(1000, 15))  # of more numbers than in training
P = permutations_of(asked_of(model), sets)
orders = {
    "the largest": P.argmax(1),
    "Hungarian": hungarian(P),
    "expected position": by_position(tf.constant(P)).numpy(),
}
for name, order in orders.items():
    is_permutation = (np.sort(order, 1) == np.arange(15)).all(1)
    print(f"{name}: {(is_permutation & (order == np.argsort(sets, 1)).all(1)).mean():.1%} of the sets exactly right")

# %% [markdown]
# ## Tiles
# The same algorithm on a grid, with a cost of standing left and one of standing above. A few of scikit-learn's digits
# (for MNIST, and all of it: `set_permutation.fit(set_permutation.MOSAIC)`), cut into four tiles:

# %%
small = {"dataset": "digits", "tiles": 2, "filters": 16, "batch_size": 64, "epochs": 8, "learning_rate": 5e-3}
mosaic = set_permutation.fit(set_permutation.MOSAIC, **small)
plt.figure(figsize=(12, 4))
plt.imshow(plt.imread(mosaic.run.folder / "mosaics.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Change one thing and see
# Train with `standardize=False` on numbers in [0, 1), and ask it for numbers far below 0. Put the tiles together with
# `LINEAR`, where each tile says by itself where it belongs.
