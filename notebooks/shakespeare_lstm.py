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
# # What comes next?
#
# A language model says of each character how likely it is after those before it. A good one is seldom surprised: its
# loss, $-\log p$, is small. In bits, it is what a compressor built on it would need for a character.
#
# This notebook reads Python's own documentation. For Shakespeare: `shakespeare_lstm.fit()`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import shakespeare_lstm

config = shakespeare_lstm.Config(
    dataset="documentation", sequence_length=48, embed_dim=32, units=96, num_layers=1, epochs=3, max_examples=4000
)
model = shakespeare_lstm.fit(config, learning_rate=1e-2)

# %% [markdown]
# ## Look at the results
# The temperature says how much is left to chance: 0 takes the likeliest character each time.

# %%
for temperature in (0.0, 0.5, 1.0):
    print(f"--- {temperature}")
    print("".join(shakespeare_lstm.generate("The ", 120, temperature, model=model)))

# %% [markdown]
# The loss of each epoch, in bits. How many would a character take if all were equally likely?

# %%
for name, label in (("loss", "training"), ("val_loss", "validation")):
    plt.plot(np.array(model.history.history[name]) / np.log(2), label=label)  # nats to bits
plt.axhline(np.log2(len(model.run.info.tokenizer.vocabulary)), linestyle=":", color="grey", label="all equally likely")
plt.xlabel("epoch")
plt.ylabel("bits per character")
plt.legend()
plt.show()

# %% [markdown]
# ## Change one thing and see
# `cell="gru"` has two gates where the LSTM has three. And how far back does the model have to learn from:
# `sequence_length=8`?
