"""Language models: text after a prompt, in Python, on the terminal, in a report and in a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from recipes.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import Splits
    from recipes.data.tokenizers import Tokenizer
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network

MOST = 10_000  # tokens that a served model adds to a prompt
SAMPLES, LOOKED_AT = 3, 64  # windows of the test text that a report continues, and that it chooses them from
MOST_PROMPT = 32  # characters of one that are the prompt


class TextGeneration:
    """The kind of a model of (B, T) token ids to (B, T, V) logits of the next.

    `predict` takes prompts and answers with the "text" that begins with each, and a "note" where the model knows no
    character of a prompt. Signatures of an export:

    - `serving_default` takes `prompt` (B,) string and answers with `text` (B,) string, the prompt and 200 tokens at a
      temperature of 0.8, and `known_characters` (B,) int32, how many characters of the prompt are known.
    - `generate` takes besides, one of each row, `length` int32, `temperature` float32, `top_k` int32 (0: all), `top_p`
      float32 (1: all) and `seed` int32. A row's answer follows from that row alone.
    - `token_ids` takes `token_ids` (B, T) int32, of at most as many tokens as a training example, and answers with
      `logits` (B, T, V) float32 of the next.

    Args:
        decoder: What makes a step of the model; see `decoding.Decoder`.
    """

    name = "text_generation"

    def __init__(self, decoder: Callable[..., Any]) -> None:
        self.decoder = decoder

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss": nats, "bits": the same in bits} per token of the test split."""
        from recipes.verbs.evaluate import compiled_metrics

        figures = compiled_metrics(model, splits)
        return {"bits": figures["loss"] / float(np.log(2)), **figures}

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields samples.txt: how the model continues some places of the test text, and how that continues itself."""
        import tensorflow as tf

        if splits.test is None or splits.info.tokenizer is None:
            return
        tokenizer = splits.info.tokenizer
        prompts = spread_prompts(splits.test, tokenizer)
        if not prompts:
            return
        asked, seeds = tf.constant(list(prompts)), tf.range(len(prompts))  # of one seed, all would go on much alike
        sampling = {"temperature": 0.8, "seed": seeds}
        answers = tf.function(lambda: self.continue_texts(model, tokenizer, asked, 400, **sampling))()
        samples = [
            f"=== prompt {number}:\n{prompt}\n--- the model goes on:\n{answer.decode().removeprefix(prompt)}\n"
            f"--- the test text goes on:\n{text.removeprefix(prompt)}\n"
            for number, ((prompt, text), answer) in enumerate(zip(prompts.items(), answers.numpy(), strict=True), 1)
        ]
        title = "Samples from places of the test text (temperature 0.8)"
        yield title, "samples.txt", lambda: "\n".join(samples)

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test text of a user's data, which of one text is its end."""
        from recipes.data.character_windows import evaluation_text

        return evaluation_text(data, model)

    def predict(
        self,
        model: keras.Model,
        inputs: Any,
        *,
        length: int = 200,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (the prompt or its file, {"text"}) of prompts; for the options see `generate`."""
        import tensorflow as tf

        from recipes.data.text_reading import unknown_note
        from recipes.kinds.inputs import predict_each, read_texts
        from recipes.verbs.load import run_of

        check_sampling(length, temperature, top_k, top_p, seed)
        tokenizer = run_of(model).info.known_tokenizer()
        sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        continue_texts = tf.function(
            lambda prompts: self.continue_texts(model, tokenizer, prompts, length, **sampling),
            input_signature=[tf.TensorSpec((None,), tf.string)],
        )

        def predict(prompts: list[str]) -> list[dict[str, Any]]:
            texts = [text.decode() for text in continue_texts(tf.constant(prompts)).numpy()]
            known = tokenizer.count_known(prompts).numpy() + [not prompt for prompt in prompts]  # "" has none
            notes = [unknown_note(count, "character") for count in known]
            return [{"text": text, **note} for text, note in zip(texts, notes, strict=True)]

        return predict_each(read_texts(inputs), predict, size=16)

    def generate(
        self,
        model: keras.Model,
        prompt: str = "\n",
        length: int = 500,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[str]:
        """Returns the prompt and then, one by one as they are made, `length` tokens after it: "".join(generate()).

        Args:
            model: As a verb: what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            prompt: Any text; characters that the model does not know are skipped.
            length: How many tokens to add, 0 or more.
            temperature: Below 1 the likely gets likelier; 0: always the likeliest.
            top_k: Only the k likeliest may come; 0: all.
            top_p: Only the likeliest that together have this probability may come; 1: all.
            seed: The same seed, the same text.

        Raises:
            ConfigError: If one of the numbers is out of range.
            DataError: If the prompt is no text.
        """
        from recipes.data.text_reading import text_problem
        from recipes.verbs.load import run_of

        check_sampling(length, temperature, top_k, top_p, seed)
        if problem := text_problem(prompt):
            raise DataError(f"prompt {problem}")
        tokenizer = run_of(model).info.known_tokenizer()
        sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return self.stream(model, tokenizer, prompt, length, seed, **sampling)

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns the model and its characters, and the signatures that the class docstring lists."""
        import tensorflow as tf

        from recipes.data.batch_rows import graph_of, with_one_if_empty
        from recipes.verbs.export import Signature, in_float32

        served, tokenizer = in_float32(model), source.info.known_tokenizer()
        examples = source.examples(2)
        window = examples.shape[1]
        prompt_spec = {"prompt": tf.TensorSpec((None,), tf.string)}
        dtypes = {
            "length": tf.int32,
            "temperature": tf.float32,
            "top_k": tf.int32,
            "top_p": tf.float32,
            "seed": tf.int32,
        }
        specs = prompt_spec | {name: tf.TensorSpec((None,), dtype) for name, dtype in dtypes.items()}

        def continue_each(prompt: Any, length: Any, *sampling: Any) -> dict[str, tf.Tensor]:
            options = dict(zip(list(dtypes)[1:], sampling, strict=True))
            text = self.continue_texts(served, tokenizer, prompt, length, **options)
            return {"text": text, "known_characters": tokenizer.count_known(prompt)}

        continue_all = graph_of(lambda *rows: with_one_if_empty(continue_each, *rows), *specs.values())

        def generate(
            prompt: Any, length: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any
        ) -> dict[str, tf.Tensor]:
            numbers = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
            return continue_all(prompt, *checked_sampling(prompt, numbers).values())

        def default(prompt: tf.Tensor) -> dict[str, tf.Tensor]:
            usual = {"length": 200, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "seed": 0}
            of_each = [tf.fill(tf.shape(prompt), tf.constant(usual[name], dtype)) for name, dtype in dtypes.items()]
            return continue_all(prompt, *of_each)

        def logits(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            length = tf.shape(token_ids)[1]
            message = f"token_ids has more columns than the {window} tokens that the model reads"
            with tf.control_dependencies([tf.debugging.assert_less_equal(length, window, message)]):
                one_if_empty = tf.cast(length == 0, tf.int32)  # a recurrent network fails on no step
                padded = tf.pad(token_ids, [[0, 0], [0, one_if_empty]])
            answer = with_one_if_empty(lambda token_ids: {"logits": served(token_ids, training=False)}, padded)
            return {"logits": answer["logits"][:, :length]}

        def expected(prompts: list[str], length: int, rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
            texts = [
                "".join(self.stream(served, tokenizer, prompt, length, **row))
                for prompt, row in zip(prompts, rows, strict=True)
            ]
            return {"text": np.array([text.encode() for text in texts], object)}

        prompts = [text.decode()[:8] for text in tokenizer.decode(examples).numpy()] + [""]
        rows: list[dict[str, Any]] = [
            {"temperature": 0.8, "top_k": 5, "top_p": 0.9, "seed": 3 + number} for number in range(len(prompts))
        ]
        asked: dict[str, Any] = {"prompt": prompts, "length": [20] * len(prompts)}
        asked |= {name: [row[name] for row in rows] for name in rows[0]}
        ids_spec = {"token_ids": tf.TensorSpec((None, None), tf.int32)}
        of_ids = {"logits": keras.ops.convert_to_numpy(served(examples, training=False))}
        signatures = {
            "serving_default": Signature(
                default,
                prompt_spec,
                {"prompt": prompts},
                expected(prompts, 200, [{"temperature": 0.8}] * len(prompts)),
                "The prompt and 200 characters after it, at a temperature of 0.8",
            ),
            "generate": Signature(
                generate, specs, asked, expected(prompts, 20, rows), "The prompt and as many characters as length says"
            ),
            "token_ids": Signature(
                logits, ids_spec, {"token_ids": examples}, of_ids, "Logits of the token after each token"
            ),
        }
        return [served, tokenizer.table], signatures

    def networks(self, model: keras.Model, source: Source, count: int = 8) -> dict[str, Network]:
        """Returns {"model": `token_ids` (B, T) int32 to `logits` (B, T, V) of the next}."""
        import tensorflow as tf

        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, examples = in_float32(model), source.examples(count).astype(np.int32)
        network = Network(
            lambda token_ids: {"logits": served(token_ids, training=False)},
            {"token_ids": tf.TensorSpec((None, None), tf.int32)},
            {"token_ids": examples},
            models=[served],
            length=examples.shape[1],
            outside=(
                "make token ids of the prompt with the vocabulary in tokenizer.json, draw the next of the logits at "
                "the last one, add it, and ask again; what stands after a position does not change its logits"
            ),
        )
        return {"model": network}

    def continue_texts(
        self, model: keras.Model, tokenizer: Tokenizer, prompts: Any, length: Any, **sampling: Any
    ) -> tf.Tensor:
        """Returns each prompt with `length` tokens after it, (B,) string to (B,) string, in TensorFlow operations.

        Args:
            model: (B, T) token ids to (B, T, V) logits of the next.
            tokenizer: Of its token ids.
            prompts: (B,) string, B at least 1.
            length: How many tokens to add, to all or to each, (B,).
            **sampling: `seed`, `temperature`, `top_k`, `top_p`, of all or of each; see `decoding.sample_token`.
        """
        import tensorflow as tf

        from recipes.kinds.decoding import sample_tokens

        prompt_ids = encode_prompts(tokenizer, prompts)
        initial_state, step = self.decoder(model)
        token_ids = sample_tokens(step, initial_state(prompt_ids.nrows(tf.int32)), prompt_ids, length, **sampling)
        is_new = tf.ragged.range(token_ids.row_lengths()) >= prompt_ids.row_lengths()[:, tf.newaxis]
        return tf.strings.join([prompts, tokenizer.decode(tf.ragged.boolean_mask(token_ids, is_new))])

    def stream(
        self, model: keras.Model, tokenizer: Tokenizer, prompt: str, length: int, seed: int = 0, **sampling: Any
    ) -> Iterator[str]:
        """Yields a prompt, then token by token what `continue_texts` adds to it."""
        import tensorflow as tf

        from recipes.kinds.decoding import sample_token

        yield prompt
        initial_state, step = self.decoder(model)
        prompt_ids = encode_prompts(tokenizer, [prompt])[0].numpy()
        step_in_graph = tf.function(step, reduce_retracing=True)
        state, token = initial_state(1), None
        for position in range(len(prompt_ids) + length - 1):
            token = prompt_ids[position] if position < len(prompt_ids) else token
            logits, state = step_in_graph(tf.constant([token], tf.int32), tf.constant(position), state)
            if position >= len(prompt_ids) - 1:
                seeds = tf.constant([[seed, position - len(prompt_ids)]])
                token = sample_token(tf.cast(logits, tf.float32), seeds, **sampling).numpy()[0]
                yield tokenizer.decode([[token]]).numpy()[0].decode()


def spread_prompts(test: tf.data.Dataset, tokenizer: Tokenizer) -> dict[str, str]:
    """Returns the beginnings of up to `SAMPLES` windows and those windows: of all places of a text, no two alike.

    Args:
        test: Batches of (B, T) token ids and, of each, the next.
        tokenizer: Of their token ids.
    """
    windows = np.concatenate([token_ids for token_ids, _ in test])
    places = np.unique(np.linspace(0, len(windows) - 1, LOOKED_AT).astype(int))
    texts = [text.decode() for text in tokenizer.decode(windows[places]).numpy()]
    prompts = {text[: min(MOST_PROMPT, len(text) // 2)]: text for text in reversed(texts)}  # the first of those alike
    different = [prompt for prompt in reversed(prompts) if prompt.strip()]
    chosen = np.unique(np.linspace(0, len(different) - 1, SAMPLES).astype(int))
    return {different[place]: prompts[different[place]] for place in chosen if different}


def encode_prompts(tokenizer: Tokenizer, prompts: Any) -> tf.RaggedTensor:
    """Returns the token ids of some prompts, (B,) string to (B, None); a line break in place of an empty one."""
    import tensorflow as tf

    token_ids = tokenizer.encode(prompts)
    line_break = tf.concat([tokenizer.encode(["\n"]).flat_values, [0]], 0)[0]  # 0 where it is not known
    empty = tf.cast(token_ids.row_lengths() == 0, tf.int64)
    instead = tf.RaggedTensor.from_row_lengths(tf.repeat(line_break, tf.reduce_sum(empty)), empty)
    return tf.concat([token_ids, instead], 1)


def checked_sampling(prompt: Any, numbers: dict[str, Any]) -> dict[str, Any]:
    """Returns the numbers of each row as they are; stops a graph where rows are missing, or a number means nothing.

    Args:
        prompt: (B,) string.
        numbers: `length`, `temperature`, `top_k`, `top_p` and `seed`, (B,) each.
    """
    import tensorflow as tf

    from recipes.data.batch_rows import check_rows

    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(tf.shape(value), tf.shape(prompt), f"expected a {name} for each prompt, (B,)")
            for name, value in numbers.items()
        ]
    ):
        numbers = {name: tf.identity(value) for name, value in numbers.items()}
    length, temperature, top_k, top_p = (numbers[name] for name in ("length", "temperature", "top_k", "top_p"))
    ranges = {
        "length": ((length >= 0) & (length <= MOST), f"0 to {MOST}"),
        "temperature": ((temperature >= 0) & tf.math.is_finite(temperature), "0 or more"),
        "top_k": (top_k >= 0, "0, which is all, or more"),
        "top_p": ((top_p > 0) & (top_p <= 1), "more than 0, at most 1"),
    }
    checks = [
        check_rows(is_right, f"{name} of row {{}} of the batch is {{}}; expected {expected}", numbers[name])
        for name, (is_right, expected) in ranges.items()
    ]
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in numbers.items()}


def check_sampling(length: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any) -> None:
    """Refuses ways of sampling that mean nothing."""
    from recipes.kinds.options import check_option

    check_option("length", length, int, lambda value: value >= 0, "a whole number of 0 or more")
    check_option("temperature", temperature, float, lambda value: value >= 0, "a number of 0 or more")
    check_option("top_k", top_k, int, lambda value: value >= 0, "a whole number: 0 for all, or more")
    check_option("top_p", top_p, float, lambda value: 0 < value <= 1, "a number of more than 0, at most 1")
    check_option("seed", seed, int, lambda value: -(2**31) <= value < 2**31, "a whole number of at most 32 bits")


@keras.saving.register_keras_serializable("recipes", "Bits")
class BitsOfOlderModels(keras.metrics.MeanMetricWrapper):
    """Cross-entropy in bits: a metric that models of version 0.1 were compiled with, so that they can be loaded."""

    def __init__(self, name: str = "bits", **kwargs: Any) -> None:
        super().__init__(bits, name=name, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns what __init__ takes."""
        return {"name": self.name, "dtype": self.dtype}


def bits(y_true: Any, y_pred: Any) -> Any:
    """Returns the cross-entropy of labels and logits in bits: (B, T) integer and (B, T, V) to (B, T)."""
    return keras.ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True) / np.log(2)
