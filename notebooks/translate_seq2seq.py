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
# # Read, then write, and look back
#
# One LSTM reads a sentence, another writes its translation. All that the second knows of the sentence is a vector,
# unless it may look back: then each step weighs what the first has read.
#
# This notebook translates generated sentences with numbers written out: German says the units before the tens. For
# photographs described by people: `translate_seq2seq.fit()`.

# %%
import matplotlib.pyplot as plt

from recipes import translate_seq2seq

config = translate_seq2seq.Config(
    dataset="dates",
    vocab_size=300,
    embed_dim=48,
    units=96,
    dropout=0.0,
    epochs=4,
    batch_size=64,
    learning_rate=1e-2,
    max_examples=3000,
)
model = translate_seq2seq.fit(config)

# %% [markdown]
# ## Look at the results

# %%
for text in ("She sold sixty-three tickets.", "The doctor will come at half past two."):
    print(text, "->", translate_seq2seq.translate([text], model=model)[0])

# %% [markdown]
# Where did each piece of the translation look?

# %%
rows, columns, weights = translate_seq2seq.explain("She sold sixty-three tickets.", model=model)
plt.figure(figsize=(6, 5))
plt.imshow(weights, cmap="Blues")
plt.xticks(range(len(columns)), columns, rotation=90)
plt.yticks(range(len(rows)), rows)
plt.show()

# %% [markdown]
# ## Change one thing and see
# Without attention, all that the writer knows of a sentence is where the reader ended:

# %%
blind = translate_seq2seq.fit(config, attention="none")
for name, tried in (("luong", model), ("none", blind)):
    print(f"{name:>6}: a perplexity of {tried.run.metrics['test']['perplexity']:.2f} on the test sentences")

# %% [markdown]
# Which sentences suffer most, the short or the long ones? `translate_seq2seq.translate([...], model=blind)` tells.
