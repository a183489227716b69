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
# # Differentiation: forward, reverse, by hand
#
# A program is a composition of operations whose derivatives are known, and the chain rule multiplies them:
#
# $$\frac{\partial y}{\partial x} = \frac{\partial y}{\partial v_k} \cdots \frac{\partial v_2}{\partial v_1}
# \frac{\partial v_1}{\partial x}$$
#
# A product of matrices can be computed from either end. *Forward mode* begins on the right and carries $\partial v /
# \partial x$ for **one input** along with each value. *Reverse mode* begins on the left and carries the derivative of
# **one output**, $\bar v = \partial y / \partial v$, back to all inputs. A loss is one number of millions of weights,
# which is why networks are trained in reverse mode. Both are written out here and compared with TensorFlow's. Baydin
# et al. (2018), https://arxiv.org/abs/1502.05767, has their history.

# %%
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

# %% [markdown]
# ## Forward mode: dual numbers
# A dual number $v + \dot v \epsilon$ with $\epsilon^2 = 0$ is a value with its derivative. Then
# $(a + \dot a \epsilon)(b + \dot b \epsilon) = ab + (\dot a b + a \dot b) \epsilon$ *is* the product rule.


# %%
class Dual:
    """A value and its derivative by one input."""

    count = 0  # of the duals so far

    def __init__(self, value, dot=0.0):
        self.value, self.dot = value, dot
        Dual.count += 1

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.dot + other.dot)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.dot * other.value + self.value * other.dot)

    __radd__, __rmul__ = __add__, __mul__

    def sin(self):
        return Dual(math.sin(self.value), math.cos(self.value) * self.dot)

    def log(self):
        return Dual(math.log(self.value), self.dot / self.value)


# %% [markdown]
# ## Reverse mode: a graph, and back through it
# Each operation keeps its inputs, and the derivative of its output by each of them. `backward` visits the operations in
# reverse order; where a value is used twice, what comes back along both ways is **added**.


