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
# # Each word looks at all the others
#
# $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}(Q K^T / \sqrt{d})\, V$$
#
# A word's query meets the keys of all words, and the softmax says how much of each value it takes. No word is further
# away than another; that their order counts is told by vectors added to each.
#
# This notebook trains on generated reviews. For IMDB: `imdb_transformer.fit()`.

# %%
import matplotlib.pyplot as plt

from recipes import imdb_transformer

config = imdb_transformer.Config(
    dataset="reviews",
    sequence_length=96,
    embed_dim=32,
    ff_dim=32,
    dropout=0.1,
    word_dropout=0.0,
    epochs=5,
    learning_rate=5e-3,
    max_examples=2000,
)
model = imdb_transformer.fit(config)

# %% [markdown]
# ## Look at the results
# Where does "dull" look, if it was *not* dull?

# %%
words, weights = imdb_transformer.explain("The plot was wonderful. The music was not dull.", model=model)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.5))
for head, ax in enumerate(axes):
    ax.imshow(weights[0][head], cmap="Blues")
    ax.set_xticks(range(len(words)), words, rotation=90)
    ax.set_yticks(range(len(words)), words)
    ax.set_title(f"head {head}")

# %% [markdown]
# ## Change one thing and see
# `num_heads=1`, or `num_layers=2`. Which of them needs fewer epochs?
