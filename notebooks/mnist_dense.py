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
# # A multi-layer perceptron reads digits
#
# A layer of a perceptron multiplies its input by a matrix, adds a vector and cuts off what is negative:
#
# $$h = \max(0,\; W x + b)$$
#
# Two of them and a linear layer give ten *logits* $z$; the softmax turns them into probabilities
# $p_k = e^{z_k} / \sum_j e^{z_j}$, and training makes $-\log p_{\text{label}}$ small on average.
#
# This notebook runs in seconds on scikit-learn's 1,797 small handwritten digits. For MNIST leave out
# `dataset="digits"`.

# %%
import matplotlib.pyplot as plt

from recipes import mnist_dense

config = mnist_dense.Config(dataset="digits", epochs=8)
splits = mnist_dense.load_data(config)
print(splits.info)

# %% [markdown]
# ## The data
# Pixels are whole numbers from 0 to 255; the model does its own scaling, so that it does the same once it is served.

# %%
images, labels = next(iter(splits.test))
figure, panels = plt.subplots(1, 8, figsize=(10, 1.6))
for panel, image, label in zip(panels, images.numpy(), labels.numpy(), strict=False):
    panel.imshow(image[..., 0], cmap="gray_r")
    panel.set_title(label)
    panel.axis("off")

# %% [markdown]
# ## The model
# `build` returns a compiled Keras model, for settings and for the sizes of the data. How many of its weights are in the
# first layer?

# %%
model = mnist_dense.build(config, splits.info.sizes(mnist_dense.MNIST))
model.summary()

# %% [markdown]
# ## Fit
# One line: data, strategy, precision, progress, and a run folder with a report.

# %%
model = mnist_dense.fit(config)

# %% [markdown]
# ## Look at the results
# The test digits it is least sure of, with what it says and, in brackets, what they are.

# %%
predictions = mnist_dense.predict(images, model)
print(predictions[0])
unsure = sorted(range(len(predictions)), key=lambda index: predictions[index]["probability"])
figure, panels = plt.subplots(1, 8, figsize=(10, 1.6))
for panel, index in zip(panels, unsure, strict=False):
    panel.imshow(images[index, ..., 0], cmap="gray_r")
    panel.set_title(f"{predictions[index]['label']} ({labels[index]})")
    panel.axis("off")

# %% [markdown]
# ## Change one thing and see
# `LINEAR` has no hidden layer: softmax regression. Each class is then one template that the image is compared with, and
# the templates can be looked at. What do the dark places of a template say?

# %%
linear = mnist_dense.fit(mnist_dense.LINEAR, dataset="digits", epochs=8)
print("perceptron", model.run.metrics["test"], "\nlinear    ", linear.run.metrics["test"])
templates = linear.layers[-1].kernel.numpy().reshape(28, 28, 10)
figure, panels = plt.subplots(1, 10, figsize=(10, 1.4))
for label, panel in enumerate(panels):
    panel.imshow(templates[..., label], cmap="coolwarm")
    panel.set_title(label)
    panel.axis("off")

# %% [markdown]
# Next: `recipes export mnist_dense` makes a SavedModel of it, and `recipes/mnist_dense.py` is the whole recipe.
