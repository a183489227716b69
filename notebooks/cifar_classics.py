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
# # Which pixels speak for a class?
#
# A network says "cross". Because of the cross, or because of what is behind it? This notebook trains All-CNN, which is
# convolutions and relus alone, on generated scenes, and asks it in three ways. For CIFAR-10: `cifar_classics.ALL_CNN`.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from recipes import cifar_classics

config = replace(
    cifar_classics.ALL_CNN,
    dataset="shapes",
    filters=(12, 24),
    dropout=0.0,
    epochs=8,
    max_examples=2000,
    batch_size=32,
    learning_rate=0.05,
)
model = cifar_classics.fit(config)

# %% [markdown]
# ## The gradient, plain and guided
# The gradient of a class's logit with respect to the pixels says which of them, made lighter, would make the class more
# likely. A relu lets a gradient back where its input was positive. *Guided*, it also stops what is negative of the
# gradient: what speaks against the class.

# %%
images, labels = next(iter(cifar_classics.load_data(config).test))
images, labels = tf.cast(images[:6], tf.float32), labels[:6]


def saliency(network):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logit = tf.reduce_sum(tf.reduce_max(network(images, training=False), -1))
    return tape.gradient(logit, images).numpy()


gradients = {"gradient": saliency(model), "guided": saliency(cifar_classics.guided(model))}

# %% [markdown]
# Where would the class's own maps say it is? All-CNN's logit is the mean of a map over 6x6 places, so the map itself is
# a third answer.

# %%
maps = tf.keras.Model(model.inputs[0], model.get_layer("class_maps").output)(images).numpy()
taken_for = np.argmax(maps.mean((1, 2)), -1)
figure, axes = plt.subplots(4, len(images), figsize=(9, 6.4))
for column, picture in enumerate(images.numpy()):
    axes[0, column].imshow(picture / 255)
    axes[0, column].set_title(model.run.info.label_names[taken_for[column]])
    for row, values in enumerate(gradients.values(), 1):
        shown = values[column] / (3 * values[column].std())
        axes[row, column].imshow(np.clip(0.5 + shown / 2, 0, 1))
    axes[3, column].imshow(maps[column, ..., taken_for[column]], cmap="viridis")
for row, name in enumerate(["image", *gradients, "map of the class"]):
    axes[row, 0].set_ylabel(name)
for axis in axes.ravel():
    axis.set_xticks([])
    axis.set_yticks([])
plt.tight_layout()
plt.show()

# %% [markdown]
# ## As one call
# `explain` takes what `predict` takes, photographs too, and draws.

# %%
explained = cifar_classics.explain(images.numpy(), model=model)
print([(one["label"], round(one["probability"], 2)) for one in explained])

# %% [markdown]
# ## Change one thing and see
# Does a network that was trained with `crop_padding=0` look elsewhere? And one of VGG's shape
# (`cifar_classics.Config(filters=(12, 24), depths=(1, 1))`)?
