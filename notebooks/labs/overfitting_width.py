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
# # How wide must a network be to overfit?
#
# One hidden layer of $n$ units classifies small digits. With few units it cannot even fit the training examples; with
# many it fits all of them. The question of this lab is what happens to the *validation* loss on the way, with clean
# labels and with a fifth of the training labels replaced by random ones. The digits are scikit-learn's, with 300 to
# learn from. The exercise is from "Differentiable Programming" (COMP6248, Southampton).

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(pixels))
pixels, labels = (pixels / 16)[order].astype("float32"), labels[order]
x, validation_x = tf.constant(pixels[:300]), tf.constant(pixels[300:])
validation_y = tf.constant(labels[300:])

clean = labels[:300]
generator = np.random.default_rng(1)
noisy = np.where(generator.random(300) < 0.2, generator.integers(0, 10, 300), clean)
print(f"{np.mean(noisy != clean):.0%} of the noisy labels are wrong")

# %% [markdown]
# ## One width after the other
# Each network takes 600 steps of Adam on all training examples, without dropout, decay or early stopping.


# %%
def train(units, y, steps=600):
    """Returns training loss, validation loss (nats) and validation accuracy after every tenth step, (steps / 10, 3)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10)])
    optimizer, y = keras.optimizers.Adam(0.01), tf.constant(y)
    optimizer.build(model.trainable_variables)

    def cross_entropy(inputs, targets):
        logits = model(inputs)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == tf.cast(targets, tf.int64), tf.float32))

    @tf.function
    def ten_steps():
        for _ in tf.range(10):
            with tf.GradientTape() as tape:
                loss, _ = cross_entropy(x, y)
            gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
            optimizer.apply(gradients, model.trainable_variables)
        return tf.stack([cross_entropy(x, y)[0], *cross_entropy(validation_x, validation_y)])

    return np.array([ten_steps().numpy() for _ in range(steps // 10)])


widths = [1, 2, 4, 8, 16, 64, 256, 1024]
curves = {
    name: np.array([train(units, y) for units in widths])  # (widths, times, 3)
    for name, y in (("clean labels", clean), ("a fifth at random", noisy))
}
for name, curve in curves.items():
    print(name)
    for units, (loss, validation, accuracy) in zip(widths, curve[:, -1]):
        parameters = 75 * units + 10
        line = f"{units:>6} units, {parameters:>6,} parameters: loss {loss:.3f}, validation {validation:.3f}"
        print(f"{line}, accuracy {accuracy:.1%}")

# %%
figure, panels = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
for panel, (name, curve) in zip(panels, curves.items()):
    panel.semilogx(widths, curve[:, -1, 0], marker="o", label="training")
    panel.semilogx(widths, curve[:, -1, 1], marker="o", label="validation")
    panel.semilogx(widths, curve[:, :, 1].min(1), ":", color="grey", label="validation, stopped at its best")
    panel.set(xlabel="hidden units", ylabel="loss, nats", title=name, ylim=(-0.1, 4))
    panel.legend()
for units in (4, 16, 1024):
    steps = 10 * np.arange(1, 61)
    panels[2].plot(steps, curves["a fifth at random"][widths.index(units), :, 1], label=f"{units} units")
panels[2].set(xlabel="step", ylabel="validation loss, nats", title="a fifth at random, while it trains")
panels[2].legend()
plt.show()

# %% [markdown]
# With clean labels, wider is better or no worse, up to the widest: a network with some 250 parameters for each
# example fits all of them and still does well on others. With wrong labels the validation loss is worst not for the
# widest network but for the one that is just wide enough to fit every label, right or wrong, and has no choice how: 8
# units. Wider ones fit them too, and do less harm to what lies between: the double descent of
# `playground/double_descent.py`. Stopped at its best step (dotted), no width from 8 on overfits much. So width alone
# does not overfit; noise and *time* do.
#
# ## Change one thing and see
# With 100 examples, or 1,000? With `keras.optimizers.AdamW(0.01, weight_decay=0.1)`? And look at the accuracy: does it
# fall where the loss rises?
