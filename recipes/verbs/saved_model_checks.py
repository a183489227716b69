"""What is checked of an export before it is published: what real servers refuse, or answer wrongly.

`check_graph` reads saved_model.pb; `check_answers` loads it as TensorFlow Serving does and asks it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DT_BFLOAT16, DT_HALF
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from recipes.errors import ExportError

if TYPE_CHECKING:
    from recipes.verbs.export import Signature

TOLERANCE = 1e-5  # between the SavedModel and the model it was made from, of an output's greatest value or of 1

Ask = Callable[[str, Mapping[str, Any]], dict[str, np.ndarray]]  # (signature, inputs) -> outputs

#: Operations that a server refuses, by the beginning of their names -> what they do, and what to do instead.
REFUSED = {
    "CudnnRNN": "runs on an NVIDIA GPU alone; build the layer with use_cudnn=False",
    "PyFunc": "calls Python, which no server has; write it in TensorFlow operations",
    "EagerPyFunc": "calls Python, which no server has; write it in TensorFlow operations",
    "ReadFile": "reads a file of the server; pass what is in it as an input",
    "WriteFile": "writes a file of the server; answer with what would be in it",
    "MatchingFiles": "reads a folder of the server; pass what is in it as an input",
    "WholeFileReader": "reads a file of the server; pass what is in it as an input",
    "TextLineReader": "reads a file of the server; pass what is in it as an input",
    "TFRecordReader": "reads a file of the server; pass what is in it as an input",
    "FixedLengthRecordReader": "reads a file of the server; pass what is in it as an input",
    "LMDBReader": "reads a file of the server; pass what is in it as an input",
    "TextLineDataset": "reads a file of the server; pass what is in it as an input",
    "TFRecordDataset": "reads a file of the server; pass what is in it as an input",
    "FixedLengthRecordDataset": "reads a file of the server; pass what is in it as an input",
    "MatchingFilesDataset": "reads a folder of the server; pass what is in it as an input",
    "CSVDataset": "reads a file of the server; pass what is in it as an input",
    "LoadDataset": "reads files of the server; pass what is in them as an input",
    "SaveDataset": "writes files of the server; answer with what would be in them",
    "SnapshotDataset": "writes files of the server; leave the snapshot out",
    "SqlDataset": "reads a data base of the server; pass what is in it as an input",
    "InitializeTableFromTextFile": "reads a file as the model is loaded; make the table of a KeyValueTensorInitializer",
    "RpcCall": "calls another machine; do that in the client",
    "Print": "writes to the server's log; leave it out",
    "LogMessage": "writes to the server's log; leave it out",
}
TABLES = ("HashTable", "HashTableV2", "AnonymousHashTable")  # whose entries an initializer puts in, once
TABLE_INITIALIZERS = ("InitializeTable", "LookupTableImport")


def check_graph(path: Path) -> dict[str, SignatureDef]:
    """Returns the signatures of a SavedModel, by name; refuses one that a server would refuse, or answer wrongly with.

    Raises:
        ExportError: Names what was found, and what to do.
    """
    graph = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
    problems = [*_problems_of_operations(graph), *_problems_of_signatures(graph)]
    if problems:
        raise ExportError(f"the exported model {'; '.join(problems)}. Nothing was published")
    return dict(graph.signature_def)


def _problems_of_operations(graph: MetaGraphDef) -> Iterator[str]:
    """Yields what of a graph's operations, those in its functions too, is refused."""
    library = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for function in library for node in function.node_def)]
    names = sorted({node.op for node in nodes})
    for name in names:
        for beginning, why in REFUSED.items():
            if name.removeprefix("Experimental").startswith(beginning):
                yield f"has the operation {name}, which {why}"
                break
    compiled = [node.name for node in nodes if node.attr["_XlaMustCompile"].b]
    compiled += [function.signature.name for function in library if function.attr["_XlaMustCompile"].b]
    if compiled:
        yield f"has {compiled[0]}, compiled by XLA, which servers refuse; leave jit_compile=True out of it"
    if set(names) & set(TABLES) and not any(name.startswith(TABLE_INITIALIZERS) for name in names):
        yield "has a lookup table that nothing fills; return the table with the models that `signatures` returns"


