"""Deep-learning recipes in TensorFlow and Keras 3: one plain module each, from one line to a served model.

    from recipes import cifar_convnet
    model = cifar_convnet.fit()

Importing this package loads no TensorFlow; a recipe loads it when it is first named.
"""

import importlib
import os
import platform
from types import ModuleType

__version__ = "0.14.0"

# TensorFlow 2.21 has oneDNN's kernels on all x86 processors, but takes them by itself only where there is AVX-512; with
# them, steps of convolutional networks are faster on others, too. It reads this as it is imported.
if platform.machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

#: Every recipe and what it is, in one line. The key is the name of its file.
RECIPES = {
    "mnist_dense": "Handwritten digits with a multi-layer perceptron; LINEAR is softmax regression. Start here.",
    "mnist_convnet": "Handwritten digits with LeNet-5, the convolutional network of 1998; LENET1989 before it.",
    "mnist_autoencoder": "Handwritten digits to a code and back, with noise taken out; CLEAN and DENSE without.",
    "mnist_vae": "Handwritten digits that nobody wrote, from a variational autoencoder; CATEGORICAL draws categories.",
    "dcgan": "Images that nobody took, from two networks that play against each other; CIFAR makes colour photographs.",
    "cifar_lecture": "Small colour photographs with the convolutional network of a first lecture, to the letter.",
    "cifar_classics": "Small colour photographs with AlexNet, VGG and All-CNN, and what their pixels say of a class.",
    "cifar_convnet": "Small colour photographs with a convolutional network that learns fast.",
    "cifar_resnet": "Small colour photographs with residual networks of 20 to 110 layers; PAPER is the first paper's.",
    "cifar_googlenet": "Small colour photographs with Inception modules; PAPER is GoogLeNet itself, for large ones.",
    "cifar_simclr": "Features of images learned without a label: SimCLR; BARLOW and ROTATION learn otherwise.",
    "photos_transfer": "Photographs of your own, classified with what a network has learned on ImageNet.",
    "cells_detector": "Blood cells found and counted, or whatever there are boxes of: a single-shot detector.",
    "uci_regression": "A number from a row of a table, and how sure that is: CSV files, DataFrames, five UCI tables.",
    "set_permutation": "Sets put in order, by what should stand left of what; MOSAIC puts pictures together again.",
    "word2vec": "Words as vectors, learned from the words around them in any text.",
    "imdb_lstm": "Sentiment of film reviews with a recurrent network: LSTM, GRU or a simple one.",
    "imdb_transformer": "Sentiment of film reviews with a Transformer's encoder, and where each word looks.",
    "shakespeare_lstm": "Shakespeare, one character after the other, from a recurrent network.",
    "shakespeare_gpt": "Shakespeare, one character after the other, from a Transformer's decoder; LARGE is for a GPU.",
    "show_attend_tell": "Captions of photographs, and where each word looks; SCENES has them generated.",
    "flickr_search": "Photographs found by what people say of them: texts and photographs in one space.",
    "translate_seq2seq": "Translation, English to German or between other languages, with LSTMs that look back.",
    "translate_transformer": "Translation, English to German or between other languages, with a Transformer.",
}

__all__ = ["RECIPES", "__version__", *RECIPES]


def __getattr__(name: str) -> ModuleType:
    """Returns the recipe of that name, imported on first use (PEP 562)."""
    if name in RECIPES:
        return importlib.import_module(f"recipes.{name}")
    raise AttributeError(f"recipes has no recipe {name!r}; there are: {', '.join(RECIPES)}")


def __dir__() -> list[str]:
    return sorted(__all__)
