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
# # Reading one word after the other
#
# A recurrent network has a state $h_t$, and each word changes it: $h_t = f(h_{t-1}, x_t)$. The gradient of the loss in
# the first word goes back through all the steps. A simple network multiplies it by a matrix in each of them, so that it
# vanishes or explodes; an LSTM's cell state is only *added* to, behind gates.
#
# This notebook trains on generated reviews, in which one judgement in four denies the word it uses ("was not dull").
# For IMDB: `imdb_lstm.fit()`.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from recipes import imdb_lstm

config = imdb_lstm.Config(
    dataset="reviews", sequence_length=96, embed_dim=16, units=16, epochs=4, learning_rate=1e-2, max_examples=6000
)
splits = imdb_lstm.load_data(config)
print(splits.info)
token_ids, labels = next(iter(splits.test))
print(splits.info.tokenizer.decode(token_ids[-1:]).numpy()[0].decode(), splits.info.label_names[labels[-1]])

# %% [markdown]
# ## Fit
# Texts of one length share a batch, and what is padding all the same is masked: it changes nothing.

# %%
model = imdb_lstm.fit(config)

# %% [markdown]
# ## How far back does the loss reach?
# The norm of the gradient at each word, by its distance to the end, in networks that have learned nothing yet. The
# simple network multiplies by the same matrix in each step: by an orthogonal one that is made smaller, or larger. The
# LSTM multiplies its cell by a forget gate, which a bias keeps shut, half open, or open.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.5), sharey=True)
for cell, axes, name, values in (("rnn", left, "recurrent_kernel", (0.5, 1, 2)), ("lstm", right, "bias", (0, 1, 3))):
    fresh = imdb_lstm.build(replace(config, cell=cell, bidirectional=False), splits.info.sizes(imdb_lstm.IMDB))
    gradient_norms = imdb_lstm.gradient_norms_function(fresh)
    weight = getattr(next(layer for layer in fresh.layers if hasattr(layer, "cell")).cell, name)
    start = weight.numpy()
    for value in values:
        changed = value * start
        if cell == "lstm":
            changed = start.copy()
            changed[config.units : 2 * config.units] = value  # input, forget, cell, output
        weight.assign(changed)
        by_distance, _, _ = gradient_norms(token_ids, labels)
        axes.semilogy(np.arange(1, len(by_distance) + 1), by_distance, label=f"{value}")
    axes.set_title({"rnn": "simple: its matrix, times ...", "lstm": "LSTM: its forget gate's bias"}[cell])
    axes.set_xlabel("words from the end")
    axes.grid(alpha=0.3)
    axes.legend()
left.set_ylabel("norm of the gradient")
left.set_ylim(1e-12, 1e6)
plt.show()

# %% [markdown]
# Both networks can keep the gradient, and both can lose it. But the simple one stands on a knife's edge: a matrix that
# keeps gradients for fifty steps must stay orthogonal while it learns. The LSTM needs only a gate that is open, and it
# learns for each of its cells when to close it. Keras begins with a bias of 1.

# %% [markdown]
# ## Change one thing and see
# `fit(cell="rnn")`, `fit(bidirectional=False)`: which of them still understand a "not"?
