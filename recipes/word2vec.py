"""Words as vectors: those that stand between the same words get vectors that are alike.

Mikolov et al., "Distributed Representations of Words and Phrases" (2013), https://arxiv.org/abs/1310.4546: skip-grams
with negative sampling (section 2.2). The vector v of a word w is to point the way of the (other) vectors u of the words
c around it, and away from those of K words n that are drawn at random from P(n) ~ count(n)^0.75:

    loss(w) = - sum_c log s(u_c . v_w) - sum_n log s(-u_n . v_w),   s(x) = 1 / (1 + exp(-x))

Frequent words are left out of the text at random (section 2.3): a word of the share f is kept with probability
sqrt(t / f), where t is `subsampling`. What differs: a text is thinned once, not anew in each epoch; a word and all
those around it share the words that are drawn, which may be among them; windows, of a size drawn for each word as in
https://arxiv.org/abs/1301.3781, go over line ends; t is 1e-4, not 1e-5; Adam in batches of 2,048, whose rate climbs and
falls, in place of SGD word by word; words alone, no phrases; and 2.4 million words of text, thinned, not a billion.

Any text will do; the default is 25,000 film reviews, Maas et al. (2011), https://ai.stanford.edu/~amaas/data/sentiment/.

Result: cosines have a correlation (Spearman's) of 0.43 with people's scores of 134 pairs of WordSim-353 (1 seed; window
and rate were chosen by as many others). Baselines on the same text: 0.40 by counting words in windows (smoothed mutual
information, in 100 numbers), 0.40 by gensim. Over so few pairs the 95 % intervals are 0.28 to 0.56, 0.26 to 0.53 and
0.25 to 0.54: nothing is decided. 3 min 4 s on two cores. Command: `python benchmarks/word_similarity.py`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from recipes.data.splits import Sizes, Splits
from recipes.devices.replicas import compiled_by_xla
from recipes.errors import ConfigError, DataError, did_you_mean
from recipes.optimization.optimizers import Adam, warmup_cosine
from recipes.runs.exhibits import Exhibit
from recipes.settings import Count, PlainText, Positive, Share, ValidationShare, VocabSize
from recipes.verbs.recipe import Recipe

# ---------------------------------------------------------------- settings


@dataclass(frozen=True)
class Config(PlainText):
    """Settings of word2vec. Change them by name: `fit(epochs=5)`, `recipes fit word2vec --epochs 5`."""

    # data
    dataset: str = "imdb_reviews"  # data set of tensorflow-datasets with a text, or "documentation"
    validation_fraction: ValidationShare = 0.02  # share of the text held out where there is no validation split
    max_examples: Count | None = None  # most words of each split to use; None: all
    vocab_size: VocabSize = 20_000  # most words that get a vector
    window: Count = 10  # words on either side that may count, W
    negatives: Count = 20  # words drawn at random for each word, K
    subsampling: Annotated[float, Field(ge=0, le=1)] = 1e-4  # t: words of a greater share are thinned; 0: none
    # model
    embed_dim: Count = 100  # width of a vector, D
    # training
    batch_size: Count = 2048
    epochs: Count = 5
    learning_rate: Positive = 5e-3  # Adam's highest, after a warm-up, and then falling to 0
    warmup_fraction: Share = 0.05  # share of the steps in which the rate climbs
    jit_compile: bool | None = None  # one program of a step, by XLA, where one device trains; None: on GPUs

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_without_effect("in_memory", "its text is always kept in memory", without="yes")


TINY = Config(
    dataset="documentation",
    vocab_size=200,
    window=2,
    negatives=3,
    embed_dim=8,
    epochs=1,
    batch_size=32,
    max_examples=256,
    subsampling=0.0,
    precision="float32",
)

# ---------------------------------------------------------------- data: skip-grams

REVIEWS = Sizes(train_examples=2_000_000, vocab_size=20_000)


def load_data(config: Config = Config(), data: Any = None, tokenizer: Any = None) -> Splits:
    """Returns the batches ((word (B,), others (B, 2 W + K)), labels (B, 2 W + K)), all int32.

    Of the others, 2 W stand around the word in the text, with the label 1, or -1 where they are outside of a window
    whose size is drawn from 1 to W; K are drawn from all words, with the label 0. `data` may be your own: a text
    (str with a line break), the path of a text file in UTF-8, two or three of these (training, (validation,) test),
    a table, or Splits. With a trained model's `tokenizer` its words are those of that model.
    """
    from recipes.data.in_memory import fingerprint
    from recipes.data.own_data import plain_data, with_origin
    from recipes.data.plain_text import find_text, text_of
    from recipes.data.text_batches import own_splits
    from recipes.data.text_parts import cut_at_spaces
    from recipes.data.tokenizers import Words

    if isinstance(data, Splits):
        return own_splits(data, config, ((1, 2), 2), "((word (B,), others (B, N)), labels (B, N))")
    arrays, info = find_text(config.dataset, config.offline, plain_data(data, config))
    info = with_origin(info, data)
    texts = {name: text_of(split) for name, split in arrays.named.items()}
    if "validation" not in texts and config.validation_fraction:
        whole = texts["train"]
        cut = int(len(whole) * (1 - config.validation_fraction))
        texts |= {"train": whole[:cut], "validation": whole[cut:]}
    lines = {name: cut_at_spaces(text) for name, text in texts.items()}
    tokenizer = tokenizer or Words.learn(lines["train"], config.vocab_size)
    words = {name: known_words(tokenizer, text)[: config.max_examples] for name, text in lines.items()}
    counts = np.bincount(words["train"], minlength=len(tokenizer.vocabulary))
    words["train"] = thinned(words["train"], counts, config.subsampling)
    if len(words["train"]) < config.batch_size:
        raise DataError(
            f"{info.name} has {len(words['train'])} words to learn from; expected at least "
            f"batch_size={config.batch_size}"
        )
    info = replace(
        info,
        tokenizer=tokenizer,
        examples={name: len(split) for name, split in words.items()},
        follows={"vocab_size": len(tokenizer.vocabulary), "train_examples": len(words["train"])},
        fingerprint=fingerprint(*(words[name] for name in ("train", "validation") if name in words)),
    )
    weights = counts.astype(np.float64) ** 0.75  # P(n), section 2.2
    cumulative = np.cumsum(weights / weights.sum())  # (V,)
    train_from = train_skipgrams(words["train"], cumulative, config)
    return Splits(
        train=train_from(0, 0, 1),
        validation=eval_skipgrams(words["validation"], cumulative, config) if "validation" in words else None,
        test=eval_skipgrams(words["test"], cumulative, config) if "test" in words else None,
        info=info,
        steps_per_epoch=len(words["train"]) // config.batch_size,
        train_from=train_from,
    )


def known_words(tokenizer: Any, lines: list[str]) -> np.ndarray:
    """Returns the words of some lines that are in the vocabulary, one after the other: windows go over line ends."""
    from recipes.data.text_parts import encode_in_parts

    token_ids = np.asarray(encode_in_parts(tokenizer.encode, lines).flat_values)
    return token_ids[tokenizer.is_known(token_ids)]


def thinned(words: np.ndarray, counts: np.ndarray, subsampling: float) -> np.ndarray:
    """Returns a text, (N,) token ids, whose frequent words are left out at random, the same every time; 0: none is.

    Equation 5: a word of the share f stays with probability sqrt(subsampling / f).
    """
    if not subsampling:
        return words
    share = counts[words] / len(words)
    return words[np.random.default_rng(2013).random(len(words)) < np.sqrt(subsampling / share)]


def skipgrams(
    text: tf.Tensor, cumulative: np.ndarray, positions: tf.Tensor, seed: tf.Tensor, window: int, negatives: int
) -> tuple[Any, tf.Tensor]:
    """Returns ((the words at some positions of a text (B,), others (B, 2 W + K)), labels); see `load_data`.

    Args:
        text: (N,) int32 token ids.
        cumulative: (V,) the cumulative probabilities of the words to draw.
        positions: (B,) int64.
        seed: (2,) int64: the same seed draws the same window sizes and words.
        window: W.
        negatives: K.
    """
    batch = tf.shape(positions)[0]
    offsets = tf.constant([offset for offset in range(-window, window + 1) if offset], tf.int64)  # (2 W,)
    size = tf.random.stateless_uniform((batch, 1), seed, 1, window + 1, tf.int64)
    around = positions[:, tf.newaxis] + offsets  # (B, 2 W)
    last = tf.shape(text, tf.int64)[0] - 1
    inside = (tf.abs(offsets) <= size) & (around >= 0) & (around <= last)
    context = tf.gather(text, tf.clip_by_value(around, 0, last))
    uniform = tf.random.stateless_uniform((batch * negatives,), seed + 2**40)
    drawn = tf.searchsorted(tf.constant(cumulative, tf.float32), uniform, side="right")
    drawn = tf.reshape(tf.minimum(drawn, len(cumulative) - 1), (batch, negatives))  # (B, K)
    labels = tf.concat([tf.where(inside, 1, -1), tf.zeros_like(drawn)], 1)
    return (tf.gather(text, positions), tf.concat([context, drawn], 1)), labels


def train_skipgrams(
    words: np.ndarray, cumulative: np.ndarray, config: Config
) -> Callable[[int, int, int], tf.data.Dataset]:
    """Returns (step, worker, workers) -> endless batches; an epoch takes each word of the text once, in a new order."""
    from recipes.data.tf_data import endless

    text, batch_size, steps = tf.constant(words, tf.int32), config.batch_size, len(words) // config.batch_size

    def train_from(start: int = 0, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        rows = slice(worker * batch_size // workers, (worker + 1) * batch_size // workers)

        def batch(step: tf.Tensor) -> tuple[Any, tf.Tensor]:
            epoch, number = step // steps, step % steps
            positions = number * batch_size + tf.range(batch_size, dtype=tf.int64)
            epoch_seed = tf.stack([config.seed, epoch])
            positions = tf.random.experimental.index_shuffle(positions, seed=epoch_seed, max_index=len(words) - 1)
            step_seed = tf.stack([config.seed, step])
            whole = skipgrams(text, cumulative, positions, step_seed, config.window, config.negatives)
            return tf.nest.map_structure(lambda column: column[rows], whole)

        return endless(batch, start)

    return train_from


def eval_skipgrams(words: np.ndarray, cumulative: np.ndarray, config: Config) -> tf.data.Dataset:
    """Returns each word of a text once, in its order, with the same draws every time."""
    from recipes.data.tf_data import evaluation_options, shared_evenly

    text, batch_size = tf.constant(words, tf.int32), shared_evenly(len(words), config.batch_size)

    def batch(step: tf.Tensor) -> tuple[Any, tf.Tensor]:
        positions = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, len(words)))
        seed = tf.stack([config.seed, -1 - step])
        return skipgrams(text, cumulative, positions, seed, config.window, config.negatives)

    batches = tf.data.Dataset.range(-(-len(words) // batch_size)).map(batch)
    return batches.prefetch(2).with_options(evaluation_options())


# ---------------------------------------------------------------- model and objective


def build(config: Config = Config(), sizes: Sizes = REVIEWS) -> keras.Model:
    """Returns the compiled model: word (B,) and others (B, N) to (B, N) float32 logits of standing around it."""
    word = keras.Input((), dtype="int32", name="word")
    others = keras.Input((2 * config.window + config.negatives,), dtype="int32", name="others")
    start = keras.initializers.RandomUniform(-0.5 / config.embed_dim, 0.5 / config.embed_dim)
    v = layers.Embedding(sizes.vocab_size, config.embed_dim, start, dtype="float32", name="vectors")(word)  # (B, D)
    u = layers.Embedding(sizes.vocab_size, config.embed_dim, "zeros", dtype="float32", name="outer")(others)
    logits = ops.einsum("bd,bnd->bn", v, u)  # u . v

    model = keras.Model([word, others], logits, name="word2vec")
    steps = sizes.steps(config.epochs, config.batch_size)
    rate = warmup_cosine(config.learning_rate, steps, warmup=round(config.warmup_fraction * steps))
    model.compile(
        optimizer=Adam(rate),
        loss=NegativeSampling(),
        jit_compile=compiled_by_xla(config.jit_compile, config.deterministic),
    )
    return model


@keras.saving.register_keras_serializable("recipes")
class NegativeSampling(keras.losses.Loss):
    """-log s(x) of words that stand around a word, -log s(-x) of words drawn at random: the sum, in nats.

    Mikolov et al. (2013), equation 4; https://arxiv.org/abs/1310.4546.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each word: labels 1, 0, or -1 for none (B, N), and logits (B, N) -> (B,)."""
        y_true = ops.cast(y_true, y_pred.dtype)
        loss = ops.softplus((1 - 2 * y_true) * y_pred)  # softplus(-x) = -log s(x)
        return ops.sum(ops.where(y_true < 0, 0.0, loss), axis=-1)


