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
# # Universal approximation
#
# One hidden layer that is wide enough comes as close to any continuous function on an interval as one likes: Cybenko
# (1989), https://doi.org/10.1007/BF02551274, and Hornik (1991), https://doi.org/10.1016/0893-6080(91)90009-T. For
# ReLU in one dimension the proof is a construction that fits in a cell. How wide is wide enough, and is that what
# training finds?

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf


def f(x):
    return np.sin(2 * np.pi * x) + 0.5 * np.sin(6 * np.pi * x)


x = np.linspace(0, 1, 1025)[:, None]

# %% [markdown]
# ## By construction
# Between knots $0 = x_0 < x_1 < \dots < x_n = 1$ draw straight lines. Their slope $s_k$ changes at each knot, and a
# ReLU adds what it changes by:
#
# $$\hat f(x) = f(x_0) + \sum_{k=0}^{n-1} (s_k - s_{k-1}) \max(0, x - x_k), \qquad s_{-1} = 0$$
#
# A straight line misses a function by at most $\frac{1}{8n^2} \max |f''|$: twice the units, a quarter of the error.


# %%
def constructed(units):
    """Returns the values at `x` of the network that interpolates f at units + 1 knots."""
    knots = np.linspace(0, 1, units + 1)
    slopes = np.diff(f(knots)) * units
    return f(knots[0]) + np.maximum(0, x - knots[:-1]) @ np.diff(slopes, prepend=0)


widths = [4, 8, 16, 32, 64, 128, 256]
targets = f(x)[:, 0]
errors = {"constructed": [np.abs(constructed(units) - targets).max() for units in widths]}
bound = [((2 * np.pi) ** 2 + 0.5 * (6 * np.pi) ** 2) / 8 / units**2 for units in widths]
for units, error, most in zip(widths, errors["constructed"], bound):
    print(f"{units:>4} units: largest error {error:.5f}, at most {most:.5f}")

# %% [markdown]
# ## By least squares
# The knots are drawn at random, and only the last layer is solved.


# %%
def random_features(units, seed=0):
    """Returns the values at `x` of a network whose hidden layer is random."""
    knots = np.random.default_rng(seed).uniform(0, 1, units)
    hidden = np.concatenate([np.maximum(0, x - knots), x, np.ones_like(x)], 1)
    return hidden @ np.linalg.lstsq(hidden, targets)[0]


errors["last layer solved"] = [
    np.mean([np.abs(random_features(units, seed) - targets).max() for seed in range(5)]) for units in widths
]

# %% [markdown]
# ## By training
# All weights, with Adam, from random ones.


# %%
def trained(units, steps=1500, seed=0):
    """Returns the values at `x` of a network after so many steps on all points."""
    keras.utils.set_random_seed(seed)
    # Units bend at -b / w, so all over the interval. One initializer for both would give both the same numbers.
    kernel, bias = keras.initializers.RandomUniform(-5, 5), keras.initializers.RandomUniform(-5, 5)
    first = keras.layers.Dense(units, "relu", kernel_initializer=kernel, bias_initializer=bias)
    model = keras.Sequential([keras.Input((1,)), first, keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, steps))
    optimizer.build(model.trainable_variables)
    inputs, wanted = tf.constant(2 * x[::8] - 1, tf.float32), tf.constant(targets[::8, None], tf.float32)

    @tf.function
    def all_steps():
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(inputs) - wanted) ** 2)
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)

    all_steps.get_concrete_function()()  # each network's graph is a new one, and TensorFlow warns of many
    return model(2 * x - 1).numpy()[:, 0]


values = {units: trained(units) for units in (8, 16, 64)}
errors_trained = [np.abs(value - targets).max() for value in values.values()]
print("trained:", ", ".join(f"{units} units {error:.4f}" for units, error in zip(values, errors_trained)))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
left.plot(x, targets, color="black", label="f")
left.plot(x, constructed(8), label="8 units, constructed")
left.plot(x, values[8], label="8 units, trained")
left.set(xlabel="x", ylabel="f(x)")
left.legend()
for name, largest in errors.items():
    right.loglog(widths, largest, marker="o", label=name)
right.loglog(list(values), errors_trained, marker="o", label="trained")
right.loglog(widths, bound, ":", color="grey", label=r"$\max |f''| / 8n^2$")
right.set(xlabel="hidden units", ylabel="largest error")
right.legend()
plt.show()

# %% [markdown]
# The construction keeps its promise. Training ends far above it: with 64 units its largest error is some sixteen
# times that of 64 units that are placed by hand. Random knots are not evenly spaced, and moving them is what gradient
# descent is slow at. The theorem says that weights exist, not that gradient descent finds them, and nothing about
# points that were not seen.
#
# ## Change one thing and see
# Give `f` a step, or a kink between two knots: is a quarter of the error still to be had from twice the units? In $d$
# dimensions a grid of knots has $n^d$ of them. What is that for an image?
