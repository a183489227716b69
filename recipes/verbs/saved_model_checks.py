"""What is checked of an export before it is published: what real servers refuse, or answer wrongly.

`check_graph` reads saved_model.pb; `check_answers` loads it as a server does, into a session, and asks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from recipes.errors import ExportError
from recipes.serving.engine import Engine
from recipes.serving.saved_model_files import REFUSED, TABLE_FILE, nodes_of, read_meta_graph
from recipes.serving.status import ServingError

if TYPE_CHECKING:
    from recipes.serving import signatures as served
    from recipes.verbs.export import Signature

TOLERANCE = 1e-5  # between the SavedModel and the model it was made from, of an output's greatest value or of 1
TABLES = ("HashTable", "HashTableV2", "AnonymousHashTable")  # an initializer must fill them as the model is loaded
TABLE_INITIALIZERS = ("InitializeTable", "InitializeTableV2", "LookupTableImport", "LookupTableImportV2")


def check_graph(path: Path) -> None:
    """Refuses a SavedModel whose graph or signatures some server would refuse, or could not batch.

    Raises:
        ExportError: Names all that was found, and what to do.
    """
    meta_graph = read_meta_graph(path)
    problems = [*_problems_of_operations(meta_graph), *_problems_of_signatures(meta_graph)]
    if problems:
        raise ExportError(f"the exported model has {'; it has '.join(problems)}. Nothing was published")


def _problems_of_operations(meta_graph: Any) -> Iterator[str]:
    """Yields what of a graph's operations, those in its functions too, is refused."""
    nodes = list(nodes_of(meta_graph))
    names = sorted({node.op for node in nodes})
    for name in names:
        if name.startswith("CudnnRNN"):
            yield f"the operation {name}, which runs on NVIDIA GPUs alone; set use_cudnn=False in its layer"
        elif REFUSED.fullmatch(name) or TABLE_FILE.fullmatch(name):
            yield (
                f"the operation {name}, which reaches Python, files or the network, and servers refuse; write it in "
                "other operations, and pass as an input what it reads"
            )
    compiled = [node.name for node in nodes if node.attr["_XlaMustCompile"].b] + [
        function.signature.name
        for function in meta_graph.graph_def.library.function
        if function.attr["_XlaMustCompile"].b
    ]
    if compiled:
        yield f"{compiled[0]}, compiled by XLA, which servers refuse; leave jit_compile=True out of its function"
    if set(names) & set(TABLES) and not set(names) & set(TABLE_INITIALIZERS):
        yield "a lookup table that nothing fills; return the table beside the models from `signatures`"


def _problems_of_signatures(meta_graph: Any) -> Iterator[str]:
    """Yields what of its signatures' inputs and outputs is refused."""
    for name, signature in sorted(meta_graph.signature_def.items()):
        if name.startswith("__"):  # the operation that fills its tables
            continue
        for key in sorted(signature.defaults):
            yield f"a default for the input {key!r} of {name!r}, which REST does not know; ask for every input"
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            for key, tensor in sorted(tensors.items()):
                what, dtype = f"the {direction} {key!r} of {name!r}", tf.as_dtype(tensor.dtype)
                if dtype in (tf.bfloat16, tf.float16):
                    yield f"{what} in {dtype.name}, which REST refuses; cast it to float32"
                if tensor.tensor_shape.unknown_rank:
                    continue
                sizes = [dim.size for dim in tensor.tensor_shape.dim]
                if not sizes:
                    yield f"{what} as a scalar, which cannot be batched; expected a value for each row, (B,)"
                elif sizes[0] >= 0:
                    yield f"{what} for {sizes[0]} rows alone; expected (B, ...), for any number of rows"


def check_answers(
    path: Path, signatures: Mapping[str, Signature], requests: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Refuses a SavedModel that does not answer known questions, empty batches and its warm-up requests as it should.

    It is loaded as a server does, into a session, where no table or variable of this process is seen.

    Args:
        path: The SavedModel's folder.
        signatures: By name, with arrays in their questions and answers.
        requests: Signature -> TensorProtos of its inputs by name; that they are answered is enough.

    Raises:
        ExportError: Names the signature, the output and the difference, which is at most TOLERANCE.
    """
    try:
        engine = Engine(path)
    except ServingError as error:
        raise ExportError(f"the exported model cannot be loaded: {error}. Nothing was published") from error
    try:
        for name, signature in signatures.items():
            answers = _answers(engine, name, signature.question, "an example")
            for output, expected in signature.answer.items():
                _compare(name, output, answers[output], expected)
            nothing = {key: value[:0] for key, value in signature.question.items()}
            _check_empty(engine.signatures[name], _answers(engine, name, nothing, "an empty batch"))
        for name, inputs in (requests or {}).items():
            tensors = {key: tf.make_ndarray(tensor) for key, tensor in inputs.items()}
            _answers(engine, name, tensors, "its warm-up request")
    finally:
        engine.close()


def _answers(engine: Engine, name: str, inputs: Mapping[str, np.ndarray], what: str) -> dict[str, np.ndarray]:
    try:
        return engine.run(engine.signatures[name], inputs)
    except ServingError as error:
        raise ExportError(
            f"the exported signature {name!r} does not answer {what}: {error}. Nothing was published"
        ) from error


def _compare(name: str, output: str, answer: np.ndarray, expected: np.ndarray) -> None:
    if answer.dtype == object:  # texts
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


def _check_empty(signature: served.Signature, answers: Mapping[str, np.ndarray]) -> None:
    """Refuses answers to an empty batch that have rows, or another dtype or shape than the signature says."""
    for output, answer in answers.items():
        _, dtype, shape = signature.outputs[output]
        sizes_fit = shape is None or (
            len(shape) == answer.ndim
            and all(size in (None, length) for size, length in zip(shape, answer.shape, strict=True))
        )
        if not sizes_fit or answer.shape[:1] != (0,) or tf.as_dtype(answer.dtype) != dtype:
            raise ExportError(
                f"the exported signature {signature.name!r} answers an empty batch with {answer.dtype} {answer.shape} "
                f"in {output!r}; expected {dtype.name} without a row. Nothing was published"
            )
