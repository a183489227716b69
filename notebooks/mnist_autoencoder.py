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
# # An image through a code and back
#
# An encoder $f$ makes a few numbers, the *code*, of an image $x$; a decoder $g$ makes an image of the code. Here noise
# is laid over what goes in, and the image without it is asked for:
#
# $$z = f(x + \mathrm{noise}), \qquad \hat x = \sigma(g(z)), \qquad
# L = -\frac{1}{N} \sum_{pixels} x \log \hat x + (1 - x) \log (1 - \hat x)$$
#
# The noise of a pixel cannot be told from its neighbours, the stroke of a digit can: so the code learns strokes. This
# notebook trains on scikit-learn's small digits. For MNIST: `mnist_autoencoder.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import mnist_autoencoder

config = mnist_autoencoder.Config(dataset="digits", filters=(8, 16, 32), latent_dim=4, epochs=8, batch_size=64)
splits = mnist_autoencoder.load_data(config)
print(splits.info)

# %% [markdown]
# ## The data
# What goes in, and what is asked for. Training images get new noise in each epoch: `mnist_autoencoder.noisy_pairs`.

# %%
noisy, clean = next(iter(splits.test))


def show(*rows):
    _, panels = plt.subplots(len(rows), 8, figsize=(8, 1.1 * len(rows)))
    for row, images in zip(panels, rows, strict=True):
        for panel, image in zip(row, np.asarray(images), strict=False):
            panel.imshow(image[..., 0], cmap="gray")
            panel.axis("off")


show(noisy, clean)

# %% [markdown]
# ## Fit

# %%
model = mnist_autoencoder.fit(config)
model.get_layer("encoder").summary()

# %% [markdown]
# ## Look at the results
# In, out, and as it should be. How many numbers does the code have, against 784 pixels?

# %%
codes = mnist_autoencoder.encode(noisy, model=model)
print(codes.shape)
show(noisy, mnist_autoencoder.decode(codes, model=model), clean)

# %% [markdown]
# The loss by hand, as in the formula above, and what `evaluate` says of the same images:

# %%
images = np.concatenate([image for image, _ in splits.test])
x = np.concatenate([target for _, target in splits.test])
x_hat = np.clip(mnist_autoencoder.reconstruct(images, model=model) / 255, 1e-7, 1 - 1e-7)
loss = -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat))
print(f"{loss:.4f} {mnist_autoencoder.evaluate(model)['loss']:.4f} nats per pixel")

# %% [markdown]
# ## Change one thing and see
# Between two codes lie others. Is what the decoder draws half way a digit, or a blend of two? (A variational
# autoencoder is trained so that it is.)

# %%
first, last = codes[0], codes[1]
between = np.stack([first + share * (last - first) for share in np.linspace(0, 1, 8)])
show(mnist_autoencoder.decode(between, model=model), mnist_autoencoder.decode(codes[:8], model=model))
