"""`recipes predict` of a recipe that describes images: a caption each, and a picture of where its words looked."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from recipes.errors import DataError
from recipes.runs.atomic_files import save_picture


def caption_files(
    recipe: ModuleType, model: Any, files: Sequence[str]
) -> Iterator[tuple[str | Path, dict[str, Any] | DataError]]:
    """Yields (file, {"caption", "picture"}), or (file, the DataError that says why there is none).

    The picture is PHOTO-attention.png in the folder that the command is given in; of a second photograph of the same
    name, PHOTO-attention-2.png.
    """
    named: Counter[str] = Counter()
    for file in files:
        try:
            caption, figure = recipe.explain(file, model)
        except DataError as error:
            yield file, error
            continue
        name = f"{Path(file).stem}-attention"
        named[name] += 1
        picture = Path(f"{name}.png" if named[name] == 1 else f"{name}-{named[name]}.png")
        save_picture(figure, picture)
        yield file, {"caption": caption, "picture": picture}
