"""Layer normalisation with its gradient written out, against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.devices.keras_fixes import read_model
from recipes.layers.layer_norm import LayerNormalization


def outputs_and_gradients(layer, inputs, weights, cotangent):
    layer.build(inputs.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * cotangent)
    return [outputs, *tape.gradient(loss, [inputs, *layer.trainable_variables])]


@pytest.mark.parametrize("shape", [(7, 6), (3, 5, 6), (2, 3, 4, 6)])
@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-5), ("mixed_bfloat16", 0.03)])
def test_it_is_what_keras_computes(shape, precision, atol):
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, shape), "bfloat16" if precision == "mixed_bfloat16" else "float32")
    weights, cotangent = list(rng.uniform(0.5, 1.5, (2, shape[-1]))), tf.constant(rng.normal(size=shape), "float32")
    ours = outputs_and_gradients(LayerNormalization(epsilon=1e-5, dtype=precision), inputs, weights, cotangent)
    stock = keras.layers.LayerNormalization(epsilon=1e-5, dtype=precision)
    theirs = outputs_and_gradients(stock, inputs, weights, cotangent)
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(np.array(one, "float32"), np.array(other, "float32"), rtol=1e-4, atol=atol)


def test_by_hand():
    layer = LayerNormalization(epsilon=0.0)
    inputs = np.array([[1.0, 3.0], [10.0, 30.0]], "float32")
    for training in (True, False):
        np.testing.assert_allclose(layer(inputs, training=training), [[-1, 1], [-1, 1]], rtol=1e-6)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"axis": 1}, {"rms_scaling": True}])
def test_other_settings_are_left_to_keras(settings):
    inputs = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    ours, theirs = LayerNormalization(**settings), keras.layers.LayerNormalization(**settings)
    np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs))


def test_only_training_has_a_gradient_of_its_own():
    """Which an export would hold as operations that other formats do not know."""
    model = keras.Sequential([keras.Input((2,)), LayerNormalization()])
    for training in (True, False):
        graph = tf.function(lambda x, training=training: model(x, training=training))
        operations = graph.get_concrete_function(tf.TensorSpec((None, 2))).graph.get_operations()
        assert ("IdentityN" in {operation.type for operation in operations}) is training


def test_a_saved_model_opens_with_keras_alone_and_with_ours(tmp_path):
    model = keras.Sequential([keras.Input((2,)), LayerNormalization(epsilon=1e-4)])
    model.save(tmp_path / "model.keras")
    for read, kind in ((keras.saving.load_model, keras.layers.LayerNormalization), (read_model, LayerNormalization)):
        [layer] = read(tmp_path / "model.keras").layers
        assert type(layer) is kind
        assert layer.epsilon == 1e-4
