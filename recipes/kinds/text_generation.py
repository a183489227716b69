"""What language models share: text after a prompt, in the terminal, in a report and in a SavedModel."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.splits import Splits
from recipes.data.tokenizers import Tokenizer
from recipes.devices.workers import is_chief
from recipes.kinds.decoding import Decoder, check_number, pick, sample_tokens
from recipes.kinds.text_classification import tokenizer_of
from recipes.runs.atomic_files import write_text
from recipes.verbs.export import Signature, Source, export_signatures, in_float32

MOST = 10_000  # tokens that a served model adds to a prompt


def begun_prompts(tokenizer: Tokenizer, prompts: Any) -> tf.RaggedTensor:
    """Returns the token ids of some prompts, (B,) string to (B, None); a line break in place of an empty one."""
    token_ids = tokenizer.encode(prompts)
    first = tokenizer.table.lookup(tf.constant("\n"))
    empty = tf.cast(token_ids.row_lengths() == 0, tf.int64)
    instead = tf.RaggedTensor.from_row_lengths(tf.repeat(tf.maximum(first, 0), tf.reduce_sum(empty)), empty)
    return tf.concat([token_ids, instead], 1)


def generate_texts(
    decoder: Decoder, model: keras.Model, tokenizer: Tokenizer, prompts: Any, length: Any, **how: Any
) -> tf.Tensor:
    """Returns each prompt with `length` tokens after it, (B,) string to (B,) string, in TensorFlow operations alone.

    Args:
        decoder: What makes a step of the model.
        model: (B, T) token ids to (B, T, V) logits of the next.
        tokenizer: Of its token ids.
        prompts: (B,) string.
        length: How many tokens to add.
        **how: `seed`, `temperature`, `top_k`, `top_p`; see `decoding.pick`.
    """
    count = tf.shape(prompts)[0]
    one_if_empty = tf.fill((tf.cast(count == 0, tf.int32),), "")  # a loop over no text fails
    token_ids = begun_prompts(tokenizer, tf.concat([prompts, one_if_empty], 0))
    begin, step = decoder(model)
    said = sample_tokens(step, begin(token_ids.nrows(tf.int32)), token_ids, length, **how)
    added = tf.ragged.boolean_mask(said, tf.ragged.range(said.row_lengths()) >= token_ids.row_lengths()[:, tf.newaxis])
    return tf.strings.join([prompts, tokenizer.decode(added)[:count]])


def stream_text(
    decoder: Decoder,
    model: keras.Model,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    seed: int = 0,
    **how: Any,
) -> Iterator[str]:
    """Yields a prompt, then token by token what `generate_texts` would add to it."""
    yield prompt
    begin, step = decoder(model)
    token_ids = begun_prompts(tokenizer, [prompt])[0].numpy()
    once = tf.function(step, reduce_retracing=True)
    state, token = begin(1), None
    for place in range(len(token_ids) + length - 1):
        token = token_ids[place] if place < len(token_ids) else token
        logits, state = once(tf.constant([token], tf.int32), tf.constant(place), state)
        if place >= len(token_ids) - 1:
            seeds = tf.constant([[seed, place - len(token_ids)]])
            token = pick(tf.cast(logits, tf.float32), seeds, **how).numpy()[0]
            yield tokenizer.decode([[token]]).numpy()[0].decode()


def text_samples(decoder: Decoder, model: keras.Model, splits: Splits, folder: Path) -> dict[str, str]:
    """Writes samples.txt: what a model goes on with after three places of the test text, and how that went on.

    Returns its title -> file name; nothing without a test split.
    """
    if splits.test is None or splits.info.tokenizer is None:
        return {}
    tokenizer = splits.info.tokenizer
    windows = next(iter(splits.test.unbatch().batch(64)))[0]
    texts = [text.decode() for text in tokenizer.decode(windows[:: max(1, len(windows) // 3)][:3]).numpy()]
    prompts = [text[: min(32, len(text) // 2)] for text in texts]
    made = tf.function(lambda: generate_texts(decoder, model, tokenizer, tf.constant(prompts), 400, temperature=0.8))()
    said = "\n\n".join(
        f"=== the test text:\n{text}\n=== the model, from its first {len(prompt)} characters on:\n{answer.decode()}"
        for text, prompt, answer in zip(texts, prompts, made.numpy(), strict=True)
    )
    write_text(folder / "samples.txt", said + "\n")
    return {"What it goes on with (temperature 0.8)": "samples.txt"}


def export_generator(decoder: Decoder, model: keras.Model, source: Source, folder: str | Path) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    `serving_default` takes `prompt` (B,) string and answers with `text` (B,) string: the prompt and 200 tokens at a
    temperature of 0.8. `generate` takes besides them the scalars `length` int32, `temperature` float32, `top_k` int32
    (0: all), `top_p` float32 (1: all) and `seed` int32.

    Raises:
        ExportError: If the SavedModel does not say what the model says, token by token.
    """
    if not is_chief():
        return export_signatures([model], source.info, folder, {})
    served, tokenizer = in_float32(model), tokenizer_of(source.info)

    def generate(prompt: Any, length: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any) -> dict[str, tf.Tensor]:
        how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        message = f"length is out of range; expected 0 to {MOST}"
        in_range = [tf.debugging.assert_greater_equal(length, 0, message)]
        in_range += [tf.debugging.assert_less_equal(length, MOST, message)]
        with tf.control_dependencies(in_range):
            length = tf.identity(length)
        return {"text": generate_texts(decoder, served, tokenizer, prompt, length, **how)}

    def default(prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": generate_texts(decoder, served, tokenizer, prompt, 200, temperature=0.8)}

    scalars = {"length": tf.int32, "temperature": tf.float32, "top_k": tf.int32, "top_p": tf.float32, "seed": tf.int32}
    prompts = [text.decode()[:8] for text in tokenizer.decode(source.examples(2)).numpy()] + [""]
    how: dict[str, Any] = {
        "length": 20,
        "temperature": np.float32(0.8),
        "top_k": 5,
        "top_p": np.float32(0.9),
        "seed": 3,
    }

    def said(length: int, **how: Any) -> dict[str, np.ndarray]:
        texts = ["".join(stream_text(decoder, served, tokenizer, prompt, length, **how)) for prompt in prompts]
        return {"text": np.array([text.encode() for text in texts], object)}

    signatures = {
        "serving_default": Signature(
            default, {"prompt": tf.TensorSpec((None,), tf.string)}, {"prompt": prompts}, said(200, temperature=0.8)
        ),
        "generate": Signature(
            generate,
            {"prompt": tf.TensorSpec((None,), tf.string)}
            | {name: tf.TensorSpec((), dtype) for name, dtype in scalars.items()},
            {"prompt": prompts, **how},
            said(**how),
        ),
    }
    return export_signatures(
        [served, tokenizer.table], source.info, folder, signatures, run=getattr(model, "run", None)
    )


def check_how(length: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any) -> None:
    """Refuses ways of drawing that mean nothing."""
    check_number("length", length, int, lambda value: value >= 0, "a whole number of 0 or more")
    check_number("temperature", temperature, float, lambda value: value >= 0, "a number of 0 or more")
    check_number("top_k", top_k, int, lambda value: value >= 0, "a whole number: 0 for all, or more")
    check_number("top_p", top_p, float, lambda value: 0 < value <= 1, "a number of more than 0, at most 1")
    check_number("seed", seed, int, lambda value: -(2**31) <= value < 2**31, "a whole number of at most 32 bits")
