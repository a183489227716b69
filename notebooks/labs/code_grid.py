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
# # A code of two numbers, on a grid
#
# An autoencoder with a code of two numbers lays all images out in a plane. A variational one (Kingma and Welling
# 2014, https://arxiv.org/abs/1312.6114) is trained so that codes are spread like $N(0, I)$: then the plane can be
# divided into cells of equal probability, and every cell decodes to something. The figure is that of the paper's
# figure 4: both numbers go through the quantiles of the normal distribution, $z = \Phi^{-1}(u)$, with $u$ in equal
# steps.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from recipes import mnist_dense, mnist_vae

config = mnist_vae.Config(
    dataset="digits", filters=(8, 16), units=64, latent_dim=2, epochs=40, batch_size=64, learning_rate=5e-3
)
model = mnist_vae.fit(config)

# %% [markdown]
# ## 21 x 21 codes
# The quantiles of 1/22, 2/22, ... 21/22: close together around 0, where most codes are.

# %%
quantiles = norm.ppf(np.arange(1, 22) / 22)
print(quantiles.round(2))
grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1)  # (21, 21, 2): to the right, and up
decoded = mnist_vae.decode(grid.reshape(-1, 2), model=model)  # (441, 28, 28, 1)
picture = decoded.reshape(21, 21, 28, 28).transpose(0, 2, 1, 3).reshape(21 * 28, 21 * 28)
plt.figure(figsize=(7, 7))
plt.imshow(picture, cmap="gray")
middles = np.arange(0, 21, 5) * 28 + 14
plt.xticks(middles, quantiles[::5].round(2))
plt.yticks(middles, quantiles[::-5].round(2))
plt.xlabel("$z_1$")
plt.ylabel("$z_2$")
plt.show()

# %% [markdown]
# ## Where test digits lie
# Left in the plane of codes, right in that of $u = \Phi(z)$, in which the grid above is even. The labels were never
# used.

# %%
digits = mnist_dense.load_data(mnist_dense.Config(dataset="digits"))
images, labels = (np.concatenate(part) for part in zip(*digits.test))
codes = mnist_vae.encode(images, model=model)  # (360, 2): the mean of each image's Gaussian
figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for panel, points in zip(panels, (codes, norm.cdf(codes))):
    drawn = panel.scatter(*points.T, c=labels, cmap="tab10", s=8, vmin=-0.5, vmax=9.5)
panels[0].set(xlabel="$z_1$", ylabel="$z_2$")
panels[1].set(xlabel=r"$\Phi(z_1)$", ylabel=r"$\Phi(z_2)$")
figure.colorbar(drawn, ax=panels, label="digit", ticks=range(10))
plt.show()
print(f"codes: mean {codes.mean(0).round(2)}, standard deviation {codes.std(0).round(2)}")

# %% [markdown]
# They spread somewhat wider than $N(0, I)$, so digits gather at the border of the right picture: two numbers are few
# for ten digits, and to lie apart is worth its cost in KL.
#
# ## Is the plane better than a linear one?
# Each test digit gets the label of the nearest other one in the plane. Beside it, the two principal components.


# %%
def nearest_neighbour_accuracy(points):
    """Returns the share of points (N, 2) whose nearest neighbour has the same label."""
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distances, np.inf)
    return np.mean(labels[distances.argmin(1)] == labels)


flat = images.reshape(len(images), -1)
centred = flat - flat.mean(0)
components = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
of_codes, of_components = nearest_neighbour_accuracy(codes), nearest_neighbour_accuracy(components)
print(f"two numbers of the code: {of_codes:.1%}, two principal components: {of_components:.1%}")

# %% [markdown]
# ## Change one thing and see
# With `beta=0` it is a plain autoencoder: what is on the grid now, and where do the digits lie? With `beta=5`?
