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
# # Say what you see, and where
#
# A convolutional network turns an image into a grid of vectors, one for each place. A recurrent network writes a
# caption word by word, and before each word it looks: it weighs the places, and takes their mean.
#
# This notebook describes generated scenes of two coloured shapes, where it is known what is true and what is where. It
# trains for a minute or two, so expect mistakes. For photographs: `show_attend_tell.fit()`.

# %%
from dataclasses import replace

import numpy as np
from IPython.display import Image

from recipes import show_attend_tell

config = replace(show_attend_tell.SCENES, filters=(16, 32, 64), units=96, max_examples=2500, epochs=2)
model = show_attend_tell.fit(config)

# %% [markdown]
# ## Look at the results
# How many captions are true to the last word, and how often does the word for an object look at that object?

# %%
for name in ("true", "looked_at", "bleu4"):
    print(f"{name:>10}: {model.run.metrics['test'][name]:.3f}")

# %% [markdown]
# The first picture is the image, the others are bright where the word looked.

# %%
gallery = show_attend_tell.load_data(config).originals
caption, strip = show_attend_tell.explain(gallery.images[0], model=model)
print(caption)
print("references:", *gallery.references[0], sep="\n  ")
strip.savefig("strip.png")
Image("strip.png")

# %% [markdown]
# ## Look closer
# The weights of a word add up to one. How many places have half of it? Few: the word looks somewhere. Many: it looks
# nowhere in particular.

# %%
inputs, following = next(iter(show_attend_tell.load_data(config).test))
weights = np.asarray(model(inputs)["weights"])[np.asarray(following) > 3]  # (words, places)
half = (np.cumsum(np.sort(weights)[:, ::-1], -1) < 0.5).sum(-1) + 1
print(f"half of a word's attention is on {np.median(half):.0f} of {weights.shape[-1]} places")

# %% [markdown]
# ## Change one thing and see
# Hard attention looks at one place only, drawn by the weights, and learns where from whether the caption was likely
# (REINFORCE). No gradient tells it directly, so it learns more slowly:

# %%
hard = show_attend_tell.fit(config, attention="hard")
for name, tried in (("soft", model), ("hard", hard)):
    print(f"{name}: a perplexity of {tried.run.metrics['test']['perplexity']:.2f} on the test captions")

# %% [markdown]
# What does a beam find that greedy search does not? `show_attend_tell.caption(gallery.images, beam_width=1,
# model=model)` tells.
