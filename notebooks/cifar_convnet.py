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
# # A convolutional network sees shapes
#
# A convolution looks at every 3x3 neighbourhood of an image with the same weights:
#
# $$y_{ijk} = \sum_{u,v \in \{-1,0,1\}} \sum_c w_{uvck}\; x_{i+u,\,j+v,\,c}$$
#
# So a shape is the same shape wherever it stands. Pooling halves the image by keeping the largest of each four, and
# after a few rounds one number per filter is left to decide on.
#
# This notebook runs in seconds with a narrow network on generated scenes. For CIFAR-10 and the full network:
# `cifar_convnet.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import cifar_convnet

config = cifar_convnet.Config(
    dataset="shapes", filters=(12, 24, 48), max_examples=1500, batch_size=32, epochs=3, learning_rate=0.1
)
splits = cifar_convnet.load_data(config)
names = splits.info.label_names
print(splits.info)

# %% [markdown]
# ## The data
# The first row as it is tested; the second as it is trained on, shifted and mirrored at random.

# %%
images, labels = next(iter(splits.test))
trained_on, trained_labels = next(iter(splits.train))
figure, panels = plt.subplots(2, 8, figsize=(10, 3))
for row, batch, row_labels in zip(panels, (images, trained_on), (labels, trained_labels), strict=True):
    for panel, image, label in zip(row, batch.numpy(), row_labels.numpy(), strict=False):
        panel.imshow(image)
        panel.set_title(names[label], fontsize=8)
        panel.axis("off")

# %% [markdown]
# ## The model
# Follow the shape of the image down the table. Where are most of the weights, and where is most of the work?

# %%
model = cifar_convnet.build(config)
model.summary()

# %% [markdown]
# ## Fit

# %%
model = cifar_convnet.fit(config)

# %% [markdown]
# ## Look at the results
# Rows are what the test images show, columns what the network says. Which shapes does it take for each other?

# %%
test_images = np.concatenate([image for image, _ in splits.test])
test_labels = np.concatenate([label for _, label in splits.test])
said = model.predict(test_images, verbose=0).argmax(-1)
confusion = np.zeros((len(names), len(names)), int)
np.add.at(confusion, (test_labels, said), 1)
figure, axes = plt.subplots(figsize=(5, 5))
axes.imshow(confusion, cmap="Blues")
axes.set_xticks(range(len(names)), names, rotation=90)
axes.set_yticks(range(len(names)), names)
for (row, column), count in np.ndenumerate(confusion):
    if count:
        axes.text(column, row, count, ha="center", va="center", fontsize=7)

# %% [markdown]
# ## Change one thing and see
# Without the shifts and mirrors an image is the same in every epoch. Which of the two has learned more after three
# epochs, and whose test accuracy falls behind its training accuracy? What would forty epochs do?

# %%
plain = cifar_convnet.fit(config, crop_padding=0, flip=False)
for name, one in (("augmented", model), ("plain", plain)):
    metrics = one.run.metrics
    print(f"{name:<10} training {metrics['train']['accuracy']:.3f}   test {metrics['test']['accuracy']:.3f}")

# %% [markdown]
# Next: `recipes export cifar_convnet` makes a SavedModel that takes JPEG bytes; the recipe is
# `recipes/cifar_convnet.py`.
