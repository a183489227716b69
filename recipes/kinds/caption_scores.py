"""Scores of captions against people's: BLEU, METEOR, ROUGE-L and CIDEr; of generated scenes, whether they are true."""

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.data.standins.scenes import Scene

#: METEOR is a Java program that the package pycocoevalcap carries.
MISSING = "METEOR, ROUGE-L and CIDEr are left out: {}; pip install 'keras-recipes[captions]'"


def caption_scores(
    captions: Sequence[str], references: Sequence[Sequence[str]], meteor: bool = True
) -> dict[str, float]:
    """Returns the scores of captions in [0, 100], but "cider", which may be above.

    - "bleu1" to "bleu4": of sacreBLEU, of the whole corpus; Papineni et al. (2002), https://aclanthology.org/P02-1040.
      "bleu1_without_penalty" and so on leave out the brevity penalty, as Xu et al. (2015, section 5) report it.
    - "meteor": its authors' program, version 1.5; Denkowski and Lavie (2014), https://aclanthology.org/W14-3348.
    - "rouge_l", "cider": of pycocoevalcap; Lin (2004), https://aclanthology.org/W04-1013, and Vedantam et al. (2015),
      https://arxiv.org/abs/1411.5726.

    Where pycocoevalcap or Java is missing, so are their scores, with a message.

    Args:
        captions: (N,), words in small letters with one space between two.
        references: (N,), any number of each, likewise.
        meteor: Whether to start its program, which takes seconds.
    """
    return {**bleu_scores(captions, references), **coco_scores(captions, references, meteor)}


def bleu_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Returns "bleu1" to "bleu4", in [0, 100], and the same "_without_penalty" for captions that are too short."""
    most = max(map(len, references))
    streams: list[Any] = [[texts[n] if n < len(texts) else None for texts in references] for n in range(most)]
    results = {f"bleu{size}": bleu(size).corpus_score(list(captions), streams) for size in range(1, 5)}
    scores = {name: float(result.score) for name, result in results.items()}
    # A score is the penalty times the geometric mean of the shares of words, pairs, ... that a reference has.
    means = {name: scores[name] / result.bp if result.bp else 0.0 for name, result in results.items()}
    return scores | {f"{name}_without_penalty": mean for name, mean in means.items()}


def bleu(size: int = 4) -> Any:
    """Returns sacreBLEU's metric of up to `size` words in a row, which are told apart by spaces."""
    from sacrebleu.metrics import BLEU

    return BLEU(max_ngram_order=size, tokenize="none", smooth_method="none", force=True)


def bleu_signature() -> str:
    """Returns what sacreBLEU calls its settings, for five references of each image."""
    metric = bleu()
    metric.corpus_score(["a"], [["a"]] * 5)
    return str(metric.get_signature())


def coco_scores(captions: Sequence[str], references: Sequence[Sequence[str]], meteor: bool) -> dict[str, float]:
    """Returns "meteor", "rouge_l" and "cider", times 100, or those of them that can be had."""
    try:
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        print(MISSING.format("pycocoevalcap is not installed"))
        return {}
    candidates = {number: [caption] for number, caption in enumerate(captions)}
    by_number = {number: list(texts) for number, texts in enumerate(references)}
    scores = {"meteor": meteor_score(candidates, by_number)} if meteor else {}
    scores |= {
        name: metric().compute_score(by_number, candidates)[0]
        for name, metric in (("rouge_l", Rouge), ("cider", Cider))
    }
    return {name: 100 * float(score) for name, score in scores.items() if score is not None}


def meteor_score(candidates: dict[int, list[str]], references: dict[int, list[str]]) -> float | None:
    """Returns METEOR in [0, 1]; None, and says so, where its program cannot be run."""
    from pycocoevalcap.meteor.meteor import Meteor

    if not shutil.which("java"):
        print("METEOR is left out: its authors' program needs Java (a 'java' on the PATH)")
        return None
    program = Meteor()
    try:
        return program.compute_score(references, candidates)[0]
    except (OSError, ValueError) as error:
        print(f"METEOR is left out: its program failed ({error}); it needs Java 8 or newer and 2 GiB of memory")
        return None
    finally:
        if program.lock.locked():  # or it would wait for itself when it is deleted
            program.lock.release()
        for pipe in (program.meteor_p.stdout, program.meteor_p.stderr):
            pipe.close()


def truth_scores(captions: Sequence[str], attention: Sequence[np.ndarray], scenes: Sequence[Scene]) -> dict[str, float]:
    """Returns of captions of generated scenes how many are "true", and how many objects are "looked_at", in [0, 1].

    "looked_at" is the share of words for objects that are there, such as "circle" after "red", whose attention is
    highest at a place within the object's radius.

    Args:
        captions: (N,).
        attention: (N,) of (T, rows, columns), where each word looked.
        scenes: (N,) what is there.
    """
    true, looked_at = [], []
    for caption, maps, scene in zip(captions, attention, scenes, strict=True):
        true.append(scene.is_true_caption(caption))
        words = caption.split()
        for i in range(1, len(words)):
            lies = scene.lies_on(" ".join(words[i - 1 : i + 1]), int(maps[i].argmax()), maps.shape[-1])
            looked_at += [] if lies is None else [lies]
    return {"true": float(np.mean(true)), "looked_at": float(np.mean(looked_at or [False]))}
