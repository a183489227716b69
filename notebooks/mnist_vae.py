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
# An autoencoder's codes lie anywhere, and between them is nothing. The encoder of a variational one gives a *cloud* of
# codes for each image, $q(z|x) = N(\mu, \sigma^2)$, and what the cloud differs by from $p(z) = N(0, 1)$ is a cost:
#
# $$-\mathrm{ELBO} = E_q [-\log p(x|z)] + KL(q(z|x) \,\|\, p(z)), \quad
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
# ## The loss, step by step
# A code is drawn from each image's cloud as $z = \mu + \sigma \epsilon$ with $\epsilon \sim N(0, 1)$. What is random
# is $\epsilon$ alone, so the gradient reaches $\mu$ and $\sigma$ through $z$: the *reparametrisation trick*.

# %%
images = np.concatenate([image for image, _ in splits.test])  # pixels of 0 and 255
targets = np.concatenate([target for _, target in splits.test])  # of 0 and 1

z_mean, z_log_var = (np.asarray(output) for output in model.get_layer("encoder")(images))
epsilon = np.random.default_rng(0).normal(size=z_mean.shape)
z = z_mean + np.exp(z_log_var / 2) * epsilon
p = mnist_vae.decode(z, model=model) / 255  # of each pixel, that it is 1

reconstruction = -np.sum(np.log(np.where(targets == 1, p, 1 - p)), axis=(1, 2, 3))
kl = 0.5 * np.sum(z_mean**2 + np.exp(z_log_var) - 1 - z_log_var, axis=1)
print(f"reconstruction {reconstruction.mean():.2f} + KL {kl.mean():.2f} = {np.mean(reconstruction + kl):.2f} nats")
print("evaluate, with another epsilon:", mnist_vae.evaluate(model))

# %% [markdown]
# ## Look at the results
# Where the test images lie. Each colour is a digit; the labels were never used.

# %%
digits = mnist_dense.load_data(mnist_dense.Config(dataset="digits"))
labels = np.concatenate([label for _, label in digits.test])
codes = mnist_vae.encode(images, model=model)
plt.figure(figsize=(5, 4))
plt.scatter(*codes.T, c=labels, cmap="tab10", s=6)
plt.colorbar()

# %% [markdown]
# And what lies in between: every code on a grid, decoded.

# %%
steps = np.linspace(-2, 2, 12)
grid = mnist_vae.decode(np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2), model=model)
picture = grid.reshape(12, 12, 28, 28).transpose(0, 2, 1, 3).reshape(12 * 28, 12 * 28)
plt.figure(figsize=(5, 5))
plt.imshow(picture, cmap="gray")
plt.axis("off")

# %% [markdown]
# ## Change one thing and see
# `beta=0` is an autoencoder, with `beta=10` every nat of the code costs ten. What do the clouds do in each?
