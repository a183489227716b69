"""What the stand-ins tell apart: softmax regression against the recipes' default networks, on their test splits.

    python benchmarks/standins.py

These figures say how hard the stand-ins are, and nothing about CIFAR-10 or MNIST.
"""

import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from machine import environment
from recipes import cifar_convnet, mnist_dense
from recipes.data.standins import STANDINS


def linear_accuracy(name: str) -> float:
    """Returns the test accuracy of scikit-learn's softmax regression on standardised pixels."""
    arrays = STANDINS[name]()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=200))
    (images, labels), (test_images, test_labels) = arrays.train, arrays.test
    model.fit(images.reshape(len(images), -1), labels)
    return model.score(test_images.reshape(len(test_images), -1), test_labels)


def main() -> None:
    """Measures, prints and writes benchmarks/results/standins.json."""
    result = {"command": "python benchmarks/standins.py", "date": time.strftime("%Y-%m-%d"), "machine": environment()}
    for recipe, name in ((mnist_dense, "digits"), (cifar_convnet, "shapes")):
        metrics = recipe.fit(dataset=name).run.metrics
        result[name] = {
            "softmax_regression_accuracy": linear_accuracy(name),
            f"{recipe.__name__.split('.')[1]}_accuracy": metrics["test"]["accuracy"],
            "seconds": metrics["seconds"],
        }
    print(json.dumps(result, indent=2))
    (Path(__file__).parent / "results" / "standins.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
