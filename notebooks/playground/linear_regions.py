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
# # Linear regions, and what depth is good for
#
# A network of ReLUs is piecewise linear: where no unit changes between "on" and "off", it is a linear function. The
# more such regions, the more complicated a function can be. One hidden layer of $n$ units has at most $n + 1$ regions
# on a line, for each unit changes at one point. Layers on layers can **fold** the line, and each fold doubles what
# comes after: Montúfar et al. (2014), https://arxiv.org/abs/1402.1869, and Telgarsky (2016),
# https://arxiv.org/abs/1602.04485.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

# %% [markdown]
# ## Counting
# On a line, regions can be counted exactly. A network is a list of $(W, b)$. `knots` are the points where the function
# bends; between two of them everything is linear, so a unit that is negative at one and positive at the other crosses 0
# at a point that a rule of three gives. There, knots are added, layer by layer.


# %%
def knots_and_values(layers, start=0.0, end=1.0):
    """Returns the K points of [start, end] between which the network is linear, and its outputs there, (K, outputs)."""
    knots = np.array([start, end])
    h = knots[:, None]
    for W, b in layers[:-1]:
        z = h @ W + b  # (K, units)
        before, after = z[:-1], z[1:]
        crossing = before * after < 0
        share = np.where(crossing, before / np.where(crossing, before - after, 1), 0)
        found = (knots[:-1, None] + share * np.diff(knots)[:, None])[crossing]
        refined = np.unique(np.concatenate([knots, found]))
        z = np.stack([np.interp(refined, knots, unit) for unit in z.T], 1)
        z[np.abs(z) < 1e-9] = 0  # where a unit changes it is 0, but for rounding
        knots, h = refined, np.maximum(0, z)
    W, b = layers[-1]
    return knots, h @ W + b


def count_regions(layers):
    """Returns the number of pieces with different slopes of a network's first output on [0, 1]."""
    knots, values = knots_and_values(layers)
    slopes = np.diff(values[:, 0]) / np.diff(knots)
    return 1 + np.count_nonzero(np.abs(np.diff(slopes)) > 1e-6 * np.abs(slopes).max())


# %% [markdown]
# ## Folding
# Two units make a tent: $t(x) = 2 \max(0, x) - 4 \max(0, x - ½)$ goes from 0 up to 1 and back to 0. Of a tent of a
# tent, each half is a whole tent. $L$ layers of two units have $2^L$ regions; a single layer needs $2^L - 1$ units
# for as many.

# %%
into, out, shift = np.ones((1, 2)), np.array([[2.0], [-4.0]]), np.array([0.0, -0.5])


def folded(depth):
    """Returns the network of `depth` tents, one in the other."""
    return [(into, shift)] + [(out @ into, shift)] * (depth - 1) + [(out, np.zeros(1))]


depths = range(1, 9)
folded_regions = [count_regions(folded(depth)) for depth in depths]
for depth, regions in zip(depths, folded_regions):
    print(f"{depth} layers of 2 units: {regions} regions; one layer of {2 * depth} units: at most {2 * depth + 1}")

# %%
figure, panels = plt.subplots(1, 4, figsize=(12, 2.5), sharey=True, layout="constrained")
for panel, depth in zip(panels, (1, 2, 3, 5)):
    knots, values = knots_and_values(folded(depth))
    panel.plot(knots, values[:, 0])
    panel.set(title=f"{depth} layer{'s' * (depth > 1)}", xlabel="x")
panels[0].set_ylabel("network's output")
plt.show()

# %% [markdown]
# ## What random networks do
# 64 units in 1, 2, 4 or 8 layers, with the weights that training begins with (He et al. 2015,
# https://arxiv.org/abs/1502.01852) and small random biases. Does depth multiply the regions?


# %%
def random_network(generator, depth, width):
    """Returns a network of random weights, 1 -> width -> ... -> width -> 1."""
    sizes = [1] + [width] * depth + [1]
    return [
        (generator.normal(size=(m, n)) * np.sqrt(2 / m), generator.normal(size=n) * 0.3) for m, n in pairwise(sizes)
    ]


generator = np.random.default_rng(0)
shapes = [(1, 64), (2, 32), (4, 16), (8, 8)]
random_regions = [
    [count_regions(random_network(generator, depth, width)) for _ in range(40)] for depth, width in shapes
]
for (depth, width), counts in zip(shapes, random_regions):
    print(f"{depth} x {width:>2} units: {np.mean(counts):5.1f} regions on average, {max(counts)} at most")

# %%
plt.figure(figsize=(6, 4))
plt.semilogy([2 * depth for depth in depths], folded_regions, marker="o", label="folded, 2 units a layer")
plt.semilogy(
    [2 * depth for depth in depths], [2 * depth + 1 for depth in depths], marker="o", label="one layer, at most"
)
plt.semilogy([64] * 4, [np.mean(counts) for counts in random_regions], "x", label="random: 1, 2, 4, 8 layers")
plt.xlabel("hidden units")
plt.ylabel("linear regions on [0, 1]")
plt.legend()
plt.show()

# %% [markdown]
# They have about as many regions as a flat network, or fewer: far from the exponential number that is possible. Hanin
# and Rolnick (2019), https://arxiv.org/abs/1901.09021, prove it of random weights: the average grows with the number of
# *units*, whatever the depth. What depth can represent is one thing, what a network has when training starts another.
#
# ## In the plane
# Each colour is a pattern of units that are on: regions of a network of three layers of 12 units.

# %%
generator = np.random.default_rng(3)
points = np.stack(np.meshgrid(np.linspace(-1, 1, 400), np.linspace(-1, 1, 400)), -1).reshape(-1, 2)
h, pattern = points, []
for m, n in ((2, 12), (12, 12), (12, 12)):
    h = np.maximum(0, h @ (generator.normal(size=(m, n)) * np.sqrt(2 / m)) + generator.normal(size=n) * 0.3)
    pattern.append(h > 0)
patterns, region = np.unique(np.concatenate(pattern, 1), axis=0, return_inverse=True)
print(len(patterns), "regions are seen in this square")
colours = np.random.default_rng(0).permutation(len(patterns))
plt.figure(figsize=(5, 5))
plt.imshow(colours[region.ravel()].reshape(400, 400), cmap="nipy_spectral", extent=(-1, 1, -1, 1), origin="lower")
plt.xlabel("$x_1$")
plt.ylabel("$x_2$")
plt.show()

# %% [markdown]
# ## Change one thing and see
# Add noise of 0.01 to the weights of `folded(8)`: how many regions are left? Which borders in the plane are straight
# throughout, and in which layer are the units that they belong to?
