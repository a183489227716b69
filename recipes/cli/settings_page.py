"""A recipe's settings without its model: help, `config` and completion need no TensorFlow, which takes seconds."""

import ast
import sys
from pathlib import Path
from types import ModuleType

from recipes.errors import RecipeError

#: What settings are made with; whatever else a page imports, its settings do without.
LIGHT = {"pydantic", "recipes.errors", "recipes.settings"}


def settings_page(path: Path) -> ModuleType | None:
    """Returns a module of a recipe's `Config` and the settings that are its constants, such as TINY.

    It is the page itself, without functions, other classes and heavy imports. None if its settings need any of them,
    or there is no such page: the recipe itself will have to be imported.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return None
    page = ModuleType(f"settings_of_{path.stem}")
    page.__file__ = str(path)  # where the comments of its fields are read
    sys.modules[page.__name__] = page  # where its types are looked up
    for node in tree.body:
        if not _is_kept(node):
            continue
        try:
            exec(compile(ast.Module([node], []), str(path), "exec"), vars(page))
        except (NameError, ImportError, AttributeError, TypeError, ValueError, RecipeError):
            if _is_of_settings(node):
                return None
    return page if "Config" in vars(page) else None


def _is_kept(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return module in LIGHT or module.partition(".")[0] in sys.stdlib_module_names
    if isinstance(node, ast.Import):
        return all(alias.name.partition(".")[0] in sys.stdlib_module_names for alias in node.names)
    if isinstance(node, ast.ClassDef):
        return node.name == "Config"
    return isinstance(node, (ast.Assign, ast.AnnAssign))


def _is_of_settings(node: ast.stmt) -> bool:
    """Returns whether a statement makes the Config or, of it, a constant such as TINY."""
    if isinstance(node, ast.ClassDef):
        return True
    call = getattr(node, "value", None)
    return isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("Config", "replace", "with_changes")
