"""`recipes predict` of a recipe that describes images: a caption each, and a picture of where its words looked."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from recipes.errors import DataError
from recipes.training.files import save_picture


def caption_files(recipe: ModuleType, model: Any, files: Sequence[str]) -> int:
    """Prints a line for each file, and writes PHOTO-attention.png to the folder that the command is given in.

    A file that cannot be read gets a message, the others their captions, and the status is 1.
    """
    failed = 0
    for file in files:
        try:
            caption, figure = recipe.explain(file, model)
        except DataError as error:
            print(f"recipes: {error}", file=sys.stderr)
            failed += 1
            continue
        picture = Path(f"{Path(file).stem}-attention.png")
        save_picture(figure, picture)
        print(f"{file}\t{caption}\t{picture}")
    return 1 if failed else 0
