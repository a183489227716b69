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
# # A code that can be drawn from
#
# An autoencoder's codes lie anywhere, and between them is nothing. A variational one tells for each image a cloud of
# codes, $q(z|x) = N(\mu, \sigma^2)$, and pays for every nat by which the cloud differs from $N(0, 1)$:
#
# $$-\mathrm{ELBO} = -E_q \log p(x|z) + KL(q(z|x) \,\|\, N(0, 1)), \quad
# KL = \tfrac{1}{2} \sum_j \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2$$
#
# So clouds crowd around zero, and what is drawn there decodes to something. This notebook trains on scikit-learn's
# small digits. For MNIST: `mnist_vae.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import mnist_dense, mnist_vae

config = mnist_vae.Config(
    dataset="digits", filters=(8, 16), units=64, latent_dim=2, epochs=15, batch_size=64, learning_rate=4e-3
)
splits = mnist_vae.load_data(config)
print(splits.info)

# %% [markdown]
# ## What a nat costs
# Moving a cloud away from zero, and making it narrow:

# %%
for mean, deviation in ((0, 1), (1, 1), (3, 1), (0, 0.1)):
    kl = mnist_vae.kl_divergence(np.array([[float(mean)]]), np.array([[2 * np.log(deviation)]]))
    print(f"mean {mean}, deviation {deviation}: {float(kl[0]):.2f} nats")

# %% [markdown]
# ## Fit
# With two numbers as a code, so that it can be drawn. Watch the two terms: which falls first?

# %%
model = mnist_vae.fit(config)

# %% [markdown]
# ## Look at the results
# Where the test images lie. Each colour is a digit; the labels were never used.

# %%
labels = np.concatenate([label for _, label in mnist_dense.load_data(dataset="digits").test])
images = np.concatenate([image for image, _ in splits.test])
codes = mnist_vae.encode(images, model)
plt.figure(figsize=(5, 4))
plt.scatter(*codes.T, c=labels, cmap="tab10", s=6)
plt.colorbar()

# %% [markdown]
# And what lies in between: every code on a grid, decoded.

# %%
steps = np.linspace(-2, 2, 12)
grid = mnist_vae.decode(np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2), model)
picture = grid.reshape(12, 12, 28, 28).transpose(0, 2, 1, 3).reshape(12 * 28, 12 * 28)
plt.figure(figsize=(5, 5))
plt.imshow(picture, cmap="gray")
plt.axis("off")

# %% [markdown]
# ## Change one thing and see
# `beta=0` is an autoencoder, `beta=10` hardly dares to say anything. What do the clouds do in each?
