"""Contact sheets: photographs that were found, in rows, with what was looked for above."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # not pyplot: no display, no state

from recipes.errors import ConfigError
from recipes.kinds.inputs import image_batches
from recipes.kinds.plots import show
from recipes.runs.atomic_files import save_picture
from recipes.runs.figure_text import shortened, wrapped


def draw_sheet(texts: Sequence[str], images: Sequence[Sequence[np.ndarray]], titles: Sequence[Sequence[str]]) -> Figure:
    """Returns a contact sheet: a row for each text, of the photographs that were found for it, the best first.

    Args:
        texts: Above each row.
        images: Of each row, (H, W, 3) in [0, 255].
        titles: Above each image.
    """
    columns = max(map(len, images))
    width = max(4.0, 1.7 * columns)
    figure = Figure(figsize=(width, 2.6 * len(texts)), layout="constrained")
    parts = figure.subfigures(len(texts), 1, squeeze=False)[:, 0]
    for part, text, row, above in zip(parts, texts, images, titles, strict=True):
        part.suptitle(wrapped(text, width, size=10), fontsize=10)
        panels = part.subplots(1, columns, squeeze=False)[0]
        for place, axes in enumerate(panels):
            axes.axis("off")
            if place < len(row):
                show(axes, row[place])
                axes.set_title("\n".join(shortened(line) for line in above[place].split("\n")), fontsize=8)
    return figure


def write_sheet(
    path: str | Path,
    text: str,
    photos: Any,
    image_shape: tuple[int, int, int],
    places: Any,
    found: Sequence[tuple[str, float]],
) -> None:
    """Writes a contact sheet of photographs that were found, as PNG, in one step.

    Args:
        path: Of the picture.
        text: What was looked for.
        photos: Among which, as `inputs.read_images` takes them; they are read again.
        image_shape: H, W, C that they are read at.
        places: (k,) integer: which of them were found, the best first.
        found: Their names, and their cosines.

    Raises:
        ConfigError: If the place cannot be written to.
    """
    images = (image for _, some in image_batches(photos, image_shape) for image in some)
    wanted = set(map(int, places))
    shown = {place: image for place, image in enumerate(images) if place in wanted}
    titles = [f"{Path(name).name}\n{cosine:.2f}" for name, cosine in found]
    write_picture(draw_sheet([text], [[shown[int(place)] for place in places]], [titles]), path)


def write_picture(figure: Figure, path: str | Path) -> None:
    """Writes a picture that was asked for, as PNG, in one step.

    Raises:
        ConfigError: If the place cannot be written to.
    """
    try:
        save_picture(figure, Path(path))
    except OSError as error:
        raise ConfigError(f"picture={str(path)!r} cannot be written: {error.strerror}; expected a PNG file") from None
