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
# # Translation with nothing but attention
#
# An encoder's words look at each other; a decoder's look at what has been written so far, and at the source. All
# positions are trained at once, because the translation is known; written it is piece by piece.
#
# This notebook translates generated sentences with numbers written out. For photographs described by people:
# `translate_transformer.fit()`.

# %%
import matplotlib.pyplot as plt

from recipes import translate_transformer
from recipes.layers.positions import sinusoids

config = translate_transformer.Config(
    dataset="dates",
    vocab_size=300,
    num_layers=1,
    num_heads=2,
    embed_dim=64,
    ff_dim=128,
    dropout=0.0,
    epochs=6,
    batch_size=64,
    learning_rate=3e-3,
    max_examples=3000,
)
model = translate_transformer.fit(config)

# %% [markdown]
# ## Where a piece stands
# Sines and cosines of many wavelengths, added to each piece's vector.

# %%
plt.figure(figsize=(7, 3))
plt.imshow(sinusoids(60, 64).T, cmap="RdBu", aspect="auto")
plt.xlabel("position")
plt.show()

# %% [markdown]
# ## Look at the results
# A beam follows several translations at a time, and takes the likeliest in the end.

# %%
for text in ("She sold sixty-three tickets.", "My sister was born on the third of May nineteen hundred and one."):
    for width in (1, 4):
        print(f"beam of {width}:", translate_transformer.translate([text], beam_width=width, model=model)[0])

# %% [markdown]
# Where did each piece of the translation look? Row by row, what the decoder's last block saw of the source.

# %%
rows, columns, weights = translate_transformer.explain("She sold sixty-three tickets.", model=model)
plt.figure(figsize=(6, 5))
plt.imshow(weights, cmap="Blues")
plt.xticks(range(len(columns)), columns, rotation=90)
plt.yticks(range(len(rows)), rows)
plt.show()

# %% [markdown]
# ## Change one thing and see
# `fit(num_heads=1)`, `fit(label_smoothing=0.0)`: which has the lower perplexity, which the better translations?
