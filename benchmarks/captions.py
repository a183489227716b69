"""Greedy search and beams for a run of show_attend_tell: chosen on the validation split, reported of the test split.

    python benchmarks/captions.py RUN [RUN ...]

Writes benchmarks/results/captions.json: the scores of beams of 1 (greedy), 3 and 5 with several penalties for length on
validation images, and of the three with the recipe's penalty on test images, for each run.
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
WIDTHS, PENALTIES = (1, 3, 5), (0.0, 0.7)


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
    """Returns the scores of one model, by split, width and penalty."""
    config, tokenizer = model.run.config, model.run.info.tokenizer
    arrays, _, images = find_captions(config)
    results: dict = {}
    for split, penalties in (("validation", PENALTIES), ("test", (recipe.kind.length_penalty,))):
        rows, captions = getattr(arrays, split)
        inputs = annotate_once(config.encoder, config.image_size, images[rows])
        references = [[text.decode() for text in in_words(texts)] for texts in captions]
        results[split] = []
        for penalty in penalties:
            for width in WIDTHS:
                captioned = recipe.kind.caption_all(model, tokenizer, inputs, width, penalty)
                words = sum(len(caption.split()) for caption in captioned.captions) / len(captioned.captions)
                scores = caption_scores(captioned.captions, references, meteor=split == "test")
                scores = {name: round(value, 2) for name, value in scores.items()}
                results[split].append(
                    {"beam_width": width, "length_penalty": penalty, "words": round(words, 2), **scores}
                )
                print(split, results[split][-1], flush=True)
    return results


if __name__ == "__main__":
    main()
