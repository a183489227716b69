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
# # How does one pass of a network find many things?
#
# A classifier answers with one class. A detector is asked at thousands of places at once: *is something here, and how
# must this box be moved to fit it?* This notebook looks at the boxes that it is asked about, at which of them are to
# answer for an object, and trains a small one on generated shapes. For photographs of your own:
# `cells_detector.fit(data="annotations.json")`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.patches import Rectangle

from recipes import cells_detector
from recipes.data.standins.groups import KINDS, draw_groups
from recipes.kinds.detection import draw_answers, draw_objects

images, boxes, labels = draw_groups(400, seed=1)
shown = [(boxes[n][labels[n] >= 0], np.ones((labels[n] >= 0).sum()), labels[n][labels[n] >= 0]) for n in range(6)]
figure = draw_objects(images[:6], shown, KINDS)
figure

# %% [markdown]
# ## Default boxes
# Three maps of features, of places 8, 16 and 32 pixels apart; at each place boxes of two sizes and three shapes. Those
# of one place of each map:

# %%
defaults = cells_detector.default_boxes((96, 96, 3), halvings=5, scale=2.5)
print(len(defaults), "default boxes for an image of 96x96")
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
first = 0
for axis, side in zip(axes, (12, 6, 3), strict=True):
    place = first + 6 * (side * side // 2)
    axis.imshow(images[0])
    for y_min, x_min, y_max, x_max in 96 * defaults[place : place + 6]:
        axis.add_patch(Rectangle((x_min, y_min), x_max - x_min, y_max - y_min, fill=False, edgecolor="white"))
    axis.set_title(f"{side} x {side} places", fontsize=9)
    axis.axis("off")
    first += 6 * side * side
plt.show()

# %% [markdown]
# ## Whose is which?
# A default box that overlaps an object by half and more, as intersection over union, answers for it, and the one that
# overlaps it the most in any case. Of all others, thousands, nothing is to be said: that is what the focal loss is for.

# %%
targets = cells_detector.encode(tf.constant(boxes), tf.constant(labels), default_boxes=defaults).numpy()
answering = (targets[..., 4] >= 0).sum(1)
print("objects in an image:", (labels >= 0).sum(1)[:8])
print("default boxes that answer for one:", answering[:8], "of", len(defaults))

q = np.linspace(0.01, 0.99, 99)
plt.plot(q, -np.log(q), label="cross-entropy")
plt.plot(q, -((1 - q) ** 2) * np.log(q), label="focal loss")
plt.xlabel("probability of the right answer")
plt.legend()
plt.show()

# %% [markdown]
# ## Trained for some seconds
# The likeliest boxes of each class are kept, and those that overlap them are left out.

# %%
config = cells_detector.Config(
    dataset="groups", image_shape=(96, 96, 3), filters=(8, 16, 24, 32, 32), max_examples=600, batch_size=16, epochs=6
)
model = cells_detector.fit(config)
print({name: round(value, 3) for name, value in model.run.metrics["test"].items() if name.startswith("map")})

# %%
answers = cells_detector.predict(images[:6], model, min_probability=0.3)
print(answers[0]["counts"])
figure = draw_answers(model, images[:6], answers)
figure

# %% [markdown]
# On real photographs it takes some minutes: `cells_detector.fit()` learns red and white blood cells and platelets, and
# `cells_detector.count(["smear.jpg"])` counts them.
