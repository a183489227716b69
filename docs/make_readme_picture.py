"""Composes docs/pictures/readme.png from the folders of finished runs: `python docs/make_readme_picture.py RUN...`.

    python docs/make_readme_picture.py runs/mnist_vae/ID runs/mnist_dense/ID runs/imdb_transformer/ID [CAPTIONS]

The samples of the first, the accuracy of the second, the attention of the third, side by side; below them, of a run of
show_attend_tell, what each word of a caption attends to.
"""

import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont

PICTURES = Path(__file__).parent / "pictures"
HEIGHT, MARGIN, WIDTH = 400, 24, 1400
CAPTIONS = (
    "digits drawn by mnist_vae",
    "20 epochs of mnist_dense",
    "attention of imdb_transformer",
)


def main(folders: list[Path]) -> None:
    """Writes the picture."""
    samples, dense, transformer, *captioner = folders
    curves = Image.open(dense / "curves.png")
    left = curves.crop((0, round(0.06 * curves.height), curves.width // 2, curves.height))
    panels = [
        trimmed(Image.open(samples / "samples.png")),
        trimmed(left),
        trimmed(Image.open(transformer / "attention.png")),
    ]
    panels = [
        panel.resize((round(panel.width * HEIGHT / panel.height), HEIGHT), Image.Resampling.LANCZOS) for panel in panels
    ]
    rows = [beside(panels, CAPTIONS)]
    if captioner:
        strip = in_one_row(Image.open(captioner[0] / "good1.png").convert("RGB"))
        width = rows[0].width - 2 * MARGIN
        strip = strip.resize((width, round(strip.height * width / strip.width)), Image.Resampling.LANCZOS)
        rows.append(beside([strip], ["what each word of a caption attends to (show_attend_tell)"]))
    picture = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(PICTURES / "readme.png", optimize=True)


def trimmed(picture: Image.Image) -> Image.Image:
    """Returns a picture without its white margins."""
    picture = picture.convert("RGB")
    box = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).getbbox()
    return picture.crop(box)


def in_one_row(strip: Image.Image, columns: int = 8) -> Image.Image:
    """Returns a report's strip of words, `columns` in a row, with its rows one after the other."""
    count = max(1, round(strip.height / (1.17 * strip.width / columns)))
    height = strip.height // count
    rows = [strip.crop((0, top * height, strip.width, (top + 1) * height)) for top in range(count)]
    last = ImageChops.difference(rows[-1], Image.new("RGB", rows[-1].size, "white")).getbbox()
    rows[-1] = rows[-1].crop((0, 0, last[2] if last else 1, height))
    whole = Image.new("RGB", (sum(row.width for row in rows), height), "white")
    left = 0
    for row in rows:
        whole.paste(row, (left, 0))
        left += row.width
    return trimmed(whole)


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
