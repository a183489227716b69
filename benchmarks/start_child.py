"""Starts a training and stops after its first step: what start.py measures, which runs it.

- `start_child.py recipes NAME BEGAN FOLDER` is `recipes fit NAME` itself, with its run in the folder.
- `start_child.py keras NAME BEGAN FOLDER` is a script of plain Keras that does the same.

BEGAN is the time at which the process was started. It prints the seconds of each part as JSON.
"""

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Clock:
    """Seconds from one mark to the next."""

    def __init__(self, began: float) -> None:
        self.began = self.last = began
        self.parts: dict[str, float] = {}

    def mark(self, part: str) -> None:
        """Counts the time since the last mark as that part's."""
        now = time.time()
        self.parts[part] = round(self.parts.get(part, 0.0) + now - self.last, 3)
        self.last = now

    def end(self) -> None:
        """Prints the parts, and ends the process."""
        self.mark("first step")
        print("\n" + json.dumps({**self.parts, "total": round(self.last - self.began, 3)}), flush=True)
        os._exit(0)


def recipes(name: str, clock: Clock, folder: str) -> None:
    """Runs the command line, with marks in the recipe's functions and at Keras' first step."""
    from recipes.cli import commands, main

    fit = commands.fit

    def marked_fit(page: Any, *rest: Any) -> Any:
        import keras

        clock.mark("import")
        recipe = page.fit.__self__

        def marked(function: Any, before: str, after: str) -> Any:
            def call(*args: Any) -> Any:
                clock.mark(before)
                result = function(*args)
                clock.mark(after)
                return result

            return call

        recipe.load_data = marked(recipe.load_data, "other", "data")
        recipe.build = marked(recipe.build, "other", "build")
        keras.callbacks.CallbackList.on_train_batch_end = lambda *args, **kwargs: clock.end()
        return fit(page, *rest)

    commands.fit = marked_fit
    main(["fit", name, "--runs", folder, "--no-resume", "--offline", "error"])


# ---------------------------------------------------------------- plain Keras


def keras_script(name: str, clock: Clock) -> None:
    """What a tutorial would write: tensorflow-datasets, tf.data, Keras' layers, `fit`."""
    import keras
    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from keras import layers

    clock.mark("import")
    batch_size = {"mnist_dense": 128, "cifar_convnet": 512, "imdb_lstm": 32, "shakespeare_gpt": 64}.get(name, 128)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    if name in ("mnist_dense", "cifar_convnet"):
        data = tfds.load("mnist" if name == "mnist_dense" else "cifar10", split="train[:90%]", as_supervised=True)
        data = data.cache().shuffle(10_000)
    elif name == "imdb_lstm":
        texts = tfds.load("imdb_reviews", split="train[:90%]", as_supervised=True)
        words = layers.TextVectorization(20_000)
        words.adapt(texts.map(lambda text, label: text).batch(512))
        data = texts.shuffle(10_000).map(lambda text, label: (words(text)[-400:], label)).padded_batch(batch_size)
    elif name == "shakespeare_gpt":
        text = next(iter(tfds.load("tiny_shakespeare", split="train")))["text"].numpy().decode()
        vocabulary = sorted(set(text))
        token_ids = np.array([vocabulary.index(character) for character in text], np.int32)
        windows = tf.data.Dataset.from_tensor_slices(token_ids).batch(65, drop_remainder=True).shuffle(20_000)
        data = windows.map(lambda window: (window[:-1], window[1:]))
    else:
        import recipes.data.tfds.multi30k  # noqa: F401 - registers the data set, which tensorflow-datasets lacks

        pairs = tfds.load("multi30k", split="train")
        of_source, of_target = (layers.TextVectorization(8_000, output_sequence_length=size) for size in (24, 25))
        pairs = pairs.map(lambda pair: (pair["en"], "[start] " + pair["de"] + " [end]"))
        of_source.adapt(pairs.map(lambda source, target: source).batch(512))
        of_target.adapt(pairs.map(lambda source, target: target).batch(512))

        def example(source: Any, target: Any) -> Any:
            token_ids = of_target(target)
            return (of_source(source), token_ids[:-1]), token_ids[1:]

        data = pairs.shuffle(10_000).map(example)
    if name != "imdb_lstm":
        data = data.batch(batch_size, drop_remainder=True)
    data = data.prefetch(tf.data.AUTOTUNE)
    clock.mark("data")

    def block(x: Any, heads: int, hidden: int, causal: bool = False, memory: Any = None) -> Any:
        width = x.shape[-1]
        normalized = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(heads, width // heads)(normalized, normalized, use_causal_mask=causal)
        if memory is not None:
            x = x + layers.MultiHeadAttention(heads, width // heads)(layers.LayerNormalization()(x), memory)
        return x + layers.Dense(width)(layers.Dense(hidden, "relu")(layers.LayerNormalization()(x)))

    def embedded(token_ids: Any, vocab_size: int, width: int, length: int) -> Any:
        positions = layers.Embedding(length, width)(keras.ops.arange(length))
        return layers.Embedding(vocab_size, width)(token_ids) + positions

    if name == "mnist_dense":
        parts = [layers.Rescaling(1 / 255), layers.Flatten()]
        for _ in range(2):
            parts += [layers.Dense(512, "relu"), layers.Dropout(0.2)]
        model = keras.Sequential([keras.Input((28, 28, 1)), *parts, layers.Dense(10)])
    elif name == "cifar_convnet":
        parts = [layers.Rescaling(1 / 127.5, -1), layers.Conv2D(24, 2, activation="gelu")]
        for filters in (64, 256, 256):
            for pool in ([layers.MaxPooling2D()], []):
                parts += [layers.Conv2D(filters, 3, padding="same", use_bias=False), *pool]
                parts += [layers.BatchNormalization(), layers.Activation("gelu")]
        model = keras.Sequential([keras.Input((32, 32, 3)), *parts, layers.GlobalMaxPooling2D(), layers.Dense(10)])
    elif name == "imdb_lstm":
        parts = [layers.Embedding(20_000, 128, mask_zero=True), layers.Dropout(0.5)]
        parts += [layers.Bidirectional(layers.LSTM(64)), layers.Dropout(0.5)]
        model = keras.Sequential([keras.Input((None,)), *parts, layers.Dense(2)])
    elif name == "shakespeare_gpt":
        token_ids = keras.Input((64,), dtype="int32")
        x = embedded(token_ids, len(vocabulary), 128, 64)
        for _ in range(4):
            x = block(x, 4, 512, causal=True)
        model = keras.Model(token_ids, layers.Dense(len(vocabulary))(layers.LayerNormalization()(x)))
    else:
        source, target = keras.Input((24,), dtype="int32"), keras.Input((24,), dtype="int32")
        memory, x = embedded(source, 8_000, 256, 24), embedded(target, 8_000, 256, 24)
        for _ in range(3):
            memory = block(memory, 4, 512)
        for _ in range(3):
            x = block(x, 4, 512, causal=True, memory=memory)
        model = keras.Model([source, target], layers.Dense(8_000)(layers.LayerNormalization()(x)))
    model.compile("adam", loss, metrics=["accuracy"])
    clock.mark("build")
    at_the_step = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: clock.end())
    model.fit(data, verbose=0, callbacks=[at_the_step])


if __name__ == "__main__":
    kind, name, began, folder = sys.argv[1:]
    clock = Clock(float(began))
    if kind == "recipes":
        recipes(name, clock, folder)
    else:
        keras_script(name, clock)
