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
# # Two networks that play against each other
#
# A **generator** $G$ makes images from noise $z$. A **discriminator** $D$ says how probably an image is real. Each
# step makes both a little better at their opposite tasks:
#
# $$D: \min -\log D(x) - \log(1 - D(G(z))), \qquad G: \min -\log D(G(z))$$
#
# Nobody tells the generator what a digit is; it only hears what the discriminator thinks. This notebook trains on
# scikit-learn's small digits. For MNIST: `dcgan.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import dcgan

config = dcgan.Config(dataset="digits", filters=(16, 32), latent_dim=16, batch_size=32, epochs=6, learning_rate=1e-3)
splits = dcgan.load_data(config)
print(splits.info)

# %% [markdown]
# ## The two networks
# One is the other turned round: noise to ever larger images, images to ever smaller ones and a verdict.

# %%
untrained = dcgan.build(config)
for network in (untrained.generator, untrained.discriminator):
    print(network.name)
    for layer in network.layers:
        print(f"    {type(layer).__name__:20} {layer.output.shape}")

# %% [markdown]
# ## Fit
# Neither loss falls to zero, and neither tells how good the images are. At 1.39 = 2 ln 2 the discriminator guesses.
# `distance` compares samples with validation images; it should fall.

# %%
model = dcgan.fit(config)

# %% [markdown]
# ## Look at the results
# The same noise after each epoch, from the run folder:

# %%
grids = sorted((model.run.folder / "samples").glob("*.png"))
figure, places = plt.subplots(1, 3, figsize=(15, 5))
for place, grid in zip(places, (grids[0], grids[2], grids[-1]), strict=True):
    place.imshow(plt.imread(grid))
    place.set_title(grid.stem)
    place.axis("off")

# %% [markdown]
# A walk between two seeds' noise. Does one digit become another, or does it fade through nonsense?

# %%
start, end = dcgan.codes([4, 9], config.latent_dim).numpy()
walk = np.stack([start + share * (end - start) for share in np.linspace(0, 1, 10)])
images = np.asarray(model.generator(walk))
plt.figure(figsize=(10, 1.2))
plt.imshow(np.hstack(images[..., 0]), cmap="gray")
plt.axis("off")

# %% [markdown]
# ## Change one thing and see
# `learning_rate=1e-2`: who wins? And look at `diversity` in the curves: a generator that has found one convincing image
# may make nothing else. The report says so when it happens.
