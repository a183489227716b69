"""The shape of the package: a file is a recipe, a folder is shared code, arrows point one way, import is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recipes

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recipes"

#: Folder (or "recipe", for the files beside the folders) -> what of ours it may import.
ARROWS = {
    "errors": set(),
    "data": {"errors"},
    "devices": {"errors"},
    "layers": {"devices", "errors"},
    "pretrained": {"errors"},
    "training": {"data", "devices", "errors", "recipes"},
    "tasks": {"data", "devices", "errors", "layers", "pretrained", "training"},
    "recipe": {"data", "devices", "errors", "layers", "pretrained", "tasks", "training"},
    "cli": {"data", "devices", "errors", "recipes", "tasks", "training"},
}


def imports(path):
    """Yields the modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "recipes")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recipes":
            assert node.level == 0, "a copied recipe has no package to be relative to"
            yield node.module


def place(module):
    parts = module.split(".")
    return "recipes" if len(parts) == 1 else "recipe" if parts[1] in recipes.RECIPES else parts[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    inside = path.relative_to(PACKAGE).parts
    if len(inside) == 1 and inside[0].startswith("__"):
        return
    here = inside[0] if len(inside) > 1 else "recipe"
    allowed = ARROWS[here] | {here} if here != "recipe" else ARROWS[here]
    assert {place(module) for module in imports(path)} <= allowed


def test_every_file_is_a_recipe_and_every_recipe_a_file():
    files = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert files == set(recipes.RECIPES)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_has_its_test_notebook_and_row(name):
    assert (ROOT / "tests" / f"test_{name}.py").exists()
    assert (ROOT / "notebooks" / f"{name}.py").exists()
    assert f"`{name}`" in (ROOT / "README.md").read_text()


def test_files_can_be_read_in_one_sitting():
    for path in PACKAGE.rglob("*.py"):
        limit = 350 if path.parent == PACKAGE else 250
        assert len(path.read_text().splitlines()) <= limit, path


@pytest.mark.parametrize(
    "command", ["import recipes", "from recipes.cli import main; main(['list']); main(['--help'])"]
)
def test_import_and_list_load_no_tensorflow(command):
    heavy = "{'tensorflow', 'keras', 'numpy', 'tyro', 'matplotlib'}"
    check = f"import sys; {command}; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, capture_output=True)


def test_an_unknown_recipe_is_an_attribute_error_that_names_the_others():
    with pytest.raises(AttributeError, match="no recipe 'resnet'; there are: mnist_dense"):
        _ = recipes.resnet
    assert "cifar_convnet" in dir(recipes)
