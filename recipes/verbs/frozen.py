"""SavedModels whose weights are constants: TensorFlow folds what it can of them once the graph is loaded."""

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from recipes.devices.keras_fixes import quiet_tensorflow

TAG, INIT = tf.saved_model.SERVING, "__saved_model_init_op"


def freeze_weights(path: Path) -> None:
    """Rewrites a SavedModel in place: variables become constants, once for all signatures, which stay as they are.

    Lookup tables stay tables, and are filled as before. It cannot be trained on.
    """
    v1, frozen = tf.compat.v1, path.with_name(f"{path.name}-frozen")
    try:
        with quiet_tensorflow(), tf.Graph().as_default() as graph, v1.Session() as session:
            meta = v1.saved_model.load(session, [TAG], str(path))
            signatures = {name: one for name, one in meta.signature_def.items() if name != INIT}
            init = meta.signature_def[INIT].outputs[INIT].name if INIT in meta.signature_def else ""
            outputs = [output.name for one in signatures.values() for output in one.outputs.values()]
            inputs = [given.name for one in signatures.values() for given in one.inputs.values()]
            nodes = sorted({name.partition(":")[0] for name in (*outputs, *inputs, init) if name})
            constants = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), nodes)
        keep_called_functions(constants)
        for part in (constants.node, *(function.node_def for function in constants.library.function)):
            for node in part:
                node.attr.pop("_output_shapes", None)  # of the variables' handles, where there are values now
        with quiet_tensorflow(), tf.Graph().as_default() as graph, v1.Session() as session:
            tf.import_graph_def(constants, name="")
            builder = v1.saved_model.Builder(str(frozen))
            main = graph.get_operation_by_name(init.partition(":")[0]) if init else None
            builder.add_meta_graph_and_variables(session, [TAG], signature_def_map=signatures, main_op=main)
            builder.save()
        shutil.rmtree(path)
        frozen.rename(path)
    finally:
        shutil.rmtree(frozen, ignore_errors=True)


def keep_called_functions(graph: Any) -> None:
    """Takes the functions out of a GraphDef that none of its nodes calls, such as those that read variables."""
    functions = {function.signature.name: function for function in graph.library.function}
    called: set[str] = set()
    left = list(graph.node)
    while left:
        node = left.pop()
        values = node.attr.values()
        names = {
            node.op,
            *(value.func.name for value in values),
            *(one.name for value in values for one in value.list.func),
        }
        for name in (names & functions.keys()) - called:
            called.add(name)
            left += functions[name].node_def
    for name in functions.keys() - called:
        graph.library.function.remove(functions[name])