def search_space(hp: Any, config: Config = Config()) -> Config:
    """Returns the config that one Keras Tuner trial stands for.

    `config` is what the space leaves alone: how words are drawn, for one, which decides what a loss means.
    """
    return replace(
        config,
        embed_dim=hp.Choice("embed_dim", [50, 100, 200]),
        learning_rate=hp.Float("learning_rate", 3e-4, 1e-2, sampling="log"),
        warmup_fraction=hp.Float("warmup_fraction", 0.0, 0.2, step=0.05),
    )


# ---------------------------------------------------------------- what the vectors are good for


def word_vectors(model: keras.Model) -> np.ndarray:
    """Returns the vectors of all words but padding and unknown, (V - 2, D)."""
    return ops.convert_to_numpy(model.get_layer("vectors").embeddings)[2:]


def words_of(model: keras.Model) -> tuple[str, ...]:
    """Returns the words that `word_vectors` are of."""
    from recipes.verbs.load import run_of

    return run_of(model).info.known_tokenizer().vocabulary[2:]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns (N, D) vectors of length 1 in the same directions."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def index_of(word: str, words: Sequence[str]) -> int:
    """Returns the index of a word, refusing one that is not known."""
    try:
        return list(words).index(word.lower())
    except (ValueError, AttributeError):
        near = did_you_mean(word, words) if isinstance(word, str) else "; expected a str"
        raise ConfigError(f"the word {word!r} is not among the {len(words):,} that are known{near}") from None


