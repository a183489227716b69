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
# # A matrix as a product of two smaller ones
#
# A matrix $A$ of $m \times n$ is approximated by $\hat A = U V^\top$ of rank $r$, with $U$ of $m \times r$ and $V$ of
# $n \times r$. What is minimised is the squared error, and its gradients are products of matrices again:
#
# $$f(U, V) = \|A - U V^\top\|_F^2, \quad E = A - U V^\top, \quad
# \frac{\partial f}{\partial U} = -2 E V, \quad \frac{\partial f}{\partial V} = -2 E^\top U$$
#
# $f$ is not convex in $U$ and $V$ together. Still, its minimum is known: Eckart and Young (1936),
# https://doi.org/10.1007/BF02288367, say that the best matrix of rank $r$ keeps the $r$ largest singular values of $A$,
# and that the squared error is the sum of the squares of the others. So this is a good first problem: we can tell
# whether gradient descent found the minimum.
#
# The matrix is that of the first lab of "Differentiable Programming" (COMP6248, Southampton).

# %%
import matplotlib.pyplot as plt
import numpy as np

A = np.array([[0.3374, 0.6005, 0.1735], [3.3359, 0.0492, 1.8374], [2.9407, 0.5301, 2.2620]])

# %% [markdown]
# ## The minimum, by the singular value decomposition

# %%
left, singular_values, right = np.linalg.svd(A)
optimum = np.sum(singular_values[2:] ** 2)
print("singular values", singular_values.round(4))
print(f"least squared error of rank 2: {optimum:.6f}")

# %% [markdown]
# ## Gradient descent
# All elements of $A$ are in every step. The factors begin at random: at zero both gradients would be zero.


# %%
def gradient_descent(A, rank, steps=2000, rate=0.01, seed=0):
    """Returns U (m, rank), V (n, rank) and the squared error after each step."""
    generator = np.random.default_rng(seed)
    U, V = generator.uniform(size=(len(A), rank)), generator.uniform(size=(A.shape[1], rank))
    errors = []
    for _ in range(steps):
        E = A - U @ V.T
        U, V = U + rate * 2 * E @ V, V + rate * 2 * E.T @ U
        errors.append(np.sum((A - U @ V.T) ** 2))
    return U, V, errors


U, V, errors = gradient_descent(A, rank=2)
print(f"gradient descent: {errors[-1]:.6f}")

# %% [markdown]
# ## Stochastic gradient descent
# One element at a time: with $e = A_{ij} - u_i \cdot v_j$, the row $u_i$ moves by $\eta\, e\, v_j$, and then $v_j$ by
# $\eta\, e\, u_i$ (the factor 2 is in the rate). A step costs $2r$ multiplications, however large the matrix is, and
# elements that are not known are left out. So films were recommended: Koren et al. (2009),
# https://doi.org/10.1109/MC.2009.263.


# %%
def stochastic_gradient_descent(A, rank, epochs=1000, rate=0.01, seed=0, known=None):
    """Returns U, V and the squared error, of the elements that are `known`, after each epoch."""
    generator = np.random.default_rng(seed)
    U, V = generator.uniform(size=(len(A), rank)), generator.uniform(size=(A.shape[1], rank))
    known = np.ones(A.shape, bool) if known is None else known
    errors = []
    for _ in range(epochs):
        for i, j in np.argwhere(known):
            e = A[i, j] - U[i] @ V[j]
            U[i] += rate * e * V[j]
            V[j] += rate * e * U[i]
        errors.append(np.sum((A - U @ V.T)[known] ** 2))
    return U, V, errors


stochastic = [stochastic_gradient_descent(A, rank=2, seed=seed)[2] for seed in range(5)]
print("stochastic, 1,000 epochs, five seeds:", " ".join(f"{one[-1]:.4f}" for one in stochastic))

# %%
plt.figure(figsize=(6, 4))
for seed, one in enumerate(stochastic):
    plt.semilogy(
        np.array(one) - optimum, color="tab:orange", alpha=0.6, label=None if seed else "stochastic, five seeds"
    )
plt.semilogy(np.array(errors) - optimum, color="tab:blue", label="gradient descent")
plt.xlabel("passes over the matrix")
plt.ylabel("squared error above the minimum")
plt.ylim(1e-10, 100)
plt.legend()
plt.show()

# %% [markdown]
# Gradient descent arrives at the minimum. The stochastic one soon comes close, and stays above it: at the minimum the
# error of each single element is not zero, so with a constant rate each step still moves the factors.

# %% [markdown]
# ## Missing elements
# Two elements are hidden, seven known. A matrix of rank $r$ has $r (m + n - r)$ free numbers: five for rank 1, so that
# the known elements decide; eight for rank 2, which fit what is known whatever the hidden ones are.

# %%
known = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1]], bool)
for rank in (1, 2):
    for seed in (0, 1, 3):
        U_known, V_known, seen = stochastic_gradient_descent(A, rank, known=known, seed=seed)
        filled = (U_known @ V_known.T)[~known]
        print(f"rank {rank}, seed {seed}: squared error of the known {seen[-1]:.4f}; hidden elements {filled.round(2)}")
print("they are", A[~known])

# %% [markdown]
# ## Change one thing and see
# How far above the minimum does the stochastic one stay with `rate=0.003` and ten times the epochs, and with
# `rate=0.1`? At which rate does gradient descent diverge?