def _problems_of_signatures(graph: MetaGraphDef) -> Iterator[str]:
    """Yields what of its signatures' inputs and outputs is refused."""
    for name, signature in sorted(graph.signature_def.items()):
        if name == "__saved_model_init_op":
            continue
        for key in sorted(signature.defaults):
            yield f"has a default for the input {key!r} of {name!r}, which REST does not know; ask for all inputs"
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for key, tensor in sorted(tensors.items()):
                what = f"has the {direction} {key!r} of {name!r}"
                if tensor.dtype in (DT_BFLOAT16, DT_HALF):
                    yield f"{what} in {tf.as_dtype(tensor.dtype).name}, which REST refuses; cast it to float32"
                if tensor.tensor_shape.unknown_rank:
                    continue
                sizes = [dim.size for dim in tensor.tensor_shape.dim]
                if not sizes:
                    yield f"{what} as a scalar, which cannot be batched; expected a value for each row, (B,)"
                elif sizes[0] >= 0:
                    yield f"{what} for {sizes[0]} rows alone; expected (B, ...), for any number of rows"


def check_answers(path: Path, signatures: Mapping[str, Signature]) -> None:
    """Refuses a SavedModel that does not answer known questions and empty batches as it should.

    It is loaded as TensorFlow Serving loads it: a graph and a session, where nothing of this process is left.

    Raises:
        ExportError: Names the signature, the output and the difference, at most TOLERANCE.
    """
    with loaded(path) as (ask, definitions):
        for name, signature in signatures.items():
            answers = _answers(ask, name, signature.question, "an example")
            for output, expected in signature.answer.items():
                _compare(name, output, answers[output], expected)
            nothing = {key: np.asarray(value)[:0] for key, value in signature.question.items()}
            _check_empty(name, _answers(ask, name, nothing, "an empty batch"), definitions[name])


@contextmanager
def loaded(path: Path) -> Iterator[tuple[Ask, dict[str, SignatureDef]]]:
    """Yields (a function that asks a SavedModel's signatures, these by name).

    Raises:
        ExportError: If it cannot be loaded.
    """
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        logger = tf.get_logger()
        level = logger.level
        logger.setLevel(logging.ERROR)  # it advises `tf.saved_model.load`, which shares its tables with this process
        try:
            definitions = dict(tf.compat.v1.saved_model.load(session, ["serve"], str(path)).signature_def)
        except tf.errors.OpError as error:
            raise ExportError(f"the exported model cannot be loaded: {error.message}. Nothing was published") from error
        finally:
            logger.setLevel(level)

        def ask(name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
            definition = definitions[name]
            feeds = {definition.inputs[key].name: value for key, value in inputs.items()}
            return session.run({key: output.name for key, output in definition.outputs.items()}, feeds)

        yield ask, definitions


def _answers(ask: Ask, name: str, question: Mapping[str, Any], what: str) -> dict[str, np.ndarray]:
    try:
        return ask(name, question)
    except tf.errors.OpError as error:
        raise ExportError(
            f"the exported signature {name!r} does not answer {what}: {error.message}. Nothing was published"
        ) from error


def _compare(name: str, output: str, answer: np.ndarray, expected: np.ndarray) -> None:
    if answer.dtype == object:  # strings
        for exported, trained in zip(answer.flat, np.asarray(expected).flat, strict=True):
            if exported != trained:
                raise ExportError(
                    f"the exported signature {name!r} answers {exported!r} in {output!r}, the trained model "
                    f"{trained!r}. Nothing was published"
                )
        return
    difference = float(np.abs(answer - expected).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0))):
        raise ExportError(
            f"the exported signature {name!r} differs from the trained model by {difference:.2g} in "
            f"{output!r}; expected at most {TOLERANCE} of its greatest. Nothing was published"
        )


def _check_empty(name: str, answers: Mapping[str, np.ndarray], definition: SignatureDef) -> None:
    """Refuses answers to an empty batch that have rows, or another dtype or shape than the signature says."""
    for output, answer in answers.items():
        tensor = definition.outputs[output]
        dtype, sizes = tf.as_dtype(tensor.dtype), [dim.size for dim in tensor.tensor_shape.dim]
        fits = tensor.tensor_shape.unknown_rank or (
            len(sizes) == answer.ndim
            and all(size in (-1, length) for size, length in zip(sizes, answer.shape, strict=True))
        )
        if not fits or answer.shape[:1] != (0,) or tf.as_dtype(answer.dtype) != dtype:
            raise ExportError(
                f"the exported signature {name!r} answers an empty batch with {answer.dtype} {answer.shape} in "
                f"{output!r}; expected {dtype.name} with no row. Nothing was published"
            )