def nearest(
    words: Sequence[str], vectors: np.ndarray, rows: Sequence[int], count: int
) -> list[list[tuple[str, float]]]:
    """Returns the words of the smallest angle to those in some rows, with its cosine, the nearest first."""
    directions = unit(vectors)
    cosines = directions[list(rows)] @ directions.T
    order = np.argsort(-cosines, axis=-1, kind="stable")
    return [
        [(words[index], float(cosine[index])) for index in indices if index != row][:count]
        for row, cosine, indices in zip(rows, cosines, order, strict=True)
    ]


def nearest_words(model: keras.Model, word: str, count: int = 10) -> list[tuple[str, float]]:
    """Returns the words whose vectors are nearest to a word's, with the cosine of the angle, the nearest first.

    Args:
        model: As a verb: what `fit` returned, a run's folder or id, or None for the newest finished run in `runs`.
        word: One that is known, or a ConfigError names the nearest spelling.
        count: How many, 0 or more.
    """
    from recipes.kinds.options import check_option

    check_option("count", count, int, lambda value: value >= 0, "a whole number of 0 or more")
    words = words_of(model)
    return nearest(words, word_vectors(model), [index_of(word, words)], count)[0]


def cosine_of(model: keras.Model, one: str, other: str) -> float:
    """Returns the cosine of the angle between the vectors of two words that are known, in [-1, 1]."""
    words = words_of(model)
    a, b = unit(word_vectors(model)[[index_of(one, words), index_of(other, words)]])
    return float(a @ b)


