"""Composes docs/pictures/readme.png from the folders of finished runs: `python docs/make_readme_picture.py RUN...`.

    python docs/make_readme_picture.py runs/mnist_vae/ID runs/mnist_dense/ID runs/imdb_transformer/ID [CAPTIONS]

The samples of the first, the accuracy of the second, the attention of the third, side by side; below them, of a run of
show_attend_tell, what each word of a caption attends to.
"""

import sys
import tempfile
from pathlib import Path

from draw_gallery import draw_run, model_and_data
from matplotlib.figure import Figure
from PIL import Image, ImageChops, ImageDraw, ImageFont

from recipes import show_attend_tell
from recipes.kinds.captioning import draw_strip
from recipes.runs.atomic_files import save_picture
from recipes.runs.curves import draw_curves
from recipes.runs.history import read_history

PICTURES = Path(__file__).parent / "pictures"
HEIGHT, MARGIN, WIDTH = 400, 24, 1400
CAPTIONS = (
    "digits drawn by mnist_vae",
    "20 epochs of mnist_dense",
    "attention of imdb_transformer",
)


def main(runs: list[Path]) -> None:
    """Writes the picture."""
    vae, dense, transformer, *captioner = runs
    accuracy = {name: values for name, values in read_history(dense / "history.csv").items() if "loss" not in name}
    panels = [
        report_picture(vae, "samples"),
        image_of(draw_curves(accuracy, "")),
        report_picture(transformer, "attention"),
    ]
    rows = [beside([at_height(trimmed(panel), HEIGHT) for panel in panels], CAPTIONS)]
    if captioner:
        width = rows[0].width - 2 * MARGIN
        strip = trimmed(image_of(strip_of_a_test_image(captioner[0])))
        height = round(strip.height * width / strip.width)
        rows.append(beside([at_height(strip, height)], ["what each word of a caption attends to (show_attend_tell)"]))
    picture = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    picture = at_height(picture, round(picture.height * WIDTH / picture.width))
    picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(PICTURES / "readme.png", optimize=True)


def report_picture(run: Path, name: str) -> Image.Image:
    """Returns a picture of a run's report, drawn anew."""
    with tempfile.TemporaryDirectory() as folder:
        draw_run(run, Path(folder))
        return Image.open(Path(folder) / f"{name}.png").convert("RGB")


def strip_of_a_test_image(run: Path) -> Figure:
    """Returns what each word of a captioner's caption of its first test image attends to, in one row."""
    model, splits = model_and_data(run)
    image = splits.originals.images[0]
    [answer] = show_attend_tell.predict([image], model)
    return draw_strip(image, answer["words"], answer["attention"], columns=len(answer["words"]) + 1)


def image_of(figure: Figure) -> Image.Image:
    """Returns a figure as an image."""
    with tempfile.TemporaryDirectory() as folder:
        save_picture(figure, Path(folder) / "figure.png")
        return Image.open(Path(folder) / "figure.png").convert("RGB")


def at_height(picture: Image.Image, height: int) -> Image.Image:
    """Returns a picture in another size."""
    return picture.resize((round(picture.width * height / picture.height), height), Image.Resampling.LANCZOS)


def trimmed(picture: Image.Image) -> Image.Image:
    """Returns a picture without its white margins."""
    box = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).getbbox()
    return picture.crop(box)


def beside(panels: list[Image.Image], captions: tuple[str, ...] | list[str]) -> Image.Image:
    """Returns panels of one height side by side, each with its caption below."""
    font = ImageFont.load_default(22)
    height = panels[0].height + 3 * MARGIN + 10
    row = Image.new("RGB", (sum(panel.width + 2 * MARGIN for panel in panels), height), "white")
    draw, left = ImageDraw.Draw(row), MARGIN
    for panel, caption in zip(panels, captions, strict=True):
        row.paste(panel, (left, MARGIN))
        draw.text((left + panel.width / 2, panel.height + 2 * MARGIN), caption, "#333", font, anchor="mm")
        left += panel.width + 2 * MARGIN
    return row


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
