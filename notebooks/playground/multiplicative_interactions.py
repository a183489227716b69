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
# # Multiplicative interactions
#
# Two inputs, $x$ and $z$, are mostly brought together by concatenation: $W [x; z] + b$. A layer that **multiplies**
# them has a term for each pair of numbers:
#
# $$f(x, z) = z^\top \mathbb W x + z^\top U + V x + b$$
#
# with a tensor $\mathbb W$: Jayakumar et al. (2020), "Multiplicative Interactions and Where to Find Them",
# https://openreview.net/forum?id=rylnK6VtDH. Read as $(z^\top \mathbb W + V)\, x + (z^\top U + b)$ it is a linear
# layer whose weights are made from $z$: a *hypernetwork*. With $\mathbb W$ diagonal it is a *gate* (an LSTM's, or
# FiLM's scale and shift), and the scores of *attention*, $q^\top k$, are such products too.
#
# A network of ReLUs can approximate products, by the theorem of universal approximation. What does it cost?

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers, ops

d = 8  # numbers in x, and in z


@keras.saving.register_keras_serializable("notebook")
class MultiplicativeInteraction(layers.Layer):
    """Returns f(x, z) of the formula above, (B, units), of x (B, m) and z (B, n)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, x_shape, z_shape):
        m, n = x_shape[-1], z_shape[-1]
        small = keras.initializers.RandomNormal(stddev=(m * n) ** -0.5)
        self.W = self.add_weight((n, m, self.units), small, name="W")
        self.U = self.add_weight((n, self.units), "glorot_uniform", name="U")
        self.V = self.add_weight((m, self.units), "glorot_uniform", name="V")
        self.b = self.add_weight((self.units,), "zeros", name="b")

    def call(self, x, z):
        return ops.einsum("bn,nmu,bm->bu", z, self.W, x) + z @ self.U + x @ self.V + self.b


# %% [markdown]
# By hand: with $\mathbb W$ the identity and nothing else, it is the scalar product.

# %%
layer = MultiplicativeInteraction(1)
layer.build((None, 3), (None, 3))
layer.set_weights([np.eye(3)[..., None], np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(1)])
by_hand = layer(np.array([[1.0, 2.0, 3.0]], np.float32), np.array([[4.0, 5.0, 6.0]], np.float32)).numpy()
print("(1, 2, 3) . (4, 5, 6) =", by_hand)

# %% [markdown]
# ## Learn a scalar product
# $y = x \cdot z / \sqrt d$ of normal $x$ and $z$ has a variance of 1, so an error of 1 is what a constant has. Each
# network sees 600 fresh batches of 256.


# %%
def train(model, steps=600, batch=256, seed=0):
    """Returns the mean squared error on 10,000 new examples after training, and on such with x and z doubled."""
    generator = tf.random.Generator.from_seed(seed)

    def examples(count):
        x, z = generator.normal((count, d)), generator.normal((count, d))
        return x, z, tf.reduce_sum(x * z, 1, keepdims=True) / d**0.5

    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, steps))
    optimizer.build(model.trainable_variables)

    @tf.function
    def all_steps():
        for _ in tf.range(steps):
            x, z, y = examples(batch)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model([x, z]) - y) ** 2)
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)

    all_steps.get_concrete_function()()  # each network's graph is a new one, and TensorFlow warns of many
    x, z, y = examples(10_000)
    return [float(tf.reduce_mean((model([k * x, k * z]) - k**2 * y) ** 2)) / k**4 for k in (1, 2)]


def concatenating(units):
    """Returns a network with one hidden layer of x and z side by side."""
    x, z = keras.Input((d,)), keras.Input((d,))
    hidden = layers.Dense(units, "relu")(layers.Concatenate()([x, z]))
    return keras.Model([x, z], layers.Dense(1)(hidden))


def multiplying():
    """Returns the layer alone, as a model."""
    x, z = keras.Input((d,)), keras.Input((d,))
    return keras.Model([x, z], MultiplicativeInteraction(1)(x, z))


keras.utils.set_random_seed(0)
results = {}
for units in (4, 16, 64, 256, 1024):
    model = concatenating(units)
    results[model.count_params()] = train(model)
    error, doubled = results[model.count_params()]
    print(f"ReLU, {units:>4} units, {model.count_params():>6,} parameters: error {error:.4f}, doubled {doubled:.4f}")
model = multiplying()
parameters, multiplied = model.count_params(), train(model)
print(f"multiplicative,   {parameters:>6,} parameters: error {multiplied[0]:.1e}, doubled {multiplied[1]:.1e}")

# %%
plt.figure(figsize=(6, 4))
plt.loglog(results.keys(), results.values(), marker="o", label=["concatenation, ReLU", "of doubled x and z"])
plt.loglog(parameters, multiplied[0], "*", markersize=12, label="multiplicative interaction")
plt.axhline(1, linestyle=":", color="grey", label="a constant")
plt.xlabel("parameters")
plt.ylabel("mean squared error / variance of y")
plt.legend()
plt.show()

# %% [markdown]
# The layer has the product among its functions and finds it. The other networks approximate it where they were trained;
# for each halving of the error they take many more units. On inputs twice as large, where few examples were, theirs is
# a far larger share of the variance, for beyond its last kink a network of ReLUs is linear. A layer that has
# the right form needs fewer weights and fewer examples: an *inductive bias*.
#
# ## Change one thing and see
# Let `y` be something that is no product, such as the largest number in `x` and `z`: which network is the better one
# now? And with a sum, $y = \sum_i x_i + z_i$?
