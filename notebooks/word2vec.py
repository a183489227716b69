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
# # Words by the company they keep
#
# Each word has a vector, and those that stand between the same words get vectors that are alike. It learns by telling
# the words that do stand around a word from words drawn at random:
#
# $$-\log \sigma(u_o \cdot v_w) - \sum_{k=1}^K \log \sigma(-u_k \cdot v_w)$$
#
# This notebook reads Python's own documentation. For film reviews: `word2vec.fit()`.

# %%
import matplotlib.pyplot as plt

from recipes import word2vec

config = word2vec.Config(
    dataset="documentation",
    vocab_size=1500,
    embed_dim=32,
    epochs=10,
    batch_size=256,
    learning_rate=5e-3,
    subsampling=1e-3,
)
model = word2vec.fit(config)

# %% [markdown]
# ## Look at the results

# %%
for word in ("function", "class", "integer", "file"):
    print(word, "->", ", ".join(f"{near} {cosine:.2f}" for near, cosine in word2vec.neighbours(word, 5, model=model)))

# %% [markdown]
# How alike are some words to each other?

# %%
words = ["int", "float", "complex", "list", "tuple", "import", "module", "package"]
table = [[word2vec.similarity(one, other, model=model) for other in words] for one in words]
plt.imshow(table, cmap="RdBu", vmin=-1, vmax=1)
plt.xticks(range(len(words)), words, rotation=90)
plt.yticks(range(len(words)), words)
plt.colorbar()
plt.show()

# %% [markdown]
# All frequent words, on the two axes along which their vectors differ most; the report of the run has it too.

# %%
plt.figure(figsize=(12, 9))
plt.imshow(plt.imread(model.run.folder / "words.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Change one thing and see
# A `window` of 1 finds words that can replace each other, one of 10 words of the same subject.
