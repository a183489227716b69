"""What translators share: translations by beam search, scores, a report and a SavedModel of strings."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.data.sentence_pairs import ended
from recipes.data.splits import Splits
from recipes.data.text_files import shortened
from recipes.data.tokenizers import END, PAD, START, Tokenizer
from recipes.devices.workers import is_chief
from recipes.errors import ConfigError
from recipes.kinds.decoding import Decoder, beam_search, check_number
from recipes.kinds.plots import draw_attention
from recipes.kinds.text_classification import tokenizer_of
from recipes.runs.atomic_files import save_picture, write_text
from recipes.runs.finish import evaluate_model
from recipes.verbs.export import Signature, Source, export_signatures, in_float32
from recipes.verbs.load import run_of

#: (model, source ids (1, S), target ids (1, T)) -> where each target piece looked, (T, S); all 0 for nowhere
Align = Callable[[keras.Model, tf.Tensor, tf.Tensor], np.ndarray]

LOOKED_AT = 100  # test sentences in a report
MORE = 20  # pieces that a translation may have beyond its source's number


def search(model: keras.Model, config: Any, beam_width: int = 4, length_penalty: float = 0.6) -> dict[str, Any]:
    """Returns how a model searches for translations, refusing what means nothing; `config` is for one without a run."""
    check_number("beam_width", beam_width, int, lambda value: value >= 1, "a whole number of 1, greedy search, or more")
    check_number("length_penalty", length_penalty, float, lambda value: value >= 0, "a number of 0 or more")
    run = getattr(model, "run", None)
    length = (run.config if run else config).sequence_length
    return {"sequence_length": length, "beam_width": beam_width, "length_penalty": length_penalty}


def translate_texts(
    decoder: Decoder,
    model: keras.Model,
    tokenizer: Tokenizer,
    texts: Any,
    sequence_length: int,
    beam_width: int,
    length_penalty: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (the translations, their log-probabilities), (B,) string to (B,) string and (B,) float32.

    In TensorFlow operations alone. The log-probability is divided by a power of the length; see `beam_search`.

    Args:
        decoder: What makes a step of the model.
        model: Its inputs are source and target ids.
        tokenizer: Of both languages.
        texts: (B,) string.
        sequence_length: The most pieces of a source that are read.
        beam_width: 1: greedy search.
        length_penalty: See `beam_search`.
    """
    encode, step = decoder(model)
    source = ended(tokenizer, texts, sequence_length).to_tensor(PAD)
    length = tf.minimum(tf.math.count_nonzero(source, 1, dtype=tf.int32) + MORE, sequence_length)
    start = tf.fill((tf.shape(source)[0],), START)
    said, scores = beam_search(step, encode(source), start, length, beam_width, length_penalty)
    nothing = source[:, 0] == END  # to nothing
    return tf.where(nothing, "", tokenizer.decode(said[:, 0])), tf.where(nothing, 0.0, scores[:, 0])


def translate_all(
    decoder: Decoder,
    model: keras.Model,
    texts: Sequence[str],
    tokenizer: Tokenizer | None = None,
    batch_size: int = 64,
    **how: Any,
) -> list[str]:
    """Returns the translations of any number of sentences, those of about one length together.

    Args:
        decoder: What makes a step of the model.
        model: The translator.
        texts: Its sources.
        tokenizer: None: of the model's run.
        batch_size: How many are translated at a time.
        **how: See `translate_texts`.

    Raises:
        ConfigError: If they are no list of str.
    """
    if isinstance(texts, (str, bytes)) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"texts is {shortened(repr(texts))}; expected a list of str: translate([...])")
    pieces = tokenizer or tokenizer_of(run_of(model).info)
    once = _in_graph(decoder, model, pieces, **how)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    said: list[str] = [""] * len(texts)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        answers = once(tf.constant([texts[row] for row in rows])).numpy()
        for row, answer in zip(rows, answers, strict=True):
            said[row] = answer.decode()
    return said


@lru_cache(maxsize=1)  # a graph takes seconds to make: the last is kept
def _in_graph(decoder: Decoder, model: keras.Model, tokenizer: Tokenizer, **how: Any) -> Callable[..., tf.Tensor]:
    return tf.function(
        lambda texts: translate_texts(decoder, model, tokenizer, texts, **how)[0],
        input_signature=[tf.TensorSpec((None,), tf.string)],
    )


def sentences(splits: Splits) -> tuple[list[str], list[str]]:
    """Returns the sources and targets of the test split as they were written; of a user's Splits, as they are read."""
    if splits.texts is not None:
        return list(splits.texts[0]), list(splits.texts[1])
    tokenizer = tokenizer_of(splits.info)
    found: tuple[list[str], list[str]] = ([], [])
    for (source, _), following in splits.test or ():
        for side, texts in zip((source, following), found, strict=True):
            texts += [text.decode() for text in tokenizer.decode(side).numpy()]
    return found