# %%
class Var:
    """A value, what it was computed from, and `grad`, the derivative of the output by it."""

    count = 0  # of the values so far

    def __init__(self, value, inputs=()):
        self.value, self.inputs, self.grad = value, inputs, 0.0  # inputs: (Var, derivative by it) pairs
        Var.count += 1

    def __add__(self, other):
        other = other if isinstance(other, Var) else Var(other)
        return Var(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        other = other if isinstance(other, Var) else Var(other)
        return Var(self.value * other.value, ((self, other.value), (other, self.value)))

    __radd__, __rmul__ = __add__, __mul__

    def sin(self):
        return Var(math.sin(self.value), ((self, math.cos(self.value)),))

    def log(self):
        return Var(math.log(self.value), ((self, 1 / self.value),))

    def backward(self):
        order, seen = [], set()

        def visit(var):  # every operation after its inputs
            if id(var) not in seen:
                seen.add(id(var))
                for before, _ in var.inputs:
                    visit(before)
                order.append(var)

        visit(self)
        self.grad = 1.0
        for var in reversed(order):
            for before, derivative in var.inputs:
                before.grad += var.grad * derivative


# %% [markdown]
# ## All three, of one function
# $f(x_1, x_2) = \log x_1 + x_1 x_2 - \sin x_2$ at (2, 5), the example of Baydin et al. By hand,
# $\partial f / \partial x_1 = 1 / x_1 + x_2 = 5.5$ and $\partial f / \partial x_2 = x_1 - \cos x_2 = 1.7163$.


# %%
def f(x1, x2):
    return x1.log() + x1 * x2 + -1.0 * x2.sin()


forward = f(Dual(2.0, 1.0), Dual(5.0)).dot, f(Dual(2.0), Dual(5.0, 1.0)).dot  # a pass for each input

x1, x2 = Var(2.0), Var(5.0)
f(x1, x2).backward()  # one pass for both
reverse = x1.grad, x2.grad

point = tf.constant([2.0, 5.0], tf.float64)
with tf.GradientTape() as tape:
    tape.watch(point)
    y = tf.math.log(point[0]) + point[0] * point[1] - tf.sin(point[1])
by_tape = tape.gradient(y, point).numpy()

with tf.autodiff.ForwardAccumulator(point, tf.constant([1.0, 0.0], tf.float64)) as accumulator:
    y = tf.math.log(point[0]) + point[0] * point[1] - tf.sin(point[1])
by_accumulator = accumulator.jvp(y).numpy()  # TensorFlow's forward mode, of the first input

for name, derivatives in (("forward", forward), ("reverse", reverse), ("GradientTape", by_tape)):
    print(f"{name:>12}: {derivatives[0]:.10f} {derivatives[1]:.10f}")
print(f"TensorFlow, forward, first input: {by_accumulator:.10f}")

# %% [markdown]
# ## A program with a loop
# What is differentiated is what was *executed*, so loops and conditions are no obstacle. Newton's iteration for
# $\sqrt a$, $x \leftarrow (x + a / x) / 2$, without division: with $y \leftarrow y (3 - a y^2) / 2$, which goes to
# $1 / \sqrt a$, whose derivative is $-a^{-3/2} / 2$.


# %%
def inverse_root(a, steps=8):
    y = 0.5
    for _ in range(steps):
        y = 0.5 * y * (3.0 + -1.0 * a * y * y)
    return y


a = Var(2.0)
inverse_root(a).backward()
print("of the loop", a.grad, "by the formula", -0.5 * 2**-1.5)

# %% [markdown]
# ## Which is the cheaper one?
# For $y = \sum_i \sin(x_i)\, x_{i+1}$ of $n$ inputs, forward mode needs $n$ passes for the gradient, reverse mode
# one. (For a function of one input with many outputs it is the other way round.)


# %%
def chain(x):
    total = 0.0
    for here, following in pairwise(x):
        total = total + here.sin() * following
    return total


def by_forward_mode(values):
    return [chain([Dual(v, float(i == j)) for j, v in enumerate(values)]).dot for i in range(len(values))]


def by_reverse_mode(values):
    x = [Var(v) for v in values]
    chain(x).backward()
    return [var.grad for var in x]


def work(mode, number, values):
    """Returns how many values `mode` computes for a gradient."""
    number.count = 0
    mode(values)
    return number.count


x = np.random.default_rng(0).normal(size=256).tolist()
exact = [math.cos(x[0]) * x[1]] + [math.sin(x[i - 1]) + math.cos(x[i]) * x[i + 1] for i in range(1, 15)]
exact += [math.sin(x[14])]
errors = [np.abs(np.subtract(mode(x[:16]), exact)).max() for mode in (by_forward_mode, by_reverse_mode)]
print("largest errors of both, 16 inputs:", *errors)

sizes = [4, 8, 16, 32, 64, 128, 256]
modes = {"forward mode": (by_forward_mode, Dual), "reverse mode": (by_reverse_mode, Var)}
computed = {name: [work(*mode, x[:n]) for n in sizes] for name, mode in modes.items()}
plt.figure(figsize=(6, 4))
for name, counts in computed.items():
    plt.loglog(sizes, counts, marker="o", label=name)
plt.xlabel("inputs")
plt.ylabel("values computed for the gradient")
plt.legend()
plt.show()

# %% [markdown]
# Reverse mode has a price: it must keep all values until it comes back to them, where forward mode forgets them as it
# goes. So what a training step needs is memory.

# %% [markdown]
# ## Differences are no derivatives
# $(f(x + h) - f(x - h)) / 2h$ needs no rules, but is never exact: a large $h$ misses the curvature (an error of
# $h^2$), with a small one the digits cancel (an error of $10^{-16} / h$). It is good for tests of a gradient, with
# $h$ near $10^{-5}$.

# %%
steps = np.logspace(-12, 0, 49)
x0 = 1.0
of_sine = (np.sin(x0 + steps) - np.sin(x0 - steps)) / (2 * steps)
difference_errors = np.abs(of_sine - np.cos(x0))
plt.figure(figsize=(6, 4))
plt.loglog(steps, difference_errors, marker=".")
plt.xlabel("h")
plt.ylabel("error of the derivative of sin at 1")
plt.show()

# %% [markdown]
# ## Change one thing and see
# Add division and `exp` to both classes. In `backward`, replace `+=` by `=`: which of the functions above have wrong
# gradients now, and why not all?
