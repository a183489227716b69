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
# # Optimisers on a function with many local minima
#
# Rastrigin's function has one global minimum, 0 at the origin, and a local one near every point of whole numbers:
#
# $$f(x) = A n + \sum_{i=1}^n x_i^2 - A \cos(2 \pi x_i), \qquad n = 2,\ A = 1$$
#
# Four optimisers start at (5, 5), with 100 steps and a rate of 0.01 each. $g_t$ is the gradient, $\eta$ the rate:
#
# | | |
# | --- | --- |
# | gradient descent | $x_{t+1} = x_t - \eta g_t$ |
# | momentum | $v_{t+1} = 0.9 v_t - \eta g_t,\quad x_{t+1} = x_t + v_{t+1}$ |
# | Adagrad | $s_{t+1} = s_t + g_t^2,\quad x_{t+1} = x_t - \eta g_t / \sqrt{s_{t+1}}$ |
# | Adam | $x_{t+1} = x_t - \eta \hat m_t / \sqrt{\hat v_t}$, running averages $\hat m$ of $g$ and $\hat v$ of $g^2$ |
#
# Adagrad: Duchi et al. (2011), https://jmlr.org/papers/v12/duchi11a.html; Adam: Kingma and Ba (2015),
# https://arxiv.org/abs/1412.6980. The exercise is from "Differentiable Programming" (COMP6248, Southampton).

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf


def rastrigin(x, A=1.0):
    """Returns f of points (..., 2), of NumPy or TensorFlow."""
    return tf.reduce_sum(A + x**2 - A * tf.cos(2 * np.pi * x), axis=-1)


# %% [markdown]
# ## 100 steps each


# %%
def descend(optimizer, steps=100, start=(5.0, 5.0)):
    """Returns the points that the optimizer passes, (steps + 1, 2)."""
    x = keras.Variable(start)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            f = rastrigin(x.value)
        optimizer.apply([tape.gradient(f, x.value)], [x])

    optimizer.build([x])
    points = [x.numpy()]
    for _ in range(steps):
        step()
        points.append(x.numpy())
    return np.array(points)


optimizers = {
    "gradient descent": keras.optimizers.SGD(0.01),
    "momentum": keras.optimizers.SGD(0.01, momentum=0.9),
    "Adagrad": keras.optimizers.Adagrad(0.01),
    "Adam": keras.optimizers.Adam(0.01),
}
paths = {name: descend(optimizer) for name, optimizer in optimizers.items()}
values = {name: rastrigin(path).numpy() for name, path in paths.items()}
for name, path in paths.items():
    print(f"{name:>16}: f = {values[name][-1]:5.2f} at ({path[-1, 0]:.2f}, {path[-1, 1]:.2f})")

# %% [markdown]
# The start is symmetric, so all move along the diagonal. A dot for each step:

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
diagonal = np.linspace(-2, 5.5, 400)
left.plot(diagonal, rastrigin(np.stack([diagonal, diagonal], -1)), color="lightgrey")
for row, (name, path) in enumerate(paths.items()):
    left.plot(path[:, 0], values[name] + 4 * (row + 1), ".", label=name)  # above the curve, for each a little more
    right.plot(values[name], label=name)
left.set(xlabel="$x_1 = x_2$", ylabel="f (grey)", title="points that they pass, each optimiser's moved up")
left.legend()
right.set(xlabel="step", ylabel="f")
plt.show()

# %% [markdown]
# ## Why?
# - **Gradient descent** and **momentum** take steps that are as large as the slope, which is near 10 at the start.
#   Momentum adds its last steps up, to as much as ten times a step, and runs through the local minima to one beside
#   the origin. Gradient descent alone stops in one of them, $x \approx 2.82$.
# - **Adam** divides by the size of the gradient: whatever the slope, a step is about $\eta$. In 100 steps of 0.01 it
#   cannot come further than about one unit. That is no fault of Adam's: its rate is a *distance*, and this one is too
#   small.
# - **Adagrad** divides by the root of the *sum* of all squared gradients, so its steps shrink like $1 / \sqrt t$:
#   together about $2 \eta \sqrt{100} = 0.2$.
#
# ## Each at its own best rate
# A rate that is fair to one optimiser is not fair to another. Here are the formulas of the table in NumPy, for many
# rates at once.


# %%
rates = np.logspace(-3, 1, 25)


def last_values(name):
    """Returns f after 100 steps from (5, 5), one for each of `rates`."""
    x = np.full((len(rates), 2), 5.0)
    v, s, m = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    eta = rates[:, None]
    for t in range(1, 101):
        g = 2 * x + 2 * np.pi * np.sin(2 * np.pi * x)
        if name == "gradient descent":
            x = x - eta * g
        elif name == "momentum":
            v = 0.9 * v - eta * g
            x = x + v
        elif name == "Adagrad":
            s = s + g**2
            x = x - eta * g / np.sqrt(s + 1e-12)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            x = x - eta * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return np.sum(1 + x**2 - np.cos(2 * np.pi * x), -1)


plt.figure(figsize=(6, 4))
best = {}
for name in optimizers:
    ends = last_values(name)
    best[name] = rates[np.nanargmin(ends)], np.nanmin(ends)
    plt.semilogx(rates, ends, marker=".", label=name)
    print(f"{name:>16}: best of {len(rates)} rates {best[name][0]:.3f}, f = {best[name][1]:.4f}")
plt.ylim(0, 60)
plt.xlabel("rate")
plt.ylabel("f after 100 steps")
plt.legend()
plt.show()

# %% [markdown]
# ## Change one thing and see
# `A=10` is the usual form of the function, whose local minima are deeper. Which of the four still leave the first
# one? And from (5, 4.5), where the path is no diagonal?
