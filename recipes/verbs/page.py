"""The page of a recipe: a module of the package's, or a file of your own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recipes.verbs.recipe import Recipe


def load_file(name: str, path: Path) -> ModuleType | None:
    """Returns the module in a file, imported under a name; None where there is no such file of Python."""
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        return None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Page:
    """Where another process finds a recipe: a module, or a file of its own."""

    module: str
    file: str | None = None  # to load it from; None: it is imported by its name

    @classmethod
    def of(cls, recipe: Recipe) -> Page | None:
        """Returns where a recipe stands; None for one that no other process can find, as in a notebook."""
        name = recipe.config_class.__module__
        module = sys.modules.get(name)
        if getattr(getattr(module, "tune", None), "__self__", None) is not recipe:
            return None
        file = getattr(module, "__file__", None)
        if name == "__main__":
            return cls(Path(file).stem, file) if file else None
        return cls(name) if importlib.util.find_spec(name) else cls(name, file)

    def recipe(self) -> Recipe:
        """Returns the recipe, its page loaded where it is not."""
        if self.file and self.module not in sys.modules:
            load_file(self.module, Path(self.file))
        return importlib.import_module(self.module).tune.__self__
