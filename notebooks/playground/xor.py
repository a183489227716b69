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
# # XOR
#
# "One or the other, but not both" is the smallest function that no linear classifier can represent: no line separates
# (0, 1) and (1, 0) from (0, 0) and (1, 1). Minsky and Papert (1969) made it famous. Two hidden units are enough, and
# this notebook asks whether gradient descent finds them.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
y = np.array([0, 1, 1, 0], np.float32)

# %% [markdown]
# ## A linear classifier
# $p = \sigma(w \cdot x + b)$, trained by the cross-entropy. If it could do no better than to say ½ of each, the loss
# would be $\log 2 = 0.6931$ nats.


# %%
def cross_entropy(logits):
    """Returns the mean of the four cross-entropies in nats, (..., 4) to (...)."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.zeros_like(logits) + y, logits), -1)


def train(logits, weights, steps=800, rate=0.05):
    """Trains `weights` so that `logits()`, (..., 4), become XOR; returns the loss of each network, (...)."""
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(weights)

    @tf.function
    def all_steps():
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(cross_entropy(logits()))  # the networks share nothing: each has its own gradient
            optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)

    all_steps.get_concrete_function()()  # each network's graph is a new one, and TensorFlow warns of many
    return cross_entropy(logits()).numpy()


w, b = keras.Variable(np.random.default_rng(0).normal(size=2), dtype="float32"), keras.Variable(0.0)
linear_loss = train(lambda: tf.linalg.matvec(x, w.value) + b.value, [w, b])
print(f"linear: {linear_loss:.4f} nats, w = {w.numpy().round(3)}")

# %% [markdown]
# ## Two hidden units, by hand
# $h_1 = \max(0, x_1 + x_2)$ counts the ones, $h_2 = \max(0, x_1 + x_2 - 1)$ is 1 where both are. Then
# $y = h_1 - 2 h_2$: Goodfellow et al., "Deep Learning" (2016), section 6.1, https://www.deeplearningbook.org.


# %%
def by_hand(x):
    h1 = np.maximum(0, x[..., 0] + x[..., 1])
    h2 = np.maximum(0, x[..., 0] + x[..., 1] - 1)
    return h1 - 2 * h2


print("by hand:", *by_hand(x))

# %% [markdown]
# ## Learned
# Two hundred networks for each width, from different random weights. All are trained at once: the first axis of each
# weight is the network. A network has solved XOR where all four examples are on the right side.


# %%
def share_solved(units, activation, networks=200, seed=0):
    """Returns the share of networks with one hidden layer of so many units that learn XOR."""
    generator = np.random.default_rng(seed)
    W1 = keras.Variable(generator.normal(size=(networks, 2, units)), dtype="float32")
    b1 = keras.Variable(np.zeros((networks, 1, units)), dtype="float32")
    w2 = keras.Variable(generator.normal(size=(networks, units, 1)) / np.sqrt(units), dtype="float32")
    b2 = keras.Variable(np.zeros((networks, 1)), dtype="float32")

    def logits():
        hidden = activation(x @ W1.value + b1.value)  # (networks, 4, units)
        return (hidden @ w2.value)[..., 0] + b2.value

    train(logits, [W1, b1, w2, b2])
    return float(np.mean(np.all((logits().numpy() > 0) == (y > 0), axis=1)))


widths = [1, 2, 3, 4, 8, 16]
activations = {"ReLU": tf.nn.relu, "tanh": tf.nn.tanh}
solved = {name: [share_solved(units, function) for units in widths] for name, function in activations.items()}
for name, shares in solved.items():
    print(f"{name:>4}:", ", ".join(f"{units} units {share:.0%}" for units, share in zip(widths, shares)))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
steps = np.linspace(-0.5, 1.5, 101)
drawn = left.contourf(steps, steps, by_hand(np.stack(np.meshgrid(steps, steps), -1)), 20, cmap="RdBu", vmin=-1, vmax=2)
left.scatter(*x.T, c=y, cmap="gray", edgecolor="black", s=80)
figure.colorbar(drawn, ax=left, label="output of the network by hand")
left.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
for name, shares in solved.items():
    right.plot(widths, np.multiply(shares, 100), marker="o", label=name)
right.set(xlabel="hidden units", ylabel="networks that learn XOR, %", xscale="log")
right.set_xticks(widths, widths)
right.legend()
plt.show()

# %% [markdown]
# Two units can represent XOR, but often do not arrive there: a ReLU that is 0 at all four points has no gradient and
# stays so, and two units may both serve the same corner. With more units than are needed, nearly every start has two
# good ones among them. That a function *can* be represented and that it *is learned* are two questions.
#
# ## Change one thing and see
# With `rate=0.5`? With a leaky ReLU, `tf.nn.leaky_relu`, whose gradient is nowhere 0? And is one hidden unit enough if
# its activation is not monotone, such as `tf.sin`?
