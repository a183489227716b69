"""Two scores of one translator on the test split: sacreBLEU's of raw text, and multi-bleu's of tokenised text.

    pip install sacremoses
    python benchmarks/translations.py translate_transformer [RUN]

Papers before sacreBLEU, and DGL's Transformer, report the second: words and punctuation are parted by Moses's tokenizer
first, hyphens too (`-a`), the case of letters counts, and nothing is smoothed. DGL's is of a vocabulary of such words;
ours writes raw text, which is tokenised here, as its reference is. Writes benchmarks/results/tokenised_RECIPE.json.
"""

import argparse
import importlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from sacrebleu.metrics import BLEU
from sacremoses import MosesTokenizer

from machine import environment
from recipes.kinds.translation import bleu, sentences

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Translates the test split by the newest run, or the one that is named, and writes both scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("run", nargs="?", help="folder of a finished run; default: the newest")
    args = parser.parse_args()
    recipe = importlib.import_module(f"recipes.{args.recipe}")
    model = recipe.load(args.run)
    config, tokenizer = model.run.config, model.run.info.tokenizer
    sources, references = sentences(recipe.load_data(config, tokenizer=tokenizer))
    translations = [text for text, _ in recipe.kind.translate_all(model, sources, tokenizer)]
    raw, signature = bleu(translations, references)
    tokenised, tokenised_signature = tokenised_bleu(translations, references, config.target)
    result = {
        "command": f"python benchmarks/translations.py {args.recipe} RUN",
        "date": time.strftime("%Y-%m-%d"),
        "machine": environment(),
        "run": {"metrics": model.run.metrics, "config": json.loads((model.run.folder / "config.json").read_text())},
        "sentences": len(references),
        "bleu": {"score": raw, "signature": signature},
        "bleu_of_tokenised_text": {"score": tokenised, "signature": tokenised_signature},
    }
    (RESULTS / f"tokenised_{args.recipe}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({name: result[name] for name in ("sentences", "bleu", "bleu_of_tokenised_text")}, indent=2))


def tokenised_bleu(translations: Sequence[str], references: Sequence[str], language: str) -> tuple[float, str]:
    """Returns what multi-bleu.perl makes of texts that Moses has tokenised, in [0, 100], and sacreBLEU's signature."""
    moses = MosesTokenizer(language)
    hypotheses, expected = (
        [moses.tokenize(text, aggressive_dash_splits=True, escape=False, return_str=True) for text in texts]
        for texts in (translations, references)
    )
    metric = BLEU(tokenize="none", smooth_method="none", force=True)
    score = metric.corpus_score(hypotheses, [expected]).score
    return float(score), str(metric.get_signature())


if __name__ == "__main__":
    main()
