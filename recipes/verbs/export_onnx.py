"""Networks as ONNX files, of ONNX's own operations alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from recipes.devices.keras_fixes import quiet_tensorflow
from recipes.errors import ExportError
from recipes.verbs.export_network import Converted, Network, import_extra, in_batches

OPSET = 18  # of 2022: ONNX Runtime 1.14 and later


def to_onnx(network: Network) -> Converted:
    """Returns a network as ONNX Runtime runs it, in float32, for any number of examples and of token ids.

    Raises:
        ExportError: A package is missing, or an operation is none of ONNX's own.
    """
    packages = "tf2onnx.convert", "tf2onnx.optimizer", "onnx", "onnxruntime"
    converter, optimizer, onnx, onnxruntime = import_extra("onnx", *packages)
    specs = network.specs(None, None)
    # The optimizer joins the reshapes of two layers into one that mixes up B and T.
    optimizers = {name: made for name, made in vars(optimizer)["_optimizers"].items() if "reshape" not in name}
    with (
        quiet_tensorflow(),
        mock.patch.object(optimizer, "_optimizers", optimizers),
        mock.patch.object(keras.ops, "scan", scan_of_tensors),
    ):
        function = tf.function(network.function, input_signature=specs)
        try:
            model, _ = converter.from_function(
                function, specs, opset=OPSET, custom_op_handlers={"Erfc": (erf_for_erfc, [])}
            )
        except Exception as error:  # of many kinds
            raise ExportError(f"ONNX cannot hold this network: {error}. Export it as a SavedModel") from error
    if foreign := sorted({name for name in _operations(model.graph) if not onnx.defs.has(name)}):
        raise ExportError(f"ONNX has no {', '.join(foreign)}, which this network needs. Export it as a SavedModel")
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_param = "B"
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, inputs), strict=True))

    takes = "any number of examples"
    return Converted(
        content,
        lambda inputs: in_batches(run, inputs, 64),
        network,
        f"{takes} of up to {network.length} token ids" if network.length else takes,
    )


def erf_for_erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """Replaces the operation erfc(x), of the exact GELU, by 1 - erf(x); ONNX has erf alone."""
    [output], shapes, dtypes = node.output, node.output_shapes, node.output_dtypes
    one = context.make_const(f"{name}_one", np.array(1, np.float32))
    context.remove_node(name)
    erf = context.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    context.make_node("Sub", [one.output[0], erf.output[0]], name=name, outputs=[output], shapes=shapes, dtypes=dtypes)


def scan_of_tensors(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns what `keras.ops.scan` does: (the last state, the outputs of all steps), which have the state's structure.

    Keras keeps the state in TensorArrays of one element, of which tf2onnx makes no loop; here it is plain tensors.
    """
    structure, steps = keras.tree.map_structure, tf.shape(keras.tree.flatten(inputs)[0])[0]
    arrays = structure(lambda x: tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:]).unstack(x), inputs)
    outputs = [tf.TensorArray(x.dtype, steps, element_shape=x.shape) for x in keras.tree.flatten(state)]

    def body(number: Any, state: Any, outputs: list[Any]) -> Any:
        state, output = step(state, structure(lambda array: array.read(number), arrays))
        written = zip(outputs, keras.tree.flatten(output), strict=True)
        return number + 1, state, [array.write(number, value) for array, value in written]

    _, state, outputs = tf.while_loop(lambda number, *_: number < steps, body, (0, state, outputs))
    return state, keras.tree.pack_sequence_as(state, [array.stack() for array in outputs])


def _operations(graph: Any) -> Iterator[str]:
    """Yields the operations of a graph, and of the graphs inside its loops."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _operations(attribute.g)
