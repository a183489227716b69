"""Greedy search and beams for a run of show_attend_tell: chosen on the validation split, one scored on the test split.

    python benchmarks/captions.py RUN [RUN ...]

Writes benchmarks/results/captions.json, for each run: the scores on validation images of greedy search and of beams of
3 and 5 with two penalties for length, and on test images those of the beam whose BLEU-4 in validation is the highest.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from machine import environment
from recipes import show_attend_tell as recipe
from recipes.data.caption_sources import find_captions
from recipes.data.captions import in_words
from recipes.kinds.caption_scores import caption_scores
from recipes.pretrained.encoders import annotate_once

RESULT = Path(__file__).parent / "results" / "captions.json"
BEAMS = (1, 0.0), (3, 0.0), (5, 0.0), (3, 0.7), (5, 0.7)  # width, and penalty for length: none for greedy search


def main() -> None:
    """Measures, prints and writes the result, anew after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    result = {"command": "python benchmarks/captions.py RUN ...", "date": time.strftime("%Y-%m-%d")}
    result |= {"machine": environment(), "runs": []}
    for folder in parser.parse_args().runs:
        model = recipe.load(folder)
        result["runs"].append({"attention": model.run.config.attention, **measured(model)})
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["runs"], indent=2))


def measured(model) -> dict:
    """Returns the scores of one model: of each beam on validation images, of the best of them on test images."""
    config, tokenizer = model.run.config, model.run.info.tokenizer
    arrays, _, images = find_captions(config)

    def scored(split: str, width: int, penalty: float) -> dict:
        rows, captions = getattr(arrays, split)
        inputs = annotate_once(config.encoder, config.image_size, images[rows])
        references = [[text.decode() for text in in_words(texts)] for texts in captions]
        captioned = recipe.kind.caption_all(model, tokenizer, inputs, width, penalty)
        words = sum(len(caption.split()) for caption in captioned.captions) / len(captioned.captions)
        scores = {"words": words, **caption_scores(captioned.captions, references, meteor=split == "test")}
        result = {"beam_width": width, "length_penalty": penalty}
        result |= {name: round(value, 2) for name, value in scores.items()}
        print(split, result, flush=True)
        return result

    validation = [scored("validation", width, penalty) for width, penalty in BEAMS]
    best = max(validation, key=lambda result: result["bleu4"])
    return {"validation": validation, "test": scored("test", best["beam_width"], best["length_penalty"])}


if __name__ == "__main__":
    main()
