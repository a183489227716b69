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
# # A line from a scatter plot
#
# The input is a picture of points that scatter around a line $y = m x + c$, the output are $m$ and $c$. Statistics
# does it by least squares; here a network sees nothing but pixels. Which layers suit the task?
#
# - **Dense**: a weight for each pixel and unit.
# - **Convolution and global pooling**: it finds patterns anywhere, and global pooling keeps whether, not *where*.
# - **The same with coordinates**: two more channels say for each pixel where it is. Liu et al. (2018), "An Intriguing
#   Failing of Convolutional Neural Networks and the CoordConv Solution", https://arxiv.org/abs/1807.03247.
#
# The exercise is from "Differentiable Programming" (COMP6248, Southampton).

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

SIDE = 20  # pixels; both axes go from -1.5 to 1.5


def scatter_plots(count, seed, points=30, noise=0.05):
    """Returns images (count, SIDE, SIDE, 1) of 0 and 1, and (count, 2) of m in [-1, 1] and c in [-0.5, 0.5]."""
    generator = np.random.default_rng(seed)
    m, c = generator.uniform(-1, 1, (count, 1)), generator.uniform(-0.5, 0.5, (count, 1))
    x = generator.uniform(-1, 1, (count, points))
    y = m * x + c + noise * generator.normal(size=x.shape)
    columns, rows = (np.clip((SIDE * (v + 1.5) / 3).astype(int), 0, SIDE - 1) for v in (x, y))
    images = np.zeros((count, SIDE, SIDE, 1), np.float32)
    images[np.arange(count)[:, None], rows, columns] = 1
    return images, np.concatenate([m, c], 1).astype(np.float32)


images, lines = scatter_plots(2560, seed=0)
test_images, test_lines = scatter_plots(1000, seed=1)
figure, panels = plt.subplots(1, 4, figsize=(10, 2.7), layout="constrained")
for panel, image, (m, c) in zip(panels, images, lines):
    panel.imshow(image[..., 0], cmap="gray_r", origin="lower", extent=(-1.5, 1.5, -1.5, 1.5))
    panel.set(title=f"y = {m:.2f} x {c:+.2f}", xlabel="x")
panels[0].set_ylabel("y")
plt.show()


# %% [markdown]
# ## Three networks


# %%
def dense():
    return [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(2)]


def convolution_and_pooling():
    convolutions = [layers.Conv2D(16, 3, padding="same", activation="relu") for _ in range(2)]
    return [*convolutions, layers.GlobalMaxPooling2D(), layers.Dense(64, "relu"), layers.Dense(2)]


class Coordinates(layers.Layer):
    """Adds two channels to an image, the row and the column in [-1, 1]: (B, H, W, C) to (B, H, W, C + 2)."""

    def call(self, image):
        along = keras.ops.linspace(-1.0, 1.0, SIDE)
        grid = keras.ops.stack(keras.ops.meshgrid(along, along, indexing="ij"), -1)  # (H, W, 2)
        grid = keras.ops.broadcast_to(grid, (keras.ops.shape(image)[0], SIDE, SIDE, 2))
        return keras.ops.concatenate([image, grid], -1)


def with_coordinates():
    return [Coordinates(), *convolution_and_pooling()]


results = {}
for network in (dense, convolution_and_pooling, with_coordinates):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1)), *network()])
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.005, 12 * 40)), "mse")
    model.fit(images, lines, batch_size=64, epochs=12, verbose=0)
    predictions = model.predict(test_images, verbose=0)
    errors = np.mean((predictions - test_lines) ** 2, 0)
    results[network.__name__] = model.count_params(), *(1 - errors / test_lines.var(0)), predictions

for name, (parameters, slope, intercept, _) in results.items():
    print(f"{name:>24}, {parameters:>6,} parameters: R2 of the slope {slope:.3f}, of the intercept {intercept:.3f}")

# %% [markdown]
# $R^2$ is the share of the variance that is explained: 1 is exact, 0 what the mean of all has.

# %%
figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
for panel, (name, (*_, predictions)) in zip(panels, results.items()):
    for i, what in enumerate(("slope", "intercept")):
        panel.plot(test_lines[:, i], predictions[:, i], ".", markersize=3, label=what)
    panel.plot([-1, 1], [-1, 1], color="black", linewidth=0.5)
    panel.set(title=name.replace("_", " "), xlabel="true", aspect="equal")
panels[0].set_ylabel("predicted")
panels[0].legend()
plt.show()

# %% [markdown]
# A line that is moved up has the same patterns at other places, so a network that pools over all places can know the
# intercept at most from what it sees at the border, where `padding="same"` adds zeros. With coordinates, the largest
# value of a filter can be "the highest row in which a point is". An architecture says which differences cannot matter:
# here, one of them does.
#
# ## Change one thing and see
# Train on lines with $c < 0$ and test with $c > 0$: which network still knows what to do? What if one point in five is
# anywhere in the picture?
