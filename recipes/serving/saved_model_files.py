"""What stands in a SavedModel's folder, read before anything in it runs.

A SavedModel is a program: TensorFlow runs whatever operations its graph names. Those that reach files, processes or the
network are refused here by name. That is a guard against accidents and simple attacks and no sandbox: serve models that
you trust, and others in a container that holds nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recipes.serving.status import Code, ServingError

#: Operations that read or write files, run Python, print, or call other machines.
REFUSED = re.compile(
    r"ReadFile|WriteFile|MatchingFiles|.*Reader(V2)?|ReaderRead.*|ReadNumRecords.*"
    r"|(TextLine|TFRecord|FixedLengthRecord|CSV|Sql|Snapshot|Save|Load|LMDB|DataService|Experimental(CSV|Sql|LMDB)).*"
    r"Dataset.*"
    r"|(Eager)?PyFunc(Stateless)?|.*Rpc.*|Print(V2)?|FileSystemSetConfiguration|Debug.*"
    r"|.*Summary(Writer|File|Db).*|Write.*Summary|DumpDebugInfo|ConfigureDistributedTPU|.*GRPC.*|Send|Recv|_Send|_Recv"
    r"|CheckpointHasChanged.*|GenerateVocabRemapping|LoadAndRemapMatrix|InitializeTableFromDataset"
)
#: Operations of every SavedModel's checkpoint, which no signature may reach.
CHECKPOINT = re.compile(r"(Save|Restore|MergeV2Checkpoints).*")
#: A vocabulary file: an asset of the model's own, else any file of the machine.
TABLE_FILE = re.compile(r"InitializeTableFromTextFile(V2)?")

MANIFEST = Path("assets.extra") / "recipe.json"


def read_meta_graph(path: Path) -> Any:
    """Returns the MetaGraphDef, tagged "serve", of a SavedModel's folder.

    Raises:
        ServingError: There is none, or its file is damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    except FileNotFoundError:
        raise ServingError(Code.NOT_FOUND, f"{path} has no saved_model.pb; it is no SavedModel") from None
    except (OSError, DecodeError) as error:
        raise ServingError(Code.DATA_LOSS, f"{path / 'saved_model.pb'} cannot be read: {error}") from None
    for meta_graph in saved_model.meta_graphs:
        if "serve" in meta_graph.meta_info_def.tags:
            return meta_graph
    raise ServingError(Code.NOT_FOUND, f"{path} has no graph with the tag 'serve'")


def nodes_of(meta_graph: Any) -> Iterator[Any]:
    """Yields every node of a graph and of its functions."""
    yield from meta_graph.graph_def.node
    for function in meta_graph.graph_def.library.function:
        yield from function.node_def


def check_operations(meta_graph: Any) -> None:
    """Refuses a graph that holds an operation of REFUSED, or a signature that reaches its checkpoint's.

    Raises:
        ServingError: Names the operations.
    """
    refused = {node.op for node in nodes_of(meta_graph) if REFUSED.fullmatch(node.op)}
    if not meta_graph.asset_file_def:
        refused |= {node.op for node in nodes_of(meta_graph) if TABLE_FILE.fullmatch(node.op)}
    for name, signature in meta_graph.signature_def.items():
        if not name.startswith("__"):
            outputs = [tensor.name for tensor in signature.outputs.values()]
            refused |= {op for op in _operations_behind(outputs, meta_graph) if CHECKPOINT.fullmatch(op)}
    if refused:
        raise ServingError(
            Code.PERMISSION_DENIED,
            f"the model holds {', '.join(sorted(refused))}, which reach files, processes or the network; serve it only "
            "where you trust who made it, with --allow-any-operation",
        )


def _operations_behind(tensors: Iterable[str], meta_graph: Any) -> set[str]:
    """Returns the operations that tensors of the graph are computed with, inside of called functions too."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    operations: set[str] = set()
    seen: set[str] = set()
    left = [name.removeprefix("^").partition(":")[0] for name in tensors]
    called: list[str] = []
    while left:
        name = left.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        operations.add(nodes[name].op)
        called += _functions_called(nodes[name])
        left += [one.removeprefix("^").partition(":")[0] for one in nodes[name].input]
    entered: set[str] = set()
    while called:
        function = called.pop()
        if function in entered or function not in functions:
            continue
        entered.add(function)
        for node in functions[function].node_def:
            operations.add(node.op)
            called += _functions_called(node)
    return operations


def _functions_called(node: Any) -> list[str]:
    names = [node.op]
    for value in node.attr.values():
        names += [value.func.name] if value.HasField("func") else [function.name for function in value.list.func]
    return names


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Returns what the exporter wrote beside a SavedModel; None where there is nothing that can be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def sums_of_files(path: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder, in hexadecimal, by its path there; of the manifest none."""
    sums = {}
    for one in sorted(path.rglob("*")):
        if one.is_file() and one != path / MANIFEST:
            with one.open("rb") as file:
                sums[one.relative_to(path).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def check_files(path: Path) -> None:
    """Compares every file of a SavedModel with the SHA-256 of its manifest.

    Raises:
        ServingError: There is no manifest with sums, or files are missing, changed, or new.
    """
    sums = (read_manifest(path) or {}).get("sha256")
    if not isinstance(sums, dict) or not sums:
        raise ServingError(Code.FAILED_PRECONDITION, f"{path / MANIFEST} holds no SHA-256 sums to check the files with")
    there = sums_of_files(path)
    different = sorted(name for name in there.keys() | sums.keys() if there.get(name) != sums.get(name))
    if different:
        raise ServingError(Code.DATA_LOSS, f"{path} is not what was exported: {', '.join(different[:5])} differ")


def check_links(path: Path, root: Path) -> None:
    """Refuses a version that is, or holds, a symbolic link to a place outside of a folder.

    Raises:
        ServingError: Names the link.
    """
    root = root.resolve()
    for one in (path, *path.rglob("*")):
        if one.is_symlink() and not one.resolve().is_relative_to(root):
            raise ServingError(Code.PERMISSION_DENIED, f"{one} is a link to a place outside of {root}")
