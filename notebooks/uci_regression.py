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
# # A number, and how sure it is
#
# A network with two outputs for a row $x$ of a table: the mean $\mu(x)$ and the variance $\sigma^2(x)$ of a Gaussian
# over what is to be predicted. What did happen is made likely; the negative log likelihood of $y$ is
#
# $$\tfrac12 \log 2\pi\sigma^2(x) + \frac{(y - \mu(x))^2}{2\sigma^2(x)}$$
#
# This notebook learns a generated table, Friedman's function of ten numbers with noise of deviation 1: no model can
# predict it with a smaller error than that. For concrete, leave out `dataset="friedman"`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from recipes import uci_regression

config = uci_regression.Config(dataset="friedman", epochs=30)
models = [uci_regression.fit(config, seed=seed) for seed in (0, 1)]
uci_regression.evaluate(models[0])

# %% [markdown]
# ## Look at the results
# Predictions with their 95 % intervals, and how many of the targets such intervals hold: the run's report has both.

# %%
figure, panels = plt.subplots(1, 2, figsize=(12, 5))
for axes, name in zip(panels, ("predictions", "calibration"), strict=True):
    axes.imshow(plt.imread(models[0].run.folder / f"{name}.png"))
    axes.axis("off")
plt.show()

# %% [markdown]
# ## Two networks know where they know nothing
# Outside of what was seen in training networks disagree, and the deviation of their mixture grows.

# %%
both = uci_regression.ensemble(models)
x4 = np.linspace(-2, 3, 50)
rows = np.full((50, 10), 0.5)
rows[:, 3] = x4
for model, label in ((models[0], "one network"), (both, "two networks")):
    answers = uci_regression.predict(rows, model)
    mean, deviation = (np.array([answer[name] for answer in answers]) for name in ("mean", "deviation"))
    plt.plot(x4, mean, label=label)
    plt.fill_between(x4, mean - 2 * deviation, mean + 2 * deviation, alpha=0.2)
plt.axvspan(0, 1, color="grey", alpha=0.2, label="where training rows are")
plt.xlabel("x4, the other nine at 0.5")
plt.legend()
plt.show()

# %% [markdown]
# ## A table of your own
# A CSV file, a DataFrame, a dict of columns: numbers and categories; the last column is predicted, or `label_column`.

# %%
random = np.random.default_rng(0)
area, town = random.uniform(40, 160, 400), random.choice(["Ulm", "Bonn"], 400)
price = area * np.where(town == "Bonn", 4, 3) * np.exp(0.1 * random.standard_normal(400))
houses = {"area": area, "town": town, "price": price}
model = uci_regression.fit(data=houses, epochs=30)
uci_regression.predict([{"area": 50, "town": "Ulm"}, {"area": 150, "town": "Bonn"}], model)
# %% [markdown]
# ## Change one thing and see
# With `weight_decay=0` and more `epochs` the network grows too sure of itself: look at `calibration.png`.
