"""How well cosines of word2vec's vectors agree with people: Spearman's correlation on WordSim-353.

    pip install ".[test]"
    python benchmarks/word_similarity.py [RUN]

gensim carries the pairs: Finkelstein et al. (2002). The recipe's window and rate were chosen on every other pair, from
the first on; what is reported is of the rest. The baselines count words in the same text: a bag of words (the
vector of a word says in which reviews it is, weighted by tf-idf) and, stronger, the words in its windows (positive
pointwise mutual information). All read the same training text with the same vocabulary.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from gensim.models import KeyedVectors
from gensim.test.utils import datapath
from scipy.sparse import csr_matrix, diags
from scipy.stats import spearmanr

from machine import environment
from recipes import word2vec
from recipes.data.plain_text import find_text, text_of

RESULT = Path(__file__).parent / "results" / "word_similarity.json"


def main() -> None:
    """Scores the newest run, or the one that is named, and the baselines."""
    model = word2vec.load(sys.argv[1] if len(sys.argv) > 1 else None)
    run, words = model.run, model.run.info.tokenizer
    names = {name: index for index, name in enumerate(words.vocabulary)}
    lines = Path(datapath("wordsim353.tsv")).read_text().splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    known = [(a.lower(), b.lower(), float(score)) for a, b, score in pairs if {a.lower(), b.lower()} <= names.keys()]

    arrays, _ = find_text(run.config.dataset, run.config.offline)
    reviews = words.encode(text_of(arrays.train).splitlines())
    vectors = np.vstack([np.zeros((2, run.config.embed_dim)), word2vec.word_vectors(model)])
    kinds = {
        "word2vec": csr_matrix(word2vec.unit(vectors)),
        "bag_of_words": in_reviews(reviews, len(names)),
        "windows": in_windows(reviews, len(names), run.config.window),
    }
    chosen, reported = known[::2], known[1::2]
    result = {
        "command": "python benchmarks/word_similarity.py",
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "run": {"metrics": run.metrics, "config": json.loads((run.folder / "config.json").read_text())},
        "pairs_in_all": len(pairs),
        "pairs": len(reported),
        "spearman": {kind: agreement(rows, names, reported) for kind, rows in kinds.items()},
        "pairs_to_choose_by": len(chosen),
        "spearman_to_choose_by": {kind: agreement(rows, names, chosen) for kind, rows in kinds.items()},
        "words_that_gensim_reads": len(KeyedVectors.load_word2vec_format(run.folder / "vectors.txt")),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name not in ("machine", "run")}, indent=2))


def agreement(rows: csr_matrix, names: dict[str, int], pairs: list[tuple[str, str, float]]) -> float:
    """Returns Spearman's correlation of the cosines of some words' rows with people's scores."""
    cosines = [cosine(rows[names[a]], rows[names[b]]) for a, b, _ in pairs]
    return float(spearmanr(cosines, [score for *_, score in pairs]).statistic)


def in_reviews(reviews, size: int) -> csr_matrix:
    """Returns (V, reviews) tf-idf of the words of some reviews, (reviews, None)."""
    word, review = reviews.flat_values.numpy(), reviews.value_rowids().numpy()
    counts = csr_matrix((np.ones(len(word)), (word, review)), shape=(size, int(review[-1]) + 1))
    return diags(np.log(counts.shape[1] / np.maximum(1, counts.getnnz(axis=1)))) @ counts


def in_windows(reviews, size: int, window: int) -> csr_matrix:
    """Returns (V, V) positive pointwise mutual information of words that stand within a window."""
    flat = reviews.flat_values.numpy()
    pairs = [(flat[:-offset], flat[offset:]) for offset in range(1, window + 1)]
    one, other = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    counts = csr_matrix((np.ones(len(one)), (one, other)), shape=(size, size))
    found = (counts + counts.T).tocoo()
    totals = np.asarray(found.sum(1)).ravel()
    information = np.log(found.data * totals.sum() / (totals[found.row] * totals[found.col]))
    return csr_matrix((np.maximum(information, 0), (found.row, found.col)), shape=(size, size))


def cosine(one: csr_matrix, other: csr_matrix) -> float:
    """Returns the cosine of the angle of two sparse rows."""
    return float((one @ other.T).sum() / max(1e-12, np.sqrt(one.multiply(one).sum() * other.multiply(other).sum())))


if __name__ == "__main__":
    main()
