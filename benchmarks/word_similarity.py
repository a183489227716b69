"""How well word vectors agree with people: WordSim-353 and the analogies of word2vec's paper, beside baselines.

    pip install ".[test]"
    python benchmarks/word_similarity.py [RUN ...]

gensim carries the pairs: Finkelstein et al. (2002). Every other one that the text knows, from the first on, is to
choose by: the recipe's window and rate, and of each baseline the settings in `SETTINGS`. What is reported is of the
rest, with intervals of 95 % over resampled pairs, and of the differences from word2vec over the same ones. Of several
runs, of other seeds, the first stands beside the baselines, and the figures of each are written.

All read the text that word2vec is trained on, with its vocabulary, but the first as it is before frequent words are
thinned:

- bag_of_words: in which reviews a word is, weighted by tf-idf; nothing is chosen.
- ppmi: the words in its windows, by positive pointwise mutual information, a word's share as a context being raised to
  the power of 0.75; Levy et al. (2015), https://aclanthology.org/Q15-1016, section 3.
- ppmi_svd: the same in as many numbers as word2vec has, by a singular value decomposition.
- gensim: gensim's word2vec with the recipe's window and width, else as it is: 5 words drawn, 5 epochs, its own rate.

Analogies are those of Mikolov et al. (2013), https://arxiv.org/abs/1301.3781, section 4.1; gensim carries them, too: of
"Athens is to Greece as Oslo is to ..." the word is asked for whose vector is nearest to Greece - Athens + Oslo, those
three left out. Questions with a word that the text does not know are not asked; nothing is chosen by them.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from gensim.models import KeyedVectors, Word2Vec
from gensim.test.utils import datapath
from scipy.sparse import csr_matrix, diags
from scipy.stats import rankdata
from sklearn.utils.extmath import randomized_svd

from machine import environment
from recipes import word2vec
from recipes.data.plain_text import find_text, text_of

RESULT = Path(__file__).parent / "results" / "word_similarity.json"
WINDOWS, POWERS = (2, 5, 10), (0.0, 0.5, 1.0)  # words on either side; how far singular values stretch their directions
SETTINGS = {"ppmi": [(window,) for window in WINDOWS], "ppmi_svd": [(w, p) for w in WINDOWS for p in POWERS]}
DENSE = ("word2vec", "ppmi_svd", "gensim")  # what has few enough numbers for the nearest of all words
Pairs = list[tuple[str, str, float]]


def main() -> None:
    """Scores the newest run, or those that are named, and the baselines."""
    models = [word2vec.load(name) for name in sys.argv[1:] or [None]]
    run, tokenizer, config = models[0].run, models[0].run.info.tokenizer, models[0].run.config
    names = {name: index for index, name in enumerate(tokenizer.vocabulary)}
    lines = Path(datapath("wordsim353.tsv")).read_text().splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    known = [(a.lower(), b.lower(), float(score)) for a, b, score in pairs if {a.lower(), b.lower()} <= names.keys()]
    chosen, reported = known[::2], known[1::2]

    whole = text_of(find_text(config.dataset, config.offline)[0].train)
    reviews = whole[: int(len(whole) * (1 - config.validation_fraction))].splitlines()  # as `word2vec.load_data` has it
    words = word2vec.known_words(tokenizer, reviews)
    words = word2vec.thinned(words, np.bincount(words, minlength=len(names)), config.subsampling)
    if len(words) != run.info.examples["train"]:
        raise SystemExit(f"the text has {len(words):,} words, the run was trained on {run.info.examples['train']:,}")

    @lru_cache(maxsize=1)
    def counted(window: int) -> csr_matrix:
        return pointwise_information(words, len(names), window)

    @lru_cache(maxsize=1)
    def factors(window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return randomized_svd(counted(window), config.embed_dim, n_iter=3, random_state=0)

    def squeezed(window: int, power: float) -> np.ndarray:
        left, values, _ = factors(window)
        return left * values**power

    in_gensim = ThreadPoolExecutor().submit(by_gensim, words, len(names), config)  # which takes minutes
    ours = [np.vstack([np.zeros((2, config.embed_dim)), word2vec.word_vectors(model)]) for model in models]
    vectors = {
        "word2vec": ours[0],
        "bag_of_words": in_reviews(tokenizer.encode(reviews), len(names)),
    }
    choices: dict[str, dict] = {kind: {} for kind in SETTINGS}
    makers: dict[str, Callable] = {"ppmi": counted, "ppmi_svd": squeezed}
    for settings in sorted(set(SETTINGS["ppmi"] + SETTINGS["ppmi_svd"])):  # by window, whose counts are kept
        kind = "ppmi" if len(settings) == 1 else "ppmi_svd"
        rows = makers[kind](*settings)
        choices[kind][settings] = correlation(rows, names, chosen)
        if choices[kind][settings] == max(choices[kind].values()):
            vectors[kind] = rows
        print(kind, settings, round(choices[kind][settings], 3), flush=True)

    vectors["gensim"] = in_gensim.result()
    cosines = {kind: cosines_of(rows, names, reported) for kind, rows in vectors.items()}
    intervals, differences = resampled(cosines, [score for *_, score in reported])
    result = {
        "command": " ".join(["python benchmarks/word_similarity.py", *["RUN"] * len(sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "run": {"metrics": run.metrics, "config": json.loads((run.folder / "config.json").read_text())},
        "pairs_in_all": len(pairs),
        "pairs": len(reported),
        "spearman": {kind: correlation(rows, names, reported) for kind, rows in vectors.items()},
        "interval_of_95_percent": intervals,
        "word2vec_less_each_with_interval": differences,
        "pairs_to_choose_by": len(chosen),
        "spearman_to_choose_by": {kind: correlation(rows, names, chosen) for kind, rows in vectors.items()},
        "settings_to_choose_from": {
            kind: {" ".join(map(str, settings)): value for settings, value in of_kind.items()}
            for kind, of_kind in choices.items()
        },
        "analogies": {kind: analogies(rows, tokenizer.vocabulary) for kind, rows in vectors.items() if kind in DENSE},
        "runs": [
            {
                "seed": model.run.config.seed,
                "seconds": model.run.metrics["seconds"],
                "spearman": correlation(rows, names, reported),
                "spearman_to_choose_by": correlation(rows, names, chosen),
                "analogies": analogies(rows, tokenizer.vocabulary)["Total accuracy"],
            }
            for model, rows in zip(models, ours, strict=True)
        ],
        "words_that_gensim_reads": len(KeyedVectors.load_word2vec_format(run.folder / "vectors.txt")),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name not in ("machine", "run")}, indent=2))


def in_reviews(reviews, size: int) -> csr_matrix:
    """Returns (V, reviews) tf-idf of the words of some reviews, (reviews, None)."""
    word, review = reviews.flat_values.numpy(), reviews.value_rowids().numpy()
    counts = csr_matrix((np.ones(len(word)), (word, review)), shape=(size, int(review[-1]) + 1))
    return csr_matrix(diags(np.log(counts.shape[1] / np.maximum(1, counts.getnnz(axis=1)))) @ counts)


def pointwise_information(words: np.ndarray, size: int, window: int) -> csr_matrix:
    """Returns (V, V) positive pointwise mutual information of a text's words, (N,), and those within a window of them.

    A word counts the less the farther it is, as in word2vec, which draws the window's size: 1 less (offset - 1) / W.
    """
    counts = csr_matrix((size, size), dtype=np.float32)
    for offset in range(1, window + 1):
        weights = np.full(len(words) - offset, 1 - (offset - 1) / window, np.float32)
        counts += csr_matrix((weights, (words[:-offset], words[offset:])), shape=(size, size))
    found = (counts + counts.T).tocoo()
    totals = np.asarray(found.sum(1)).ravel()
    as_context = totals**0.75 / (totals**0.75).sum()
    information = np.log(found.data / (totals[found.row] * as_context[found.col]))
    positive = information > 0
    return csr_matrix((information[positive], (found.row[positive], found.col[positive])), shape=(size, size))


def by_gensim(words: np.ndarray, size: int, config: word2vec.Config) -> np.ndarray:
    """Returns (V, D) vectors of gensim's word2vec, zeros for words that are not in the text."""
    text = [str(word) for word in words]
    pieces = [text[start : start + 10_000] for start in range(0, len(text), 10_000)]  # the most that gensim reads
    model = Word2Vec(
        pieces,
        vector_size=config.embed_dim,
        window=config.window,
        sg=1,  # skip-grams
        sample=0,  # it is thinned
        min_count=1,
        workers=1,  # the same vectors every time
        seed=0,
    )
    vectors = np.zeros((size, config.embed_dim), np.float32)
    vectors[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    return vectors


def cosines_of(rows, names: dict[str, int], pairs: Pairs) -> np.ndarray:
    """Returns the cosines of the words' rows, (V, D) dense or sparse, of some pairs."""
    one, other = (csr_matrix(rows[[names[pair[side]] for pair in pairs]]) for side in (0, 1))

    def products(a: csr_matrix, b: csr_matrix) -> np.ndarray:
        return np.asarray(a.multiply(b).sum(1)).ravel()

    return products(one, other) / np.maximum(1e-12, np.sqrt(products(one, one) * products(other, other)))


def correlation(rows, names: dict[str, int], pairs: Pairs) -> float:
    """Returns Spearman's correlation of the cosines of some words' rows with people's scores."""
    return float(spearman(cosines_of(rows, names, pairs), np.array([score for *_, score in pairs])))


def spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlation along the last axis, (..., N) twice to (...)."""
    a, b = (rankdata(side, axis=-1) - (side.shape[-1] + 1) / 2 for side in (one, other))
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def analogies(rows: np.ndarray, vocabulary: list[str]) -> dict[str, dict]:
    """Returns how many questions were asked and the share answered rightly, in all and of each section of the file."""
    vectors = KeyedVectors(rows.shape[1])
    vectors.add_vectors(list(vocabulary[2:]), rows[2:])  # but for padding and unknown words
    _, sections = vectors.evaluate_word_analogies(datapath("questions-words.txt"))
    counts = {each["section"]: (len(each["correct"]), len(each["incorrect"])) for each in sections}
    return {
        name: {"questions": right + wrong, "right": right / (right + wrong)}
        for name, (right, wrong) in counts.items()
        if right + wrong
    }


def resampled(cosines: dict[str, np.ndarray], scores: list[float], times: int = 10_000) -> tuple[dict, dict]:
    """Returns the intervals of each correlation, and of word2vec's less each, over pairs drawn with replacement."""
    index = np.random.default_rng(353).integers(0, len(scores), (times, len(scores)))
    drawn = {kind: spearman(values[index], np.array(scores)[index]) for kind, values in cosines.items()}
    whole = {kind: float(spearman(values, np.array(scores))) for kind, values in cosines.items()}
    intervals = {kind: [float(end) for end in np.percentile(values, (2.5, 97.5))] for kind, values in drawn.items()}
    differences = {
        kind: [
            whole["word2vec"] - whole[kind],
            *(float(end) for end in np.percentile(drawn["word2vec"] - values, (2.5, 97.5))),
        ]
        for kind, values in drawn.items()
        if kind != "word2vec"
    }
    return intervals, differences


if __name__ == "__main__":
    main()