class WordVectors:
    """The kind of a model of words: `predict` answers with the "vector" of a word, its "neighbours" and "similarity".

    Signatures of an export: `serving_default` takes `word` (B,) string and answers with `vector` (B, D) float32, zeros
    for a word that is not known, and `neighbours` (B, 10) string, empty for such a word, with their `similarity`
    (B, 10) float32, the cosine of the angle; there are fewer where fewer words are known. `vector` takes `vector`
    (B, D) float32 and answers with the words that are nearest to it, likewise.
    """

    name = "word_vectors"

    def evaluate(self, model: keras.Model, splits: Splits) -> dict[str, float]:
        """Returns {"loss": nats per word, and those around it and drawn for it} on the test split."""
        from recipes.verbs.evaluate import compiled_metrics

        return compiled_metrics(model, splits)

    def report(self, model: keras.Model, splits: Splits) -> Iterator[Exhibit]:
        """Yields vectors.txt in word2vec's format, neighbours of some words, and a map of the most frequent ones."""
        tokenizer = splits.info.tokenizer
        if tokenizer is None:
            return
        words, vectors = tokenizer.vocabulary[2:], word_vectors(model)
        rows = [f"{word} {' '.join(f'{x:.6g}' for x in vector)}" for word, vector in zip(words, vectors, strict=True)]
        yield "", "vectors.txt", lambda: "\n".join([f"{len(words)} {vectors.shape[1]}", *rows]) + "\n"
        shown = [row for row in np.linspace(50, min(len(words) - 1, 2000), 12).astype(int) if row < len(words)]
        near = zip(shown, nearest(words, vectors, shown, 6), strict=True)
        lines = [f"{words[row]:<14} {' '.join(word for word, _ in neighbours)}\n" for row, neighbours in near]
        yield "Words and those whose vectors are nearest", "neighbours.txt", lambda: "".join(lines)
        if min(vectors.shape) < 2:  # there is no map of fewer
            return
        first = min(200, len(words) // 8)  # the most frequent words of all say little
        drawn = slice(first, first + 150)
        title = "Frequent words, on the two axes along which the directions of their vectors differ most"
        yield title, "words.png", lambda: draw_words(words[drawn], vectors[drawn])

    def evaluation_data(self, data: Any, model: keras.Model) -> Any:
        """Returns the test text of a user's data, which of one text is its end."""
        from recipes.data.in_memory import Arrays, EvaluationData
        from recipes.data.plain_text import find_text, text_of
        from recipes.data.text_parts import cut_at_spaces

        arrays, _ = find_text("", "error", data)
        assert arrays.test  # the end of the text, where no other is passed
        run = getattr(model, "run", None)
        lines = cut_at_spaces(text_of(arrays.test))
        words = known_words(run.tokenizer, lines) if run and run.tokenizer else lines
        return EvaluationData(Arrays(arrays.test, None, arrays.test), len(words))

    def predict(self, model: keras.Model, inputs: Any) -> Iterator[tuple[str, dict[str, Any] | DataError]]:
        """Yields (word, {"vector", "neighbours", "similarity"}) of words."""
        from recipes.kinds.inputs import read_texts

        words, vectors = words_of(model), word_vectors(model)
        for name, word in read_texts(inputs):
            try:
                if isinstance(word, DataError):
                    raise word
                row = index_of(word, words)
            except (ConfigError, DataError) as error:
                yield name, DataError(str(error))
                continue
            [neighbours] = nearest(words, vectors, [row], 10)
            similarity = np.array([cosine for _, cosine in neighbours], np.float32)
            yield (
                name,
                {"vector": vectors[row], "neighbours": [near for near, _ in neighbours], "similarity": similarity},
            )

    def signatures(self, model: keras.Model, source: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        """Returns the model and its words, and the signatures that the class docstring describes."""
        from recipes.verbs.export import Signature

        tokenizer, embedding = source.info.known_tokenizer(), model.get_layer("vectors")
        words, vectors = tokenizer.vocabulary[2:], word_vectors(model)
        count = min(10, len(vectors) - 1)

        def nearest_in_graph(vector: tf.Tensor, is_known: tf.Tensor, penalty: Any) -> dict[str, tf.Tensor]:
            directions = tf.math.l2_normalize(embedding.embeddings[2:], -1)
            cosines = tf.linalg.matmul(tf.math.l2_normalize(vector, -1), directions, transpose_b=True)
            similarity, near = tf.math.top_k(cosines - penalty, count)
            return {"neighbours": tf.where(is_known, tokenizer.texts_of(near + 2), ""), "similarity": similarity}

        def look_up(word: tf.Tensor) -> dict[str, tf.Tensor]:
            index = tokenizer.table.lookup(tf.strings.lower(word, encoding="utf-8"))
            is_known = (index > 1)[:, tf.newaxis]
            vector = tf.where(is_known, embedding(tf.maximum(index, 0)), 0.0)
            itself = tf.one_hot(index - 2, len(vectors), on_value=2.0)
            return {"vector": vector, **nearest_in_graph(vector, is_known, itself)}

        def near_vector(vector: tf.Tensor) -> dict[str, tf.Tensor]:
            points_somewhere = tf.reduce_any(vector != 0, -1, keepdims=True)
            return nearest_in_graph(vector, points_somewhere, 0.0)

        asked = list(words[:8])
        near = nearest(words, vectors, range(len(asked)), count)
        answer = {
            "vector": vectors[: len(asked)],
            "neighbours": np.array([[word.encode() for word, _ in of_word] for of_word in near], object),
            "similarity": np.array([[cosine for _, cosine in of_word] for of_word in near], np.float32),
        }
        directions = unit(vectors)
        cosines = -np.sort(-(directions[: len(asked)] @ directions.T))[:, :count]
        word_spec = {"word": tf.TensorSpec((None,), tf.string)}
        vector_spec = {"vector": tf.TensorSpec((None, vectors.shape[1]), tf.float32)}
        return [model, tokenizer.table], {
            "serving_default": Signature(
                look_up, word_spec, {"word": asked}, answer, "A word's vector, and the words whose vectors are nearest"
            ),
            "vector": Signature(
                near_vector,
                vector_spec,
                {"vector": answer["vector"]},
                {"similarity": cosines},
                "The words whose vectors are nearest to a vector",
            ),
        }

    def networks(self, model: keras.Model, source: Any, count: int = 8) -> dict[str, Any]:
        """Returns {"model": `word` (B,) int32 to `vector` (B, D) and `similarity` (B, V), cosines with all words}."""
        from recipes.verbs.export_network import Network

        embedding = model.get_layer("vectors")

        def look_up(word: tf.Tensor) -> dict[str, tf.Tensor]:
            vector = embedding(word)
            directions = tf.math.l2_normalize(embedding.embeddings, -1)
            cosines = tf.linalg.matmul(tf.math.l2_normalize(vector, -1), directions, transpose_b=True)
            return {"vector": vector, "similarity": cosines}

        network = Network(
            look_up,
            {"word": tf.TensorSpec((None,), tf.int32)},
            {"word": np.arange(min(count, embedding.input_dim), dtype=np.int32)},
            models=[model],
            outside="look the word up, in lower case, in the vocabulary of tokenizer.json",
        )
        return {"model": network}


def draw_words(words: Sequence[str], vectors: np.ndarray) -> Any:
    """Draws words on the two axes along which the directions of their vectors, (N, D), differ most.

    A point is a word; those have a label that there is room for, in the order of `words`.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no state
    from sklearn.decomposition import PCA

    from recipes.runs.figure_text import shortened

    width, height = 10, 8  # inches
    analysis = PCA(2, random_state=0)
    points = analysis.fit_transform(unit(vectors))  # (N, 2)
    labels = [shortened(word, 20) for word in words]
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.scatter(points[:, 0], points[:, 1], s=20, color="C0", alpha=0.8, linewidths=0)
    in_inches = (points - points.min(0)) / np.maximum(np.ptp(points, 0), 1e-9) * (0.85 * width, 0.85 * height)
    for row in rows_with_room(labels, in_inches):
        axes.annotate(labels[row], points[row], xytext=(4, 0), textcoords="offset points", fontsize=9, va="center")
    names = zip(("first", "second"), analysis.explained_variance_ratio_, strict=True)
    xlabel, ylabel = (f"{name} principal axis ({share:.0%} of the variance)" for name, share in names)
    axes.set(xlabel=xlabel, ylabel=ylabel, xticks=[], yticks=[])
    axes.margins(0.08)
    return figure


def rows_with_room(labels: Sequence[str], points: np.ndarray) -> list[int]:
    """Returns which labels, each to the right of its point, (N, 2) in inches, cover no point and no earlier label."""
    boxes = [
        (x + 0.04, y - 0.08, x + 0.08 + 0.075 * len(label), y + 0.08)
        for label, (x, y) in zip(labels, points, strict=True)
    ]
    x, y = points.T
    rows: list[int] = []
    for row, (left, bottom, right, top) in enumerate(boxes):
        covers_point = ((left < x) & (x < right) & (bottom < y) & (y < top)).any()
        earlier = (boxes[other] for other in rows)
        if not covers_point and not any(
            x0 < right and left < x1 and y0 < top and bottom < y1 for x0, y0, x1, y1 in earlier
        ):
            rows.append(row)
    return rows


# ---------------------------------------------------------------- verbs

recipe = Recipe(Config, load_data, build, search_space, kind=WordVectors(), objective=("val_loss", "min"))
fit, load, evaluate, predict, tune, export, find_learning_rate = recipe.verbs
neighbours, similarity = recipe.verb(nearest_words), recipe.verb(cosine_of)

if __name__ == "__main__":  # a copy of this file runs on its own: python my_recipe.py
    fit()
