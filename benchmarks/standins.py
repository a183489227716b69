"""What the stand-ins tell apart: a simple peer against the recipes' default settings, on their test splits.

    python benchmarks/standins.py [digits] [shapes] [reviews] [documentation] [dates] [scenes] [groups]

These figures say how hard the stand-ins are, and nothing about the real data.
"""

import argparse
import importlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from machine import environment
from recipes.data.standins.images import digits, shapes
from recipes.data.standins.texts import documentation, reviews

RESULT = Path(__file__).parent / "results" / "standins.json"


def of_pixels(standin: Callable[[], Any]) -> Callable[[], float]:
    """Returns a function: the test accuracy of scikit-learn's softmax regression on standardised pixels."""

    def accuracy() -> float:
        arrays = standin()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=200))
        (images, labels), (test_images, test_labels) = arrays.train, arrays.test
        model.fit(images.reshape(len(images), -1), labels)
        return model.score(test_images.reshape(len(test_images), -1), test_labels)

    return accuracy


def of_words() -> float:
    """Returns the test accuracy of scikit-learn's logistic regression on the numbers of words."""
    arrays = reviews()
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    return model.fit(*arrays.train).score(*arrays.test)


def of_characters() -> float:
    """Returns the nats of a test character by how frequent it is in the training text."""
    (train,), (test,) = documentation().train[0], documentation().test[0]
    counts = Counter(train)
    return float(np.mean([np.log(len(train) / counts[character]) for character in test if character in counts]))


#: Stand-in -> (its peer, what that measures; recipes)
MEASURED = {
    "digits": (("softmax_regression_accuracy", of_pixels(digits)), ["mnist_dense"]),
    "shapes": (("softmax_regression_accuracy", of_pixels(shapes)), ["cifar_convnet"]),
    "reviews": (("logistic_regression_of_word_counts_accuracy", of_words), ["imdb_lstm", "imdb_transformer"]),
    "documentation": (("character_frequencies_nats", of_characters), ["shakespeare_gpt", "shakespeare_lstm"]),
    "dates": (None, ["translate_transformer", "translate_seq2seq"]),
    "scenes": (None, ["show_attend_tell"]),
    "groups": (None, ["cells_detector"]),
}


def main() -> None:
    """Measures, prints and writes benchmarks/results/standins.json, where what is not asked for stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURED)}; none: all")
    names = parser.parse_args().names or list(MEASURED)
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result["command"] = "python benchmarks/standins.py"
    for name in names:
        peer, recipes = MEASURED[name]
        result[name] = {"date": time.strftime("%Y-%m-%d"), "machine": environment()}
        if peer:
            result[name][peer[0]] = peer[1]()
        for recipe in recipes:
            metrics = importlib.import_module(f"recipes.{recipe}").fit(dataset=name).run.metrics
            result[name][recipe] = {**metrics["test"], "seconds": metrics["seconds"]}
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
