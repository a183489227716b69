"""Generated scenes with captions, for when photographs cannot be had: of each caption and object the truth is known.

A scene is two of eight shapes in two of seven colours, one left of, right of, above or below the other. Its five
captions say so in different words, and begin with the object whose colour is the more striking, the earlier in
`COLOURS`: a captioner that looks before it reads its last word must be able to know which object that named. Position,
size, rotation, colour, ground, lighting and noise vary. `SCENES` of show_attend_tell described 99.2 % of the test
scenes exactly (`benchmarks/accuracy.py show_attend_tell --setting SCENES`).
"""

from typing import NamedTuple

import numpy as np

from recipes.data.in_memory import Arrays, Columns
from recipes.data.standins.images import outline_distance

SIZE = 56  # pixels of a side
WINDOW = 28  # pixels of a side that hold any object
KINDS = ("bar", "circle", "crescent", "cross", "ring", "square", "star", "triangle")
COLOURS = {
    "red": (205, 40, 40),
    "orange": (240, 140, 20),
    "yellow": (235, 220, 50),
    "green": (40, 150, 60),
    "blue": (45, 80, 205),
    "purple": (140, 50, 170),
    "white": (240, 240, 240),
}
RELATIONS = ("left of", "right of", "above", "below")  # the next is the opposite, two by two
FORMS = (
    "a {a} is {r} a {b}",
    "there is a {a} {r} a {b}",
    "a {a} {r} a {b}",
    "the {a} is {r} the {b}",
    "a {a} can be seen {r} a {b}",
)


class Scene(NamedTuple):
    """What is in an image: of the first object and of the second each."""

    kinds: tuple[str, str]
    colours: tuple[str, str]
    centres: tuple[tuple[float, float], tuple[float, float]]  # y and x, pixels from the top left
    radii: tuple[float, float]  # pixels

    @property
    def relation(self) -> str:
        """How the first object stands to the second."""
        dy, dx = (one - other for one, other in zip(*self.centres))
        return RELATIONS[(0 if dx < 0 else 1) if abs(dx) > abs(dy) else (2 if dy < 0 else 3)]

    def relation_from(self, first: int) -> tuple[str, str, str]:
        """Returns (an object, its relation to the other, the other), seen from the first, 0, or the second, 1."""
        names = [f"{colour} {kind}" for colour, kind in zip(self.colours, self.kinds)]
        return names[first], RELATIONS[RELATIONS.index(self.relation) ^ first], names[1 - first]

    def is_true_caption(self, caption: str) -> bool:
        """Returns whether a caption, in small letters, is one of the true ones, to the letter."""
        return caption in [describe(self, form, first) for form in FORMS for first in (0, 1)]

    def lies_on(self, name: str, cell: int, cells: int) -> bool | None:
        """Returns whether a cell of a grid is within the radius of the object of a name; None where there is none such.

        Args:
            name: "red circle".
            cell: A place, row by row.
            cells: How many there are in a row.
        """
        edge = SIZE / cells
        corner = np.array(divmod(cell, cells)) * edge
        for which in (0, 1):
            if name == self.relation_from(which)[0]:
                nearest = np.clip(self.centres[which], corner, corner + edge)  # the cell's point nearest to it
                return bool(np.hypot(*(nearest - self.centres[which])) <= self.radii[which])
        return None


def scenes(train: int = 5000, validation: int = 500, test: int = 500, seed: int = 0) -> Arrays:
    """Returns generated scenes of two coloured shapes: (images, five captions each, what is there); see `captioned`.

    Args:
        train: Number of training scenes.
        validation: Number of validation scenes.
        test: Number of test scenes.
        seed: The same seed gives the same scenes; splits are drawn apart.
    """
    parts = [captioned(count, seed + 1_000_003 * place) for place, count in enumerate((train, validation, test))]
    return Arrays(parts[0], parts[1], parts[2])


