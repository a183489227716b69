"""`recipes copy`: a recipe as a file of your own."""

import sys
from pathlib import Path

import recipes
from recipes.errors import DataError


def copy_recipe(name: str, options: list[str]) -> int:
    """Copies a recipe's source to a file that runs on its own beside the installed package."""
    if len(options) != 1 or options[0].startswith("-"):
        asked = options in (["-h"], ["--help"])
        print(f"usage: recipes copy {name} FILE.py", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    target = Path(options[0])
    if target.suffix != ".py" or not target.stem.isidentifier():
        raise DataError(f"cannot copy to {target}; expected a Python file name, such as my_{name}.py")
    if target.stem in ("recipes", *recipes.RECIPES):
        raise DataError(f"{target.stem} is a name of this package; name the copy otherwise, such as my_{name}.py")
    source = Path(recipes.__file__).parent / f"{name}.py" if name in recipes.RECIPES else Path(name)
    try:
        text = source.read_text(encoding="utf-8")
        with target.open("x", encoding="utf-8") as file:  # refuses to write over a file
            file.write(text)
    except FileExistsError:
        raise DataError(f"{target} exists; name another file, or delete it first") from None
    except OSError as error:
        raise DataError(f"cannot copy {source} to {target}: {error.strerror}") from None
    print(f"{target} is yours: rename {source.stem} in it to {target.stem}, change it, then: recipes fit {target}")
    return 0
