"""Draws the gallery's pictures from finished runs, without training: `python docs/draw_gallery.py runs/NAME/ID...`."""

import importlib
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from recipes.runs.atomic_files import save_picture
from recipes.runs.curves import draw_curves
from recipes.runs.exhibits import write_exhibits
from recipes.runs.history import read_history
from recipes.verbs.evaluate import data_of_run

PICTURES = Path(__file__).parent / "pictures"

#: Recipe -> those pictures of its report that the gallery shows; of others, all of them.
SHOWN = {
    "mnist_vae": ["samples", "reconstructions", "traversals"],
    "mnist_autoencoder": ["reconstructions"],
    "dcgan": ["samples", "curves"],
    "cifar_lecture": ["confusion"],
    "cifar_convnet": ["confusion"],
    "cifar_simclr": ["neighbours"],
    "photos_transfer": ["explanations"],
    "cells_detector": ["detections"],
    "uci_regression": ["predictions"],
    "cifar_resnet": ["confusion"],
    "cifar_googlenet": ["confusion"],
    "set_permutation": ["mosaics"],
    "word2vec": ["words"],
    "imdb_lstm": ["confusion", "gradients"],
    "imdb_transformer": ["attention"],
    "show_attend_tell": ["good1", "bad1"],
    "translate_seq2seq": ["alignment"],
    "translate_transformer": ["alignment"],
}


def draw_run(run: Path, folder: Path) -> str:
    """Writes curves.png and the report's pictures of a run into a folder; returns the recipe's name."""
    model, splits = model_and_data(run)
    name = model.run.recipe
    save_picture(draw_curves(read_history(run / "history.csv"), f"{name} on {model.run.info}"), folder / "curves.png")
    for report in recipe_of(run).reports:
        write_exhibits(partial(report, model, splits), folder)
    return name


def model_and_data(run: Path) -> tuple[Any, Any]:
    """Returns the model of a run, and the splits that it was trained and tested on."""
    recipe = recipe_of(run)
    model = recipe.load(run)
    config, data = data_of_run(recipe, model)
    return model, recipe.load_data(config, data, model.run.info.tokenizer)


def recipe_of(run: Path) -> Any:
    """Returns the `Recipe` of a run in runs/NAME/ID."""
    return importlib.import_module(f"recipes.{run.resolve().parent.name}").fit.__self__


def main(runs: list[str]) -> None:
    """Writes the pictures of each run to docs/pictures, in 256 colours."""
    for run in runs:
        with tempfile.TemporaryDirectory() as folder:
            name = draw_run(Path(run), Path(folder))
            for picture in sorted(Path(folder).glob("*.png")):
                if picture.stem in SHOWN.get(name, [picture.stem]):
                    target = PICTURES / f"{name}-{picture.name}"
                    image = Image.open(picture).convert("RGB")
                    image.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(target, optimize=True)
                    print(target)


if __name__ == "__main__":
    main(sys.argv[1:])
