"""How near captions come to what people said: BLEU, METEOR, ROUGE-L and CIDEr; and of generated scenes, the truth."""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.data.scenes import Scene

#: METEOR is a Java program that the package pycocoevalcap carries.
MISSING = "METEOR, ROUGE-L and CIDEr are left out: {}; pip install 'keras-recipes[captions]'"


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns the scores of captions in [0, 100], but "cider", which may be above.

    - "bleu1" to "bleu4": of sacreBLEU, of the whole corpus; Papineni et al. (2002), https://aclanthology.org/P02-1040.
    - "meteor": its authors' program, version 1.5; Denkowski and Lavie (2014), https://aclanthology.org/W14-3348.
    - "rouge_l", "cider": of pycocoevalcap; Lin (2004), https://aclanthology.org/W04-1013, and Vedantam et al. (2015),
      https://arxiv.org/abs/1411.5726.

    Where pycocoevalcap or Java is missing, so are their scores, and that is said.

    Args:
        captions: (N,), words in small letters with one space between two.
        references: (N,), any number of each, likewise.
    """
    return {**bleu_scores(captions, references), **coco_scores(captions, references)}


def bleu_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns "bleu1" to "bleu4", in [0, 100]."""
    from sacrebleu.metrics import BLEU

    most = max(map(len, references))
    streams: list[Any] = [
        [texts[place] if place < len(texts) else None for texts in references] for place in range(most)
    ]
    metrics = {
        size: BLEU(max_ngram_order=size, tokenize="none", smooth_method="none", force=True) for size in range(1, 5)
    }
    return {
        f"bleu{size}": float(metric.corpus_score(list(captions), streams).score) for size, metric in metrics.items()
    }


def coco_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns "meteor", "rouge_l" and "cider", times 100, or those of them that can be had."""
    try:
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        print(MISSING.format("pycocoevalcap is not installed"))
        return {}
    said = {number: [caption] for number, caption in enumerate(captions)}
    told = {number: list(texts) for number, texts in enumerate(references)}
    metrics = {"rouge_l": Rouge, "cider": Cider}
    if shutil.which("java"):
        metrics = {"meteor": Meteor, **metrics}
    else:
        print("METEOR is left out: its authors' program needs Java (a 'java' on the PATH)")
    return {name: 100 * float(metric().compute_score(told, said)[0]) for name, metric in metrics.items()}


def truth_scores(captions: Sequence[str], attention: Sequence[np.ndarray], scenes: Sequence[Scene]) -> dict[str, float]:
    """Returns of captions of generated scenes how many are "true", and how many objects are "looked_at", in [0, 1].

    "looked_at" is the share of words for objects that are there, such as "circle" after "red", whose attention is
    highest at a place that holds a part of the object.

    Args:
        captions: (N,).
        attention: (N,) of (T, rows, columns), where each word looked.
        scenes: (N,) what is there.
    """
    right, looked = [], []
    for caption, maps, scene in zip(captions, attention, scenes, strict=True):
        right.append(scene.is_told(caption))
        words = caption.split()
        for place in range(1, len(words)):
            lies = scene.lies_on(" ".join(words[place - 1 : place + 1]), int(maps[place].argmax()), maps.shape[-1])
            looked += [] if lies is None else [lies]
    return {"true": float(np.mean(right)), "looked_at": float(np.mean(looked or [False]))}
