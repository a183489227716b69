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
# $$\min_D\; -\log D(x) - \log(1 - D(G(z))), \qquad \min_G\; -\log D(G(z))$$
#
# Nobody tells the generator what a digit is; all it learns from is what the discriminator thinks. This notebook trains
# on scikit-learn's small digits. For MNIST: `dcgan.fit()`.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

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
# ## The game
# The networks answer with *logits*, $D = \sigma(\mathrm{logit})$, and $-\log \sigma(t) = \mathrm{softplus}(-t)$. Real
# images are called real with 0.9 only (`label_smoothing`), so that the discriminator does not grow too sure.

# %%
print(inspect.getsource(dcgan.discriminator_loss))
print(inspect.getsource(dcgan.generator_loss))

# %% [markdown]
# One step, written out. Both losses depend on both networks: the generator's loss is the discriminator's opinion. But
# *each loss moves its own network alone*. If the generator's loss were to move the discriminator too, it would learn to
# be deceived. (`dcgan.GAN.train_step` is this, with optimizers, on any number of devices.)

# %%
generator, discriminator = untrained.generator, untrained.discriminator
images, _ = next(iter(splits.train))
real = tf.cast(images, tf.float32) / 127.5 - 1  # [-1, 1]
noise = tf.random.uniform((len(real), config.latent_dim), -1, 1)


def play():
    generated = generator(noise, training=True)
    logits_real = discriminator(real, training=True)
    logits_generated = discriminator(generated, training=True)
    d_loss = dcgan.discriminator_loss(logits_real, logits_generated, config.label_smoothing)
    return d_loss, dcgan.generator_loss(logits_generated)


with tf.GradientTape(persistent=True) as tape:
    d_loss, g_loss = play()
print(f"2 ln 2 = {2 * np.log(2):.3f}, ln 2 = {np.log(2):.3f}")
print(f"before                   D {d_loss:.3f}  G {g_loss:.3f}")

for network, loss in ((discriminator, d_loss), (generator, g_loss)):
    gradients = tape.gradient(loss, network.trainable_variables)  # of its own loss, for its own weights alone
    for weight, gradient in zip(network.trainable_variables, gradients, strict=True):
        weight.assign_sub(0.05 * gradient)
    print("after the {:14} D {:.3f}  G {:.3f}".format(network.name, *play()))

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
figure, panels = plt.subplots(1, 3, figsize=(15, 5))
for panel, grid in zip(panels, (grids[0], grids[2], grids[-1]), strict=True):
    panel.imshow(plt.imread(grid))
    panel.set_title(grid.stem)
    panel.axis("off")

# %% [markdown]
# A walk from one seed's noise to another's. Does one digit become another, or does it fade through nonsense?

# %%
start, end = dcgan.noise_of([4, 9], config.latent_dim).numpy()
walk = np.stack([start + share * (end - start) for share in np.linspace(0, 1, 10)])
images = np.asarray(model.generator(walk))
plt.figure(figsize=(10, 1.2))
plt.imshow(np.hstack(images[..., 0]), cmap="gray")
plt.axis("off")

# %% [markdown]
# ## Change one thing and see
# `learning_rate=1e-2`: who wins? And look at `diversity` in the curves: a generator that has found one convincing image
# may make nothing else. The report says so when it happens.
