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
# # Morse code, decoded by a translator
#
# Your own data go into a recipe as they are: here, pairs of Morse code and text, into `translate_seq2seq`. One LSTM
# reads dots and dashes, another writes letters and looks back as it does (Luong et al. 2015,
# https://arxiv.org/abs/1508.04025). A table of 26 rows decodes Morse code without a fault. That is what makes it a good
# exercise: we know what the network has to find, and its attention shows whether it did.
#
# The exercise is from "Differentiable Programming" (COMP6248, Southampton).

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import translate_seq2seq

# International Morse code: ITU-R M.1677-1
CODES = dict(zip("abcdefghijklm", ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. --".split(" ")))  # noqa: SIM905
CODES |= dict(zip("nopqrstuvwxyz", "-. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..".split(" ")))  # noqa: SIM905


def morse(text):
    """Returns the code of a text of small letters, a space between letters."""
    return " ".join(CODES[letter] for letter in text)


# %% [markdown]
# Strings of one to six random letters: in words, the network could guess a letter from its neighbours. The letters of a
# text are set apart, so that each is a piece of the vocabulary; the recipe learns its pieces from the pairs.

# %%
generator = np.random.default_rng(0)
letters = np.array(list(CODES))
texts = sorted({"".join(generator.choice(letters, generator.integers(1, 7))) for _ in range(4000)})
generator.shuffle(texts)
pairs = [morse(text) for text in texts], [" ".join(text) for text in texts]
print(pairs[0][0], "->", pairs[1][0])

cuts = [slice(0, -600), slice(-600, -300), slice(-300, None)]  # training, validation, test
data = [tuple(side[cut] for side in pairs) for cut in cuts]
config = translate_seq2seq.Config(
    vocab_size=80,
    embed_dim=48,
    units=64,
    dropout=0.0,
    epochs=6,
    batch_size=64,
    learning_rate=1e-2,
    label_smoothing=0.0,
)
model = translate_seq2seq.fit(config, data=data)

# %% [markdown]
# ## Look at the results

# %%
codes, answers = data[2]
decoded = translate_seq2seq.translate(codes, model=model)
right = np.array([one == answer for one, answer in zip(decoded, answers)])
lengths = np.array([len(answer.split()) for answer in answers])
print(f"{right.mean():.1%} of {len(answers)} strings that it has not seen are decoded without a fault")
print(*(f"{n} letters: {right[lengths == n].mean():.0%}" for n in np.unique(lengths)), sep=", ")
print(morse("sos"), "->", translate_seq2seq.translate([morse("sos")], model=model)[0])

# %% [markdown]
# Where does it look as it writes each letter? The pieces were learned from the pairs: a letter's whole code is one.

# %%
rows, columns, weights = translate_seq2seq.explain(morse("morse"), model=model)
plt.figure(figsize=(8, 4))
plt.imshow(weights, cmap="Blues", vmin=0)
plt.xticks(range(len(columns)), columns)
plt.yticks(range(len(rows)), rows)
plt.xlabel("pieces of the code that it reads")
plt.ylabel("letters that it writes")
plt.colorbar(label="attention weight")
plt.show()

# %% [markdown]
# ## Change one thing and see
# Leave out the spaces in `morse`, as a careless operator does: one code then has many readings (`...` is "s", "ie",
# "ei" or "eee"), and no table helps. Train on English words instead of random letters: how much of it can be read
# again?
