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
# # What can be learned without a label?
#
# A network sees two views of each image, cropped and in another light, and is to tell which two belong together. Nobody
# tells it what is in them. This notebook does so with scikit-learn's handwritten digits; `cifar_simclr.fit()` takes
# photographs, mirrors them, and changes their colours, too.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE

from recipes import cifar_simclr

settings = {"dataset": "digits", "flip": False, "crop_area": 0.5, "filters": (16, 32, 64), "epochs": 10}
config = cifar_simclr.Config(**settings, batch_size=64)

# %% [markdown]
# ## Views
# In each column the two views of one image. What they have in common is what a feature can be about: the digit and the
# hand, neither the light nor the place.

# %%
views, _ = next(iter(cifar_simclr.load_data(config).train))
figure, axes = plt.subplots(2, 10, figsize=(10, 2.2))
for place, axis in enumerate(axes.T.ravel()):
    axis.imshow(views[place], cmap="gray")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## The loss by hand
# Of two images whose vectors are orthogonal, both views having the same: each vector has one that it belongs to, with
# cosine 1, and two others, with cosine 0.

# %%
pairs = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
by_hand = -np.log(np.exp(1 / 0.5) / (np.exp(1 / 0.5) + 2))
print(f"by hand {by_hand:.4f}, the recipe {float(cifar_simclr.nt_xent(pairs, 0.5)):.4f}")

# %% [markdown]
# ## Learned features, and drawn ones
# `fit` trains the features by the views, and a *probe*, a last layer that learns the labels from them without moving
# them. `RANDOM` leaves the features as they are drawn: so much a probe can do by itself.

# %%
model = cifar_simclr.fit(config)
drawn = cifar_simclr.fit(cifar_simclr.Config(**settings, batch_size=64, method="random"))
print(
    {name: round(each.run.metrics["test"]["accuracy"], 3) for name, each in {"SimCLR": model, "drawn": drawn}.items()}
)

# %% [markdown]
# ## Few labels
# Features that were learned without labels are worth most where there are few: a logistic regression on some labels of
# each class, of features that were learned, and of those that were drawn.

# %%
plain = cifar_simclr.load_data(config)
images, labels = (np.concatenate(each) for each in zip(*plain.originals.as_numpy_iterator(), strict=True))
test_images, test_labels = (np.concatenate(each) for each in zip(*plain.test.as_numpy_iterator(), strict=True))
for name, each in {"SimCLR": model, "drawn": drawn}.items():
    features, test = (cifar_simclr.embed(some, model=each) for some in (images, test_images))
    scale = features.std(0) + 1e-6
    for count in (1, 5, 20):
        few = np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)])
        probe = LogisticRegression(max_iter=1000).fit(features[few] / scale, labels[few])
        print(f"{name}: {count} of each class: {probe.score(test / scale, test_labels):.3f}")

# %% [markdown]
# ## A map
# The test images on a plane where those are near to each other whose features are (t-SNE). Their colours are the
# classes, which the features were not told.

# %%
names = model.run.info.label_names
places = TSNE(random_state=0).fit_transform(cifar_simclr.embed(test_images, model=model))
plt.figure(figsize=(6, 5))
for label, name in enumerate(names):
    plt.scatter(*places[test_labels == label].T, s=12, label=name)
plt.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Neighbours
# `similar` finds what is nearest to an image, and draws it with `picture="found.png"`.

# %%
for name, cosine in cifar_simclr.similar(test_images[0], test_images[1:], k=5, model=model):
    found = test_labels[1:][int(name.split()[-1])]
    print(f"{names[test_labels[0]]}: {names[found]}, {cosine:.2f}")

# %% [markdown]
# ## Change one thing and see
# With all of the image in each view (`crop_area=0.0`), what is left to learn? And with `method="barlow"`, which has no
# negatives, or `method="rotation"`, which turns images: which digits are hard then?
