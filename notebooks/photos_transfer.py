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
# # What does a network know that was trained on something else?
#
# A network without its last layer makes features of any image. If they tell apart things that it was never asked for, a
# new last layer is all that is to be learned, and of few examples. This notebook does it in small, without ImageNet: a
# network learns five shapes, and its features then serve for five others. For photographs of your own:
# `photos_transfer.fit(data="folder")`, with what EfficientNet-Lite0 has learned on ImageNet.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

from recipes import photos_transfer

config = photos_transfer.Config(
    dataset="shapes", encoder="convnet", filters=(8, 16, 32), max_examples=1_500, batch_size=32, epochs=3
)
splits = photos_transfer.load_data(config)
images, labels = (np.concatenate(column) for column in zip(*splits.test.as_numpy_iterator(), strict=True))
print(splits.info.label_names)

# %% [markdown]
# ## One network, trained on the first five shapes
# Another stays as it was drawn, for comparison.

# %%
is_first = labels < 5
keras.utils.set_random_seed(0)
sizes = splits.info.sizes(photos_transfer.HYMENOPTERA)
drawn = photos_transfer.build(config, sizes)
keras.utils.set_random_seed(0)
trained = photos_transfer.build(config, sizes)
train_images, train_labels = (
    np.concatenate(column) for column in zip(*splits.train.take(40).as_numpy_iterator(), strict=True)
)
known = train_labels < 5
history = trained.fit(train_images[known], train_labels[known], batch_size=32, epochs=3, verbose=0)
print("accuracy on the five that it is trained on:", round(history.history["accuracy"][-1], 3))

# %% [markdown]
# ## A new last layer for the other five
# Logistic regression on features $f(x)$, as `solve_head` does it: it has one minimum,
#
# $$\min_{W, b}\ \sum_n -\log \mathrm{softmax}(W f(x_n) + b)_{y_n} + \tfrac{\lambda}{2} |W|^2$$
#
# with 5, 10, 20 and 40 examples of each.


# %%
def features(model, images):
    network = keras.Model(model.inputs[0], model.get_layer("features").output)
    return network.predict(images, verbose=0)


others, test_others = np.flatnonzero(~known), np.flatnonzero(~is_first)
counts = [5, 10, 20, 40]
accuracies = {}
for name, model in (("trained on other shapes", trained), ("as it was drawn", drawn)):
    rows, test_rows = features(model, train_images[others]), features(model, images[test_others])
    of_each = [np.flatnonzero(train_labels[others] == label) for label in range(5, 10)]
    accuracies[name] = []
    for count in counts:
        few = np.concatenate([places[:count] for places in of_each])
        head = LogisticRegression(max_iter=2_000).fit(rows[few], train_labels[others][few])
        accuracies[name].append(head.score(test_rows, labels[test_others]))
    print(name, [round(accuracy, 3) for accuracy in accuracies[name]])

for name, values in accuracies.items():
    plt.plot(counts, values, marker="o", label=name)
plt.axhline(0.2, color="grey", linewidth=1, label="guessing")
plt.xlabel("examples of each shape")
plt.ylabel("accuracy on new shapes")
plt.legend()
plt.show()

# %% [markdown]
# Even features that nobody trained tell something; trained ones tell more, though of other shapes.
#
# ## Where does it look?
# Grad-CAM: the last features, weighted by how much each would raise the predicted class's logit. It takes a run: here
# one of a few seconds.

# %%
model = photos_transfer.fit(config)
explained = photos_transfer.explain(images[:6], model=model)
figure, axes = plt.subplots(2, 6, figsize=(10, 3.6))
for column, one in zip(axes.T, explained, strict=True):
    column[0].imshow(one["image"].astype(np.uint8))
    column[0].set_title(f"{one['label']} ({one['probability']:.0%})", fontsize=8)
    column[1].imshow(one["heatmap"], cmap="inferno", vmin=0, vmax=1)
    for axis in column:
        axis.axis("off")
plt.show()

# %% [markdown]
# ## Which are alike?
# Neighbours by the angle between features, the image itself first.

# %%
for name, cosine in photos_transfer.similar(images[0], images[:40], k=4, model=model):
    print(name, splits.info.label_names[labels[int(name.split()[1])]], round(cosine, 3))
