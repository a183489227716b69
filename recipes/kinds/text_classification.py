"""Models of labelled texts: how they are scored, reported, asked and exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from recipes.errors import DataError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import DataInfo, Splits
    from recipes.data.tokenizers import Tokenizer
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network

SHOWN_WORDS = 80  # of a text in a report, its last


class TextClassification:
    """The kind of a model of (B, T) token ids, 0 for padding, to (B, classes) logits, or to (B, 1) numbers.

    `predict` answers with "label", "probability" of the label, and "probabilities" {label: probability}; where a text
    may have several labels with "labels", a list, and "probabilities"; where it has a number with "value"; and with a
    "note" where no word of a text is known, so that the answer says nothing of it. `min_probability` and `samples` are
    as `ImageClassification` has them. Signatures of an export, both with
    the outputs `label` (B,) string, `probability` (B,) float32 and `probabilities` (B, classes) float32 (of several
    labels `labels` (B, V) string, "" where one is not there, and `probabilities`; of a number `value` (B,) float32),
    and `known_words` (B,) int32, how many of the words that were read are known: `serving_default` takes `text` (B,)
    string in UTF-8, `token_ids` takes `token_ids` (B, T) int32. `classify`, of a number `regress`, takes tf.Examples
    with the feature "text"; see `tf_examples`.

    Args:
        sequence_length: How many of a text's last words a model without a run reads.
    """

    name = "text_classification"

    def __init__(self, sequence_length: int) -> None:
        self.sequence_length = sequence_length

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns the loss and other figures on the test split, by name; see `label_figures.figures`."""
        from recipes.kinds.label_figures import figures

        return figures(model, splits)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields confusion.png, confidence.png and mistakes.txt, of a test split; without a tokenizer nothing."""
        from recipes.kinds.confidence import confidence_exhibit
        from recipes.kinds.label_figures import exhibits
        from recipes.kinds.plots import confusion_exhibit, predictions, surest_mistakes

        tokenizer = splits.info.tokenizer
        if splits.test is None or tokenizer is None:
            return
        if splits.info.task != "classification":
            yield from exhibits(model, splits)
            return
        batches, labels, probabilities = predictions(model, splits.test)
        if not len(labels):
            return
        texts = [text.decode() for token_ids in batches for text in tokenizer.decode(token_ids).numpy()]
        names = splits.info.label_names or tuple(map(str, range(probabilities.shape[-1])))
        guesses = probabilities.argmax(-1)
        yield from confusion_exhibit(labels, guesses, names)
        yield from confidence_exhibit(labels, probabilities)
        surest, count = surest_mistakes(labels, probabilities, 12)
        if count:
            lines = [
                f"true: {names[labels[index]]}, predicted: {names[guesses[index]]} ({probabilities[index].max():.1%})\n"
                f"    ... {' '.join(texts[index].split()[-SHOWN_WORDS:])}\n"
                for index in surest
            ]
            title = f"The {len(surest)} surest of {count:,} mistakes in {len(labels):,} test texts, as they are read"
            yield f"{title}: how each ends", "mistakes.txt", lambda: "\n".join(lines)

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test split of a user's texts, or all of them."""
        from recipes.data.labelled_texts import evaluation_texts

        return evaluation_texts(data, model)

    def predict(
        self, model: keras.Model, inputs: Any, min_probability: float = 0.0, samples: int = 0
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (the text or its file, what the class docstring says); see `inputs.read_texts`.

        Of a text without a known word also a "note".
        """
        import tensorflow as tf

        from recipes.data.text_reading import unknown_note
        from recipes.kinds.classes import answer_of, check_doubts, named_answers
        from recipes.kinds.inputs import predict_each, read_texts
        from recipes.verbs.export import in_float32
        from recipes.verbs.load import run_of

        run, asked = run_of(model), in_float32(model)
        check_doubts(asked, run.info, min_probability, samples)
        classify = tf.function(
            classify_texts_function(asked, run.info, self.length_of(model)),
            input_signature=[tf.TensorSpec((None,), tf.string)],
        )

        def predict(texts: list[str]) -> list[dict[str, Any]]:
            answer = answer_of(asked, classify, tf.constant(texts), samples)
            named = named_answers(answer, run.info, min_probability)
            notes = [unknown_note(known, "word") for known in answer["known_words"].numpy()]
            return [prediction | note for prediction, note in zip(named, notes, strict=True)]

        return predict_each(read_texts(inputs), predict)

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns the model and its words, and the signatures that the class docstring lists."""
        import tensorflow as tf

        from recipes.data.batch_rows import graph_of, with_one_if_empty
        from recipes.kinds.classes import numbers_of
        from recipes.kinds.tf_examples import example_signatures
        from recipes.verbs.export import Signature, in_float32

        served, tokenizer, length = in_float32(model), source.info.known_tokenizer(), self.length_of(model)
        texts = tokenizer.decode(source.examples(16)).numpy()
        token_ids = padded_ids(tokenizer, texts, length).numpy()
        answer = numbers_of(served.predict(token_ids, verbose=0), source.info.task)
        classify = classify_ids_function(served, source.info)
        ids_spec = {"token_ids": tf.TensorSpec((None, None), tf.int32)}

        def classify_padded(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            one_if_empty = tf.cast(tf.shape(token_ids)[1] == 0, tf.int32)  # a recurrent network fails on no step
            padded = tf.pad(token_ids, [[0, 0], [0, one_if_empty]])[:, -length:]
            return with_one_if_empty(classify, padded)

        classify_ids = graph_of(classify_padded, *ids_spec.values())

        def of_ids(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return classify_ids(token_ids)

        def of_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return classify_ids(padded_ids(tokenizer, text, length))

        what = "The number" if source.info.task == "regression" else "The labels and their probabilities"
        text_spec = {"text": tf.TensorSpec((None,), tf.string)}
        default = Signature(of_text, text_spec, {"text": texts}, answer, f"{what} of a text")
        signatures = {
            "serving_default": default,
            "token_ids": Signature(of_ids, ids_spec, {"token_ids": token_ids}, answer, f"{what} of a text's token ids"),
        }
        return [served, tokenizer.table], signatures | example_signatures(default, source.info)

    def networks(self, model: keras.Model, source: Source, count: int = 16) -> dict[str, Network]:
        """Returns {"model": `token_ids` (B, T) int32 to `probabilities` (B, V), or `value` (B,)}."""
        import tensorflow as tf

        from recipes.kinds.classes import numbers_function
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, numbers, length = in_float32(model), numbers_function(source.info.task), self.length_of(model)
        network = Network(
            lambda token_ids: numbers(served(token_ids, training=False)),
            {"token_ids": tf.TensorSpec((None, None), tf.int32)},
            {"token_ids": source.examples(count)[:, -length:].astype("int32")},
            models=[served],
            length=length,
            outside=f"make token ids of the text's last {length} words with the vocabulary in tokenizer.json; 0 pads",
        )
        return {"model": network}

    def length_of(self, model: keras.Model) -> int:
        """Returns how many of a text's last words a model reads."""
        run = getattr(model, "run", None)
        return run.config.sequence_length if run else self.sequence_length


def classify_texts_function(
    model: keras.Model, info: DataInfo, sequence_length: int
) -> Callable[[Any], dict[str, Any]]:
    """Returns the function (B,) strings, B at least 1, -> what `name_function` answers, and "known_words"."""
    tokenizer, classify_ids = info.known_tokenizer(), classify_ids_function(model, info)

    def classify(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return classify_ids(padded_ids(tokenizer, text, sequence_length))

    return classify


def classify_ids_function(model: keras.Model, info: DataInfo) -> Callable[[Any], dict[str, Any]]:
    """Returns the function (B, T) int32 token ids -> what `name_function` answers, and "known_words"."""
    import tensorflow as tf

    from recipes.kinds.classes import name_function

    tokenizer, name = info.known_tokenizer(), name_function(model, info)

    def classify(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        known_words = tf.math.count_nonzero(tokenizer.is_known(token_ids), 1, dtype=tf.int32)
        return {**name(model(token_ids, training=False)), "known_words": known_words}

    return classify


def padded_ids(tokenizer: Tokenizer, text: Any, sequence_length: int) -> Any:
    """Returns the last token ids of each text, (B,) to (B, T) int32, padded with 0."""
    from recipes.data.labelled_texts import last_words

    return last_words(tokenizer, text, sequence_length).to_tensor(0)
