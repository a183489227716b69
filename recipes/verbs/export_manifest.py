"""assets.extra/recipe.json: what an exported model is, for people and programs, and the checksums of its files."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

import recipes
from recipes.data.splits import DataInfo
from recipes.runs.run_folder import Run
from recipes.serving.saved_model_files import MANIFEST, read_meta_graph, sums_of_files
from recipes.serving.signatures import in_short, signatures_of

if TYPE_CHECKING:
    from recipes.verbs.export import Signature


def write_manifest(
    path: Path,
    kind: str,
    info: DataInfo,
    run: Run | None,
    signatures: Mapping[str, Signature],
) -> None:
    """Writes `<path>/assets.extra/recipe.json`, when all other files are there.

    Args:
        path: The SavedModel; its parent folder has the recipe's name.
        kind: What kind of model it is, such as "image_classification".
        info: What it was trained on.
        run: The model's run.
        signatures: By name.
    """
    defined = signatures_of(read_meta_graph(path))
    images = [signature.inputs["image"].shape[1:] for signature in signatures.values() if "image" in signature.inputs]
    manifest: dict[str, Any] = {
        "recipe": path.parent.name,
        "kind": kind,
        "task": info.task,
        "recipes_version": recipes.__version__,
        "versions": {
            "recipes": recipes.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "label_names": info.label_names,
        "image_shape": info.follows.get("image_shape") or (list(images[0]) if images else None),
        "data": info.to_json(),
        "run": run.folder.name if run else None,
        "test": run.metrics.get("test") if run else None,
        "signatures": {
            name: {
                "meaning": signature.meaning,
                "method": signature.method,
                "inputs": in_short(defined[name].inputs),
                "outputs": in_short(defined[name].outputs),
            }
            for name, signature in signatures.items()
        },
        "sha256": sums_of_files(path),
    }
    (path / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
