"""The recipes' networks in PyTorch, as someone who knows it would write them; steps.py and inference.py compare them.

Nothing here imports TensorFlow, Keras or the recipes. A twin reads the recipe's own settings, and has as many
parameters; where it has more, it says how many and why.
"""

from collections.abc import Callable
from typing import Any


def twins() -> dict[str, Callable[[Any], Any]]:
    """Returns what makes the twin of each recipe, of its settings."""
    from torch_twins import captions_and_words, classifiers, images_made, recurrent, transformers

    modules = (classifiers, images_made, recurrent, transformers, captions_and_words)
    return {function.__name__: function for module in modules for function in module.TWINS}