def bleu(translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Returns sacreBLEU's score in [0, 100] and its signature. Post (2018), https://aclanthology.org/W18-6319."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(references)]).score
    return float(score), str(metric.get_signature())


def evaluate_translator(decoder: Decoder, model: keras.Model, splits: Splits, **how: Any) -> dict[str, float]:
    """Returns the loss, the perplexity and "bleu" on the test split, and prints sacreBLEU's signature."""
    figures = evaluate_model(model, splits)
    sources, targets = sentences(splits)
    score, signature = bleu(translate_all(decoder, model, sources, tokenizer_of(splits.info), **how), targets)
    print(f"sacreBLEU {score:.2f}   {signature}")
    return {**figures, "bleu": score}


def translation_report(
    decoder: Decoder,
    align: Align,
    model: keras.Model,
    splits: Splits,
    folder: Path,
    **how: Any,
) -> dict[str, str]:
    """Writes translations.txt and alignment.png, of some test sentences; returns titles -> file names.

    Args:
        decoder: What makes a step of the model.
        align: See `Align`.
        model: The translator.
        splits: Its data.
        folder: Where they are written.
        **how: See `translate_texts`.
    """
    if splits.test is None or splits.info.tokenizer is None:
        return {}
    tokenizer, (sources, targets) = splits.info.tokenizer, sentences(splits)
    places = np.unique(np.linspace(0, len(sources) - 1, min(LOOKED_AT, len(sources))).astype(int))
    rows = sorted(places, key=lambda row: -len(sources[row]))
    made = translate_all(decoder, model, [sources[row] for row in rows], tokenizer, **how)
    told = [(sources[row], targets[row], text) for row, text in zip(rows, made, strict=True)]
    _, signature = bleu(made, [target for _, target, _ in told])
    from sacrebleu.metrics import CHRF

    chrf = CHRF()
    worst = sorted(told, key=lambda three: chrf.sentence_score(three[2], [three[1]]).score)
    shown = {
        f"Of {len(told)} test sentences, from the longest to the shortest": told[:: max(1, len(told) // 20)],
        "Of these, the farthest from their references (chrF)": worst[:5],
    }
    said = "\n".join(f"=== {title}\n\n{_in_lines(some)}" for title, some in shown.items())
    text = f"{said}\nsacreBLEU's signature: {signature}\n"
    write_text(folder / "translations.txt", text)
    found = {"Translations and mistakes": "translations.txt"}
    source, _, translation = told[len(told) // 2]
    *names, weights = _looks(align, model, tokenizer, source, translation, how["sequence_length"])
    if weights.any():
        save_picture(draw_attention(weights, *names), folder / "alignment.png")
        found["Where each piece of a translation (row) looked in its source (column)"] = "alignment.png"
    return found


def explain_translation(
    decoder: Decoder, align: Align, model: keras.Model, text: str, **how: Any
) -> tuple[list[str], list[str], np.ndarray]:
    """Returns the T pieces of a sentence's translation, its own S, and where each of the first looked, (T, S)."""
    pieces = tokenizer_of(run_of(model).info)
    [translation] = translate_all(decoder, model, [text], pieces, **how)
    return _looks(align, model, pieces, text, translation, how["sequence_length"])


def _looks(
    align: Align, model: keras.Model, pieces: Tokenizer, text: str, translation: str, sequence_length: int
) -> tuple[list[str], list[str], np.ndarray]:
    target, source = (ended(pieces, [side], sequence_length).to_tensor(PAD) for side in (translation, text))
    weights = align(model, source, tf.concat([[[START]], target[:, :-1]], 1))
    rows, columns = ([name.decode() or "(end)" for name in pieces.texts_of(ids[0]).numpy()] for ids in (target, source))
    return rows, columns, weights


def _in_lines(told: Sequence[tuple[str, str, str]]) -> str:
    return "\n".join(f"source:     {one}\nreference:  {two}\ntranslated: {three}\n" for one, two, three in told)


def export_translator(decoder: Decoder, model: keras.Model, source: Source, folder: str | Path, **how: Any) -> Path:
    """Writes `<folder>/<version>/`, a SavedModel for TensorFlow Serving, one version above the last, and returns it.

    `serving_default` takes `text` (B,) string and answers with `translation` (B,) string and `log_probability` (B,)
    float32, by length. The beam search is in the graph.

    Args:
        decoder: What makes a step of the model.
        model: The translator.
        source: The model's run, or Splits of its data.
        folder: The base path that a server watches.
        **how: See `translate_texts`.

    Raises:
        ExportError: If the SavedModel does not translate as the model does.
    """
    if not is_chief():
        return export_signatures([model], source.info, folder, {})
    served, tokenizer = in_float32(model), tokenizer_of(source.info)

    def translate(text: tf.Tensor) -> dict[str, tf.Tensor]:
        said, scores = translate_texts(decoder, served, tokenizer, text, **how)
        return {"translation": said, "log_probability": scores}

    texts = tokenizer.decode(source.examples(8)).numpy()
    answer = {name: value.numpy() for name, value in translate(tf.constant(texts)).items()}
    spec = {"text": tf.TensorSpec((None,), tf.string)}
    signatures = {"serving_default": Signature(translate, spec, {"text": texts}, answer)}
    models = [served, tokenizer.table]
    return export_signatures(models, source.info, folder, signatures, run=getattr(model, "run", None))
