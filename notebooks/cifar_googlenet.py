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
# # Looking at several scales at once
#
# Is a 3x3 or a 5x5 convolution better? An Inception module asks both, and a 1x1 and a pooling beside them, and lets the
# next layer choose. What makes that cheap is a 1x1 convolution before each large one: it squeezes the channels.
#
# This notebook trains a narrow network on generated scenes. For CIFAR-10: `cifar_googlenet.fit()`.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from recipes import cifar_googlenet

config = cifar_googlenet.Config(dataset="shapes", modules=3, width=0.25, max_examples=800, batch_size=16, epochs=8)
splits = cifar_googlenet.load_data(config)
print(splits.info)

# %% [markdown]
# ## What the squeeze saves
# A 5x5 convolution from 192 channels to 32, straight and by way of 16 channels:

# %%
straight, squeezed = 192 * 32 * 25, 192 * 16 + 16 * 32 * 25
print(f"{straight:,} weights straight, {squeezed:,} with the squeeze: {straight / squeezed:.1f} times fewer")

# %% [markdown]
# ## One module
# Four branches, side by side, end in one tensor. Count their channels.

# %%
image = keras.Input((16, 16, 64))
module = keras.Model(image, cifar_googlenet.inception(image, cifar_googlenet.TABLE_1[0], width=1.0))
for layer in module.layers:
    if isinstance(layer, keras.layers.Conv2D):
        print(f"{layer.kernel_size[0]}x{layer.kernel_size[1]}  {layer.input.shape[-1]:>4} -> {layer.filters}")
print("together:", module.output_shape[-1])

# %% [markdown]
# ## Fit

# %%
model = cifar_googlenet.fit(config)

# %% [markdown]
# ## Look at the results
# The filters of the first layer, and what the network says of some test images: after 400 steps, about a third of the
# answers are right, where guessing gets a tenth.

# %%
kernels = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).get_weights()[0]
kernels = (kernels - kernels.min()) / np.ptp(kernels)
images, labels = next(iter(splits.test))
said = model.predict(images, verbose=0).argmax(-1)
figure, (above, below) = plt.subplots(2, 8, figsize=(10, 3))
for number, (panel, other) in enumerate(zip(above, below, strict=True)):
    panel.imshow(kernels[..., number])
    other.imshow(images[number])
    other.set_title(splits.info.label_names[said[number]], fontsize=8)
    panel.axis("off")
    other.axis("off")

# %% [markdown]
# ## Change one thing and see
# `width=0.5` doubles every branch. What does it do to the number of weights: twice, or four times?

# %%
for width in (0.25, 0.5):
    print(width, f"{cifar_googlenet.build(cifar_googlenet.Config(width=width)).count_params():,}")
