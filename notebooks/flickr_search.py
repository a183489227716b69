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
# # Find photographs by what is on them
#
# Two networks, one that reads texts and one that reads images, both end in unit vectors of one space. They learn from
# pairs alone: of a batch, each image is to find its own caption among all, and each caption its own image.
#
# This notebook searches generated scenes of two coloured shapes, and trains for some seconds, so expect mistakes. For
# photographs: `flickr_search.fit()`.

# %%
from IPython.display import Image

from recipes import flickr_search

config = flickr_search.Config(
    dataset="scenes", encoder="convnet", filters=(16, 32, 64), image_size=56, sequence_length=12, embed_dim=64,
    units=128, joint_dim=64, dropout=0.1, batch_size=64, epochs=3, max_examples=800, precision="float32",
)  # fmt: skip
model = flickr_search.fit(config)

# %% [markdown]
# ## Look at the results
# How often is a caption's own scene the first, or among the first ten, of all test scenes? By chance, one in 500 and
# one in 50.

# %%
for name in ("search_r1", "search_r10", "search_median_rank"):
    print(f"{name:>18}: {model.run.metrics['test'][name]:.3f}")

# %% [markdown]
# Any text can be looked for. The numbers are cosines.

# %%
photos = list(flickr_search.load_data(config).originals.images)
flickr_search.search("a red star", photos, k=5, picture="found.png", model=model)
Image("found.png")

# %% [markdown]
# ## Look closer
# The cosines of a batch, images by captions: after training the diagonal, where the pairs are, is the highest. The
# temperature by which they are divided is learned along: the softmax of a row is what the loss asks for.

# %%
(images, words), numbers = next(iter(flickr_search.load_data(config).test))
vectors = model((images, words))
cosines = vectors["photo"].numpy() @ vectors["text"].numpy().T
print(f"pairs {cosines.diagonal().mean():.2f}, all {cosines.mean():.2f}; tau {1 / float(model.contrast.scale()):.3f}")

# %% [markdown]
# ## Change one thing and see
# Sentences that name classes make a classifier that was never trained to be one:

# %%
for sentence, cosine, probability in flickr_search.describe(photos[0], ["a red star", "a blue ring"], model=model):
    print(f"{sentence}: cosine {cosine:.2f}, probability {probability:.2f}")

# %% [markdown]
# With smaller batches there is less that a caption can be mistaken for, and less is learned of it:

# %%
small = flickr_search.fit(config, batch_size=16, epochs=1)
large = flickr_search.fit(config, epochs=1)
for name, tried in (("batches of 16", small), ("batches of 64", large)):
    print(f"{name}: median rank {tried.run.metrics['test']['search_median_rank']:.0f}")

# %% [markdown]
# A set of words has no order. Does `reader="gru"`, which reads it, tell "a star left of a ring" from "a ring left of a
# star"? `flickr_search.search` on both tells.
