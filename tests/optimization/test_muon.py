import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.optimization.muon import muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 3, 4, 16), (1, 1, 4, 16)])  # taller than wide, and wider
def test_a_step_is_nearly_orthogonal_and_of_the_same_singular_vectors(shape):
    matrix = np.random.default_rng(0).normal(size=shape).reshape(-1, shape[-1])
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    step = orthogonal(tf.constant(matrix.reshape(shape), tf.float32), 5).numpy().reshape(matrix.shape)
    inside = left.T @ step @ right.T
    np.testing.assert_allclose(inside, np.diag(np.diag(inside)), atol=1e-3)
    assert np.abs(np.diag(inside) - 1).max() < 0.35


def test_singular_values_go_through_the_polynomial():
    kernel = np.diag([0.8, 0.6]).reshape(1, 1, 2, 2)  # of norm 1
    s = np.array([0.8, 0.6])
    for _ in range(2):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(np.diag(orthogonal(tf.constant(kernel), 2)[0, 0]), s, rtol=1e-5)


def test_kernels_keep_their_norm_and_the_rest_takes_nesterov_steps():
    generator = np.random.default_rng(0)
    kernel, bias = keras.Variable(generator.normal(size=(3, 3, 2, 4))), keras.Variable(np.ones(4))
    gradients = [generator.normal(size=(3, 3, 2, 4)).astype("float32"), np.full(4, 2.0, "float32")]
    optimizer = muon(0.1, momentum=0.5, bias_rate=10.0, weight_decay=0.2)
    before = kernel.numpy() * 2 / np.linalg.norm(kernel.numpy())  # sqrt(4 filters)
    optimizer.apply([tf.constant(each) for each in gradients], [kernel, bias])
    step = orthogonal(tf.constant(1.5 * gradients[0]), 3).numpy()
    np.testing.assert_allclose(kernel.numpy(), before - 0.1 * step, rtol=1e-4, atol=1e-5)
    # decay: 1 - 0.1 * 0.2; momentum 2; step 2 + 0.5 * 2, ten times the rate
    np.testing.assert_allclose(bias.numpy(), np.full(4, 0.98 - 3.0), rtol=1e-5)
    optimizer.apply([tf.constant(each) for each in gradients], [kernel, bias])
    np.testing.assert_allclose(bias.numpy(), np.full(4, (0.98 - 3.0) * 0.98 - (2 + 0.5 * 3)), rtol=1e-5)
