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
# # Double descent
#
# The textbook's curve: with more parameters a model fits better, and from some number on it fits noise, so the test
# error rises again. But beyond the number at which it fits *every* training example, the error falls a second time,
# often below the first minimum: Belkin et al. (2019), https://arxiv.org/abs/1812.11118.
#
# The model is linear in its parameters, so its best fit is solved, not trained. Its features are ReLUs with random
# weights (Rahimi and Recht 2007), $\phi_j(x) = \max(0, w_j \cdot x)$; of all fits that are equally good the one of
# the smallest norm is taken, $\theta = \Phi^+ y$, with the pseudoinverse $\Phi^+$. It is also the one that gradient
# descent from zero goes to. The data are scikit-learn's digits, with 200 to learn from.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(pixels))
pixels = (pixels - pixels.mean(0))[order] / 8  # (1797, 64)
targets = np.eye(10)[labels[order]] - 0.1  # (1797, 10): each column is a problem of its own
n = 200
train, test = slice(0, n), slice(n, None)

# %% [markdown]
# ## Fits of every size
# A tenth of the training examples exchange their labels at random: there is noise to be fitted.


# %%
def errors(features, seed, ridges=(0.0, 1.0)):
    """Returns, for each ridge, the mean squared errors on training and test digits and the norm of the parameters."""
    generator = np.random.default_rng(seed)
    noisy = targets[train].copy()
    wrong = generator.choice(n, n // 10, replace=False)
    noisy[wrong] = noisy[generator.permutation(wrong)]
    phi = np.maximum(0, pixels @ generator.normal(size=(64, features)) / 8)  # (1797, features)
    U, s, Vt = np.linalg.svd(phi[train], full_matrices=False)
    measured = []
    for ridge in ridges:  # 0: theta is the pseudoinverse times y, in which singular values of 0 stay 0
        shrunk = np.where(s > 1e-10 * s[0], s / (s**2 + ridge), 0)
        theta = Vt.T @ (shrunk[:, None] * (U.T @ noisy))
        fitted = phi @ theta
        on_training, on_test = (fitted[train] - noisy) ** 2, (fitted[test] - targets[test]) ** 2
        measured.append((on_training.mean(), on_test.mean(), np.linalg.norm(theta)))
    return measured


sizes = [10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240, 260, 300, 400, 600, 1000]
draws = [[errors(p, seed) for seed in range(5)] for p in sizes]
measured, regularised = np.median(draws, axis=1).transpose(1, 0, 2)  # (sizes, 3) each
peak = sizes[int(measured[:, 1].argmax())]
first = sizes[int(measured[: sizes.index(n), 1].argmin())]
print(f"{n} examples; the test error peaks at {peak} parameters for each class: {measured[:, 1].max():.3f}")
print(f"least error below it: {measured[sizes.index(first), 1]:.4f} at {first} parameters")
print(f"with {sizes[-1]} parameters: {measured[-1, 1]:.4f}; with a ridge: {regularised[-1, 1]:.4f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
left.loglog(sizes, measured[:, 1], marker=".", label="test")
left.loglog(sizes, np.maximum(measured[:, 0], 1e-5), marker=".", label="training (below 1e-5: drawn at it)")
left.loglog(sizes, regularised[:, 1], marker=".", label="test, with a ridge of 1")
right.loglog(sizes, measured[:, 2], marker=".", color="tab:green")
for axes in (left, right):
    axes.axvline(n, linestyle=":", color="grey")
    axes.set_xlabel("parameters for each class (dotted: training examples)")
left.set_ylabel("mean squared error")
right.set_ylabel("norm of the parameters")
left.legend()
plt.show()

# %% [markdown]
# ## Why there?
# With as many parameters as examples there is exactly one fit that passes through all of them, noise included, and no
# choice: $\Phi$ is square, its least singular values are close to 0, and the parameters become huge (right). With more
# parameters there are many such fits, and the one of the smallest norm gets smaller and smoother. A ridge, which counts
# the norm in what is minimised, takes the peak away altogether: it is a sign of too little regularisation, not of too
# many parameters.
#
# ## Change one thing and see
# Where is the peak with `n = 100`? Without wrong labels? Which ridge is best with 200 parameters, and which with 1,000?
