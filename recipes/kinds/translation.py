"""Translators: translations by beam search, their scores, a report, and a SavedModel of strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from recipes.errors import ConfigError, DataError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from recipes.data.in_memory import EvaluationData
    from recipes.data.splits import Splits
    from recipes.data.tokenizers import Tokenizer
    from recipes.runs.exhibits import Exhibit
    from recipes.verbs.export import Signature, Source
    from recipes.verbs.export_network import Network

SHOWN = 100  # test sentences that a report is made from
MORE = 20  # pieces that a translation may have beyond its source's number
BEAM_WIDTH, LENGTH_PENALTY = 4, 0.6  # of the published Transformer: Vaswani et al. (2017), section 6.1


class Translation:
    """The kind of a model of [source (B, S), target (B, T)] token ids to (B, T, V) logits of the next.

    `predict` answers with the "translation" of a text and its "log_probability", divided by a power of the length, and
    with a "note" where the model knows no piece of the text. Signatures of an export, with the beam search in the
    graph:

    - `serving_default` takes `text` (B,) string and answers with `translation` (B,) string, `log_probability` (B,)
      float32, and `known_pieces` (B,) int32, how many of the pieces that were read are known.
    - `alignment` takes the same and answers besides with `source_pieces` (B, S) string, `target_pieces` (B, T) string,
      "(end)" after the last and "" after that, and `attention` (B, T, S) float32: where each piece of the translation
      looks, 0 where one of the two is "".
    - `token_ids` takes `token_ids` (B, S) int32, pieces, END and 0 for padding, and answers with `translation_ids`
      (B, T) int32 likewise, and `log_probability`.

    Args:
        decoder: What makes a step of the model; see `decoding.Decoder`.
        align: (model, source ids (B, S), target ids (B, T)) -> the attention weights of each target piece, (B, T, S)
            float32; all 0 for none.
        sequence_length: The most pieces of a source that a model without a run reads.
    """

    name = "translation"

    def __init__(self, decoder: Callable[..., Any], align: Callable[..., Any], sequence_length: int) -> None:
        self.decoder, self.align, self.sequence_length = decoder, align, sequence_length

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss": nats per sentence, "perplexity": per piece, "bleu": in [0, 100]} of the test split.

        The loss is with the label smoothing, the perplexity without. Prints sacreBLEU's signature.
        """
        from recipes.verbs.evaluate import compiled_metrics

        figures = compiled_metrics(model, splits)
        sources, targets = sentences(splits)
        translations = self.translate_all(model, sources, splits.info.known_tokenizer())
        score, signature = bleu([translation for translation, _ in translations], targets)
        print(f"sacreBLEU {score:.2f}   {signature}")
        return {**figures, "bleu": score}

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields translations.txt and alignment.png, of some test sentences."""
        import numpy as np
        from sacrebleu.metrics import CHRF

        from recipes.kinds.plots import draw_attention

        if splits.test is None or splits.info.tokenizer is None:
            return
        tokenizer, (sources, targets) = splits.info.tokenizer, sentences(splits)
        spread = np.unique(np.linspace(0, len(sources) - 1, min(SHOWN, len(sources))).astype(int))
        rows = sorted(spread, key=lambda row: -len(sources[row]))
        translations = [text for text, _ in self.translate_all(model, [sources[row] for row in rows], tokenizer)]
        triples = [(sources[row], targets[row], text) for row, text in zip(rows, translations, strict=True)]
        _, signature = bleu(translations, [target for _, target, _ in triples])
        chrf = CHRF()
        worst = sorted(triples, key=lambda triple: chrf.sentence_score(triple[2], [triple[1]]).score)
        sections = {
            f"Of {len(triples)} test sentences, from the longest to the shortest": triples[
                :: max(1, len(triples) // 20)
            ],
            "Of these, the farthest from their references (chrF)": worst[:5],
        }
        text = "\n".join(f"=== {title}\n\n{in_lines(some)}" for title, some in sections.items())
        yield "Translations and mistakes", "translations.txt", lambda: f"{text}\nsacreBLEU's signature: {signature}\n"
        source, _, translation = triples[len(triples) // 2]
        pieces, source_pieces, weights = self.attention_of(model, tokenizer, source, translation)
        if weights.any():
            title = "Which pieces of the source (columns) each piece of a translation (row) attends to"
            axes = "pieces of the translation", "pieces of the source"
            yield title, "alignment.png", lambda: draw_attention(weights, pieces, source_pieces, *axes)

    def evaluation_data(self, data: Any, model: keras.Model) -> EvaluationData:
        """Returns the test split of a user's pairs, or all of them."""
        from recipes.data.sentence_pairs import evaluation_pairs

        return evaluation_pairs(data, model)

    def predict(
        self,
        model: keras.Model,
        inputs: Any,
        *,
        beam_width: int = BEAM_WIDTH,
        length_penalty: float = LENGTH_PENALTY,
    ) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (the text or its file, {"translation", "log_probability"}); for the options see `translate`."""
        from recipes.data.text_reading import unknown_note
        from recipes.kinds.inputs import predict_each, read_texts
        from recipes.verbs.load import run_of

        check_beam(beam_width, length_penalty)
        tokenizer = run_of(model).info.known_tokenizer()

        def predict(texts: list[str]) -> list[dict[str, Any]]:
            translations = self.translate_all(model, texts, tokenizer, beam_width, length_penalty)
            known = tokenizer.count_known(texts).numpy() + [not text.strip() for text in texts]  # "" has none to know
            return [
                {"translation": text, "log_probability": score, **unknown_note(count, "piece")}
                for (text, score), count in zip(translations, known, strict=True)
            ]

        return predict_each(read_texts(inputs), predict, size=1024)

    def translate(
        self,
        model: keras.Model,
        texts: Sequence[str],
        beam_width: int = BEAM_WIDTH,
        length_penalty: float = LENGTH_PENALTY,
    ) -> list[str]:
        """Returns the translations of some sentences.

        Args:
            model: As a verb: what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            texts: Any number, of any length; of each, `sequence_length` pieces are read.
            beam_width: Translations that are followed up at a time; 1: greedy search.
            length_penalty: 0: none, which favours short translations.

        Raises:
            ConfigError: If one of the numbers is out of range, or the texts are no list.
            DataError: If one of the texts is no text.
        """
        from recipes.data.text_files import check_texts
        from recipes.data.text_reading import shortened
        from recipes.verbs.load import run_of

        check_beam(beam_width, length_penalty)
        if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
            raise ConfigError(f"texts is {shortened(repr(texts))}; expected a list of str: translate([...])")
        checked, tokenizer = list(check_texts(texts)), run_of(model).info.known_tokenizer()
        return [text for text, _ in self.translate_all(model, checked, tokenizer, beam_width, length_penalty)]

    def explain(self, model: keras.Model, text: str) -> tuple[list[str], list[str], np.ndarray]:
        """Returns the T pieces of a sentence's translation, its own S, and where each of the first looks, (T, S).

        Args:
            model: As a verb: what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
            text: The sentence.
        """
        from recipes.data.text_reading import text_problem
        from recipes.verbs.load import run_of

        if problem := text_problem(text):
            raise DataError(f"text {problem}")
        [translation] = self.translate(model, [text])
        return self.attention_of(model, run_of(model).info.known_tokenizer(), text, translation)

    def signatures(self, model: keras.Model, source: Source) -> tuple[Sequence[Any], dict[str, Signature]]:
        """Returns the model and its pieces, and the signatures that the class docstring describes."""
        import tensorflow as tf

        from recipes.data.batch_rows import graph_of, with_one_if_empty
        from recipes.verbs.export import Signature, in_float32

        served, tokenizer, length = in_float32(model), source.info.known_tokenizer(), self.length_of(model)
        ids_spec = {"token_ids": tf.TensorSpec((None, None), tf.int32)}
        text_spec = {"text": tf.TensorSpec((None,), tf.string)}

        encode = graph_of(lambda text: source_ids(tokenizer, text, length), *text_spec.values())
        search = graph_of(
            lambda source: self.search(served, source, length, BEAM_WIDTH, LENGTH_PENALTY), *ids_spec.values()
        )

        def translate_ids(source: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            target, score = search(source)
            known_pieces = tf.math.count_nonzero(tokenizer.is_known(source), 1, dtype=tf.int32)
            answer = {"translation": tokenizer.decode(target), "log_probability": score, "known_pieces": known_pieces}
            return target, answer

        def translate_some(text: tf.Tensor) -> dict[str, tf.Tensor]:
            _, answer = translate_ids(encode(text))
            return answer

        def align_some(text: tf.Tensor) -> dict[str, tf.Tensor]:
            source = encode(text)
            target, answer = translate_ids(source)
            return {
                **answer,
                "source_pieces": pieces_of(tokenizer, source),
                "target_pieces": pieces_of(tokenizer, target),
                "attention": self.attention_in_graph(served, source, target),
            }

        def search_some(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            target, score = search(token_ids)
            return {"translation_ids": target, "log_probability": score}

        def translate(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return with_one_if_empty(translate_some, text)

        def alignment(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return with_one_if_empty(align_some, text)

        def of_ids(token_ids: tf.Tensor) -> dict[str, tf.Tensor]:
            one_if_empty = tf.cast(tf.shape(token_ids)[1] == 0, tf.int32)  # an encoder fails on no piece
            return with_one_if_empty(search_some, tf.pad(token_ids, [[0, 0], [0, one_if_empty]])[:, : length + 1])

        texts = tokenizer.decode(source.examples(8)).numpy()
        token_ids = source_ids(tokenizer, texts[:2], length)
        questions = {"serving_default": texts, "alignment": texts[:2], "token_ids": token_ids.numpy()}
        functions = {"serving_default": translate, "alignment": alignment, "token_ids": of_ids}
        meanings = {
            "serving_default": "A text's translation",
            "alignment": "A text's translation, and which pieces of the text each of its pieces attends to",
            "token_ids": "The pieces of a translation, of the pieces of a text",
        }
        signatures = {}
        for name, function in functions.items():
            spec = ids_spec if name == "token_ids" else text_spec
            answer = {output: value.numpy() for output, value in function(tf.constant(questions[name])).items()}
            [argument] = spec
            signatures[name] = Signature(function, spec, {argument: questions[name]}, answer, meanings[name])
        return [served, tokenizer.table], signatures

    def search(
        self, model: keras.Model, source: Any, sequence_length: int, beam_width: int, length_penalty: float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (the pieces of each translation, (B, T) int32, its log-probability, (B,) float32).

        In TensorFlow operations alone. END is part of a translation, PAD follows; of an empty source it is PAD alone.
        The log-probability is divided by a power of the length; see `decoding.beam_search`.

        Args:
            model: The translator.
            source: (B, S) int32: pieces, END, and PAD for padding; B and S at least 1.
            sequence_length: The most pieces of a translation.
            beam_width: See `decoding.beam_search`.
            length_penalty: Likewise.
        """
        import tensorflow as tf

        from recipes.data.tokenizers import END, PAD, START
        from recipes.kinds.decoding import beam_search

        encode, step = self.decoder(model)
        length = tf.minimum(tf.math.count_nonzero(source, 1, dtype=tf.int32) + MORE, sequence_length)
        start = tf.fill((tf.shape(source)[0],), START)
        beams, scores = beam_search(
            step, encode(source), start, length, beam_width, length_penalty
        )  # (B, K, T), (B, K)
        is_empty = (source[:, 0] == END) | (source[:, 0] == PAD)  # and its translation too
        return tf.where(is_empty[:, tf.newaxis], PAD, beams[:, 0]), tf.where(is_empty, 0.0, scores[:, 0])

    def networks(self, model: keras.Model, source: Source, count: int = 8) -> dict[str, Network]:
        """Returns {"model": `source` (B, S) and `target` (B, T) int32 to `logits` (B, T, V) of the next piece}."""
        import numpy as np
        import tensorflow as tf

        from recipes.data.tokenizers import END, START
        from recipes.verbs.export import in_float32
        from recipes.verbs.export_network import Network

        served, length = in_float32(model), self.length_of(model)
        sources = source.examples(count)[:, :length].astype(np.int32)
        # Both languages have one vocabulary: a sentence's own pieces do for the beginning of its translation.
        targets = np.concatenate([np.full_like(sources[:, :1], START), sources[:, :-1]], 1)
        ids = tf.TensorSpec((None, None), tf.int32)
        network = Network(
            lambda source, target: {"logits": served([source, target], training=False)},
            {"source": ids, "target": ids},
            {"source": sources, "target": targets},
            models=[served],
            length=length,
            outside=(
                f"make pieces of the text with the vocabulary in tokenizer.json, end them with {END}; begin the target "
                f"with {START}, take the next piece of the logits at the last one, add it, and ask again, until {END}; "
                "0 pads"
            ),
        )
        return {"model": network}

    def translate_in_graph(
        self,
        model: keras.Model,
        tokenizer: Tokenizer,
        texts: Any,
        sequence_length: int,
        beam_width: int,
        length_penalty: float,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (the translations, their log-probabilities), (B,) string to (B,) string and (B,) float32.

        In TensorFlow operations alone; see `search`.
        """
        source = source_ids(tokenizer, texts, sequence_length)
        target, scores = self.search(model, source, sequence_length, beam_width, length_penalty)
        return tokenizer.decode(target), scores

    def attention_in_graph(self, model: keras.Model, source: Any, target: Any) -> tf.Tensor:
        """Returns the attention weights, (B, T, S) float32: 0 at the padding of (B, S) sources and (B, T) targets."""
        import tensorflow as tf

        from recipes.data.tokenizers import END, PAD, START

        start = tf.fill((tf.shape(target)[0], 1), START)
        before = tf.concat([start, tf.where(target == END, PAD, target)[:, :-1]], 1)  # as in training
        is_piece = (target != PAD)[:, :, tf.newaxis] & (source != PAD)[:, tf.newaxis]
        return tf.where(is_piece, self.align(model, source, before), 0.0)

    def translate_all(
        self,
        model: keras.Model,
        texts: Sequence[str],
        tokenizer: Tokenizer,
        beam_width: int = BEAM_WIDTH,
        length_penalty: float = LENGTH_PENALTY,
        batch_size: int = 64,
    ) -> list[tuple[str, float]]:
        """Returns (translation, log-probability) of any number of sentences, those of about one length together."""
        import tensorflow as tf

        translate = _graph_of(self, model, tokenizer, self.length_of(model), beam_width, length_penalty)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        results: list[tuple[str, float]] = [("", 0.0)] * len(texts)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            translations, scores = translate(tf.constant([texts[row] for row in rows]))
            for row, translation, score in zip(rows, translations.numpy(), scores.numpy(), strict=True):
                results[row] = translation.decode(), float(score)
        return results

    def attention_of(
        self, model: keras.Model, tokenizer: Tokenizer, text: str, translation: str
    ) -> tuple[list[str], list[str], np.ndarray]:
        """Returns the pieces of a translation, those of its source, and the attention weights, (T, S)."""
        import tensorflow as tf

        from recipes.data.sentence_pairs import with_end
        from recipes.data.tokenizers import PAD, START

        length = self.length_of(model)
        target, source = (with_end(tokenizer, [side], length).to_tensor(PAD) for side in (translation, text))
        weights = self.align(model, source, tf.concat([[[START]], target[:, :-1]], 1)).numpy()[0]
        target_pieces, source_pieces = (
            [piece.decode() or "(end)" for piece in tokenizer.texts_of(token_ids[0]).numpy()]
            for token_ids in (target, source)
        )
        return target_pieces, source_pieces, weights

    def length_of(self, model: keras.Model) -> int:
        """Returns the most pieces of a source that a model reads."""
        run = getattr(model, "run", None)
        return run.config.sequence_length if run else self.sequence_length


@lru_cache(maxsize=1)  # a graph takes seconds to make: the last is kept
def _graph_of(kind: Translation, model: keras.Model, tokenizer: Tokenizer, *search: Any) -> Callable[..., Any]:
    import tensorflow as tf

    return tf.function(
        lambda texts: kind.translate_in_graph(model, tokenizer, texts, *search),
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )


def source_ids(tokenizer: Tokenizer, texts: Any, sequence_length: int) -> Any:
    """Returns the pieces of each text, at most so many, and END: (B,) string to (B, S) int32, padded with 0."""
    from recipes.data.sentence_pairs import with_end
    from recipes.data.tokenizers import PAD

    return with_end(tokenizer, texts, sequence_length).to_tensor(PAD)


def pieces_of(tokenizer: Tokenizer, token_ids: Any) -> Any:
    """Returns the text of each piece, (B, T) int32 to (B, T) string: "(end)" of END, "" of padding."""
    import tensorflow as tf

    from recipes.data.tokenizers import END

    return tf.where(token_ids == END, "(end)", tokenizer.texts_of(token_ids))


def check_beam(beam_width: Any, length_penalty: Any) -> None:
    """Refuses settings of a beam search that mean nothing."""
    from recipes.kinds.options import check_option

    check_option("beam_width", beam_width, int, lambda value: value >= 1, "a whole number of 1, greedy search, or more")
    check_option("length_penalty", length_penalty, float, lambda value: value >= 0, "a number of 0 or more")


def sentences(splits: Splits) -> tuple[list[str], list[str]]:
    """Returns the sources and targets of the test split as they were written; of a user's Splits, as they are read."""
    if splits.originals is not None:
        return list(splits.originals[0]), list(splits.originals[1])
    tokenizer = splits.info.known_tokenizer()
    sources: list[str] = []
    targets: list[str] = []
    for (source, _), target in splits.test or ():
        sources += [text.decode() for text in tokenizer.decode(source).numpy()]
        targets += [text.decode() for text in tokenizer.decode(target).numpy()]
    return sources, targets


def bleu(translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Returns sacreBLEU's score in [0, 100] and its signature. Post (2018), https://aclanthology.org/W18-6319."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(references)]).score
    return float(score), str(metric.get_signature())


def in_lines(triples: Sequence[tuple[str, str, str]]) -> str:
    """Returns (source, reference, translation) triples in three lines each."""
    return "\n".join(
        f"source:     {source}\nreference:  {reference}\ntranslated: {translation}\n"
        for source, reference, translation in triples
    )
