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
# # Why share weights?
#
# A dense layer learns of every pixel by itself. A convolution learns a small pattern, and looks for it everywhere. This
# notebook trains LeNet-5 and a dense network on the 1,797 small digits of scikit-learn, and then shifts the test digits
# to places where neither has seen any. For MNIST leave out `dataset="digits"`.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from recipes import mnist_convnet

config = mnist_convnet.Config(dataset="digits", epochs=8, batch_size=32, crop_padding=0)
model = mnist_convnet.fit(config)

# %%
from recipes import mnist_dense

dense = mnist_dense.fit(dataset="digits", epochs=8, batch_size=32, crop_padding=0)
print("LeNet-5", model.count_params(), "parameters; dense", dense.count_params())

# %% [markdown]
# ## Digits that are shifted
# Accuracy on test digits that are moved to the right, by pixels of 28.

# %%
images, labels = (
    np.concatenate(part) for part in zip(*mnist_convnet.load_data(config).test.as_numpy_iterator(), strict=True)
)
shifts = range(7)
for name, network in (("LeNet-5", model), ("dense", dense)):
    accuracies = []
    for shift in shifts:
        moved = np.roll(images, shift, axis=2).astype(np.float32)
        accuracies.append(np.mean(network.predict(moved, verbose=0).argmax(1) == labels))
    print(name, np.round(accuracies, 3))
    plt.plot(shifts, accuracies, marker="o", label=name)
plt.xlabel("pixels to the right")
plt.ylabel("accuracy")
plt.legend()
plt.show()

# %% [markdown]
# ## What the first layer looks for
# Six kernels of 5x5, and what each makes of a digit: its map, before pooling.

# %%
maps = keras.Model(model.inputs[0], model.get_layer("c1").output)(images[:1].astype(np.float32))[0]
kernels = model.get_layer("c1").kernel.numpy()
figure, axes = plt.subplots(2, 7, figsize=(10, 3))
axes[0, 0].imshow(images[0, ..., 0], cmap="gray_r")
for place in range(6):
    axes[0, place + 1].imshow(kernels[..., 0, place], cmap="coolwarm", vmin=-0.6, vmax=0.6)
    axes[1, place + 1].imshow(maps[..., place], cmap="gray")
for axis in axes.ravel():
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 1989
# The forerunner read 16x16 pixels. It had strides in place of pooling, a bias for each unit, and 9,760 parameters.

# %%
old = mnist_convnet.fit(mnist_convnet.LENET1989, dataset="digits", epochs=8, batch_size=32)
print(old.count_params(), "parameters:", round(old.run.metrics["test"]["accuracy"], 3), "of the test digits")
