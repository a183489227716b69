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
# # Why add the input to the output?
#
# A residual block computes $x + F(x)$ in place of $F(x)$. If the best thing a block can do is nothing, it need only
# make $F$ zero, which is easy; a plain block would have to learn the identity. And the gradient has a way around every
# block:
#
# $$\frac{\partial (x + F(x))}{\partial x} = 1 + F'(x)$$
#
# This notebook trains small ones on generated scenes. For CIFAR-10: `cifar_resnet.fit()`.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from recipes import cifar_resnet

config = cifar_resnet.Config(dataset="shapes", num_layers=8, filters=6, max_examples=800, batch_size=32, epochs=2)
splits = cifar_resnet.load_data(config)
print(splits.info)

# %% [markdown]
# ## The gradient at the first layer
# The same layers with and without the sum, deeper and deeper, before any training. What happens to the gradient that
# reaches the first convolution?

# %%
image, label = next(iter(splits.train))


def first_gradient(depth, residual):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 3, strides=4, padding="same")(inputs / 255)
    for _ in range(depth):
        y = keras.layers.Conv2D(6, 3, padding="same", activation="tanh")(x)
        x = x + y if residual else y
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(image) ** 2)
    return float(tf.norm(tape.gradient(loss, model.trainable_variables[0])))


depths = [2, 8, 16]
for residual in (True, False):
    plt.semilogy(depths, [first_gradient(d, residual) for d in depths], "o-", label="x + F(x)" if residual else "F(x)")
plt.xlabel("blocks")
plt.ylabel("gradient at the first layer")
plt.legend()

# %% [markdown]
# ## Fit
# Follow the sizes down the table: three stages, each with half the pixels and twice the filters.

# %%
cifar_resnet.build(config).summary()
model = cifar_resnet.fit(config)

# %% [markdown]
# ## Look at the results
# What it is surest of and wrong about, as in the run's report.

# %%
images, labels = next(iter(splits.test))
said = model.predict(images, verbose=0).argmax(-1)
figure, panels = plt.subplots(1, 8, figsize=(10, 1.8))
for panel, picture, index, truth in zip(panels, images.numpy(), said, labels.numpy(), strict=False):
    panel.imshow(picture)
    panel.set_title(f"{splits.info.label_names[truth]}\n({splits.info.label_names[index]})", fontsize=8)
    panel.axis("off")
print("right:", np.mean(said == labels.numpy()))

# %% [markdown]
# ## Change one thing and see
# `version=2` normalises before each convolution and leaves the sum alone. Which learns faster here? And at 32 layers?
