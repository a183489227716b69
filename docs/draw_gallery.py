"""Draws the gallery's pictures from finished runs, without training: `python docs/draw_gallery.py runs/NAME/ID...`."""

import importlib
import sys
import tempfile
from pathlib import Path

from recipes.runs.atomic_files import save_picture
from recipes.runs.curves import draw_curves
from recipes.runs.report import read_history
from recipes.verbs.evaluate import data_of_run

PICTURES = Path(__file__).parent / "pictures"

#: Recipe -> those pictures of its report that the gallery shows; of others, all of them.
SHOWN = {
    "mnist_autoencoder": ["reconstructions"],
    "mnist_vae": ["samples", "reconstructions", "traversals"],
    "dcgan": ["samples", "curves"],
    "imdb_lstm": ["gradients", "confusion"],
    "imdb_transformer": ["attention", "confusion"],
    "show_attend_tell": ["good1", "bad1"],
    "translate_seq2seq": ["alignment"],
    "translate_transformer": ["alignment"],
    "word2vec": ["words"],
}


def draw_run(run_folder: Path, folder: Path) -> str:
    """Writes curves.png and the report's pictures of a run into a folder; returns the recipe's name."""
    name = run_folder.resolve().parent.name
    recipe = importlib.import_module(f"recipes.{name}").fit.__self__
    model = recipe.load(run_folder)
    config, data = data_of_run(recipe, model)
    splits = recipe.load_data(config, data, model.run.info.tokenizer)
    curves = read_history(run_folder / "history.csv")
    save_picture(draw_curves(curves, f"{name} on {model.run.info}"), folder / "curves.png")
    recipe.report(model, splits, folder)
    return name


def main(runs: list[str]) -> None:
    """Writes the pictures of each run to docs/pictures."""
    for run in runs:
        with tempfile.TemporaryDirectory() as folder:
            name = draw_run(Path(run), Path(folder))
            for picture in sorted(Path(folder).glob("*.png")):
                if picture.stem in SHOWN.get(name, [picture.stem]):
                    target = PICTURES / f"{name}-{picture.name}"
                    target.write_bytes(picture.read_bytes())
                    print(target)


if __name__ == "__main__":
    main(sys.argv[1:])
