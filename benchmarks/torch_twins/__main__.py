"""Serves training steps of a recipe's twin, or answers: a contestant of steps.py and inference.py, which run it.

python -m torch_twins NAME MODE FOLDER
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from torch_twins import twins
from torch_twins.training import answers_in_mode, flop_of_a_step, in_mode
from turns import serve


def tensors(path: Path) -> list[torch.Tensor]:
    """Returns the batch in a file: images as (B, C, H, W), and ids and labels as PyTorch wants them."""
    with np.load(path) as arrays:
        batch = [torch.from_numpy(array) for array in arrays.values()]
    batch = [part.permute(0, 3, 1, 2).contiguous() if part.dim() == 4 else part for part in batch]
    return [part.long() if part.dtype == torch.int32 else part for part in batch]


def main() -> None:
    """Serves."""
    name, mode, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.manual_seed(0)
    saved = json.loads((folder / "settings.json").read_text())
    config, sizes = (SimpleNamespace(**saved[part]) for part in ("config", "sizes"))
    batch = tensors(folder / "batch.npz")
    settings = SimpleNamespace(config=config, sizes=sizes, packed="unpacked" not in mode, batch=batch)
    twin = twins()[name](settings)
    facts = {"parameters": twin.parameters, "more_parameters": twin.more_parameters, "why": twin.why}
    if mode == "eager":
        facts["flop"] = flop_of_a_step(twin, batch)
    work = answers_in_mode(twin, batch[0], mode) if "inference" in mode else in_mode(twin, batch, mode)
    serve(work, {**facts, "torch": torch.__version__})


if __name__ == "__main__":
    main()