def captioned(count: int, seed: int) -> Columns:
    """Returns (images (N, 56, 56, 3) uint8, captions (N,) of five str each, (N,) `Scene`)."""
    rng = np.random.default_rng(seed)
    kind, colour, centre, radius = objects(count, rng)
    scenes_drawn, captions, paints = np.empty(count, object), np.empty(count, object), list(COLOURS)
    forms = rng.permuted(np.tile(np.arange(len(FORMS)), (count, 1)), axis=1)
    for row in range(count):
        (one, other), (paint, second) = kind[row], colour[row]
        (y, x), (v, u) = centre[row].tolist()
        scenes_drawn[row] = Scene(
            (KINDS[one], KINDS[other]), (paints[paint], paints[second]), ((y, x), (v, u)), tuple(radius[row].tolist())
        )
        first = int(paint > second)
        captions[row] = tuple(describe(scenes_drawn[row], FORMS[form], first) for form in forms[row])
    return draw(kind, colour, centre, radius, rng), captions, scenes_drawn


def describe(scene: Scene, form: str, first: int) -> str:
    """Returns a true caption, seen from the first object, 0, or the second, 1."""
    one, relation, other = scene.relation_from(first)
    return form.format(a=one, r=relation, b=other).replace("a orange", "an orange")


def objects(count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Returns (kind (N, 2), colour (N, 2), centre (N, 2, 2), radius (N, 2)) of objects that do not touch.

    They stand clearly beside or above one another, and differ in colour, by which they can be told apart.
    """
    radius, centre = rng.uniform(8, 11, (count, 2)), np.zeros((count, 2, 2))
    missing = np.arange(count)
    while len(missing):
        drawn = rng.uniform(11, SIZE - 11, (len(missing), 2, 2))
        centre[missing] = drawn
        apart = np.abs(drawn[:, 0] - drawn[:, 1])
        far = np.hypot(*apart.T) > radius[missing].sum(1) + 2
        missing = missing[~(far & (np.abs(apart[:, 0] - apart[:, 1]) > 8))]
    kind, colour = rng.integers(0, len(KINDS), (count, 2)), rng.integers(0, len(COLOURS), (count, 2))
    colour[:, 1] = (colour[:, 0] + rng.integers(1, len(COLOURS), count)) % len(COLOURS)
    return kind, colour, centre, radius


def draw(
    kind: np.ndarray, colour: np.ndarray, centre: np.ndarray, radius: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns the images of what `objects` returns, (N, 56, 56, 3) uint8: dark grounds, a slope of light, noise."""
    count, scene = len(kind), np.arange(len(kind))[:, None, None]
    centre, radius = centre.astype(np.float32), radius.astype(np.float32)

    def drawn(low: float, high: float, *shape: int) -> np.ndarray:
        return rng.uniform(low, high, (count, *shape)).astype(np.float32)

    slope = drawn(-30, 30, 2, 1, 1)
    rows, columns = (np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5).astype(np.float32)
    images = drawn(20, 110, 1, 1, 3) + (slope[:, 0] * rows + slope[:, 1] * columns)[..., None]
    paints = np.array(list(COLOURS.values()), np.float32)
    for which in (0, 1):
        corner = np.clip(np.rint(centre[:, which]) - WINDOW // 2, 0, SIZE - WINDOW).astype(int)
        y, x = (corner[:, axis, None, None] + np.mgrid[0:WINDOW, 0:WINDOW][axis] for axis in (0, 1))  # may be painted
        size, middle = radius[:, which, None, None], centre[:, which, :, None, None]
        dy, dx = (
            ((y + 0.5).astype(np.float32) - middle[:, 0]) / size,
            ((x + 0.5).astype(np.float32) - middle[:, 1]) / size,
        )
        angle = drawn(0, 2 * np.pi, 1, 1)
        u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        far = np.empty(u.shape, np.float32)  # to the outline, in radii
        for index, name in enumerate(KINDS):
            chosen = kind[:, which] == index
            far[chosen] = outline_distance(name, u[chosen], v[chosen])
        coverage = np.clip(0.5 - far * size, 0, 1)[..., None]  # soft over one pixel
        paint = paints[colour[:, which]][:, None, None] + drawn(-18, 18, 1, 1, 3)
        images[scene, y, x] += coverage * (paint - images[scene, y, x])
    images += 8 * rng.standard_normal(images.shape, np.float32)
    return np.clip(images, 0, 255).round().astype(np.uint8)
