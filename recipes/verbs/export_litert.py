"""Networks as LiteRT (.tflite) files, of LiteRT's own operations alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.devices.keras_fixes import quiet_tensorflow
from recipes.errors import ExportError
from recipes.verbs.export_network import Converted, Network, import_extra, in_batches

ENDPOINT = "serving_default"


def to_litert(network: Network, representative: Network | None = None) -> Converted:
    """Returns a network as LiteRT's interpreter runs it: float32, or int8 with representative examples.

    Token ids have the network's full length. A recurrent network takes one example at a time, for LiteRT keeps what a
    loop collects in tensors whose shape is fixed; others any number, once the interpreter's inputs are resized. Inputs
    and outputs are float32 and int32 in int8 too.

    Raises:
        ExportError: A package is missing, or an operation is none of LiteRT's own.
    """
    interpreter, schema = import_extra("litert", "ai_edge_litert.interpreter", "ai_edge_litert.schema_py_generated")
    length = network.length or None
    batch = 1 if has_loop(network) else None
    if batch and representative is not None:
        raise ExportError(
            "a recurrent network cannot be made int8: TensorFlow's quantizer ends the process on a loop. Export it "
            "without int8"
        )
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        for model in network.models:
            archive.track(model)
        archive.add_endpoint(ENDPOINT, network.function, input_signature=network.specs(batch, length))
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[ENDPOINT])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if representative is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: one_by_one(representative)
        try:
            with quiet_tensorflow():
                content = converter.convert()
        except Exception as error:  # of many kinds
            raise ExportError(
                f"LiteRT cannot hold this network: {_last_line(error)}. Export it as ONNX or as a SavedModel"
            ) from error
    if foreign := foreign_operations(content, schema):
        raise ExportError(
            f"LiteRT's own operations do not suffice: it needs {', '.join(foreign)}. Export it as ONNX or a SavedModel"
        )
    run = interpreter.Interpreter(model_content=content).get_signature_runner(ENDPOINT)
    takes = "one example" if batch else "any number of examples (resize the inputs)"
    return Converted(
        content,
        lambda inputs: in_batches(lambda some: run(**some), inputs, batch or 32),
        network.padded() if length else network,
        f"{takes} of {length} token ids, padded with 0" if length else takes,
    )


def has_loop(network: Network) -> bool:
    """Returns whether a network computes step after step, as recurrent ones do."""
    function = tf.function(network.function, input_signature=network.specs(None, network.length or None))
    return any("While" in operation.type for operation in function.get_concrete_function().graph.get_operations())


def one_by_one(network: Network) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields (signature, a single example) of each of a network's examples."""
    for row in range(len(next(iter(network.examples.values())))):
        yield ENDPOINT, {name: values[row : row + 1] for name, values in network.examples.items()}


def foreign_operations(content: bytes, schema: Any) -> list[str]:
    """Returns the operations of a .tflite file that are not LiteRT's own: TensorFlow's ("Flex...") and others."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [code.customCode for code in model.operatorCodes if code.builtinCode == schema.BuiltinOperator.CUSTOM]
    return sorted(code.decode() for code in codes)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "error:" in line] or str(error).splitlines() or [repr(error)]
    return lines[0].rpartition("error:")[2].strip()[:300]
