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
# # Markov chains beside an LSTM
#
# A Markov chain of order $n$ counts which character follows each string of $n$ characters. It needs no gradient, and
# Shannon (1948), https://doi.org/10.1002/j.1538-7305.1948.tb01338.x, wrote the first texts with it. With every order,
# there are more strings, and each was seen more seldom. So orders are mixed (Witten and Bell 1991,
# https://doi.org/10.1109/18.87000): with $N$ occurrences of the context $h$ in training, after which $T$ different
# characters came,
#
# $$p_n(c | h) = \frac{N(hc) + T(h)\, p_{n-1}(c | h')}{N(h) + T(h)}$$
#
# where $h'$ is $h$ without its first character, and $p_{-1}$ is the same for all characters. Beside it, an LSTM of
# `shakespeare_lstm` learns from the same text: Python's own documentation, in windows of 64 characters. Both are
# scored in bits per character on windows that neither has seen.

# %%
from collections import Counter, defaultdict

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_softmax

from recipes import shakespeare_lstm

config = shakespeare_lstm.Config(
    dataset="documentation",
    sequence_length=64,
    embed_dim=32,
    units=96,
    num_layers=1,
    dropout=0.0,
    epochs=8,
    batch_size=32,
    learning_rate=1e-2,
    max_examples=2000,
)
splits = shakespeare_lstm.load_data(config)
characters = splits.info.tokenizer.vocabulary


def windows(batches, steps=None):
    """Returns the characters of a split's windows, each with the one that follows: (windows, 65) ids."""
    both = [np.concatenate([x, y[:, -1:]], 1) for x, y in (batches.take(steps) if steps else batches)]
    return np.concatenate(both)


train, test = windows(splits.train, splits.steps_per_epoch), windows(splits.test)
print(f"{train.size:,} characters to learn from, {test.size:,} to be tested on, {len(characters)} different ones")


# %% [markdown]
# ## Count


# %%
class MarkovChain:
    """Counts of what follows each context of up to `order` characters."""

    def __init__(self, order, windows):
        self.order, self.counts = order, defaultdict(Counter)
        for window in windows.tolist():
            for place, character in enumerate(window):
                for n in range(min(order, place) + 1):
                    self.counts[tuple(window[place - n : place])][character] += 1

    def probability(self, character, context, order=None):
        """Returns p(character | the last characters of context), of an order up to the chain's."""
        p = 1 / len(characters)
        for n in range(min(self.order if order is None else order, len(context)) + 1):
            counts = self.counts.get(tuple(context[len(context) - n :]))
            if counts is None:  # a context that was never seen: longer ones were not either
                break
            p = (counts[character] + len(counts) * p) / (counts.total() + len(counts))
        return p

    def generate(self, length, seed=0, start="The "):
        generator = np.random.default_rng(seed)
        text = [characters.index(character) for character in start]
        for _ in range(length):
            context = text[-self.order :] if self.order else []
            p = [self.probability(c, context) for c in range(len(characters))]
            text.append(generator.choice(len(characters), p=np.array(p) / np.sum(p)))
        return "".join(characters[c] for c in text)


chain = MarkovChain(8, train)
orders = range(9)
scored = test[::5]  # windows from all over the text
bits = [
    np.mean([-np.log2(chain.probability(w[t], w[:t], n)) for w in scored.tolist() for t in range(1, len(w))])
    for n in orders
]
contexts = [sum(len(context) == n for context in chain.counts) for n in orders]
for n in orders:
    print(f"order {n}: {bits[n]:.3f} bits per character, {contexts[n]:>7,} contexts")
total = sum(chain.probability(c, scored[0][:10].tolist()) for c in range(len(characters)))
print(f"probabilities of all characters after one context add up to {total:.6f}")

# %% [markdown]
# ## Train

# %%
model = shakespeare_lstm.fit(config)
logits = model.predict(scored[:, :-1], verbose=0)  # (windows, 64, V)
log_p = log_softmax(logits, axis=-1)
lstm_bits = float(-np.take_along_axis(log_p, scored[:, 1:, None], -1).mean() / np.log(2))
print(f"LSTM: {lstm_bits:.3f} bits per character, {model.count_params():,} weights")

# %% [markdown]
# ## Look at the results

# %%
plt.figure(figsize=(6, 4))
plt.plot(orders, bits, marker="o", label="Markov chain")
plt.axhline(lstm_bits, color="tab:orange", label=f"LSTM, {config.epochs} epochs")
plt.axhline(np.log2(len(characters)), linestyle=":", color="grey", label="all equally likely")
plt.xlabel("order: characters looked back")
plt.ylabel("bits per character, on text not seen")
plt.legend()
plt.show()

# %%
for order in (1, 3, 6):
    print(f"--- order {order}:", MarkovChain(order, train).generate(150))
print("--- LSTM:", "".join(shakespeare_lstm.generate("The ", 150, model=model)))

# %% [markdown]
# Counting is a strong rival on so little text, and takes seconds. But after a context that was never seen a chain
# knows only what it knows of its end, whereas similar contexts give the LSTM similar states; and its weights do not
# become more with more text, as contexts do.
#
# ## Change one thing and see
# With `max_examples=8000` and five epochs, how much does either gain? The test text then begins in the middle of
# nothing: what do the first ten characters of each window cost, and the last ten, for both?
