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
# # A first convolutional network
#
# A dense layer has a weight for every pixel and has to learn a shape anew at every place. A **convolution** looks at
# each 3x3 neighbourhood with the same few weights, so that a shape is the same shape wherever it stands:
#
# $$y_{ijk} = \max\Big(0,\; b_k + \sum_{u,v \in \{-1,0,1\}} \sum_c w_{uvck}\; x_{i+u,\,j+v,\,c}\Big)$$
#
# **Pooling** halves the image by keeping the largest of each 2x2 places: what is there matters, not exactly where.
# **Dropout** sets a share of the numbers to zero while the network trains, so that it cannot rely on any one of them.
#
# This notebook runs in seconds with a small network on generated scenes. For CIFAR-10 and the whole one:
# `cifar_lecture.fit()`.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from recipes import cifar_lecture

config = cifar_lecture.Config(
    dataset="shapes", filters=(8, 16), units=64, dropout=0.1, max_examples=4000, epochs=4, learning_rate=2e-3
)
splits = cifar_lecture.load_data(config)
names = splits.info.label_names
print(splits.info)

# %% [markdown]
# ## One convolution and one pooling, by hand
# Weights that nobody learned: left neighbours less right ones. Where is the outcome large? And what does pooling leave?

# %%
images, labels = next(iter(splits.test))
grey = images.numpy().mean(-1)[:1, ..., np.newaxis] / 255  # (1, 32, 32, 1)
edges = np.float32([[1, 0, -1]] * 3).reshape(3, 3, 1, 1)  # (3, 3, channels in, channels out)
convolved = keras.ops.relu(keras.ops.conv(grey.astype("float32"), edges))
pooled = keras.ops.max_pool(convolved, 2)
figure, panels = plt.subplots(1, 3, figsize=(7, 2.5))
for panel, picture in zip(panels, (grey, convolved, pooled), strict=True):
    panel.imshow(np.asarray(picture)[0, ..., 0], cmap="gray")
    panel.set_title(f"{picture.shape[1]}x{picture.shape[2]}")
    panel.axis("off")

# %% [markdown]
# ## The model
# Follow the shape of the image down the table: the second convolution of each block has no padding and takes off two
# pixels. Where are most of the weights: in the convolutions, or in the dense layer behind them?

# %%
model = cifar_lecture.build(config, splits.info.sizes(cifar_lecture.CIFAR10))
model.summary()

# %% [markdown]
# ## Fit

# %%
model = cifar_lecture.fit(config)

# %% [markdown]
# ## Look at the results
# What the first layer makes of an image: one picture for each of its filters. Which of them look for edges, which for a
# colour?

# %%
first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
seen = keras.Model(model.inputs, first.output).predict(images[:1], verbose=0)[0].astype("float32")  # (32, 32, 8)
figure, panels = plt.subplots(1, 9, figsize=(10, 1.5))
panels[0].imshow(images[0])
panels[0].set_title(names[labels[0]], fontsize=8)
for number, panel in enumerate(panels[1:]):
    panel.imshow(seen[..., number], cmap="gray")
for panel in panels:
    panel.axis("off")

# %% [markdown]
# And what the network says of some test images; in brackets what they are.

# %%
figure, panels = plt.subplots(1, 8, figsize=(10, 1.8))
for panel, image, label, answer in zip(panels, images, labels, cifar_lecture.predict(images[:8], model), strict=False):
    panel.imshow(image)
    panel.set_title(f"{answer['label']}\n({names[label]})", fontsize=8)
    panel.axis("off")

# %% [markdown]
# ## Change one thing and see
# Without dropout it learns faster. But look at which of its two figures is the larger one: with dropout the network is
# worse on training images, of which it sees a part only, than on new ones. Without, that turns round in 40 epochs: why?

# %%
without = cifar_lecture.fit(config, dropout=0.0)
for name, one in (("dropout", model), ("without", without)):
    metrics = one.run.metrics
    print(f"{name:<10} training {metrics['train']['accuracy']:.3f}   test {metrics['test']['accuracy']:.3f}")

# %% [markdown]
# Next: `cifar_convnet` is what came of it, and learns in ten epochs what this one does not in fifty.
