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
# # What comes next, seen all at once
#
# A decoder-only Transformer predicts every character of a text from those before it, in one go: a mask keeps each
# position from seeing its future. When it writes, it takes one character at a time, and keeps the keys and values of
# those it has read.
#
# This notebook reads Python's own documentation. For Shakespeare: `shakespeare_gpt.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import shakespeare_gpt

config = shakespeare_gpt.Config(
    dataset="documentation",
    sequence_length=32,
    num_layers=2,
    num_heads=2,
    embed_dim=48,
    epochs=3,
    batch_size=32,
    learning_rate=4e-3,
    max_examples=6000,
)
model = shakespeare_gpt.fit(config)

# %% [markdown]
# ## Look at the results

# %%
print("".join(shakespeare_gpt.generate("The ", 200, model=model)))

# %% [markdown]
# How likely is each character of a sentence, given those before it? The surprises are where words begin.

# %%
sentence = "This is a function of the module."
token_ids = model.run.info.tokenizer.encode([sentence])[0].numpy()[:32]
logits = np.asarray(model(token_ids[None]))[0].astype("float64")
log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
bits = -log_p[np.arange(len(token_ids) - 1), token_ids[1:]] / np.log(2)
plt.figure(figsize=(9, 2.5))
plt.bar(range(len(bits)), bits)
plt.xticks(range(len(bits)), list(sentence[1 : len(bits) + 1]))
plt.ylabel("bits")
plt.show()

# %% [markdown]
# ## Change one thing and see
# `top_k=3` or `top_p=0.5` in `generate`: what do they take away?
